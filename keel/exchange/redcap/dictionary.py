"""A REDCap data dictionary, both ways: 18 columns, a row a field, one or more forms in a file."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import groupby

from keel.domain.errors import Refused, refuse
from keel.domain.instrument import Answers, Code, Instrument, Item, Number
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
from keel.exchange.text import as_csv, check_header, decoded, rows, sha256

NAME = "Variable / Field Name"
FORM = "Form Name"
SECTION = "Section Header"
TYPE = "Field Type"
LABEL = "Field Label"
CHOICES = "Choices, Calculations, OR Slider Labels"
NOTE = "Field Note"
VALIDATION = "Text Validation Type OR Show Slider Number"
MIN = "Text Validation Min"
MAX = "Text Validation Max"
IDENTIFIER = "Identifier?"
BRANCHING = "Branching Logic (Show field only if...)"
REQUIRED = "Required Field?"
ALIGNMENT = "Custom Alignment"
QUESTION = "Question Number (surveys only)"
MATRIX = "Matrix Group Name"
RANKING = "Matrix Ranking?"
ANNOTATION = "Field Annotation"
COLUMNS = (
    NAME, FORM, SECTION, TYPE, LABEL, CHOICES, NOTE, VALIDATION, MIN, MAX, IDENTIFIER, BRANCHING, REQUIRED, ALIGNMENT,
    QUESTION, MATRIX, RANKING, ANNOTATION,
)  # fmt: skip
# What the API calls the same columns.
_API = (
    "field_name", "form_name", "section_header", "field_type", "field_label", "select_choices_or_calculations",
    "field_note", "text_validation_type_or_show_slider_number", "text_validation_min", "text_validation_max",
    "identifier", "branching_logic", "required_field", "custom_alignment", "question_number", "matrix_group_name",
    "matrix_ranking", "field_annotation",
)  # fmt: skip
_SAME = dict(zip(_API, COLUMNS, strict=True)) | {column.lower(): column for column in COLUMNS}
_TYPES = frozenset(
    ("text", "notes", "radio", "dropdown", "checkbox", "yesno", "truefalse", "slider", "calc", "descriptive", "file", "sql")
)  # fmt: skip

# Above this many codes a whole number is typed, not picked from a list.
_PICKED = 21
_TRAVELS = "@HIDDEN "


# ---- out --------------------------------------------------------------------------------------------------------


def exported(instrument: Instrument, words: Mapping[str, str] | None = None) -> tuple[str, tuple[Finding, ...]]:
    """The dictionary of one definition as CSV, and what its expressions cannot say. `words` are texts of items that
    may be shown instead of our labels; they are not part of the definition."""
    lines = [[_worded(one, column, words or {}, instrument) for column in COLUMNS] for one in fields(instrument)]
    return as_csv(COLUMNS, lines), tuple(unsaid(instrument))


def _worded(one: Field, column: str, words: Mapping[str, str], instrument: Instrument) -> str:
    if column == LABEL and words:
        refs = {name: ref for ref, name in names_of(instrument).items()}
        return words.get(refs.get(one.name, ""), one.cells.get(column, ""))
    return one.name if column == NAME else one.cells.get(column, "")


def fields(instrument: Instrument) -> list[Field]:
    """The rows of a definition. The definition itself travels in the annotation of a hidden row."""
    names = names_of(instrument)
    form = slug(instrument.id)
    foreign = instrument.imported is not None and instrument.imported.format == "redcap"
    rows: list[tuple[str, dict[str, str]]] = []
    if not foreign:
        rows.append(("record_id", {FORM: form, TYPE: "text", LABEL: "Record ID"}))
    writer = writer_of(instrument, "redcap", {item.id: names[item.id] for item in instrument.items})
    for way, items in groupby(instrument.items, key=lambda item: item.way):
        together = list(items)
        matrix = f"{form}_{slug(way)}"[:60] if len(together) > 1 and not foreign else ""
        for item in together:
            cells = _item_cells(item)
            if matrix and cells[TYPE] in ("radio", "checkbox"):
                cells[MATRIX] = matrix
            if item.asked_if:
                try:
                    cells[BRANCHING] = writer.rule(item.asked_if)
                except CannotSay:
                    cells[NOTE] = "Asked only on a condition that branching logic cannot say"
            rows.append((names[item.id], {FORM: form, LABEL: item.label, **cells}))
    for made_here in calculations(instrument, "redcap", names):
        if made_here.text or not foreign:
            rows.append((made_here.field, {FORM: form, LABEL: made_here.label, **_score_cells(made_here)}))
    rows.append((_carrier(instrument), {FORM: form, TYPE: "descriptive", LABEL: f"Definition of {instrument.short}"}))
    own = [Field(name, "", {key: value for key, value in cells.items() if value}) for name, cells in rows]
    out = given_back(instrument, "redcap", own)
    return [_loaded(one, instrument) if one.name == _carrier(instrument) else one for one in out]


def _carrier(instrument: Instrument) -> str:
    return f"{slug(instrument.id)}_keel"


def _loaded(one: Field, instrument: Instrument) -> Field:
    return Field(one.name, one.where, {**one.cells, ANNOTATION: _TRAVELS + packed(instrument).rstrip()})


def unsaid(instrument: Instrument) -> Iterator[Finding]:
    """What the dictionary cannot say; all of it travels as text in the hidden row."""
    for one in calculations(instrument, "redcap", names_of(instrument)):
        if not one.text:
            yield Finding("kept", f"{instrument.id}, score {one.score}", f"Not calculated in REDCap: {one.why}")
    for item in instrument.items:
        if item.not_applicable_if:
            where = f"{instrument.id}, item {item.id}"
            yield Finding("kept", where, "When it does not apply is not said in REDCap")


def _item_cells(item: Item) -> dict[str, str]:
    answers = item.answers
    if answers.kind == "yes_no":
        return {TYPE: "yesno"}
    if answers.kind in ("choice", "many"):
        return {TYPE: "radio" if answers.kind == "choice" else "checkbox", CHOICES: _choices(item.options())}
    if answers.kind == "codes" and len(answers.allowed()) <= _PICKED:
        return {TYPE: "radio", CHOICES: _choices(item.options())}
    if answers.kind == "number":
        return {TYPE: "text", VALIDATION: "number"}
    whole = answers.kind == "codes"
    return {
        TYPE: "text",
        VALIDATION: "integer" if whole else "number",
        MIN: str(answers.low),
        MAX: str(answers.high),
    }


def _choices(options: Iterable[tuple[Code, str]]) -> str:
    return " | ".join(f"{code}, {label.replace('|', '/')}" for code, label in options)


def _score_cells(one: Calculation) -> dict[str, str]:
    hidden = "" if one.shown else "@HIDDEN"
    if not one.text:
        return {TYPE: "descriptive", NOTE: f"Not calculated here: {one.why}", ANNOTATION: "@HIDDEN"}
    if one.words:
        return {TYPE: "text", ANNOTATION: f"@CALCTEXT({one.text}) {hidden}".strip()}
    return {TYPE: "calc", CHOICES: one.text, ANNOTATION: hidden}


# ---- in -----------------------------------------------------------------------------------------------------------


def imported(data: bytes, file: str, known: Mapping[str, Instrument]) -> Report:
    """What a dictionary would bring in: one definition per form, or the rows and columns that stand against it.
    Never raises for what is in the file."""
    findings: list[Finding] = []
    digest = sha256(data)
    try:
        text, encoding = decoded(data, file)
        read = list(read_fields(text, file))
    except Refused as refused:
        findings = [Finding("refused", r.where or file, f"{r.what}: {r.why}", r.mend) for r in refused.reasons]
        return Report("redcap", file, digest, 0, (), tuple(findings))
    if encoding != "utf-8-sig":
        findings.append(
            Finding("suspicious", file, f"Its text is read as {encoding}, not UTF-8", "Look at the letters")
        )
    drawn = [_drawn(one) for one in read]
    findings += faults(drawn, "redcap")
    in_forms = groupby(sorted(drawn, key=_form_order(drawn)), key=lambda one: one.field.cells.get(FORM, ""))
    forms = [_form(name, tuple(parts), file, digest, findings) for name, parts in in_forms]
    definitions, found = all_made(forms, findings, known)
    return Report("redcap", file, digest, len(read), definitions, found)


def _form_order(drawn: Sequence[Drawn]) -> Callable[[Drawn], int]:
    first: dict[str, int] = {}
    for n, one in enumerate(drawn):
        first.setdefault(one.field.cells.get(FORM, ""), n)
    return lambda one: first[one.field.cells.get(FORM, "")]


def _form(name: str, parts: tuple[Drawn, ...], file: str, digest: str, findings: list[Finding]) -> Form:
    carried, carrier = None, ""
    for one in parts:
        annotation = one.field.cells.get(ANNOTATION, "")
        if one.field.name.endswith("_keel") and annotation.startswith(_TRAVELS):
            try:
                carried, carrier = unpacked(annotation.removeprefix(_TRAVELS), one.field.where), one.field.name
            except Refused as refused:
                findings += [Finding("refused", r.where, f"{r.what}: {r.why}", r.mend) for r in refused.reasons]
    id = carried.id if carried else instrument_id(name)
    return Form("redcap", "redcap", id, name, file, digest, parts, fields, carried, carrier)


def read_fields(text: str, file: str) -> Iterator[Field]:
    """The rows of a dictionary. Refuses a file whose header is not one, naming the columns that are missing."""
    header: list[str] = []
    number = 0
    for number, row in rows(text, file):
        if not header:
            header = [_SAME.get(cell.strip().lower(), cell.strip()) for cell in row]
            check_header(header, file, f"row {number}")
            missing = [column for column in (NAME, FORM, TYPE, LABEL) if column not in header]
            if missing:
                raise refuse(
                    f"{file} is not a data dictionary",
                    f"it has no column {' and no column '.join(missing)}",
                    "Download the dictionary again as CSV",
                    where=f"row {number}",
                )
            continue
        cells = {column: cell.strip() for column, cell in zip(header, row, strict=False) if cell.strip()}
        name = cells.pop(NAME, "")
        if len(row) > len(header) and any(cell.strip() for cell in row[len(header) :]):
            raise refuse(
                "A row is longer than the header",
                f"it has {len(row)} cells, the header {len(header)}",
                "Put texts with commas in quotes",
                where=f"row {number}, column {len(header) + 1}",
            )
        if not name:
            raise refuse("A row has no name", "every field has one", "Name it", where=f"row {number}, {NAME}")
        yield Field(name, f"row {number}", cells)
    if number < 2:
        raise refuse(f"{file} holds no form", "there is no field in it", "Export the form again", where=file)


def _drawn(one: Field) -> Drawn:
    cells = one.cells
    kind = cells.get(TYPE, "")
    base = Drawn(
        one,
        label=re.sub(r"<[^<>]*>", "", cells.get(LABEL, "")).strip(),
        shown_if=_logic(cells, BRANCHING),
        way=cells.get(MATRIX, ""),
        prefilled="@DEFAULT" if "@DEFAULT" in cells.get(ANNOTATION, "") else "",
    )
    if kind not in _TYPES:
        what = f"There is no field type {kind!r} in REDCap" if kind else "The row has no field type"
        refused = Finding("refused", f"{one.where}, {TYPE}", what, f"It is one of {', '.join(sorted(_TYPES))}")
        return _with(without_place(base, ""), refused)
    base = _with(base, *_slips(one))
    if cells.get(IDENTIFIER, "").lower() in ("y", "yes", "1"):
        return without_place(base, "It identifies a person: that belongs in the vault, not in an answer")
    try:
        return _answered(base, kind)
    except Refused as refused_here:
        reasons = [Finding("refused", f"{one.where}, {r.where}", r.what, r.mend) for r in refused_here.reasons]
        return _with(without_place(base, ""), *reasons)


def _slips(one: Field) -> Iterator[Finding]:
    """What can be read and yet was surely meant otherwise."""
    if not _NAME.fullmatch(one.name):
        what = f"REDCap takes no field called {one.name!r}"
        yield Finding("suspicious", f"{one.where}, {NAME}", what, "Small letters, digits and _, a letter first")
    if one.cells.get(TYPE) in ("radio", "dropdown", "checkbox"):
        for part in re.split(r"\||\n", one.cells.get(CHOICES, "")):
            if part.strip() and "," not in part:
                what = f"The choice {part.strip()!r} has no comma: all of it is its code"
                yield Finding("suspicious", f"{one.where}, {CHOICES}", what, "Give code, label")


def _with(drawn: Drawn, *findings: Finding) -> Drawn:
    return Drawn(**{**drawn.__dict__, "findings": (*drawn.findings, *findings)})


def _logic(cells: Mapping[str, str], column: str) -> Logic | None:
    return Logic(cells[column], column) if cells.get(column) else None


_NAME = re.compile(r"[a-z][a-z0-9_]*")
_NUMBERS = re.compile(r"number(_[1-4]dp)?(_comma_decimal)?|integer")


def _answered(base: Drawn, kind: str) -> Drawn:
    cells = base.field.cells
    if kind == "calc":
        return _replaced(base, calculation=_logic(cells, CHOICES) or Logic("", CHOICES))
    if kind in ("yesno", "truefalse"):
        return _replaced(base, answers=Answers(kind="yes_no"))
    if kind in ("radio", "dropdown", "checkbox"):
        return _replaced(base, answers=_chosen(cells.get(CHOICES, ""), many=kind == "checkbox"))
    if kind == "slider":
        low, high = _bounds(cells)
        return _replaced(base, answers=Answers(kind="scale", min=low or 0, max=100 if high is None else high))
    validation = cells.get(VALIDATION, "")
    if kind == "text" and validation and _NUMBERS.fullmatch(validation):
        return _replaced(base, answers=_numeric(cells, validation == "integer"))
    what = f"type {kind}{f' ({validation})' if validation else ''}"
    return without_place(base, f"It has no codes to score ({what}): kept, and given back to REDCap")


def _replaced(base: Drawn, **more: object) -> Drawn:
    return Drawn(**{**base.__dict__, **more})


def _bounds(cells: Mapping[str, str]) -> tuple[Number | None, Number | None]:
    out: list[Number | None] = []
    for column in (MIN, MAX):
        text = cells.get(column, "").replace(",", ".")
        try:
            value = float(text) if text else None
            if value is not None and not math.isfinite(value):
                raise ValueError
        except ValueError:
            raise refuse(f"{text!r} is not a number", "it bounds one", "Mend it", where=column) from None
        out.append(value if value is None or not value.is_integer() else int(value))
    return out[0], out[1]


def _numeric(cells: Mapping[str, str], whole: bool) -> Answers:
    low, high = _bounds(cells)
    if low is None or high is None or low >= high:
        return Answers(kind="number")
    if whole and isinstance(low, int) and isinstance(high, int) and high - low <= 1000:
        return Answers(kind="codes", min=low, max=high)
    return Answers(kind="scale", min=low, max=high)


def _chosen(text: str, *, many: bool) -> Answers:
    pairs = [part.partition(",") for part in re.split(r"\||\n", text) if part.strip()]
    codes = [code.strip() for code, _, _ in pairs]
    labels = tuple(
        re.sub(r"<[^<>]*>", "", label).strip() or code for (_, _, label), code in zip(pairs, codes, strict=True)
    )
    if not codes:
        raise refuse("There is nothing to choose", "the cell is empty", "Give code, label | code, label", where=CHOICES)
    twice = sorted({code for code in codes if codes.count(code) > 1})
    if twice:
        raise refuse(f"Code {twice[0]} stands twice", "a code is one answer", "Give each its own", where=CHOICES)
    if many:
        return Answers(kind="many", choices=tuple(codes), labels=labels)
    if all(re.fullmatch(r"-?\d{1,9}", code) for code in codes) and len({int(code) for code in codes}) == len(codes):
        return Answers(kind="codes", codes=tuple(map(int, codes)), labels=labels)
    return Answers(kind="choice", choices=tuple(codes), labels=labels)
