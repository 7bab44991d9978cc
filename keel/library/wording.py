"""The words of a questionnaire, kept apart from its scoring: one file per language, `instruments/<id>.<lang>.toml`.

Keel ships words only where their licence allows (class W). A site that holds a licence lays its own file on its
shelf, with the licence, its holder and the day it ends; an expired pack is refused and the form falls back to
numbers and our neutral labels, so that it can still be keyed from paper. Scores never depend on the language.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from keel.domain.errors import Reason, Refused, refuse
from keel.domain.instrument import Code, Instrument, Item
from keel.library import shelf
from keel.library.instrument_files import KIND, instrument, instruments

# Languages that are written from right to left, by their first subtag.
RIGHT_TO_LEFT = frozenset(("ar", "arc", "ckb", "dv", "fa", "he", "ks", "ps", "sd", "ug", "ur", "yi"))


class Wording(BaseModel):
    """The words of one instrument in one language: a stem, a text per item, labels per way to answer, and `options`
    (a label per code) for the items whose options have words of their own, such as a clinician's anchors."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    version: int
    instrument: str
    instrument_version: int
    language: str
    licence: str
    licence_holder: str
    valid_until: dt.date | None = None
    source: str
    attribution: str = ""
    stem: str = ""
    items: Mapping[str, str]
    answers: Mapping[str, tuple[str, ...]] = {}
    options: Mapping[str, tuple[str, ...]] = {}
    footer: str = ""

    def labels(self, item: Item) -> tuple[tuple[Code, str], ...]:
        """Each code of an item with its words: the item's own, else those of its way to answer, else our label."""
        ours = item.options()
        words = self.options.get(item.id) or self.answers.get(item.way)
        return tuple((code, text) for (code, _), text in zip(ours, words, strict=True)) if words else ours

    @property
    def right_to_left(self) -> bool:
        return self.language.split("-")[0].lower() in RIGHT_TO_LEFT

    @property
    def credit(self) -> str:
        """What must stand beside the words."""
        return self.attribution or f"{self.licence_holder}. {self.licence}"

    def expired(self, on: dt.date) -> bool:
        return self.valid_until is not None and on > self.valid_until


@dataclass(frozen=True)
class Right:
    """What a site may show of one instrument, and whom it must ask. `licence` is W, CC, NC or P; `until` the first end
    of a licence whose words are shown; `verified` whether its terms were read at a source; `faulty` what is wrong with
    words on the shelf, which are then not shown."""

    id: str
    title: str
    licence: str
    holder: str
    terms: str
    verified: bool
    languages: tuple[str, ...]
    until: dt.date | None
    expired: tuple[str, ...]
    faulty: tuple[str, ...]
    must_ask: bool


def languages(id: str) -> dict[str, Path]:
    """The languages for which words of this instrument lie on the shelves; the site's file comes first."""
    found: dict[str, Path] = {}
    for folder in reversed(shelf.shelves()):
        for path in (folder / KIND).glob(f"{id}.*.toml"):
            found[path.name.removeprefix(f"{id}.").removesuffix(".toml")] = path
    return dict(sorted(found.items()))


def wording(id: str, language: str, *, on: dt.date) -> Wording:
    """The words of an instrument in a language on a day. Refuses what is absent, faulty, or past its licence."""
    there = languages(id)
    if language not in there:
        raise refuse(
            f"There are no words of {id} in {language!r}",
            f"the shelf has {', '.join(there) or 'none'}",
            "Show item numbers and labels, or lay the site's own file on its shelf",
            where=f"{KIND}/{id}.{language}.toml",
            code="no-wording",
        )
    words = check_wording(there[language], instrument(id))
    if words.expired(on):
        raise refuse(
            f"The words of {id} in {language} are not shown",
            f"the licence of {words.licence_holder} ended on {words.valid_until}",
            "Renew it and give the new `valid_until`; until then the form can be keyed by item number",
            where=f"{KIND}/{id}.{language}.toml",
            code="licence-expired",
        )
    return words


