"""What the screening pages show: the eligibility sheet, the facts, the documents, what stands before enrolment."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any
from zoneinfo import ZoneInfo

from keel.domain import access, screening
from keel.domain.consent import Document, Question
from keel.domain.course import Consent, Course
from keel.domain.errors import refuse
from keel.domain.events import Actor
from keel.domain.fact import FactKind, Facts, read_facts
from keel.domain.screening import DIAGNOSES, expectancy_of, verdict_as_it_stands
from keel.library.document_files import document_entry
from keel.library.rule_files import catalogue, medicines
from keel.queries import account, definitions
from keel.queries.course import Seen, Strip, see
from keel.queries.door import query
from keel.records import journal, vault
from keel.records.models import CourseRow, SiteRow, StudyRow

LEVELS = {"stop": "Stop", "unknown": "Not known yet", "caution": "Caution", "clear": "Clear"}
BASES = {
    "trial_exclusion": "excluded in the trial",
    "label": "the medicine's label",
    "regulation": "the law here",
    "case_reports": "case reports",
    "mechanism": "how the medicine works",
    "rct": "a trial's result",
    "house": "our own rule, to be signed off by the medical lead",
}
GROUPS = {
    "person": "Who",
    "diagnosis": "Diagnoses",
    "history": "History",
    "family": "Family",
    "vital signs": "Vital signs and ECG",
    "scales": "Scales",
    "suicidality": "Suicidality",
    "medicines": "Medicines",
    "substances": "Other substances",
    "arrangements": "Arrangements",
}
FLAGS = {True: "yes", False: "no"}
SUICIDE_SCREENS = ("c-ssrs-screener", "c-ssrs-since-last-visit")
"""The instruments whose answers are facts about suicide. Since the last contact only a yes is one: a no says nothing of
the time before it."""


# ---- what is known --------------------------------------------------------------------------------------------


def known_facts(state: Course, *, on: date, guard: str, catalogue: Mapping[str, FactKind]) -> Facts:
    """What is known of the person on a day: facts as recorded, their age by the vault, totals by their questionnaires.

    A recorded fact is replaced only by a questionnaire that was finished after it was found.
    """
    return read_facts(_as_told(_told(state, on, catalogue)), catalogue, on=on, guard=guard)


def _as_told(raw: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """What was told of each fact, without the event that Keel itself notes beside it."""
    return {name: {k: fact[k] for k in ("value", "on", "source") if k in fact} for name, fact in raw.items()}


def _told(state: Course, on: date, catalogue: Mapping[str, FactKind]) -> dict[str, dict[str, Any]]:
    raw: dict[str, dict[str, Any]] = {name: dict(fact) for name, fact in state.facts.items()}
    identity = vault.identity(state.participant)
    if identity and raw.get("age_years", {}).get("value") is None:
        born = identity.born_on
        years = on.year - born.year - ((on.month, on.day) < (born.month, born.day))
        raw["age_years"] = {"value": years, "on": on.isoformat(), "source": "date of birth"}
    for name, fact in _from_questionnaires(state, catalogue):
        if str(raw.get(name, {}).get("on", "")) <= fact["on"]:
            raw[name] = fact
    return raw


def _from_questionnaires(state: Course, catalogue: Mapping[str, FactKind]) -> list[tuple[str, dict[str, Any]]]:
    """Facts that finished questionnaires supply, in the order in which they were finished."""
    found: list[tuple[str, dict[str, Any]]] = []
    zone = ZoneInfo(SiteRow.objects.get(id=state.site).timezone)
    done = sorted(
        ((r.completed_at, r.id, r) for r in state.responses.values() if r.completed_at), key=lambda row: row[:2]
    )
    for completed_at, _, response in done:
        said = {
            "on": completed_at.astimezone(zone).date().isoformat(),
            "source": f"{response.instrument}, answered here",
        }
        given = {f"scales.{response.instrument}": response.scores.get("total")}
        if response.instrument in SUICIDE_SCREENS:
            told = {i: bool(v) if v in (0, 1) else v for i, v in response.items.items()}
            if response.instrument != "c-ssrs-screener":
                told = {i: v for i, v in told.items() if v is True}
                told |= {"q6_when": "past_3_months"} if told.get("q6") else {}
            given |= {f"suicidality.{i}": v for i, v in told.items()}
        found += [
            (name, {**said, "value": value}) for name, value in given.items() if name in catalogue and value is not None
        ]
    return found


# ---- the eligibility sheet ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class UsedFact:
    label: str
    value: str
    on: date | None
    source: str


@dataclass(frozen=True)
class MissingFact:
    """A fact that is missing: `field` is the name of the field that supplies it, empty where no field does."""

    label: str
    why: str
    field: str


@dataclass(frozen=True)
class Overridden:
    by: str
    at: datetime
    reason: str
    holds: bool


@dataclass(frozen=True)
class Line:
    """One rule on the sheet. `stands`: it keeps the door shut."""

    rule: str
    title: str
    level: str
    word: str
    because: str
    evidence: tuple[tuple[str, str], ...]
    basis: str
    verified: bool
    used: tuple[UsedFact, ...]
    missing: tuple[MissingFact, ...]
    who: str
    override: Overridden | None
    stands: bool


@dataclass(frozen=True)
class Sheet:
    """The eligibility sheet. `verdict` is the worst finding with overrides counted as caution."""

    strip: Strip
    phase: str
    verdict: str
    word: str
    judged_on: date | None
    today: date
    guard: str
    signed_by: str
    signed_at: datetime | None
    open: tuple[Line, ...]
    heeded: tuple[Line, ...]
    clear: tuple[Line, ...]
    pre_screened: bool
    enrolled_on: date | None
    ended: str
    ended_because: str


@query("see_screening")
def sheet(*, course: str, by: Actor, at: datetime) -> Sheet:
    """Every rule with its finding, what it stood on and what is missing; what keeps the door shut comes first."""
    seen = see(course, by=by, what="see_screening", at=at)
    state = seen.state
    lines = tuple(_lines(state))
    signed = state.signed_verdict
    names = account.names({str(signed["by"])}) if signed else {}
    verdict = verdict_as_it_stands(state) if state.findings else ""
    return Sheet(
        strip=seen.strip,
        phase=state.phase,
        verdict=verdict,
        word=LEVELS.get(verdict, "Not judged yet"),
        judged_on=state.judged_on,
        today=seen.today,
        guard="admit" if state.enrolled_on is None else "give_dose",
        signed_by=names.get(str(signed["by"]), "") if signed else "",
        signed_at=datetime.fromisoformat(str(signed["at"])) if signed else None,
        open=tuple(line for line in lines if line.stands),
        heeded=tuple(line for line in lines if not line.stands and line.level != "clear"),
        clear=tuple(line for line in lines if line.level == "clear"),
        pre_screened=state.pre_screened,
        enrolled_on=state.enrolled_on,
        ended=state.ended,
        ended_because=screening.FAILED_BECAUSE.get(seen.row.ended_reason, seen.row.ended_reason),
    )


def _lines(state: Course) -> Iterator[Line]:
    standing = {f["rule"] for f in state.standing_stops}
    known = catalogue()
    open_ = vault.opener(state.participant)
    names = account.names({str(o["by"]) for o in state.overridden.values()})
    for found in state.findings:
        made = state.overridden.get(found["rule"])
        yield Line(
            rule=found["rule"],
            title=_title(found["rule"], found["used"]),
            level=found["finding"],
            word=LEVELS[found["finding"]],
            because=found["because"],
            evidence=tuple(_evidence(e) for e in found["evidence"]),
            basis=BASES.get(found.get("basis", ""), ""),
            verified=bool(found.get("verified", False)),
            used=tuple(_used(name, fact, known) for name, fact in found["used"].items()),
            missing=tuple(_missing(name, found["supply"][name]["why"], known) for name in found["missing"]),
            who=_who(found["supply"]),
            override=None
            if made is None
            else Overridden(
                names.get(str(made["by"]), ""),
                datetime.fromisoformat(str(made["at"])),
                open_(made["reason"]),
                found["rule"] not in standing and found["finding"] in ("stop", "unknown"),
            ),
            stands=found["rule"] in standing,
        )


_SHORT = "aldh bmi cyp2d6 cyp3a4 gad hiv hppd maoi mdma pde5 ptsd qt snri ssri tca ugt"
_CAPITALS = {**{word: word.upper() for word in _SHORT.split()}, "qtc": "QTc"}


def _title(rule: str, used: Mapping[str, Any]) -> str:
    """The heading of a finding: its rule in words, or the medicine as it was written and what is found of it."""
    kind, _, about = rule.partition(":")
    if about:
        told = used.get("medications", {}).get("value") or [{"name": about.replace("-", " ")}]
        name = str(told[0]["name"])
        return f"{name[:1].upper()}{name[1:]} ({_in_words(kind.removeprefix('medication-'))})"
    said = _in_words(kind)
    return said[:1].upper() + said[1:]


def _in_words(id: str) -> str:
    return " ".join(_CAPITALS.get(word, word) for word in id.split("-"))


def _evidence(text: str) -> tuple[str, str]:
    """(words, address): where a source can be looked up, the address is a link."""
    if text.startswith("doi:"):
        return text.removeprefix("doi:"), f"https://doi.org/{text.removeprefix('doi:')}"
    if text.startswith("NCT"):
        return text, f"https://clinicaltrials.gov/study/{text}"
    if text.startswith(("http://", "https://")):
        return text.partition("://")[2].split("/")[0].removeprefix("www."), text
    return text, ""


def _used(name: str, fact: Mapping[str, Any], known: Mapping[str, FactKind]) -> UsedFact:
    kind = known.get(name)
    on = date.fromisoformat(fact["on"]) if fact.get("on") else None
    return UsedFact(kind.label if kind else name, in_words(kind, fact["value"]), on, fact.get("source") or "")


def _missing(name: str, why: str, known: Mapping[str, FactKind]) -> MissingFact:
    if name in known:
        return MissingFact(known[name].label, "" if why == "not known" else why, name)
    for group in ("medications", "diagnoses"):
        if name.startswith(f"{group}."):
            return MissingFact(name.removeprefix(f"{group}.").replace("_", " "), why, group)
    if name.startswith("limit."):
        return MissingFact("The limit itself", why, "")
    return MissingFact(name.replace("_", " ").replace(".", ": ").capitalize(), why, "")


def _who(supply: Mapping[str, Any]) -> str:
    """Who could supply what is missing."""
    return " or ".join(dict.fromkeys(who for one in supply.values() for who in one["supplied_by"]))


def in_words(kind: FactKind | None, value: Any) -> str:
    """A fact's value as a person says it."""
    if value is None:
        return "not known"
    if isinstance(value, bool):
        return FLAGS[value]
    if isinstance(value, list):
        return "; ".join(_one_in_words(one) for one in value) or "asked, none"
    unit = f" {kind.unit}" if kind and kind.unit else ""
    return f"{value:g}{unit}" if isinstance(value, int | float) else DIAGNOSES.get(str(value), str(value))


