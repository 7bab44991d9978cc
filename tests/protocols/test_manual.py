"""What the manual says of protocols is true: its example is read, its states are all of them."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

from keel.domain.protocol import Protocol
from keel.domain.schedule import STATES, broken_examples
from keel.domain.windows import check_windows

PAGE = (Path(__file__).parents[2] / "docs/manual/protocols.md").read_text("utf-8")


def test_the_small_protocol_of_the_manual_is_sound() -> None:
    (text,) = re.findall(r"```toml\n(.*?)```", PAGE, flags=re.DOTALL)
    small = Protocol.from_table(tomllib.loads(text), "docs/manual/protocols.md")
    assert broken_examples(small) == () and small.examples
    assert check_windows(small) == ()
    bases = {f.path: f.basis for f in small.facts}
    assert bases["visits[dosing].due_days"] == "read"
    assert bases["visits[dosing].latest_days"] == "house"
    assert bases["visits[week-3].due_weeks"] == "memory"


def test_the_manual_names_every_state() -> None:
    assert set(re.findall(r"^\| `(\w+)` \|", PAGE, flags=re.MULTILINE)) == set(STATES)
