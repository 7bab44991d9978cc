"""Who may do and see what: the one table. Every query and every action passes it.

A row names a thing that can be done or seen (the name of the action or of what is looked at), who may,
and what it reveals. Nothing is allowed that has no row here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import wraps
from typing import Literal, ParamSpec, TypeVar, cast

from keel.domain.errors import Refused, refuse
from keel.domain.events import Actor

Role = Literal[
    "coordinator",
    "facilitator",
    "physician",
    "rater",
    "data_manager",
    "investigator",
    "supervisor",
    "participant",
    "system",
]

ROLES: dict[str, str] = {
    "coordinator": "Coordinator",
    "facilitator": "Facilitator",
    "physician": "Physician",
    "rater": "Blinded rater",
    "data_manager": "Data manager",
    "investigator": "Investigator",
    "supervisor": "Supervisor",
    "participant": "Participant",
}
STAFF = frozenset(ROLES) - {"participant"}
CARE = frozenset({"coordinator", "facilitator", "physician", "investigator"})
UNBLINDED = STAFF - {"rater"}
SYSTEM = Actor(id="system", role="system", site="*")
"""The clock: raises what is due, climbs ladders, seals. It acts at every site."""
NOBODY = Actor(id="nobody", role="nobody", site="-")
"""Somebody who has not said who they are: may open a personal link, and always sees where help is."""


@dataclass(frozen=True)
class May:
    """`roles` may; `reveals` what of it a blinded rater must not see: `arm`, `session` or nothing."""

    roles: frozenset[str]
    reveals: str = ""


def _may(*roles: str | Iterable[str], reveals: str = "") -> May:
    named: set[str] = set()
    for role in roles:
        named |= {role} if isinstance(role, str) else set(role)
    return May(frozenset(named), reveals)


TABLE: dict[str, May] = {
    # ---- looking ----
    "see_home": _may(STAFF),
    "see_caseload": _may(STAFF),
    "see_calendar": _may(STAFF),
    "see_chart": _may(STAFF),
    "see_identity": _may(CARE, "supervisor"),
    "see_visit": _may(STAFF),
    "see_screening": _may(CARE, "data_manager", "supervisor"),
    "see_consent": _may(CARE, "data_manager", "supervisor"),
    "see_preparation": _may(CARE, "supervisor", reveals="session"),
    "see_session": _may(CARE, "supervisor", "data_manager", reveals="session"),
    "see_integration": _may(CARE, "supervisor", reveals="session"),
    "see_journal": _may(UNBLINDED, reveals="session"),
    "see_responses": _may(STAFF),
    "see_alerts": _may(CARE, "supervisor"),
    "see_on_call": _may(STAFF),
    "see_safety": _may(CARE, "supervisor", "data_manager"),
    "see_study": _may(STAFF),
    "see_arm": _may(UNBLINDED, reveals="arm"),
    "see_cohorts": _may(CARE, "supervisor", reveals="session"),
    "see_team": _may(STAFF),
    "see_insight": _may("investigator", "data_manager", "supervisor", reveals="arm"),
    "see_insight_rows": _may("investigator", "data_manager", reveals="arm"),
    "see_shelf": _may(STAFF),
    "see_agreement": _may("investigator", "data_manager", "supervisor"),
    "see_own_course": _may("participant"),
    "see_help": _may("participant", STAFF, "nobody"),
    # ---- screening and consent ----
    "open_course": _may("coordinator", "investigator"),
    "pre_screen": _may("coordinator", "physician", "investigator"),
    "record_facts": _may("coordinator", "facilitator", "physician", "investigator"),
    "judge": _may("coordinator", "physician", "investigator", "facilitator", "system"),
    "sign_verdict": _may("physician"),
    "override_finding": _may("physician"),
    "record_prescriber_decision": _may("physician", "investigator"),
    "fail_screening": _may("physician", "investigator", "coordinator"),
    "offer_consent": _may("coordinator", "physician", "investigator", "facilitator"),
    "answer_comprehension": _may("participant"),
    "sign_consent": _may("participant"),
    "countersign_consent": _may("physician", "investigator", "coordinator"),
    "withdraw_consent": _may("participant", "coordinator", "physician", "investigator"),
    "enrol": _may("coordinator", "investigator", "physician"),
    "allocate": _may("coordinator", "investigator", "data_manager"),
    # ---- visits ----
    "book_visit": _may("coordinator", "facilitator", "physician", "investigator"),
    "hold_visit": _may("coordinator", "facilitator", "physician", "investigator", "rater"),
    "miss_visit": _may("coordinator", "facilitator", "physician", "investigator"),
    "amend": _may(CARE, "data_manager", "rater"),
    # ---- preparation ----
    "hold_preparation": _may("facilitator"),
    "set_intention": _may("participant", "facilitator"),
    "agree_touch": _may("participant", "facilitator"),
    "name_support_person": _may("participant", "facilitator", "coordinator"),
    "confirm_ride_home": _may("participant", "facilitator", "coordinator"),
    "note_fears": _may("participant", "facilitator"),
    "check_readiness": _may("facilitator", "physician", "coordinator", "investigator"),
    # ---- the dosing day ----
    "open_session": _may("facilitator", "coordinator"),
    "note_presence": _may("facilitator", "physician"),
    "arrive": _may("facilitator", "physician", "coordinator"),
    "prepare_dose": _may("facilitator", "physician"),
    "agree_supplement": _may("facilitator", "physician"),
    "confirm_dose": _may("facilitator", "physician"),
    "give_dose": _may("facilitator", "physician"),
    "record_vitals": _may("facilitator", "physician"),
    "note_moment": _may("facilitator", "physician"),
    "sign_release_item": _may("facilitator", "physician"),
    "release": _may("facilitator", "physician"),
    "stop_session": _may("facilitator", "physician"),
    "transfer": _may("facilitator", "physician"),
    "order_rescue": _may("facilitator", "physician"),
    "give_rescue": _may("facilitator", "physician"),
    "describe_room": _may("facilitator", "coordinator", "investigator"),
    # ---- integration and follow-up ----
    "hold_integration": _may("facilitator"),
    "note_insight": _may("facilitator", "participant"),
    "make_commitment": _may("facilitator", "participant"),
    "keep_commitment": _may("facilitator", "participant"),
    "note_practice": _may("facilitator", "participant"),
    "withdraw": _may("coordinator", "physician", "investigator"),
    "lose": _may("coordinator", "physician", "investigator"),
    "complete_course": _may("coordinator", "physician", "investigator"),
    # ---- questionnaires ----
    "answer": _may("participant", "rater", "facilitator", "physician", "coordinator"),
    "enter_paper": _may("coordinator", "data_manager", "facilitator", "rater", "physician"),
    # ---- safety ----
    "raise_alert": _may(CARE, "rater", "participant", "system"),
    "see_alert": _may(CARE, "supervisor"),
    "acknowledge_alert": _may("physician", "facilitator", "investigator", "coordinator"),
    "close_alert": _may("physician", "investigator"),
    "climb_alerts": _may("system"),
    "plan_on_call": _may("coordinator", "physician", "investigator", "supervisor", "system"),
    "report_adverse_event": _may(CARE),
    "judge_adverse_event": _may("physician", "investigator"),
    "send_report": _may("physician", "investigator", "coordinator"),
    "send_periodic": _may("physician", "investigator", "coordinator"),
    "tell_event": _may("participant"),
    "unblind": _may("physician"),
    "record_emergency_contact": _may(CARE),
    # ---- the letter box of the safeguarding office: "none" is somebody whose last role was taken away ----
    "file_concern": _may("participant", STAFF, "nobody", "none", "system"),
    "open_letter_box": _may("system"),
    "post_cover": _may("system"),
    # ---- the participant ----
    "open_link": _may("participant", STAFF, "nobody"),
    "ask_for_help": _may("participant"),
    "send_link": _may("coordinator", "facilitator", "physician", "investigator"),
    "revoke_link": _may("coordinator", "facilitator", "physician", "investigator"),
    "correct_identity": _may("coordinator"),
    "erase_person": _may("data_manager"),
    "write_journal": _may("participant"),
    "share_journal": _may("participant"),
    # ---- cohorts, studies, people ----
    "form_cohort": _may("coordinator", "investigator"),
    "open_study": _may("investigator", "data_manager", "system"),
    "admit_staff": _may("investigator", "supervisor", "system"),
    "grant_role": _may("investigator", "supervisor", "system"),
    "revoke_role": _may("investigator", "supervisor", "system"),
    "look": _may(STAFF),
    # ---- the record ----
    "seal": _may("system"),
}


Given = ParamSpec("Given")
Answer = TypeVar("Answer")


def door(what: str) -> Callable[[Callable[Given, Answer]], Callable[Given, Answer]]:
    """Let a function be called only by who may `what`; the function's keyword `by` says who asks."""
    if what not in TABLE:
        raise KeyError(f"domain/access.py has no row for {what!r}")

    def guard(function: Callable[Given, Answer]) -> Callable[Given, Answer]:
        @wraps(function)
        def checked(*args: Given.args, **given: Given.kwargs) -> Answer:
            check_role(cast(Actor, given["by"]), what)
            return function(*args, **given)

        return checked

    return guard


