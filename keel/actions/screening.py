"""From the first question to allocation: the enquiry, the facts and their verdict, consent, enrolment.

Facts are judged in the transaction that records them, so that what stands in a course is never older than what is
known. Names and contact go to the vault; words about a person are sealed with their own key.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import replace
from datetime import date, datetime
from typing import Any

from keel.actions import study as studies
from keel.actions.door import action, on_course
from keel.actions.safety import raise_in
from keel.actions.visits import protocol_of, today_at
from keel.domain import access, consent, screening
from keel.domain.allocation import next_arm
from keel.domain.consent import Document
from keel.domain.course import Course, fold
from keel.domain.errors import Reason, Refused, refuse
from keel.domain.events import Actor, check_id, new_id
from keel.domain.fact import FactKind, read_facts
from keel.domain.safety import Verdict
from keel.domain.safety import judge as judge_facts
from keel.library.document_files import document_entry
from keel.library.rule_files import catalogue, rules_for
from keel.queries import definitions
from keel.queries.screening import SUICIDE_SCREENS, known_facts
from keel.records import journal, keys, vault
from keel.records.journal import Recorded, Writing
from keel.records.models import CourseRow, EventRow, SiteRow, StudyRow

_LANGUAGE = re.compile(r"[a-z]{2,3}(-[A-Za-z0-9]{2,8})*")
_CALLS_FOR_HELP = ("suicidality-high", "suicidal-intent", "suicidal-thoughts-active")
"""Rules whose stop is not only about eligibility: somebody must look at this person now."""


# ---- the enquiry --------------------------------------------------------------------------------------------


@action("open_course")
def open_course(
    *,
    site: str,
    study: str,
    name: str,
    born_on: date,
    by: Actor,
    at: datetime,
    phone: str = "",
    email: str = "",
    language: str = "en",
    contact_name: str = "",
    contact_phone: str = "",
    source: str = "self",
    referred_by: str = "",
    id: str | None = None,
) -> Recorded:
    """Begin a course with the first question of somebody who asks. `recorded.stream` is `course:<id>`.

    Name, birth date and contact go to the vault. Refuses a person who has an open course at the site already;
    one whose course has ended begins a new one under the same participant id.
    """
    access.check_site(by, "open_course", site=site)
    identity = vault.Identity(
        " ".join(name.split()),
        born_on,
        phone.strip(),
        email.strip(),
        language.strip() or "en",
        contact_name.strip(),
        contact_phone.strip(),
    )
    course = check_id(id) if id else new_id()
    with journal.writing(f"course:{course}", f"site:{site}") as writing:  # the site is locked: one number at a time
        if writing.answered(id):
            return writing.recorded()
        found = _study_at(study, site)
        _check_enquiry(identity, source, today_at(site, at))
        participant = _known_at(site, identity)
        if participant:
            vault.correct(participant, identity)
        else:
            participant = new_id()
            vault.admit(participant, site, identity)
        payload: dict[str, Any] = {
            "participant": participant,
            "site": site,
            "study": study,
            "protocol": found.protocol,
            "protocol_version": found.protocol_version,
            "code": _next_code(site),
            "source": source,
        }
        if referred_by.strip():
            payload["referred_by"] = vault.sealer(participant)(referred_by.strip())
        writing.append("course_opened", payload, by=by, at=at, id=id)
        return writing.recorded()


def _study_at(study: str, site: str) -> StudyRow:
    row = StudyRow.objects.filter(id=study).first()
    if row is None or site not in row.sites:
        raise refuse(
            "The course was not opened", f"the study {study!r} does not run at this site", "Choose one that does"
        )
    return row


def _check_enquiry(identity: vault.Identity, source: str, today: date) -> None:
    what = "The course was not opened"
    reasons = []
    if len(identity.name) < 2:
        reasons.append(Reason(what, "there is no name", "Give first and last name", where="name"))
    if not 0 <= (today - identity.born_on).days <= 120 * 366:
        reasons.append(
            Reason(what, f"nobody living was born on {identity.born_on}", "Correct the date of birth", where="born_on")
        )
    if not (identity.phone or identity.email):
        reasons.append(Reason(what, "there is no way to reach them", "Give a telephone or an email", where="phone"))
    if identity.email and not re.fullmatch(r"[^@\s]+@[^@\s]+", identity.email):
        reasons.append(Reason(what, f"{identity.email!r} is no email address", "Correct it", where="email"))
    if not _LANGUAGE.fullmatch(identity.language):
        reasons.append(Reason(what, f"{identity.language!r} is no language", "Use a code such as en", where="language"))
    if source not in screening.SOURCES:
        known = ", ".join(screening.SOURCES)
        reasons.append(Reason(what, f"there is no source {source!r}", f"Choose one of: {known}", where="source"))
    if reasons:
        raise Refused(reasons)


def _known_at(site: str, identity: vault.Identity) -> str:
    """The participant id of the same person at the site, when their courses have all ended; empty when new."""
    open_courses = dict(CourseRow.objects.filter(site=site, ended="").values_list("participant", "code"))
    everyone = list(CourseRow.objects.filter(site=site, erased=False).values_list("participant", flat=True).distinct())
    for participant, known in vault.identities(everyone).items():
        same = known.born_on == identity.born_on
        if not (same and consent.plain_name(known.name) == consent.plain_name(identity.name)):
            continue
        if participant in open_courses:
            raise refuse(
                "The course was not opened",
                f"this person has an open course already ({open_courses[participant]})",
                "Go on with that one, or end it first",
                code="duplicate-person",
            )
        return participant
    return ""


def _next_code(site: str) -> str:
    """The site's prefix and a running number: `NORTH-007`."""
    detail = SiteRow.objects.get(id=site).detail
    prefix = str(detail.get("code_prefix") or site.replace("-", "")[:10]).upper()
    number = CourseRow.objects.filter(site=site).count() + 1
    while CourseRow.objects.filter(code=f"{prefix}-{number:03d}").exists():  # another site's prefix looks the same
        number += 1
    return f"{prefix}-{number:03d}"


