"""From the first question to enrolment: what is asked, what may follow, and what stands in the way."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from typing import Any

from keel.domain.course import Course, Response
from keel.domain.errors import Reason, Refused, refuse

EXPECTANCY = "ceq-credibility"
"""The instrument that measures expectancy. It is answered once, before allocation, and is frozen then."""

SOURCES: dict[str, str] = {
    "self": "They came by themselves",
    "referral": "Referred by a clinician",
    "registry": "From a register or an earlier study",
    "word_of_mouth": "Through somebody they know",
    "other": "Another way",
}
"""How people find the site."""

PRE_SCREEN: dict[str, str] = {
    "understands_outline": "They know roughly what the course asks of them, and want to go on",
    "age_in_range": "Their age lies within the protocol's limits",
    "has_the_condition": "They have the condition that the protocol treats",
    "no_psychosis_or_mania": "They tell of no psychosis, bipolar disorder or mania",
    "no_lithium": "They take no lithium",
    "not_pregnant": "They are not pregnant and do not breastfeed",
    "speaks_language": "They share a language with the team",
    "has_support": "Somebody close to them knows, or could know",
    "can_attend": "They can come to the visits",
}
"""What is asked on the telephone before anybody is invited: yes, no or not known. Ours; nothing is decided by it alone."""

OUTCOMES: dict[str, str] = {"suitable": "Go on to screening", "unsuitable": "End here"}

FAILED_BECAUSE: dict[str, str] = {
    "age": "Age outside the protocol's limits",
    "condition": "Does not have the condition that is treated",
    "severity": "Symptoms below or above what the protocol takes",
    "psychosis-bipolar": "Psychosis, bipolar disorder or mania, own",
    "family-history": "Psychosis or bipolar disorder in the family",
    "heart": "Heart, blood pressure or ECG",
    "medical": "Another medical condition",
    "medication": "A medicine that cannot be combined or stopped",
    "suicidality": "Suicidality",
    "substance-use": "Alcohol or other substances",
    "pregnancy": "Pregnant, breastfeeding or no contraception",
    "not-understood": "The consent was not understood",
    "declined": "Did not want to go on",
    "not-reached": "Could not be reached any more",
    "practical": "Time, travel, language or support",
    "full": "The study is full",
    "other": "Another reason, in the note",
}
"""Coded reasons of a screening failure, ours: coarse enough to count, with a note for the rest."""

DIAGNOSES: dict[str, str] = {
    "mdd": "Major depressive disorder",
    "trd": "Treatment-resistant depression",
    "persistent_depressive_disorder": "Persistent depressive disorder",
    "ptsd": "Post-traumatic stress disorder",
    "gad": "Generalised anxiety disorder",
    "anxiety_disorder": "Another anxiety disorder",
    "adjustment_disorder": "Adjustment disorder",
    "cancer": "Cancer",
    "alcohol_use_disorder": "Alcohol use disorder, now",
    "substance_use_disorder": "Substance use disorder, now",
}
"""Current diagnoses that rules ask for, in words; others may be recorded as well."""

_RANK = {"clear": 0, "caution": 1, "unknown": 2, "stop": 3}


def check_pre_screen(course: Course, answers: Mapping[str, Any], outcome: str, reason: str) -> None:
    what = "The pre-screen was not recorded"
    if course.pre_screened:
        raise refuse(what, "there is one already", "Record what is new as a fact", code="duplicate")
    if outcome not in OUTCOMES:
        raise refuse(what, f"there is no outcome {outcome!r}", f"Choose one of: {', '.join(OUTCOMES)}", where="outcome")
    for name, answer in answers.items():
        if name not in PRE_SCREEN:
            raise refuse(what, f"{name!r} is not asked", f"It asks: {', '.join(PRE_SCREEN)}", where=name)
        if answer is not None and not isinstance(answer, bool):
            raise refuse(what, f"{answer!r} is neither yes, no nor not known", "Answer true, false or null", where=name)
    if outcome == "unsuitable":
        check_reason(reason)
    elif answers.get("understands_outline") is False:
        raise refuse(what, "they do not want to go on", "Record it as unsuitable, with the reason", where="outcome")


def check_reason(reason: str) -> None:
    if reason not in FAILED_BECAUSE:
        raise refuse(
            "The screening was not ended",
            f"{reason!r} is no reason we count" if reason else "no reason was chosen",
            f"Choose one of: {', '.join(FAILED_BECAUSE)}",
            where="reason",
        )


def check_fail(course: Course, reason: str) -> None:
    check_reason(reason)
    if course.enrolled_on is not None:
        raise refuse(
            "The screening was not ended",
            f"the person was enrolled on {course.enrolled_on}",
            "Record a withdrawal instead",
            code="enrolled",
        )


def check_day(what: str, on: date, *, today: date, since: date | None = None) -> None:
    """Refuse a day to come, or one before the course began."""
    if on > today:
        raise refuse(what, f"{on} is still to come", "Give the day on which it happened", where="on", code="future")
    if since is not None and on < since:
        raise refuse(what, f"{on} lies before {since}, when the course began", "Correct the day", where="on")


def check_visit_has_consent(course: Course, visit: str) -> None:
    """What is found at a visit needs consent signed by the participant first; what is told before that has no visit."""
    if not course.signed:
        raise refuse(
            "The facts were not recorded",
            f"they come from the visit {visit!r} and consent is not signed",
            "Have consent signed first; what somebody told you before that is recorded without a visit",
            where="visit",
            code="before-consent",
        )


def worse(finding: str, than: str) -> bool:
    return _RANK[finding] > _RANK[than]


def check_override(course: Course, rule: str, reason: str) -> str:
    """The level of the finding that may be overridden; refused where there is nothing to override."""
    what = f"The finding of {rule} was not overridden"
    found = next((f for f in course.findings if f["rule"] == rule), None)
    if found is None:
        raise refuse(what, "no rule of that name was judged in this course", "Reload the sheet", where=rule)
    if found["finding"] not in ("stop", "unknown"):
        raise refuse(what, f"it is {found['finding']} and stands in nobody's way", "Nothing is needed", where=rule)
    if len(reason.split()) < 2:
        raise refuse(what, "it gives no reason", "Say in a sentence why this person may go on", code="no-reason")
    return str(found["finding"])


def verdict_as_it_stands(course: Course) -> str:
    """The worst finding, with each that a physician overrode counted as caution."""
    standing = {f["rule"] for f in course.standing_stops}
    held = ("stop", "unknown")
    levels = [
        "caution" if f["finding"] in held and f["rule"] not in standing else f["finding"] for f in course.findings
    ]
    return str(max(levels, key=_RANK.__getitem__, default="unknown"))


def check_sign_verdict(course: Course, *, today: date) -> None:
    what = "The verdict was not signed"
    if course.judged_on is None:
        raise refuse(what, "nothing was judged yet", "Record facts first", code="not-judged")
    if course.judged_on != today:
        raise refuse(
            what,
            f"it was judged on {course.judged_on}, and facts age",
            "Judge again today, look at it, then sign",
            code="stale-verdict",
        )
    if course.standing_stops:
        raise Refused(
            Reason(
                what,
                f"{f['rule']} says {f['finding']}: {str(f['because']).rstrip('.')}",
                "Supply what is missing, or override it with a reason",
                where=f["rule"],
                code="finding-stands",
            )
            for f in course.standing_stops
        )


def check_rules_stand(course: Course, now: Sequence[Mapping[str, Any]]) -> None:
    """Refuse to sign what the rules, as they are `now`, no longer say: a rule may have got a new version since."""
    before, after = ({f["rule"]: (f["finding"], f["version"]) for f in found} for found in (course.findings, now))
    changed = sorted(rule for rule in before.keys() | after.keys() if before.get(rule) != after.get(rule))
    if changed:
        raise refuse(
            "The verdict was not signed",
            f"the rules have changed since it was judged: {', '.join(changed[:5])}",
            "Judge again today, look at it, then sign",
            code="stale-verdict",
        )


def check_enrol(course: Course, documents: Sequence[str], *, on: date, today: date) -> None:
    """Refuse enrolment with everything that is still in the way. `documents`: those that this study requires."""
    reasons = list(_in_the_way(course, documents))
    if reasons:
        raise Refused(reasons)
    opened = course.opened_at.date() if course.opened_at else None
    check_day("The person was not enrolled", on, today=today, since=opened)
    signed = max(c.signed_at.date() for c in course.consents.values() if c.required and c.signed_at)
    if on < signed:
        raise refuse(
            "The person was not enrolled", f"{on} lies before consent was signed ({signed})", "Correct the day"
        )


def _in_the_way(course: Course, documents: Sequence[str]) -> Iterable[Reason]:
    def way(why: str, mend: str, code: str, where: str = "") -> Reason:
        return Reason("The person was not enrolled", why, mend, where, code)

    if course.enrolled_on is not None:
        yield way(f"they were enrolled on {course.enrolled_on}", "Nothing more is needed", "duplicate")
        return
    if not course.pre_screened:
        yield way("there was no pre-screen", "Record it", "no-pre-screen")
    if not documents:
        yield way("the study requires no consent document", "Name one when the study is opened", "no-consent")
    for document in documents:
        consent = course.consents.get(document)
        if consent is None:
            yield way(f"the document {document!r} was not offered", "Offer it", "no-consent", document)
        elif not consent.stands:
            yield way(
                f"consent to {document!r} is not signed and countersigned, or was withdrawn",
                "The participant signs, then the team",
                "no-consent",
                document,
            )
    for finding in course.standing_stops:
        yield way(
            f"{finding['rule']} says {finding['finding']}: {str(finding['because']).rstrip('.')}",
            "Supply what is missing, or a physician overrides it",
            "finding-stands",
            finding["rule"],
        )
    if course.signed_verdict is None:
        yield way("no physician signed the verdict as it stands", "A physician signs it", "verdict-unsigned")


# ---- expectancy and allocation ----------------------------------------------------------------------------


def expectancy_of(course: Course) -> Response | None:
    """The one response to the expectancy instrument that counts: the first that was finished."""
    done = [r for r in course.responses.values() if r.instrument == EXPECTANCY and r.completed_at]
    return min(done, key=lambda r: (r.completed_at, r.id)) if done else None


def check_expectancy(course: Course, instrument: str) -> None:
    """Refuse a second answer to the expectancy instrument, and a first one after allocation."""
    if instrument != EXPECTANCY:
        return
    if expectancy_of(course):
        raise refuse("Expectancy was not measured again", "it is measured once and frozen", "", code="frozen")
    if course.arm:
        raise refuse(
            "Expectancy was not measured", "the person is allocated already", "It counts only before", code="frozen"
        )


def check_allocate(course: Course, arms: int) -> Response | None:
    """Refuse allocation before enrolment, twice, or (with several arms) before expectancy was measured."""
    what = "Nobody was allocated"
    if course.arm:
        raise refuse(what, "this person is allocated already", "Allocation is never repeated", code="duplicate")
    if course.enrolled_on is None:
        raise refuse(what, "the person is not enrolled", "Enrol them first", code="not-enrolled")
    measured = expectancy_of(course)
    if arms > 1 and measured is None:
        raise refuse(
            what,
            f"expectancy was not measured ({EXPECTANCY})",
            "The participant answers it first; afterwards it is frozen",
            code="no-expectancy",
        )
    return measured