def _one_in_words(one: Any) -> str:
    if not isinstance(one, Mapping):
        return DIAGNOSES.get(str(one), str(one))
    if "systolic_mmhg" in one:
        day = f" ({one['on']})" if one.get("on") else ""
        return f"{one['systolic_mmhg']:g}/{one['diastolic_mmhg']:g} mmHg{day}"
    stopped = f", stopped {one['stopped_on']}" if one.get("stopped_on") else ""
    return f"{one['name']} {one.get('dose') or ''}".strip() + stopped


# ---- the form of the facts ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class FactField:
    """One field: what is known now (`now`, its day `on`), and whether it still `holds` today."""

    name: str
    label: str
    kind: str
    unit: str
    least: float | None
    most: float | None
    choices: tuple[tuple[str, str], ...]
    ask: str
    who: str
    value: Any
    now: str
    on: date | None
    holds: bool
    why_not: str
    asked: bool


@dataclass(frozen=True)
class FactGroup:
    id: str
    title: str
    fields: tuple[FactField, ...]
    open: int


@dataclass(frozen=True)
class FactsForm:
    """Every fact of the catalogue in the order of a screening. `asked` facts are those that this protocol's rules use."""

    strip: Strip
    groups: tuple[FactGroup, ...]
    visits: tuple[tuple[str, str], ...]
    medicine_names: tuple[str, ...]
    today: date
    consented: bool