@action("pre_screen")
def pre_screen(
    *,
    course: str,
    answers: Mapping[str, bool | None],
    outcome: str,
    by: Actor,
    at: datetime,
    reason: str = "",
    words: str = "",
    id: str | None = None,
) -> Recorded:
    """Record the first conversation: `answers` by the names of `PRE_SCREEN` (true, false, null for not known).

    `outcome` is suitable or unsuitable; unsuitable ends the course with its coded `reason`.
    """
    with on_course(course, by=by, what="pre_screen", id=id) as (writing, state):
        if writing.answer:
            return writing.recorded()
        screening.check_pre_screen(state, answers, outcome, reason)
        payload: dict[str, Any] = {"answers": dict(answers), "outcome": outcome}
        writing.append("pre_screened", payload | _words(state, words), by=by, at=at, id=id)
        if outcome == "unsuitable":
            ended = {"on": today_at(state.site, at).isoformat(), "reason": reason}
            writing.append("screening_failed", ended, by=by, at=at)
        return writing.recorded()


def _words(state: Course, words: str) -> dict[str, Any]:
    return {"words": vault.sealer(state.participant)(words.strip())} if words.strip() else {}


@action("fail_screening")
def fail_screening(
    *, course: str, reason: str, by: Actor, at: datetime, words: str = "", on: date | None = None, id: str | None = None
) -> Recorded:
    """End a course that will not be enrolled, with a coded reason of `FAILED_BECAUSE` and a note where it helps."""
    with on_course(course, by=by, what="fail_screening", id=id) as (writing, state):
        if writing.answer:
            return writing.recorded()
        screening.check_fail(state, reason)
        today = today_at(state.site, at)
        screening.check_day("The screening was not ended", on or today, today=today, since=_opened_on(state))
        payload = {"on": (on or today).isoformat(), "reason": reason} | _words(state, words)
        writing.append("screening_failed", payload, by=by, at=at, id=id)
        return writing.recorded()


def _opened_on(state: Course) -> date | None:
    return today_at(state.site, state.opened_at) if state.opened_at else None


# ---- facts and their verdict --------------------------------------------------------------------------------