def check_role(by: Actor, what: str) -> None:
    """Refuse unless the role of `by` may do `what` at all."""
    row = TABLE.get(what)
    if row is None:
        raise KeyError(f"domain/access.py has no row for {what!r}")
    if by.role not in row.roles:
        allowed = ", ".join(ROLES.get(role, role).lower() for role in sorted(row.roles - {"system"})) or "nobody"
        raise refuse(
            _refused(what),
            f"the role {ROLES.get(by.role, by.role).lower()} may not",
            f"Ask one who may: {allowed}",
            code="forbidden",
        )


def check_site(by: Actor, what: str, *, site: str) -> None:
    """Refuse unless `by` belongs to the site; the refusal does not tell that the thing exists."""
    if by.site not in (site, "*"):
        raise not_here(what)


def check_course(by: Actor, what: str, *, course: str, site: str) -> None:
    """Refuse unless the course lies at the actor's site, or is the participant's own."""
    check_role(by, what)
    if by.role == "participant":
        if course not in by.courses:
            raise not_here(what)
        return
    check_site(by, what, site=site)


def may(by: Actor, what: str) -> bool:
    """The same as `check_role`, as a bool: for buttons and menus."""
    return what in TABLE and by.role in TABLE[what].roles


def not_here(what: str) -> Refused:
    return refuse(_refused(what), "there is no such course at your site", "Check the address", code="not-found")


def _refused(what: str) -> str:
    """What was refused in words: `Release was refused`; for what is only looked at, `Session was not shown`."""
    seen = what.removeprefix("see_")
    return f"{seen.replace('_', ' ').capitalize()} was {'refused' if seen == what else 'not shown'}"