@query("record_facts")
def facts_form(*, course: str, by: Actor, at: datetime) -> FactsForm:
    seen = see(course, by=by, what="record_facts", at=at)
    known = catalogue()
    asked = {name for f in seen.state.findings for name in (*f["missing"], *f["used"])}
    guard = "admit" if seen.state.enrolled_on is None else "give_dose"
    told = _told(seen.state, seen.today, known)
    read = read_facts(_as_told(told), known, on=seen.today, guard=guard)
    fields = [_field(kind, told.get(kind.name, {}), read, asked) for kind in known.values()]
    groups = []
    for id, title in GROUPS.items():
        inside = tuple(f for f, kind in zip(fields, known.values(), strict=True) if (kind.group or "person") == id)
        groups.append(FactGroup(id.replace(" ", "-"), title, inside, sum(f.asked and not f.holds for f in inside)))
    visits = tuple((v.id, v.label) for v in seen.protocol.visits if v.kind in ("screening", "baseline"))
    names = tuple(sorted({m.id.replace("_", " ") for found in medicines().by_words.values() for m in found}))
    return FactsForm(seen.strip, tuple(groups), visits, names, seen.today, seen.state.consented)


def _field(kind: FactKind, fact: Mapping[str, Any], read: Facts, asked: set[str]) -> FactField:
    value = fact.get("value")
    if kind.name == "diagnoses":
        choices = tuple(DIAGNOSES.items())
    else:
        choices = tuple((choice, choice.replace("_", " ")) for choice in kind.choices)
    return FactField(
        name=kind.name,
        label=kind.label,
        kind=kind.kind,
        unit=kind.unit,
        least=kind.least,
        most=kind.most,
        choices=choices,
        ask=kind.ask,
        who=", ".join(kind.supplied_by),
        value=value,
        now="" if value is None else in_words(kind, value),
        on=date.fromisoformat(fact["on"]) if fact.get("on") else None,
        holds=kind.name in read.known,
        why_not=read.absent.get(kind.name, ""),
        asked=kind.name in asked,
    )