@action("record_facts")
def record_facts(
    *,
    course: str,
    facts: Mapping[str, Any],
    by: Actor,
    at: datetime,
    visit: str = "",
    on: date | None = None,
    source: str = "",
    id: str | None = None,
) -> Recorded:
    """Record facts by the names of the catalogue and judge every rule anew, in one transaction.

    A fact is a value, or `{"value", "on", "source"}`; groups may be nested (`{"history": {"stroke": false}}`). `null`
    makes a fact unknown again. `on` is the day they were found (today when left out). Refuses unknown names,
    impossible values and days to come, each by name; then nothing is written.
    """
    with on_course(course, by=by, what="record_facts", id=id) as (writing, state):
        if writing.answer:
            return writing.recorded()
        today = today_at(state.site, at)
        if visit:
            screening.check_visit_has_consent(state, visit)
            protocol_of(state).visit(visit, state.arm or protocol_of(state).arm_ids[0])
        screening.check_day("The facts were not recorded", on or today, today=today)
        read = _read(facts, catalogue(), on=on or today, today=today, source=source or visit)
        payload: dict[str, Any] = {"facts": read, "on": (on or today).isoformat()}
        if visit:
            payload["visit"] = visit
        writing.append("facts_recorded", payload, by=by, at=at, id=id)
        _judge_in(writing, _folded(state, read), on=today, guard=_guard(state), by=by, at=at)
        return writing.recorded()


def _folded(state: Course, read: Mapping[str, Any]) -> Course:
    return replace(state, facts={**state.facts, **read})


def _read(
    given: Mapping[str, Any], known: Mapping[str, FactKind], *, on: date, today: date, source: str
) -> dict[str, dict[str, Any]]:
    """Facts as they stand in an event, by full name; refused with every reason at once."""
    if not given:
        raise refuse("The facts were not recorded", "there is none among them", "Give at least one")
    # Old findings may be recorded; whether they still hold is for the judgement to say.
    ageless = {name: replace(kind, max_age_days={}) for name, kind in known.items()}
    named, strays = _named(given, known)
    reasons = [
        Reason("The facts were not recorded", f"there is no fact {name!r}", "See the catalogue", name, "unknown-fact")
        for name in strays
    ]
    wrong = read_facts(named, ageless, on=today)
    reasons += [
        Reason(f"{known[name].label} was not recorded", why, "Correct it, or leave it unknown", name, "impossible-fact")
        for name, why in wrong.absent.items()
    ]
    if reasons:
        raise Refused(reasons)
    return {
        name: {
            "value": fact["value"],
            "on": str(fact.get("on") or on.isoformat())[:10],
            "source": str(fact.get("source") or source)[:200],
        }
        for name, fact in named.items()
    }


def _named(given: Mapping[str, Any], known: Mapping[str, FactKind]) -> tuple[dict[str, dict[str, Any]], list[str]]:
    """Facts by full name as `{"value", "on"?, "source"?}`, and the names that the catalogue does not know."""
    named: dict[str, dict[str, Any]] = {}
    strays: list[str] = []
    waiting: list[tuple[str, Any, Mapping[str, Any]]] = [(str(name), value, {}) for name, value in given.items()]
    while waiting:
        name, value, around = waiting.pop(0)
        if isinstance(value, Mapping) and "value" in value:
            value, around = value["value"], {**around, **{k: value[k] for k in ("on", "source") if value.get(k)}}
        if name in known:
            named[name] = {**around, "value": json.loads(json.dumps(value, default=str))}
        elif isinstance(value, Mapping) and any(one.startswith(f"{name}.") for one in known):
            waiting += [(f"{name}.{part}", inner, around) for part, inner in value.items()]
        else:
            strays.append(name)
    return named, strays


@action("judge")
def judge(
    *, course: str, by: Actor, at: datetime, on: date | None = None, guard: str = "", id: str | None = None
) -> Recorded:
    """Judge every rule anew on a day: facts age, questionnaires come in, rules change.

    `guard` is the step that is guarded, `admit` or `give_dose`; by itself the one that lies ahead of the course.
    """
    with on_course(course, by=by, what="judge", id=id) as (writing, state):
        if writing.answer:
            return writing.recorded()
        today = today_at(state.site, at)
        screening.check_day("Nothing was judged", on or today, today=today)
        _judge_in(writing, state, on=on or today, guard=guard or _guard(state), by=by, at=at, id=id)
        return writing.recorded()


def _guard(state: Course) -> str:
    return "admit" if state.enrolled_on is None else "give_dose"


