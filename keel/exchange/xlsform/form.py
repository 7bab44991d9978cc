"""An XLSForm, both ways: the sheets survey, choices and settings, and any others, which are kept."""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from keel.domain.errors import Refused, refuse
from keel.domain.instrument import Answers, Instrument, Item, Number
from keel.exchange.calculations import Calculation, calculations, writer_of
from keel.exchange.definition import packed, unpacked
from keel.exchange.forms import (
    Drawn,
    Field,
    Form,
    Logic,
    all_made,
    faults,
    given_back,
    instrument_id,
    names_of,
    slug,
    without_place,
)
from keel.exchange.logic import CannotSay
from keel.exchange.report import Finding, Report
from keel.exchange.text import sha256
from keel.exchange.xlsform import workbook

ROOT = "(form)"
CHOICES = "(choices)"
TRAVELS = "keel"
# Our own ways to answer, as far as XLSForm has them.
_PICKED = 21
_SURVEY = ("type", "name", "label", "hint", "relevant", "constraint", "constraint_message", "calculation", "required",
           "appearance", "parameters", "default", "read_only")  # fmt: skip
_CHOICE = ("list_name", "name", "label")
_PLAIN = frozenset(
    ("text", "note", "date", "time", "datetime", "geopoint", "geotrace", "geoshape", "image", "audio", "video", "file",
     "barcode", "acknowledge", "hidden", "rank", "xml-external", "csv-external", "start", "end", "today", "deviceid",
     "phonenumber", "username", "email", "simserial", "subscriberid", "audit", "background-audio", "start-geopoint",
     "phone", "osm", "select_one_from_file", "select_multiple_from_file", "select_one_external", "select_one_geojson", "dateTime", "string")
)  # fmt: skip
_SHAPES = frozenset(("begin_group", "end_group", "begin_repeat", "end_repeat"))
_READ = frozenset(("select_one", "select_multiple", "integer", "decimal", "range", "calculate"))


# ---- out --------------------------------------------------------------------------------------------------------


def exported(instrument: Instrument, words: Mapping[str, str] | None = None) -> tuple[bytes, tuple[Finding, ...]]:
    """The workbook of a definition, and what its expressions cannot say. `words` as for the other formats."""
    parts = fields(instrument)
    refs = {name: ref for ref, name in names_of(instrument).items()}
    survey: list[dict[str, str]] = []
    lists: dict[str, list[dict[str, str]]] = {}
    sheets: dict[str, Any] = {}
    for one in parts:
        if one.name == ROOT:
            sheets = {name: json.loads(cell) for name, cell in one.cells.items()}
            continue
        cells = dict(one.cells)
        if CHOICES in cells:
            lists[_list_name(cells["type"])] = json.loads(cells.pop(CHOICES))
        named = {} if one.name.startswith("(") else {"name": one.name}
        row = {**named, **cells}
        if words and refs.get(one.name) in words:
            row["label"] = words[refs[one.name]]
        survey.append(row)
    choices = [{"list_name": name, **row} for name, rows in lists.items() for row in rows]
    choices += sheets.pop("choices", [])
    out = {"survey": (_columns(_SURVEY, survey), survey), "choices": (_columns(_CHOICE, choices), choices)}
    for name, rows in sheets.items():
        out[name] = (_columns((), rows), rows)
    lines = [{"definition": line} for line in packed(instrument).splitlines() if line]
    out[TRAVELS] = (["definition"], _short(lines))
    return workbook.written(out), tuple(unsaid(instrument))


def _short(lines: list[dict[str, str]]) -> list[dict[str, str]]:
    """A cell holds 32,767 characters: a longer line is continued in the next one."""
    out = []
    for line in lines:
        text = line["definition"]
        pieces = [text[at : at + 30_000] for at in range(0, len(text), 30_000)]
        out += [{"definition": f"+{piece}" if n else f" {piece}"} for n, piece in enumerate(pieces)]
    return out


def _columns(first: tuple[str, ...], rows: list[dict[str, str]]) -> list[str]:
    used = {key for row in rows for key in row}
    return [name for name in first if name in used or name in ("type", "name", "label", "list_name")] + [
        name for name in dict.fromkeys(key for row in rows for key in row) if name not in first
    ]


def _list_name(kind: str) -> str:
    return kind.split()[1] if len(kind.split()) > 1 else ""