# ---- the enquiry ----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class EnquiryForm:
    """What the form of a new enquiry offers: the studies that run at the site."""

    site: str
    site_name: str
    studies: tuple[tuple[str, str], ...]


@query("open_course")
def enquiry_form(*, by: Actor) -> EnquiryForm:
    rows = StudyRow.objects.order_by("opened_at", "id")
    here = tuple((row.id, row.title) for row in rows if by.site in row.sites)
    name = SiteRow.objects.filter(id=by.site).values_list("name", flat=True).first() or by.site
    return EnquiryForm(by.site, name, here)


# ---- consent --------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Paper:
    """One document of the study and where consent to it stands in this course."""

    document: str
    title: str
    required: bool
    version: int
    newer: int
    state: str
    word: str
    offered_at: datetime | None
    answered: int
    wrong: int
    questions: int
    passed: bool
    signed_at: datetime | None
    signed_name: str
    countersigned_at: datetime | None
    countersigned_by: str
    withdrawn_at: datetime | None
    withdrawn_words: str
    template: bool


@dataclass(frozen=True)
class Papers:
    strip: Strip
    papers: tuple[Paper, ...]
    consented: bool
    ended: str


@query("see_consent")
def papers(*, course: str, by: Actor, at: datetime) -> Papers:
    """Every document of the study: offered, understood, signed, countersigned, withdrawn."""
    seen = see(course, by=by, what="see_consent", at=at)
    asked_for = StudyRow.objects.get(id=seen.row.study).documents
    every = (*asked_for, *(d for d in seen.state.consents if d not in asked_for))
    told = _history(seen.state, by)
    found = tuple(_paper(seen.state, d, told.get(d, {})) for d in every)
    return Papers(seen.strip, found, seen.state.consented, seen.row.ended)


def _paper(state: Course, document: str, said: Mapping[str, Any]) -> Paper:
    standing = state.consents.get(document)
    shelved, _ = document_entry(document)
    text = definitions.document(document, standing.version) if standing else shelved
    level, word = _standing(standing)
    return Paper(
        document=document,
        title=text.title,
        required=standing.required if standing else text.required,
        version=text.version,
        newer=shelved.version if standing and shelved.version > standing.version else 0,
        state=level,
        word=word,
        offered_at=said.get("offered_at"),
        answered=len(standing.answers) if standing else 0,
        wrong=len(text.wrong(standing.answers)) if standing else 0,
        questions=len(text.questions),
        passed=bool(standing and (standing.passed or not text.questions)),
        signed_at=standing.signed_at if standing else None,
        signed_name=said.get("signed_name", ""),
        countersigned_at=standing.countersigned_at if standing else None,
        countersigned_by=said.get("countersigned_by", ""),
        withdrawn_at=standing.withdrawn_at if standing else None,
        withdrawn_words=said.get("withdrawn_words", ""),
        template=text.template,
    )


