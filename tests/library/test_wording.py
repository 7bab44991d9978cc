"""Words of questionnaires: shipped where the licence allows, refused when it ends; and value sets on a shelf."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import pytest

from keel.domain.errors import Refused
from keel.domain.scoring import score
from keel.library.instrument_files import instrument, instruments
from keel.library.wording import check_wording, languages, rights, wording, words_for

TODAY = dt.date(2026, 3, 1)
MADRS_ITEMS = "\n".join(f'{n} = "Item {n} as licensed"' for n in range(1, 11))


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "instruments").mkdir()
    (tmp_path / "value_sets").mkdir()
    monkeypatch.setenv("KEEL_SHELF", str(tmp_path))
    return tmp_path


def lay(site: Path, name: str = "madrs.en.toml", **changed: str) -> Path:
    head = {
        "version": "1",
        "instrument": '"madrs"',
        "instrument_version": "1",
        "language": '"en"',
        "licence": '"site licence 7"',
        "licence_holder": '"The holder"',
        "valid_until": "2026-12-31",
        "source": '"the licensed form"',
    }
    head.update(changed)
    lines = "\n".join(f"{key} = {value}" for key, value in head.items() if value)
    path = site / "instruments" / name
    path.write_text(f"{lines}\n\n[items]\n{MADRS_ITEMS}\n", encoding="utf-8")
    return path


def test_keel_ships_words_only_where_the_licence_allows() -> None:
    shipped = [(one, tag) for one in instruments() for tag in languages(one)]
    assert ("phq-9", "en") in shipped
    for id, tag in shipped:
        words = wording(id, tag, on=TODAY)
        assert instrument(id).licence.kind == "W"
        assert words.credit
    assert languages("madrs") == {}


def test_a_site_pack_is_shown_with_its_credit_until_it_ends(site: Path) -> None:
    lay(site)
    words = wording("madrs", "en", on=dt.date(2026, 12, 31))
    assert words.items["10"] == "Item 10 as licensed"
    assert words.credit == "The holder. site licence 7"
    with pytest.raises(Refused, match="ended on 2026-12-31"):
        wording("madrs", "en", on=dt.date(2027, 1, 1))
    assert words_for("madrs", ["en"], on=dt.date(2027, 1, 1)) is None, "the form falls back to numbers"


@pytest.mark.parametrize(
    "changed, said",
    [
        ({"licence": ""}, "licence"),
        ({"valid_until": ""}, "The licence has no end"),
        ({"instrument_version": "2"}, "version 2"),
        ({"language": '"de"'}, "not what its name says"),
        ({"valid_until": '"soon"'}, "valid_until"),
    ],
)
def test_a_faulty_pack_is_refused(site: Path, changed: dict[str, str], said: str) -> None:
    lay(site, **changed)
    with pytest.raises(Refused, match=said):
        wording("madrs", "en", on=TODAY)


def test_a_pack_must_have_every_item_and_no_other(site: Path) -> None:
    path = lay(site)
    path.write_text(path.read_text().replace("10 = ", "11 = "), encoding="utf-8")
    with pytest.raises(Refused) as caught:
        check_wording(path, instrument("madrs"))
    assert {"There is no item '11'", "Item 10 has no words"} <= {reason.what for reason in caught.value.reasons}


def test_options_may_have_words_per_item_or_per_way_to_answer(site: Path) -> None:
    phq = instrument("phq-9")
    assert wording("phq-9", "en", on=TODAY).labels(phq.item("1"))[3] == (3, "Nearly every day")
    path = lay(site)
    anchors = ", ".join(f'"anchor {code}"' for code in range(7))
    path.write_text(f"{path.read_text()}\n[options]\n1 = [{anchors}]\n", encoding="utf-8")
    words, madrs = wording("madrs", "en", on=TODAY), instrument("madrs")
    assert words.labels(madrs.item("1"))[4] == (4, "anchor 4")
    assert words.labels(madrs.item("2"))[4] == (4, "4"), "without words an option shows its code"
    path.write_text(path.read_text().replace(', "anchor 6"', ""), encoding="utf-8")
    with pytest.raises(Refused, match=r"`options.1` has 6 labels"):
        wording("madrs", "en", on=TODAY)


def test_the_person_s_language_decides_and_scores_do_not_depend_on_it(site: Path) -> None:
    lay(site)
    lay(site, "madrs.ar.toml", language='"ar"')
    words = words_for("madrs", ["de-CH", "ar-EG", "en"], on=TODAY)
    assert words is not None
    assert (words.language, words.right_to_left) == ("ar", True)
    assert wording("madrs", "en", on=TODAY).right_to_left is False
    assert score(instrument("madrs"), [1] * 10).scores["total"] == 10


def test_words_that_are_not_there_are_refused_by_naming_those_that_are(site: Path) -> None:
    with pytest.raises(Refused, match="the shelf has en"):
        wording("phq-9", "de", on=TODAY)


def test_the_rights_say_what_may_be_shown_and_who_must_be_asked(site: Path) -> None:
    before = {right.id: right for right in rights(on=TODAY)}
    assert (before["madrs"].must_ask, before["madrs"].languages) == (True, ())
    assert before["phq-9"].must_ask is False
    lay(site)
    assert {right.id: right.languages for right in rights(on=TODAY)}["madrs"] == ("en",)
    after = {right.id: right for right in rights(on=dt.date(2027, 6, 1))}
    assert (after["madrs"].languages, after["madrs"].expired, after["madrs"].must_ask) == ((), ("en",), True)


def test_an_index_needs_the_value_set_on_the_shelf(site: Path) -> None:
    told = {"value_set": "UK"}
    assert score(instrument("eq-5d-5l"), [1, 2, 3, 2, 1], told).scores["index"] is None
    (site / "value_sets" / "uk.toml").write_text(
        """version = 1
instrument = "eq-5d-5l"
name = "UK"
source = "three decrements of a worked example; the rest made up for this test"
licence = "test"
[decrements]
1 = [0, 0.05, 0.06, 0.2, 0.3]
2 = [0, 0.038, 0.05, 0.2, 0.3]
3 = [0, 0.05, 0.086, 0.2, 0.3]
4 = [0, 0.056, 0.07, 0.3, 0.4]
5 = [0, 0.07, 0.1, 0.3, 0.4]
""",
        encoding="utf-8",
    )
    one = instrument("eq-5d-5l")
    assert score(one, [1, 2, 3, 2, 1], told).scores["index"] == 0.82
    assert score(one, [1, 1, 1, 1, 1], {"value_set": "uk"}).scores["index"] == 1
    assert score(one, [5, 5, 5, 5, 5], told).scores["index"] == pytest.approx(-0.7)
    assert score(one, [1, 2, None, 2, 1], told).scores["index"] is None
    assert "index" not in score(one, [1, 2, 3, 2, 1]).scores, "no country is a default"