def words_for(id: str, wanted: Iterable[str], *, on: dt.date) -> Wording | None:
    """The first of the wanted languages (a person's, then the site's) whose words may be shown; `de-CH` falls back to
    `de`. None where there is none: the form then shows numbers and labels."""
    there = languages(id)
    for language in wanted:
        for tag in dict.fromkeys((language, language.split("-")[0])):
            if tag in there:
                words = check_wording(there[tag], instrument(id))
                if not words.expired(on):
                    return words
    return None


def check_wording(path: Path, of: Instrument) -> Wording:
    """Read a pack and hold it against the definition. Refuses with each fault and its mend."""
    entry = shelf.read_file(path, kind=KIND)
    try:
        words = Wording.model_validate(dict(entry.table))
    except ValidationError as error:
        raise Refused(
            Reason(f"`{'.'.join(map(str, fault['loc']))}` was refused", fault["msg"], "Mend it", where=entry.place)
            for fault in error.errors(include_url=False)
        ) from None
    own = path.resolve().is_relative_to(shelf.OWN_SHELF.resolve())
    reasons = [Reason(what, why, mend, where=entry.place) for what, why, mend in _faults(words, of, path, own)]
    if reasons:
        raise Refused(reasons)
    return words


def _faults(words: Wording, of: Instrument, path: Path, own: bool) -> Iterable[tuple[str, str, str]]:
    named = path.name.removeprefix(f"{of.id}.").removesuffix(".toml")
    if words.instrument != of.id or words.language != named:
        yield "The pack is not what its name says", f"it is {words.instrument} in {words.language}", "Rename the file"
    if words.instrument_version != of.version:
        yield (
            f"The words are of version {words.instrument_version}",
            f"the definition is version {of.version}",
            "Check them against it, then set `instrument_version`",
        )
    if own and of.licence.kind != "W":
        yield "Keel does not ship these words", f"their licence is class {of.licence.kind}", "Keep them on a site shelf"
    if not own and of.licence.kind != "W" and words.valid_until is None:
        yield "The licence has no end", f"{of.licence.holder} licenses these words", "Add `valid_until = YYYY-MM-DD`"
    known = {item.id for item in of.items}
    for id in words.items.keys() - known:
        yield f"There is no item {id!r}", f"{of.id} has {of.names_in_words()}", "Mend the name"
    for item in of.items:
        if not item.optional and not words.items.get(item.id, "").strip():
            yield f"Item {item.id} has no words", "a form is shown whole or by number", "Add its text"
    sizes = {item.way: len(item.options()) for item in of.items}
    own_sizes = {item.id: len(item.options()) for item in of.items}
    for part, given, wanted in (("answers", words.answers, sizes), ("options", words.options, own_sizes)):
        for name, labels in given.items():
            if len(labels) != wanted.get(name):
                why = (
                    f"{of.id} has {wanted[name]} codes there" if name in wanted else f"{of.id} has {', '.join(wanted)}"
                )
                yield f"`{part}.{name}` has {len(labels)} labels", why, "Give one per code"


def rights(*, on: dt.date) -> tuple[Right, ...]:
    """For every instrument: which words may be shown on this day, and where the holder must be asked first."""
    return tuple(_right(one, on) for one in instruments().values())


def _right(one: Instrument, on: dt.date) -> Right:
    packs: dict[str, Wording] = {}
    faulty: list[str] = []
    for tag, path in languages(one.id).items():
        try:
            packs[tag] = check_wording(path, one)
        except Refused as refused:
            faulty += [f"{reason.what}: {reason.why} ({reason.where})" for reason in refused.reasons]
    good = tuple(tag for tag, words in packs.items() if not words.expired(on))
    ends = [words.valid_until for tag, words in packs.items() if tag in good and words.valid_until]
    return Right(
        id=one.id,
        title=one.title,
        licence=one.licence.kind,
        holder=one.licence.holder,
        terms=one.licence.terms,
        verified=one.licence.verified,
        languages=good,
        until=min(ends, default=None),
        expired=tuple(tag for tag in packs if tag not in good),
        faulty=tuple(faulty),
        must_ask=one.licence.kind != "W" and not good,
    )