def _standing(consent: Consent | None) -> tuple[str, str]:
    if consent is None:
        return "planned", "Not offered"
    if consent.withdrawn_at:
        return ("stop", "Withdrawn") if consent.signed_at else ("withdrawn", "Declined")
    if consent.countersigned_at:
        return "done", "Signed and countersigned"
    if consent.signed_at:
        return "due", "Signed, to be countersigned"
    return "in_window", "Passed, to be signed" if consent.passed else "Offered"


def _history(state: Course, by: Actor) -> dict[str, dict[str, Any]]:
    """Times, names and event ids of every document's consent, from the course's own journal since it was last offered.

    Whoever may not know who this is reads the code where the name stands, and no words.
    """
    named = _may_name(by)
    open_ = vault.opener(state.participant)
    told: dict[str, dict[str, Any]] = {}
    for event in journal.events(f"course:{state.id}"):
        if not event.kind.startswith(("consent_", "comprehension_")):
            continue
        if event.kind == "consent_offered":
            told[event.payload["document"]] = {"offered_at": event.occurred_at, "events": {}}
        said = told[event.payload["document"]]
        if event.kind == "consent_signed":
            said |= {"signed_name": open_(event.payload["name"]) if named else state.code}
        if event.kind == "consent_countersigned":
            said |= {"countersigned_by": account.names({event.by["actor"]}).get(event.by["actor"], "")}
        if event.kind == "consent_withdrawn" and named:
            said |= {"withdrawn_words": open_(event.payload.get("words"))}
        said["events"][event.kind] = event.id
    return told


def _may_name(by: Actor) -> bool:
    return by.role == "participant" or access.may(by, "see_identity")


@dataclass(frozen=True)
class Answered:
    ask: str
    answer: str
    right: bool


@dataclass(frozen=True)
class SignedPaper:
    """Everything that a consent on paper shows: text, fingerprint, answers, signatures with times, event ids."""

    code: str
    person: str
    site: str
    timezone: str
    study: str
    document: Document
    sha256: str
    answers: tuple[Answered, ...]
    paper: Paper
    events: tuple[tuple[str, str], ...]


@query("see_consent")
def signed_paper(*, course: str, document: str, by: Actor, at: datetime) -> SignedPaper:
    """A consent as it was offered and signed, for the file."""
    return _signed_paper(see(course, by=by, what="see_consent", at=at), document, by)


def _signed_paper(seen: Seen, document: str, by: Actor) -> SignedPaper:
    state = seen.state
    if document not in state.consents:
        raise refuse(
            "There is nothing to print",
            "this document was not offered in this course",
            "Offer it first",
            code="not-found",
        )
    standing = state.consents[document]
    text = definitions.document(document, standing.version)
    site = SiteRow.objects.get(id=state.site)
    known = vault.identity(state.participant) if _may_name(by) else None
    said = _history(state, by)[document]
    answers = [
        Answered(q.ask, str(standing.answers[q.id]), standing.answers[q.id] == q.right)
        for q in text.questions
        if q.id in standing.answers
    ]
    return SignedPaper(
        code=state.code,
        person=known.name if known else state.code,
        site=site.name,
        timezone=site.timezone,
        study=StudyRow.objects.get(id=state.study).title,
        document=text,
        sha256=definitions.sha256("documents", document, standing.version),
        answers=tuple(answers),
        paper=_paper(state, document, said),
        events=tuple(said["events"].items()),
    )


# ---- the participant's own documents ----------------------------------------------------------------------------


@dataclass(frozen=True)
class MyPaper:
    document: str
    title: str
    state: str
    word: str
    to_do: str


MINE = {
    "Offered": ("due", "To read", "Read it"),
    "Passed, to be signed": ("due", "To sign", "Sign it"),
    "Signed, to be countersigned": ("done", "Signed by you", "Read it again"),
    "Signed and countersigned": ("done", "Signed by you and the team", "Read it again"),
    "Withdrawn": ("withdrawn", "You took your consent back", "Read it again"),
    "Declined": ("withdrawn", "You said no", "Read it again"),
}


@query("see_own_course")
def my_papers(*, by: Actor, at: datetime) -> tuple[MyPaper, ...]:
    """The documents that were given to me, in the order in which they came."""
    _, state = _mine(by, at)
    found = []
    for document, standing in state.consents.items():
        level, word, to_do = MINE[_standing(standing)[1]]
        title = definitions.document(document, standing.version).title
        found.append(MyPaper(document, title, "planned" if state.ended and level == "due" else level, word, to_do))
    return tuple(found)


