"""The programme of the music."""

from __future__ import annotations

from pathlib import Path

import pytest

from keel.domain.errors import Refused
from keel.library.music_files import PHASES, phases_at, programme


def test_each_minute_of_a_psilocybin_day_has_its_phase_and_lsd_phases_overlap() -> None:
    psilocybin, lsd = programme("psilocybin-anhydrous"), programme("lsd-freebase-equivalent")
    assert [p.id for p in psilocybin] == list(PHASES)
    assert [[p.id for p in phases_at(psilocybin, minute)] for minute in (-10, 0, 44, 45, 200, 419, 420)] == [
        ["pre-onset"], ["onset"], ["onset"], ["ascent"], ["peak"], ["return"], [],
    ]  # fmt: skip
    assert [p.id for p in phases_at(lsd, 60)] == ["pre-onset", "onset"]
    assert programme("mdma-hcl") == ()


def test_a_sites_own_programme_stands_instead_and_one_out_of_order_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = tmp_path / "tables" / "music_programmes.toml"
    own.parent.mkdir()
    monkeypatch.setenv("KEEL_SHELF", str(tmp_path))
    rows = [("onset", 0, 60), ("peak", 60, 200)]

    def written(rows: list[tuple[str, int, int]]) -> None:
        phases = ", ".join(
            f'{{ id = "{i}", label = "{i}", from_minute = {a}, to_minute = {b}, pieces = ["One"] }}' for i, a, b in rows
        )
        own.write_text(
            f'version = 1\n[programmes.own]\nlabel = "Own"\nsubstances = ["mdma-hcl"]\nphases = [{phases}]\n'
        )

    written(rows)
    assert [p.pieces for p in programme("mdma-hcl")] == [("One",), ("One",)] and programme("psilocin") == ()
    written(rows[::-1])
    with pytest.raises(Refused, match="follow one another"):
        programme("mdma-hcl")
