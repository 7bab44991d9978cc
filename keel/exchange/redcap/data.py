"""REDCap data as CSV, both ways: a row a record (and event, and repeat), a column a field, a column a box.

A refusal to answer and what does not apply are written as the words `prefer_not` and `not_applicable`: declare both as
missing data codes of the REDCap project, so that it takes them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from keel.domain.answers import NOT_APPLICABLE, PREFER_NOT, by_item, check_answer
from keel.domain.errors import Reason, Refused, refuse
from keel.domain.instrument import Instrument, Item
from keel.exchange.forms import names_of, slug
from keel.exchange.report import Finding
from keel.exchange.text import as_csv, decoded, rows

RECORD = "record_id"
EVENT = "redcap_event_name"
REPEAT = "redcap_repeat_instrument"
INSTANCE = "redcap_repeat_instance"
_WORDS = (PREFER_NOT, NOT_APPLICABLE)


@dataclass(frozen=True)
class Row:
    """One response: whose, when by the project's own names, and the answers by item id."""

    record: str
    items: Mapping[str, Any]
    event: str = ""
    instance: int | None = None
    scores: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Read:
    """What a data file holds: its responses, and what stands against some of them. Nothing is read in part: where
    anything is refused there are no rows."""

    rows: tuple[Row, ...]
    findings: tuple[Finding, ...]


# ---- out --------------------------------------------------------------------------------------------------------


def exported(instrument: Instrument, responses: Iterable[Row]) -> str:
    """Responses as CSV for REDCap's import. Scores are written only where a response has them."""
    given = list(responses)
    names = names_of(instrument)
    with_events = any(row.event for row in given)
    with_repeats = any(row.instance is not None for row in given)
    scored = [name for name in instrument.score_names() if any(name in row.scores for row in given)]
    header = [RECORD, *([EVENT] if with_events else []), *([REPEAT, INSTANCE] if with_repeats else [])]
    for item in instrument.items:
        header += columns_of(item, names[item.id])
    header += [names[name] for name in scored] + [f"{slug(instrument.id)}_complete"]
    lines = []
    for row in given:
        line = [row.record, *([row.event] if with_events else [])]
        if with_repeats:
            line += [slug(instrument.id) if row.instance is not None else "", str(row.instance or "")]
        answers = by_item(instrument, row.items)
        for item in instrument.items:
            line += _cells(item, answers.get(item.id))
        lines.append([*line, *(_shown(row.scores.get(name)) for name in scored), "2"])
    return as_csv(header, lines)


def columns_of(item: Item, name: str) -> list[str]:
    """A checkbox has a column per box; a minus sign in its code becomes an underscore, as REDCap has it."""
    if item.answers.kind != "many":
        return [name]
    return [f"{name}___{code.lower().replace('-', '_')}" for code in item.answers.choices]


def _cells(item: Item, answer: Any) -> list[str]:
    if item.answers.kind != "many":
        return [_shown(answer)]
    if answer is None or answer in _WORDS:
        return [_shown(answer)] + [""] * (len(item.answers.choices) - 1)
    return ["1" if code in answer else "0" for code in item.answers.choices]