def _mine(by: Actor, at: datetime) -> tuple[Seen, Course]:
    """My newest course."""
    row = CourseRow.objects.filter(id__in=by.courses).order_by("-opened_at").first()
    if row is None:
        raise access.not_here("see_own_course")
    seen = see(row.id, by=by, what="see_own_course", at=at)
    return seen, seen.state


@dataclass(frozen=True)
class MyReading:
    """One document as I read it: where I stand in it, what is still to be answered, whether I may sign."""

    course: str
    document: Document
    paper: Paper
    answers: Mapping[str, str]
    next_question: Question | None
    name: str


@query("see_own_course")
def my_reading(*, document: str, by: Actor, at: datetime) -> MyReading:
    seen, state = _mine(by, at)
    standing = state.consents.get(document)
    if standing is None:
        raise access.not_here("see_own_course")
    text = definitions.document(document, standing.version)
    known = vault.identity(state.participant)
    waiting = (*text.unanswered(standing.answers), *text.wrong(standing.answers))
    return MyReading(
        course=seen.row.id,
        document=text,
        paper=_paper(state, document, _history(state, by)[document]),
        answers=dict(standing.answers),
        next_question=None if standing.passed or not waiting else waiting[0],
        name=known.name if known else "",
    )


@query("see_own_course")
def my_signed_paper(*, document: str, by: Actor, at: datetime) -> SignedPaper:
    return _signed_paper(_mine(by, at)[0], document, by)


# ---- enrolment and allocation -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Step:
    """One thing that enrolment waits for: its state, what it says, and the page that settles it."""

    label: str
    state: str
    says: str
    page: str


@dataclass(frozen=True)
class Enrolment:
    strip: Strip
    steps: tuple[Step, ...]
    ready: bool
    enrolled_on: date | None
    today: date
    arms: tuple[tuple[str, str], ...]
    arm: str
    allocated: bool
    method: str
    expectancy_at: datetime | None
    expectancy_instrument: str
    ready_to_allocate: bool
    laid: bool
    ended: str


@query("see_screening")
def enrolment(*, course: str, by: Actor, at: datetime) -> Enrolment:
    """What stands before enrolment and allocation, thing by thing. The arm only for whom the table shows it."""
    seen = see(course, by=by, what="see_screening", at=at)
    state = seen.state
    measured = expectancy_of(state)
    steps = tuple(_steps(seen))
    arms = tuple((arm.id, arm.label) for arm in seen.protocol.arms)
    return Enrolment(
        strip=seen.strip,
        steps=steps,
        ready=all(step.state == "done" for step in steps),
        enrolled_on=state.enrolled_on,
        today=seen.today,
        arms=arms,
        arm=dict(arms).get(seen.row.arm, ""),
        allocated=bool(state.arm),
        method=seen.protocol.allocation.method,
        expectancy_at=measured.completed_at if measured else None,
        expectancy_instrument=definitions.instrument(screening.EXPECTANCY).short,
        ready_to_allocate=state.enrolled_on is not None and not state.arm and (len(arms) == 1 or measured is not None),
        laid=any(r.instrument == screening.EXPECTANCY and not r.completed_at for r in state.responses.values()),
        ended=state.ended,
    )


def _steps(seen: Seen) -> Iterator[Step]:
    state = seen.state
    yield Step(
        "Pre-screen", "done" if state.pre_screened else "due", "" if state.pre_screened else "Not yet", "pre_screen"
    )
    for document in StudyRow.objects.get(id=seen.row.study).documents:
        text, _ = document_entry(document)
        if text.required:
            level, word = _standing(state.consents.get(document))
            yield Step(text.title, "due" if level == "in_window" else level, word, "consent")
    open_ = state.standing_stops
    if not state.findings:
        yield Step("The rules", "unknown", "Nothing was judged yet", "screening")
    else:
        says = f"{len(open_)} in the way" if open_ else ""
        level = "done" if not open_ else "stop" if any(f["finding"] == "stop" for f in open_) else "unknown"
        yield Step("The rules", level, says, "screening")
    signed = state.signed_verdict is not None
    yield Step("The verdict", "done" if signed else "due", "" if signed else "Not signed", "screening")