def _judge_in(
    writing: Writing, state: Course, *, on: date, guard: str, by: Actor, at: datetime, id: str | None = None
) -> None:
    verdict = _verdict(state, on, guard)
    findings = _findings(verdict)
    payload = {"on": on.isoformat(), "guard": guard, "verdict": verdict.level.value, "findings": findings}
    writing.append("judged", payload, by=by, at=at, id=id)
    before = {f["rule"] for f in state.findings if f["finding"] == "stop"}
    for finding in findings:
        calls = finding["rule"] in _CALLS_FOR_HELP and finding["finding"] == "stop"
        if calls and finding["rule"] not in before:
            source = {"rule": finding["rule"]}
            raise_in(writing, site=state.site, level="urgent", why=finding["because"], source=source, by=by, at=at)


def judge_with(writing: Writing, before: Course, instrument: str, *, at: datetime) -> None:
    """Judge anew, within the decision that finished or corrected a questionnaire which supplies facts to the rules.

    `before` is the course as it stood before that. Until enrolment every such questionnaire counts. Afterwards the rules
    are judged on the morning of a dose, and what is told of suicide later on that day is judged at once: where it
    changes a finding, the signature under the verdict falls, and the dose waits for a new one.
    """
    if not before.open or not before.findings:
        return
    today = today_at(before.site, at)
    if before.enrolled_on is None:
        if f"scales.{instrument}" in catalogue() or instrument in SUICIDE_SCREENS:
            state: Course = writing.state(fold)
            _judge_in(writing, state, on=today, guard="admit", by=access.SYSTEM, at=at)
    elif instrument in SUICIDE_SCREENS and before.judged_on == today:
        state = writing.state(fold)
        found = {f["rule"]: f["finding"] for f in _findings(_verdict(state, today, "give_dose"))}
        if found != {f["rule"]: f["finding"] for f in before.findings}:
            _judge_in(writing, state, on=today, guard="give_dose", by=access.SYSTEM, at=at)


def _verdict(state: Course, on: date, guard: str) -> Verdict:
    rules = rules_for(state.protocol)
    return judge_facts(rules, known_facts(state, on=on, guard=guard, catalogue=rules.catalogue), guard=guard)


def _findings(verdict: Verdict) -> list[dict[str, Any]]:
    """The findings as plain JSON, worst first, each under a name of its own.

    Findings about a medicine, and about a diagnosis that no rule knows, carry its name in theirs: overriding one must
    not let the next one pass. Where
    a site's rule stands beside ours under one name, the worse finding counts.
    """
    kept: dict[str, dict[str, Any]] = {}
    for finding in verdict.findings:
        said = finding.as_json()
        name = _name_of(said)
        kept.setdefault(name, {**said, "rule": name})
    return list(kept.values())


def _name_of(finding: Mapping[str, Any]) -> str:
    if finding["rule"] == "diagnosis-not-known":
        diagnosis = re.sub(r"[^a-z0-9]+", "-", finding["missing"][0].removeprefix("diagnoses.")).strip("-")
        return f"{finding['rule']}:{diagnosis}"[:100]
    about = finding["used"].get("medications", {"value": []})["value"]
    if not finding["rule"].startswith("medication-") or len(about) != 1:
        return str(finding["rule"])
    medicine = re.sub(r"[^a-z0-9]+", "-", about[0]["name"].casefold()).strip("-")
    return f"{finding['rule']}:{medicine}"[:100]


@action("override_finding")
def override_finding(
    *, course: str, rule: str, reason: str, by: Actor, at: datetime, id: str | None = None
) -> Recorded:
    """Let a person go on in spite of a finding: the physician's decision, with a reason. It stays listed.

    It holds for the level it was made at: an unknown that turns into a stop stands again.
    """
    with on_course(course, by=by, what="override_finding", id=id) as (writing, state):
        if writing.answer:
            return writing.recorded()
        level = screening.check_override(state, rule, reason)
        payload = {"rule": rule, "finding": level, "reason": vault.sealer(state.participant)(reason.strip())}
        writing.append("finding_overridden", payload, by=by, at=at, id=id)
        return writing.recorded()