def _shown(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(int(value))
    if isinstance(value, (list, tuple)):
        return " ".join(map(str, value))
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


# ---- in -----------------------------------------------------------------------------------------------------------


def imported(instrument: Instrument, data: bytes, file: str, *, missing: Mapping[str, str] | None = None) -> Read:
    """The responses of a data file. `missing` says what the project's own missing data codes mean: prefer_not,
    not_applicable, or blank. Never raises for what is in the file."""
    try:
        text, _ = decoded(data, file)
        return _read(instrument, text, file, missing or {})
    except Refused as refused:
        return Read((), tuple(_refused(reason) for reason in refused.reasons))


def _refused(reason: Reason) -> Finding:
    return Finding("refused", reason.where, f"{reason.what}: {reason.why}", reason.mend)


def _read(instrument: Instrument, text: str, file: str, missing: Mapping[str, str]) -> Read:
    names = names_of(instrument)
    wanted = {item.id: columns_of(item, names[item.id]) for item in instrument.items}
    header: list[str] = []
    found: list[Row] = []
    findings: list[Finding] = []
    seen: dict[tuple[str, str, str], int] = {}
    for number, line in rows(text, file):
        if not header:
            header = [cell.strip() for cell in line]
            findings += _columns(instrument, header, wanted, file)
            continue
        cells = dict(zip(header, (cell.strip() for cell in line), strict=False))
        who = (cells.get(RECORD, cells.get(header[0], "")), cells.get(EVENT, ""), cells.get(INSTANCE, ""))
        if who in seen:
            what = f"Record {who[0]} is here already, in row {seen[who]}"
            findings.append(Finding("refused", f"row {number}, {RECORD}", what, "Leave one of them"))
        seen[who] = number
        items, faults = _items(instrument, cells, wanted, number, missing)
        findings += faults
        if any(value is not None for value in items.values()):
            found.append(Row(who[0], items, who[1], int(who[2]) if who[2].isdigit() else None))
    findings += _shifted(instrument, found)
    ok = not any(finding.kind == "refused" for finding in findings)
    return Read(tuple(found) if ok else (), tuple(findings))


def _columns(instrument: Instrument, header: list[str], wanted: Mapping[str, list[str]], file: str) -> list[Finding]:
    known = {column for columns in wanted.values() for column in columns}
    twice = sorted({column for column in header if column and header.count(column) > 1})
    if twice:
        raise refuse(f"Column {twice[0]} stands twice", "a column is one field", "Leave one", where=f"{file}, row 1")
    if not known & set(header):
        raise refuse(
            f"{file} holds no answers to {instrument.id}",
            f"its columns would be called {', '.join(sorted(known)[:3])} …",
            "Export with raw codes and field names",
            where=f"{file}, row 1",
        )
    mine = {
        RECORD,
        EVENT,
        REPEAT,
        INSTANCE,
        header[0],
        f"{slug(instrument.id)}_complete",
        *names_of(instrument).values(),
    }
    out = [
        Finding("kept", f"row 1, {c}", "No item of this form: left where it is")
        for c in header
        if c not in known | mine
    ]
    return out + [
        Finding("not_understood", "row 1", f"There is no column {column}: its item stays blank")
        for column in sorted(known - set(header))
    ]


def _items(
    instrument: Instrument,
    cells: Mapping[str, str],
    wanted: Mapping[str, list[str]],
    number: int,
    missing: Mapping[str, str],
) -> tuple[dict[str, Any], list[Finding]]:
    out: dict[str, Any] = {}
    faults: list[Finding] = []
    for item in instrument.items:
        texts = [cells.get(column, "") for column in wanted[item.id]]
        try:
            answer = _answer(item, [missing.get(text, text) for text in texts])
            out[item.id] = answer
            if answer is not None:
                check_answer(instrument, item.id, answer)
        except ValueError:
            why = f"it takes {item.answers.in_words()}"
            faults.append(Finding("refused", _place(number, wanted[item.id]), f"{texts[0]!r} is no answer: {why}"))
        except Refused as refused:
            faults += [
                Finding("refused", _place(number, wanted[item.id]), f"{r.what}: {r.why}", r.mend)
                for r in refused.reasons
            ]
    return out, faults


def _place(number: int, columns: list[str]) -> str:
    return f"row {number}, {columns[0]}"


def _answer(item: Item, texts: list[str]) -> Any:
    first = texts[0]
    if first in _WORDS:
        return first
    kind = item.answers.kind
    if kind == "many":
        if not any(texts):
            return None
        return [code for code, text in zip(item.answers.choices, texts, strict=True) if text == "1"]
    if first in ("", "blank"):
        return None
    if kind == "choice":
        return first
    value = float(first.replace(",", "."))
    return int(value) if value.is_integer() else value


def _shifted(instrument: Instrument, found: list[Row]) -> list[Finding]:
    """Whole columns in which nobody ever gave the lowest answer, all of them: perhaps they are counted from 1."""
    items = [item for item in instrument.items if item.answers.kind == "codes" and item.answers.low == 0]
    if len(found) < 10 or len(items) < 5:
        return []
    if any(row.items.get(item.id) == 0 for row in found for item in items):
        return []
    what = f"Nobody in {len(found)} responses gave a 0 to any of {len(items)} items"
    return [Finding("suspicious", instrument.id, what, "Check that the answers are not counted from 1")]