def fields(instrument: Instrument) -> list[Field]:
    """The survey's rows with the choices that belong to each, after one field for the settings."""
    names = names_of(instrument)
    form = slug(instrument.id)
    settings = {"form_title": instrument.title, "form_id": form, "version": str(instrument.version)}
    rows: list[tuple[str, dict[str, str]]] = [(ROOT, {"settings": _json([settings])})]
    writer = writer_of(instrument, "xlsform", {item.id: names[item.id] for item in instrument.items})
    for item in instrument.items:
        cells = {"label": item.label, **_item_cells(item, form)}
        if item.asked_if:
            try:
                cells["relevant"] = writer.rule(item.asked_if)
            except CannotSay:
                cells["hint"] = "Asked only on a condition that this form cannot say"
        rows.append((names[item.id], cells))
    rows += [(one.field, _score_cells(one)) for one in calculations(instrument, "xlsform", names) if one.text]
    own = [Field(name, "", {key: value for key, value in cells.items() if value}) for name, cells in rows]
    return given_back(instrument, "xlsform", own)


def unsaid(instrument: Instrument) -> Iterator[Finding]:
    """What the form cannot say; all of it travels in the sheet beside it."""
    for one in calculations(instrument, "xlsform", names_of(instrument)):
        if not one.text:
            yield Finding("kept", f"{instrument.id}, score {one.score}", f"Not calculated in XLSForm: {one.why}")
    for item in instrument.items:
        if item.not_applicable_if:
            yield Finding("kept", f"{instrument.id}, item {item.id}", "When it does not apply is not said in XLSForm")


def _item_cells(item: Item, form: str) -> dict[str, str]:
    answers = item.answers
    picked = answers.kind in ("choice", "many", "yes_no") or (
        answers.kind == "codes" and len(answers.allowed()) <= _PICKED
    )
    if picked:
        kind = "select_multiple" if answers.kind == "many" else "select_one"
        labels = item.options() if answers.labels or answers.kind != "yes_no" else ((0, "no"), (1, "yes"))
        rows = [{"name": str(code), "label": label} for code, label in labels]
        return {"type": f"{kind} {form}_{slug(item.way)}", CHOICES: _json(rows)}
    if answers.kind == "number":
        return {"type": "decimal"}
    kind = "integer" if answers.kind == "codes" else "decimal"
    return {"type": kind, "constraint": f". >= {answers.low} and . <= {answers.high}"}


def _score_cells(one: Calculation) -> dict[str, str]:
    return {"type": "calculate", "label": one.label, "calculation": one.text}


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, sort_keys=True)


# ---- in -----------------------------------------------------------------------------------------------------------


def imported(data: bytes, file: str, known: Mapping[str, Instrument]) -> Report:
    """What an XLSForm would bring in, or the rows and columns that stand against it. Never raises for what is in the
    file."""
    digest = sha256(data)
    try:
        sheets = workbook.read(data, file)
        carried = _carried(sheets, file)
        drawn = tuple(_read(sheets, file))
    except Refused as refused:
        faulty = [Finding("refused", r.where or file, f"{r.what}: {r.why}", r.mend) for r in refused.reasons]
        return Report("xlsform", file, digest, 0, (), tuple(faulty))
    findings = faults(drawn, "xlsform")
    settings = dict(sheets.get("settings", [(2, {})])[0][1]) if sheets.get("settings") else {}
    title = settings.get("form_title", "")
    id = carried.id if carried else instrument_id(settings.get("form_id") or title or file.rsplit(".", 1)[0])
    form = Form("xlsform", "xlsform", id, title, file, digest, drawn, fields, carried)
    definitions, found = all_made([form], findings, known)
    return Report("xlsform", file, digest, len(drawn) - 1, definitions, found)


def _carried(sheets: Mapping[str, list[workbook.Row]], file: str) -> Instrument | None:
    lines: list[str] = []
    for _, row in sheets.get(TRAVELS, []):
        text = row.get("definition", "")
        if text.startswith("+") and lines:
            lines[-1] += text[1:]
        else:
            lines.append(text.removeprefix(" "))
    return unpacked("\n".join(lines), f"{file}, sheet {TRAVELS}") if lines else None