@action("sign_verdict")
def sign_verdict(*, course: str, by: Actor, at: datetime, id: str | None = None) -> Recorded:
    """Sign the verdict as it stands today; refused while a stop or an unknown stands that nobody overrode."""
    with on_course(course, by=by, what="sign_verdict", id=id) as (writing, state):
        if writing.answer:
            return writing.recorded()
        today = today_at(state.site, at)
        screening.check_sign_verdict(state, today=today)
        guard = "admit" if state.enrolled_on is None else "give_dose"
        screening.check_rules_stand(state, _findings(_verdict(state, today, guard)))
        overridden = sorted(r for r in state.overridden if any(f["rule"] == r for f in state.findings))
        payload = {"verdict": screening.verdict_as_it_stands(state), "overridden": overridden}
        writing.append("verdict_signed", payload, by=by, at=at, id=id)
        return writing.recorded()


# ---- consent ------------------------------------------------------------------------------------------------


def study_documents(study: str) -> tuple[str, ...]:
    """The consent documents that a study asks for, in its order."""
    row = StudyRow.objects.filter(id=study).values_list("documents", flat=True).first()
    return tuple(row or ())


@action("offer_consent")
def offer_consent(*, course: str, document: str, by: Actor, at: datetime, id: str | None = None) -> Recorded:
    """Offer a document of the study, in the version on the shelf, which is taken into the journal as it stands.

    Offering a newer version asks for consent anew; the same one is offered again only after a withdrawal.
    """
    with on_course(course, by=by, what="offer_consent", id=id) as (writing, state):
        if writing.answer:
            return writing.recorded()
        what = f"The document {document!r} was not offered"
        known = study_documents(state.study)
        if document not in known:
            names = ", ".join(known) or "none; name them when the study is opened"
            raise refuse(what, "the study does not ask for it", f"It asks for: {names}", where=document)
        read, entry = document_entry(document)
        before = state.consents.get(document)
        if before and before.version == read.version and not before.withdrawn_at:
            raise refuse(what, f"version {read.version} was offered already", "Go on with that one", code="duplicate")
        studies.adopt(entry, by=by, at=at)
        payload = {
            "document": document,
            "version": read.version,
            "sha256": entry.sha256,
            "required": read.required,
        }
        writing.append("consent_offered", payload, by=by, at=at, id=id)
        return writing.recorded()


@action("answer_comprehension")
def answer_comprehension(
    *, course: str, document: str, answers: Mapping[str, str], by: Actor, at: datetime, id: str | None = None
) -> Recorded:
    """Answer questions about a document, one or several at a time: `{question id: the choice's words}`.

    A question may be answered again; the last answer counts and every one stays on the record.
    """
    with on_course(course, by=by, what="answer_comprehension", id=id) as (writing, state):
        if writing.answer:
            return writing.recorded()
        standing = consent.offered(state.consents, document, "The answers were not taken")
        text = _text(document, standing.version)
        together = consent.check_answers(text, standing, answers)
        payload = {
            "document": document,
            "version": standing.version,
            "given": dict(answers),
            "answers": together,
            "passed": text.passes(together),
        }
        writing.append("comprehension_answered", payload, by=by, at=at, id=id)
        return writing.recorded()


def _text(document: str, version: int) -> Document:
    return definitions.document(document, version)


@action("sign_consent")
def sign_consent(*, course: str, document: str, name: str, by: Actor, at: datetime, id: str | None = None) -> Recorded:
    """The participant signs by typing their name, after passing the questions. The name is sealed in the event."""
    with on_course(course, by=by, what="sign_consent", id=id) as (writing, state):
        if writing.answer:
            return writing.recorded()
        standing = consent.offered(state.consents, document, "The document was not signed")
        known = vault.identity(state.participant)
        consent.check_sign(standing, _text(document, standing.version), name, known.name if known else "")
        payload = {
            "document": document,
            "version": standing.version,
            "sha256": definitions.sha256("documents", document, standing.version),
            "name": vault.sealer(state.participant)(" ".join(name.split())),
        }
        writing.append("consent_signed", payload, by=by, at=at, id=id)
        return writing.recorded()


