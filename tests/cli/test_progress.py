"""Long work says how far it is, and stops when it is told to."""

from __future__ import annotations

import io

import numpy as np
import pytest

from keel import cli
from keel.cli.progress import shown
from keel.outcomes.mediation import mediate
from keel.outcomes.progress import At, Stopped, followed, step


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_person_sees_a_bar_that_is_wiped_at_the_end() -> None:
    seconds = iter(range(100))
    out = Terminal()
    with shown(out, clock=lambda: float(next(seconds))):
        step("Drawing samples", 5, 20)
        step("Reading the journal", 4000)
    said = out.getvalue()
    assert "[######..................]  25 %" in said
    assert "Reading the journal: 4,000" in said
    assert said.endswith("\r\x1b[K")


def test_quick_work_and_a_log_are_left_alone() -> None:
    for out in (Terminal(), io.StringIO()):
        with shown(out, clock=lambda: 0.0):
            step("Drawing samples", 1, 2)
        assert out.getvalue() == ""


def test_work_stops_where_its_listener_says_so_and_leaves_no_result() -> None:
    heard: list[At] = []

    def watch(at: At) -> None:
        heard.append(at)
        raise Stopped

    x = np.arange(30.0)
    with pytest.raises(Stopped), followed(watch):
        mediate(x, x + np.sin(x), x - np.cos(x), draws=200)
    assert heard == [At("Drawing samples", 0, 200)]
    step("nobody listens any more", 1)
    assert len(heard) == 1


def test_ctrl_c_ends_a_command_with_a_word(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def stop(*_: object) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr("keel.cli.evidence.run", stop)
    assert cli.main(["mediate", "x.csv"]) == 130
    assert capsys.readouterr().err == "keel mediate: stopped.\n"