def _read(sheets: Mapping[str, list[workbook.Row]], file: str) -> Iterator[Drawn]:
    if "survey" not in sheets:
        why = f"it has {', '.join(sheets) or 'no sheet'}"
        raise refuse(f"{file} is no XLSForm", f"there is no sheet called survey: {why}", "Add it", where=file)
    survey = sheets["survey"]
    if not survey:
        raise refuse(f"{file} holds no form", "the sheet survey has no row", "Add the questions", where="survey, row 2")
    if not any("type" in row for _, row in survey):
        raise refuse(f"{file} is no XLSForm", "survey has no column type", "Add it", where="survey, row 1")
    lists: dict[str, list[tuple[int, dict[str, str]]]] = {}
    for number, row in sheets.get("choices", []):
        cells = dict(row)
        lists.setdefault(cells.pop("list_name", ""), []).append((number, cells))
    used: set[str] = set()
    read = list(_drawn_rows(survey, lists, used))
    beside = {
        name: [row for _, row in rows] for name, rows in sheets.items() if name not in ("survey", "choices", TRAVELS)
    }
    unused = [{"list_name": name, **row} for name, rows in lists.items() if name not in used for _, row in rows]
    cells = {name: _json(rows) for name, rows in {**beside, **({"choices": unused} if unused else {})}.items() if rows}
    yield Drawn(Field(ROOT, "settings", cells))
    yield from read


def _drawn_rows(
    survey: list[workbook.Row], lists: Mapping[str, list[tuple[int, dict[str, str]]]], used: set[str]
) -> Iterator[Drawn]:
    unnamed: Counter[str] = Counter()
    around: list[tuple[str, str]] = []
    opened: list[int] = []
    for number, row in survey:
        cells = {key: value for key, value in row.items() if key != "name"}
        kind = _kind(cells.get("type", ""))
        name = row.get("name", "")
        if not name:
            unnamed[kind] += 1
            name = f"({kind} {unnamed[kind]})"
        listed = _list_name(cells.get("type", ""))
        if listed in lists and kind.startswith(("select", "rank")):
            used.add(listed)
            cells[CHOICES] = _json([choice for _, choice in lists[listed]])
        yield _drawn(Field(name, f"survey, row {number}", cells), kind, listed, around, lists)
        if kind in ("begin_group", "begin_repeat"):
            around.append((kind, cells.get("relevant", "")))
            opened.append(number)
        elif kind in ("end_group", "end_repeat"):
            if not around or around.pop()[0] != kind.replace("end", "begin"):
                raise _unpaired(f"This {kind} ends nothing that began", number)
            opened.pop()
    if opened:
        raise _unpaired(f"What begins here ({around[-1][0]}) is never ended", opened[-1])


def _unpaired(what: str, number: int) -> Exception:
    why = "groups and repeats lie one in another"
    return refuse(what, why, "Pair each begin with its end", where=f"survey, row {number}, type")


def _kind(text: str) -> str:
    words = text.strip().split()
    if len(words) > 1 and words[0] in ("begin", "end"):
        return f"{words[0]}_{words[1]}"
    first = words[0].removeprefix("uri:") if words else ""
    return {"select": "select_one", "int": "integer"}.get(first, first)


def _drawn(one: Field, kind: str, listed: str, around: list[tuple[str, str]], lists: Mapping[str, Any]) -> Drawn:
    cells = one.cells
    shown = [text for _, text in around if text] + ([cells["relevant"]] if cells.get("relevant") else [])
    logic = (
        Logic(" and ".join(f"({text})" for text in shown) if len(shown) > 1 else shown[0], "relevant")
        if shown
        else None
    )
    base = Drawn(one, label=_label(cells), shown_if=logic, way=listed, prefilled=cells.get("default", ""))
    if kind in _SHAPES:
        return Drawn(one, shown_if=logic if kind.startswith("begin") else None)
    if kind not in _READ | _PLAIN:
        what = f"There is no type {kind!r} in XLSForm" if kind else "The row has no type"
        return _refused(base, "type", what, f"It is one of {', '.join(sorted(_READ | _PLAIN | _SHAPES))}")
    if one.name.startswith("(") and kind != "note":
        return _refused(base, "name", "The row has no name", "Name it; a formula counts once its value is saved")
    if any(shape == "begin_repeat" for shape, _ in around):
        return without_place(base, "It is asked any number of times (inside a repeat): kept, not scored here")
    if kind in _PLAIN:
        return without_place(base, f"It has no codes to score (type {kind}): kept, and given back to XLSForm")
    if kind == "calculate":
        return Drawn(**{**base.__dict__, "calculation": Logic(cells.get("calculation", ""), "calculation")})
    if kind.startswith("select") and listed in ("one", "all") and " from " in cells.get("type", ""):
        return _refused(
            base, "type", "The type is spelled as before 2012", "Write select_one or select_multiple, then the list"
        )
    if kind.startswith("select") and listed not in lists:
        return _refused(base, "type", f"There is no list {listed!r} in the sheet choices", "Add it, or mend its name")
    return _with_answers(base, kind, listed, lists)