@action("countersign_consent")
def countersign_consent(*, course: str, document: str, by: Actor, at: datetime, id: str | None = None) -> Recorded:
    """A member of the team signs after the participant: what was asked was answered, and the will was free."""
    with on_course(course, by=by, what="countersign_consent", id=id) as (writing, state):
        if writing.answer:
            return writing.recorded()
        standing = consent.offered(state.consents, document, "The document was not countersigned")
        consent.check_countersign(standing)
        payload = {"document": document, "version": standing.version}
        writing.append("consent_countersigned", payload, by=by, at=at, id=id)
        return writing.recorded()


@action("withdraw_consent")
def withdraw_consent(
    *, course: str, document: str, by: Actor, at: datetime, words: str = "", id: str | None = None
) -> Recorded:
    """Take consent back, at any time and without a reason; before signing it says that it was declined.

    The team is alerted where the document is one that the course cannot go on without.
    """
    with on_course(course, by=by, what="withdraw_consent", id=id, ended=True) as (writing, state):
        if writing.answer:
            return writing.recorded()
        standing = consent.offered(state.consents, document, "Consent was not withdrawn")
        consent.check_withdraw(standing)
        payload: dict[str, Any] = {
            "document": document,
            "version": standing.version,
            "before_signing": standing.signed_at is None,
        }
        event = writing.append("consent_withdrawn", payload | _words(state, words), by=by, at=at, id=id)
        if standing.required and standing.signed_at and state.open:
            title = _text(document, standing.version).title
            why = f"Consent was withdrawn: {title}. Nothing more may be done that rests on it."
            source = {"event": event.id, "document": document}
            raise_in(writing, site=state.site, level="notify", why=why, source=source, by=by, at=at)
        return writing.recorded()


# ---- enrolment and allocation -------------------------------------------------------------------------------


def required_documents(study: str) -> tuple[str, ...]:
    """The documents of a study without which nobody is enrolled."""
    return tuple(name for name in study_documents(study) if document_entry(name)[0].required)


@action("enrol")
def enrol(*, course: str, by: Actor, at: datetime, on: date | None = None, id: str | None = None) -> Recorded:
    """Enrol: pre-screened, every required consent standing, the verdict signed with nothing left in the way."""
    with on_course(course, by=by, what="enrol", id=id) as (writing, state):
        if writing.answer:
            return writing.recorded()
        today = today_at(state.site, at)
        screening.check_enrol(state, required_documents(state.study), on=on or today, today=today)
        writing.append("enrolled", {"on": (on or today).isoformat()}, by=by, at=at, id=id)
        return writing.recorded()


@action("allocate")
def allocate(
    *,
    course: str,
    by: Actor,
    at: datetime,
    stratum: Mapping[str, str] | None = None,
    id: str | None = None,
) -> Recorded:
    """Draw the arm. The list follows from a secret of the server; the study is locked, so that the order is one.

    With several arms expectancy must have been measured: its response is named in the event and counts as frozen.
    `stratum` gives the level of each factor the protocol stratifies by (`site` by itself).
    """
    study = CourseRow.objects.filter(id=course).values_list("study", flat=True).first() or "-"
    with on_course(course, by=by, what="allocate", id=id, also=(f"study:{study}",)) as (writing, state):
        if writing.answer:
            return writing.recorded()
        protocol = protocol_of(state)
        measured = screening.check_allocate(state, len(protocol.arms))
        factors = {name: state.site for name in protocol.allocation.strata if name == "site"} | dict(stratum or {})
        before = _allocated(state.study)
        arm = next_arm(protocol, before, factors, seed=keys.allocation_seed(state.study))
        payload = {
            "arm": arm,
            "expectancy": measured.id if measured else None,
            "stratum": factors,
            "number": len(before) + 1,
        }
        writing.append("allocated", payload, by=by, at=at, id=id)
        return writing.recorded()


def _allocated(study: str) -> list[tuple[dict[str, str], str]]:
    """Every (stratum, arm) of a study so far, in the order in which they were drawn."""
    streams = [f"course:{course}" for course in CourseRow.objects.filter(study=study).values_list("id", flat=True)]
    drawn = EventRow.objects.filter(kind="allocated", stream__in=streams).values_list("payload", flat=True)
    told = sorted((json.loads(payload) for payload in drawn), key=lambda p: p["number"])
    return [(p["stratum"], p["arm"]) for p in told]