def _refused(base: Drawn, column: str, what: str, mend: str) -> Drawn:
    finding = Finding("refused", f"{base.field.where}, {column}", what, mend)
    return Drawn(**{**without_place(base, "").__dict__, "findings": (*base.findings, finding)})


def _label(cells: Mapping[str, str]) -> str:
    label = cells.get("label") or next((text for key, text in cells.items() if key.startswith("label:")), "")
    return re.sub(r"<[^<>]*>|\*\*", "", label).strip()


def _with_answers(base: Drawn, kind: str, listed: str, lists: Mapping[str, Any]) -> Drawn:
    cells = base.field.cells
    if kind.startswith("select"):
        rows = lists[listed]
        codes = [row.get("name", row.get("value", "")) for _, row in rows]
        if cells.get("choice_filter") and len(set(codes)) < len(codes):
            return without_place(base, "Its choices depend on another answer (choice_filter): kept, not scored here")
        for (number, _), code in zip(rows, codes, strict=True):
            if not code or codes.count(code) > 1:
                what = f"Choice {code!r} of {listed} stands twice" if code else f"A choice of {listed} has no name"
                finding = Finding("refused", f"choices, row {number}, name", what, "Give each its own")
                return Drawn(**{**without_place(base, "").__dict__, "findings": (*base.findings, finding)})
        labels = tuple(_label(row) or code for (_, row), code in zip(rows, codes, strict=True))
        findings = base.findings
        if "or_other" in cells.get("type", ""):
            what = "“Other” as a free text is kept as text: an answer here is one of the codes"
            findings = (*findings, Finding("not_understood", f"{base.field.where}, type", what))
        return Drawn(**{**base.__dict__, "answers": _chosen(codes, labels, kind), "findings": findings})
    try:
        answers = _range(cells) if kind == "range" else _numeric(cells.get("constraint", ""), kind == "integer")
    except ValueError:
        return _refused(base, "parameters", "The ends of the range are no numbers", "Give start, end and step")
    findings = base.findings
    if cells.get("constraint") and answers.kind == "number":
        what = "The constraint is kept as text: it is not a lowest and a highest number"
        findings = (*findings, Finding("not_understood", f"{base.field.where}, constraint", what))
    return Drawn(**{**base.__dict__, "answers": answers, "findings": findings})


def _chosen(codes: list[str], labels: tuple[str, ...], kind: str) -> Answers:
    if kind == "select_multiple":
        return Answers(kind="many", choices=tuple(codes), labels=labels)
    if sorted(codes) == ["0", "1"] and {label.lower() for label in labels} == {"no", "yes"} and codes == ["0", "1"]:
        return Answers(kind="yes_no", labels=() if labels == ("no", "yes") else labels)
    if all(re.fullmatch(r"-?\d{1,9}", code) for code in codes):
        return Answers(kind="codes", codes=tuple(map(int, codes)), labels=labels)
    return Answers(kind="choice", choices=tuple(codes), labels=labels)


_BETWEEN = re.compile(r"\s*\.\s*>=\s*(-?\d+(?:\.\d+)?)\s+and\s+\.\s*<=\s*(-?\d+(?:\.\d+)?)\s*")


def _numeric(constraint: str, whole: bool) -> Answers:
    found = _BETWEEN.fullmatch(constraint)
    if not found or _number(found[1]) >= _number(found[2]):
        return Answers(kind="number")
    low, high = _number(found[1]), _number(found[2])
    if whole and isinstance(low, int) and isinstance(high, int) and high - low <= 1000:
        return Answers(kind="codes", min=low, max=high)
    return Answers(kind="scale", min=low, max=high)


def _range(cells: Mapping[str, str]) -> Answers:
    given = dict(part.split("=", 1) for part in cells.get("parameters", "").split() if "=" in part)
    low, high, step = (_number(given.get(key, text)) for key, text in (("start", "1"), ("end", "10"), ("step", "1")))
    if step == 1 and isinstance(low, int) and isinstance(high, int) and 0 < high - low <= 1000:
        return Answers(kind="codes", min=low, max=high)
    if low >= high:
        raise ValueError
    return Answers(kind="scale", min=low, max=high)


def _number(text: str) -> Number:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError
    return int(value) if value.is_integer() else value
