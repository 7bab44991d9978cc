"""The simulated clinic: invented people, led through their courses by the same actions that real ones would be.

Nothing is written from the side. Each course is lived in order, visit by visit, with the clock of the simulation as
`at`, until today. What people answer comes from a seeded generator; the arms are drawn as they are for everybody, from
the server's own secret, so that the stories end well in either.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from django.db import transaction

from keel.actions import (
    adverse_events,
    assessment,
    cohort,
    dosing,
    follow_up,
    integration,
    medications,
    on_call,
    preparation,
    screening,
    study,
    team,
    visits,
)
from keel.domain.access import SYSTEM
from keel.domain.answers import next_item
from keel.domain.course import Course, fold
from keel.domain.events import Actor
from keel.domain.instrument import Instrument, Item
from keel.domain.protocol import Protocol, Visit
from keel.domain.screening import EXPECTANCY, PRE_SCREEN
from keel.domain.visit import arm_of, schedule
from keel.library import shelf
from keel.library.instrument_files import instrument
from keel.library.rule_files import catalogue
from keel.queries import definitions
from keel.records import journal
from keel.records.models import Account, MembershipRow, SiteRow

PASSWORD = "simulated-clinic"
SITE, OTHER = "harbour", "hillside"
ZONE = ZoneInfo("Europe/London")
BORN_ON = date(1984, 5, 17)
"""The birthday of everybody here: whoever tries a participant's link has to know it, and no page shows it."""
STAFF = (
    ("coordinator", "Cora Simulated"),
    ("facilitator", "Finn Simulated"),
    ("facilitator", "Fay Simulated"),
    ("facilitator", "Fox Simulated"),
    ("facilitator", "Fern Simulated"),
    ("physician", "Phil Simulated"),
    ("rater", "Rae Simulated"),
    ("data_manager", "Dana Simulated"),
    ("investigator", "Ines Simulated"),
    ("supervisor", "Sue Simulated"),
)
STUDIES = (
    ("mood", "Psilocybin for depression (simulated)", "davis-2021", ("treatment-psilocybin", "recording")),
    ("cancer", "Psilocybin in groups, cancer and depression (simulated)", "agrawal-2024", ("treatment-psilocybin",)),
    ("ptsd", "MDMA for post-traumatic stress (simulated)", "mapp2", ("treatment-mdma", "recording")),
)
_FIRST = "Ada Ben Cleo Dov Elin Farid Gita Hugo Iris Jun Kaya Leo Mira Nils Ona Per Quinn Rosa Sami Tove Umar Vera Wim Xenia Yara Zoe"


@dataclass
class Story:
    """What is to become of one simulated person."""

    name: str
    study: str
    began_days_ago: int
    severity: float = 0.62
    gain: float = 0.6
    until: str = "today"
    twist: str = ""


@dataclass
class Clinic:
    """The staff as actors, and the day that is today."""

    staff: dict[str, list[Actor]]
    now: datetime
    rng: random.Random = field(default_factory=lambda: random.Random(2026))

    def one(self, role: str) -> Actor:
        return self.staff[role][0]

    @property
    def today(self) -> date:
        return self.now.astimezone(ZONE).date()


def fill(
    say: Callable[[str], None] = lambda text: None,
    *,
    people: int | None = None,
    groups: bool = True,
    now: datetime | None = None,
) -> bool:
    """Fill an empty record with the simulated clinic; False when there is one already.

    `people` keeps only the first so many stories, and the `groups` come on top: tests want less than all.
    """
    if SiteRow.objects.exists():
        return False
    # One transaction: a demo that was stopped in the middle begins anew, and one commit is enough for it.
    with transaction.atomic():
        clinic = _open(now or datetime.now(UTC))
        stories = _stories()[:people]
        for number, story in enumerate(stories, 1):
            Life(clinic, story).live()
            if number % 5 == 0:
                say(f"Simulated people: {number} of {len(stories)}")
        if groups:
            _group(clinic)
    say("The simulated clinic is filled.")
    return True


def sign_ins(address: str) -> str:
    """The sign-ins of the demo, to be printed."""
    lines = [f"Sign in at {address} (everything is simulated; the password is always {PASSWORD}):"]
    rows = Account.objects.order_by("email").values_list("id", "email", "name")
    roles = {m.staff: m.role for m in MembershipRow.objects.all()}
    lines += [f"  {email:<34}{roles.get(id, '').replace('_', ' ')}" for id, email, name in rows]
    lines.append(
        "A participant's page: open somebody's course, make a link under Personal link, and follow it in another"
    )
    lines.append(f"  browser window. Everybody here was born on {BORN_ON:%-d %B %Y}.")
    return "\n".join(lines)


def actors(site: str, role: str) -> list[Actor]:
    """Everybody who holds a role at a site, ready to act."""
    rows = MembershipRow.objects.filter(site=site, role=role, revoked_at=None).order_by("granted_at", "id")
    return [Actor(row.staff, role, site) for row in rows]


def _open(now: datetime) -> Clinic:
    at = now - timedelta(days=500)
    for site, name in ((SITE, "Harbour clinic (simulated)"), (OTHER, "Hillside clinic (simulated)")):
        team.open_site(site=site, name=name, country="GB", timezone="Europe/London", by=SYSTEM, at=at)
    staff: dict[str, list[Actor]] = {}
    for role, name in STAFF:
        number = len(staff.get(role, ())) + 1
        email = f"{role}{number if number > 1 else ''}@{SITE}.example".replace("_", "-")
        id = team.admit(email=email, name=name, password=PASSWORD, by=SYSTEM, at=at)
        team.grant(staff=id, site=SITE, role=role, by=SYSTEM, at=at)
        staff.setdefault(role, []).append(Actor(id, role, SITE))
    id = team.admit(email=f"coordinator@{OTHER}.example", name="Otto Simulated", password=PASSWORD, by=SYSTEM, at=at)
    team.grant(staff=id, site=OTHER, role="coordinator", by=SYSTEM, at=at)
    for name, title, protocol, documents in STUDIES:
        study.open_study(
            study=name, title=title, protocol=protocol, sites=[SITE], documents=documents, by=SYSTEM, at=at
        )
    clinic = Clinic(staff, now)
    _roster(clinic)
    return clinic


def _roster(clinic: Clinic) -> None:
    """Who is on call from yesterday on, day and night in turn; the third night is forgotten, as it happens."""
    doctors = clinic.one("physician"), clinic.one("investigator")
    for number in range(9):
        if number == 5:
            continue
        begins, ends = (
            datetime.combine(clinic.today + timedelta(days=half // 2 - 1), time(8 + 12 * (half % 2)), ZONE).astimezone(
                UTC
            )
            for half in (number, number + 1)
        )
        on_call.plan_shift(
            site=SITE,
            staff=doctors[number % 2].id,
            starts_at=begins,
            ends_at=ends,
            by=clinic.one("coordinator"),
            at=clinic.now - timedelta(days=3),
        )


def _stories() -> list[Story]:
    """Somebody in every phase of three protocols, and the things that go wrong."""
    names = iter([f"{first} Simulated" for first in _FIRST.split()] + [f"{first} Invented" for first in _FIRST.split()])
    return [
        Story(next(names), "mood", 470, gain=0.75),
        Story(next(names), "mood", 430, gain=0.7, twist="missed"),
        Story(next(names), "mood", 60, gain=0.65, twist="alert"),
        Story(next(names), "mood", 12, twist="screening_failure"),
        Story(next(names), "mood", 45, twist="consent_withdrawn"),
        Story(next(names), "mood", 120, gain=0.5, twist="amended"),
        Story(next(names), "mood", 75, twist="late"),
        Story(next(names), "ptsd", 17, severity=0.6, twist="under way"),
        Story(next(names), "ptsd", 150, severity=0.55, gain=0.5),
        Story(next(names), "ptsd", 40, severity=0.6),
        Story(next(names), "mood", 1, until="enquiry"),
        Story(next(names), "mood", 4, until="consent"),
        Story(next(names), "mood", 7, until="screening", twist="medicines"),
        Story(next(names), "mood", 20),
        Story(next(names), "mood", 33, gain=0.4),
        Story(next(names), "ptsd", 3, until="consent"),
        Story(next(names), "ptsd", 9, until="screening"),
        Story(next(names), "ptsd", 75, severity=0.66, gain=0.35),
        Story(next(names), "ptsd", 230, severity=0.58, gain=0.6),
        Story(next(names), "mood", 250, gain=0.2),
        Story(next(names), "mood", 300, gain=0.85),
        Story(next(names), "mood", 190, gain=0.45, twist="withdrawn"),
        Story(next(names), "ptsd", 110, severity=0.5, gain=0.55),
        Story(next(names), "mood", 90, gain=0.6),
        Story(next(names), "mood", 26),
        Story(next(names), "mood", 150, gain=0.65),
        Story(next(names), "ptsd", 20, severity=0.6),
        Story(next(names), "mood", 2, until="enquiry"),
        Story(next(names), "ptsd", 14, severity=0.6, twist="screening_failure"),
        Story(next(names), "mood", 52, gain=0.55),
        Story(next(names), "mood", 365, gain=0.5, twist="missed"),
    ]


class Life:
    """One simulated person's course, lived in order."""

    def __init__(self, clinic: Clinic, story: Story):
        self.clinic, self.story, self.rng = clinic, story, random.Random(f"{story.name}/{story.study}")
        self.day = clinic.today - timedelta(days=story.began_days_ago)
        self.minute = 9 * 60
        self.course = ""
        self.held_back: set[str] = set()

    # -- the clock of the simulation --

    def at(self, minutes: int = 3) -> datetime:
        """The next moment of the day, a few minutes on; never later than now."""
        self.minute += minutes
        moment = datetime.combine(self.day, time(0), ZONE) + timedelta(minutes=self.minute)
        return min(moment.astimezone(UTC), self.clinic.now)

    def go(self, day: date, hour: int = 9) -> None:
        self.day, self.minute = max(day, self.day), hour * 60

    @property
    def state(self) -> Course:
        found: Course = journal.state_of(f"course:{self.course}", fold)
        return found

    @property
    def person(self) -> Actor:
        return Actor(self.state.participant, "participant", SITE, device="phone (simulated)", courses=(self.course,))

    @property
    def protocol(self) -> Protocol:
        return definitions.protocol(self.state.protocol, self.state.protocol_version)

    def staff(self, role: str) -> Actor:
        return self.clinic.one(role)

    # -- the course --

    def live(self) -> None:
        self.enquire()
        if self.story.until == "enquiry":
            return
        self.go(self.day + timedelta(days=1))
        answers = dict.fromkeys(PRE_SCREEN, True)
        screening.pre_screen(
            course=self.course, answers=answers, outcome="suitable", by=self.staff("coordinator"), at=self.at()
        )
        self.go(self.day + timedelta(days=1))
        self.consent(stop_before_signing=self.story.until == "consent")
        if self.story.until == "consent":
            return
        self.go(self.day + timedelta(days=1))
        if not self.screen():
            return
        if self.story.until == "screening":
            return
        screening.sign_verdict(course=self.course, by=self.staff("physician"), at=self.at())
        screening.enrol(course=self.course, by=self.staff("coordinator"), at=self.at())
        self.visits()

    def enquire(self) -> None:
        opened = screening.open_course(
            site=SITE,
            study=self.story.study,
            name=self.story.name,
            born_on=BORN_ON,
            phone="+44 20 7946 0000",
            contact_name="A simulated friend",
            contact_phone="+44 20 7946 0001",
            by=self.staff("coordinator"),
            at=self.at(),
        )
        self.course = opened.stream.partition(":")[2]

    def consent(self, *, stop_before_signing: bool = False) -> None:
        documents = next(documents for name, _, _, documents in STUDIES if name == self.story.study)
        for document in documents:
            screening.offer_consent(course=self.course, document=document, by=self.staff("coordinator"), at=self.at())
        if stop_before_signing:
            return
        for document in documents:
            read = definitions.document(document, self.state.consents[document].version)
            right = {q.id: q.right for q in read.questions}
            screening.answer_comprehension(
                course=self.course, document=document, answers=right, by=self.person, at=self.at()
            )
            screening.sign_consent(
                course=self.course, document=document, name=self.story.name, by=self.person, at=self.at()
            )
            screening.countersign_consent(
                course=self.course, document=document, by=self.staff("physician"), at=self.at()
            )

    def screen(self) -> bool:
        """Findings, questionnaires and the visit; False when it ends here."""
        first = self.protocol.visits_for(arm_of(self.state, self.protocol))[0]
        for ask in first.asks:
            self.fill_in(first, ask.instrument, ask.of)
        facts = self.facts()
        if self.story.twist == "screening_failure":
            facts["family_first_degree"] = {"psychotic_disorder": True, "bipolar_disorder": False}
        screening.record_facts(
            course=self.course, facts=facts, by=self.staff("physician"), at=self.at(), visit=first.id
        )
        if self.story.twist == "medicines":
            self.ask_the_prescriber()
        if self.story.until != "screening":
            self.hold(first)
        if self.story.twist == "screening_failure":
            screening.fail_screening(
                course=self.course, reason="family-history", by=self.staff("physician"), at=self.at()
            )
            return False
        if self.story.until == "screening":
            return True
        self.override("The investigator's decision after the interview (simulated).")
        return True

    def override(self, reason: str) -> None:
        """The physician decides on what is unknown because the sources leave it open; never on a stop."""
        for finding in self.state.standing_stops:
            if finding["finding"] == "unknown":
                screening.override_finding(
                    course=self.course, rule=finding["rule"], reason=reason, by=self.staff("physician"), at=self.at(1)
                )

    def ask_the_prescriber(self) -> None:
        """Somebody who takes medicines: what they are, and what was decided about the one that is in the way."""
        begun, stopped = ((self.day - timedelta(days=days)).isoformat() for days in (900, 5))
        taken = [
            {"name": "sertraline", "dose": "50 mg once a day", "started_on": begun},
            {"name": "St John's wort", "stopped_on": stopped},
            {"name": "levothyroxine", "dose": "75 µg once a day"},
        ]
        physician = self.staff("physician")
        screening.record_facts(course=self.course, facts={"medications": taken}, by=physician, at=self.at())
        medications.record_prescriber_decision(
            course=self.course,
            medicine="sertraline",
            decision="taper",
            prescriber="The person's own doctor (simulated)",
            on=self.day,
            last_dose_on=self.day + timedelta(days=21),
            words="Over four weeks, with a call each week (simulated).",
            by=physician,
            at=self.at(),
        )

    def facts(self) -> dict[str, Any]:
        """Findings of somebody whom the protocol takes."""
        on, earlier = self.day.isoformat(), (self.day - timedelta(days=1)).isoformat()
        pressure = [
            {"systolic_mmhg": 112 + self.rng.randrange(16), "diastolic_mmhg": 70 + self.rng.randrange(10), "on": day}
            for day in (earlier, earlier, on, on)
        ]
        known = catalogue()
        return {
            "weight_kg": 58 + self.rng.randrange(30),
            "height_cm": 160 + self.rng.randrange(30),
            "sex": "male",
            "diagnoses": {"mood": ["mdd"], "cancer": ["mdd", "cancer"], "ptsd": ["ptsd"]}[self.story.study],
            "episode_months": 9,
            "symptom_months": 14,
            "history": {name.removeprefix("history."): False for name in known if name.startswith("history.")},
            "family_first_degree": {"psychotic_disorder": False, "bipolar_disorder": False},
            "family_second_degree": {"psychotic_disorder": False, "bipolar_disorder": False},
            "blood_pressure": pressure,
            "heart_rate_bpm": 62 + self.rng.randrange(16),
            "temperature_c": 36.6,
            "qtcf_ms": 398 + self.rng.randrange(20),
            "breastfeeding": False,
            "scales": {"grid-hamd-17": 22, "caps-5": 42, "madrs": 31},
            "suicidality": {
                **dict.fromkeys(("q1", "q2", "q6", "active_ideation_with_intent", "current_thoughts_of_harm"), False),
                "reviewed_by_clinician": True,
            },
            "medications": [],
            "support_person": True,
            "ride_home": True,
            "can_swallow_capsules": True,
            "speaks_language": True,
            "psychedelic_use_last_months": 240,
        }

    def visits(self) -> None:
        """Visit after visit as the schedule asks for it, until today."""
        while coming := self.next_visit():
            visit, day = coming
            if day > self.clinic.today:
                return
            self.go(day)
            if self.twist(visit):
                return
            if visit.id not in self.state.visits and visit.id not in self.held_back:
                self.attend(visit)
            if self.held_back:
                return
        if not self.held_back and not self.state.ended:
            follow_up.complete_course(course=self.course, on=self.day, by=self.staff("coordinator"), at=self.at())

    def next_visit(self) -> tuple[Visit, date] | None:
        open_states = ("planned", "in_window", "due", "overdue")
        found: list[tuple[date, int, Visit]] = []
        for place, planned in enumerate(schedule(self.state, self.protocol, self.day)):
            if planned.state in open_states and planned.visit not in self.held_back:
                day = planned.due_on or planned.earliest_on or self.day + timedelta(days=7)
                if planned.earliest_on:
                    day = max(day, planned.earliest_on)
                visit = self.protocol.visit(planned.visit, arm_of(self.state, self.protocol))
                found.append((max(day, self.day), place, visit))
        if not found:
            return None
        day, _, visit = min(found, key=lambda each: (each[0], each[1]))
        return visit, day

    def attend(self, visit: Visit) -> None:
        if visit.kind == "dosing":
            self.dosing_day([self], visit)
            return
        for ask in visit.asks:
            self.fill_in(visit, ask.instrument, ask.of)
        if visit.kind == "baseline":
            self.allocate(visit)
        self.hold(visit)

    def allocate(self, visit: Visit) -> None:
        if len(self.protocol.arms) > 1 and not self.state.arm:
            definition = instrument(EXPECTANCY)
            begun = assessment.begin(
                course=self.course, instrument=EXPECTANCY, visit="", by=self.staff("coordinator"), at=self.at()
            ).payload["response"]
            self.answer(begun, definition, 0.7, self.person)
            screening.allocate(course=self.course, by=self.staff("coordinator"), at=self.at())

    def hold(self, visit: Visit) -> None:
        """Record the visit through the door that its kind has."""
        minutes = int((visit.hours or (1.0, 1.0))[0] * 60) or 60
        if visit.kind == "preparation":
            preparation.hold_preparation(
                course=self.course,
                visit=visit.id,
                on=self.day,
                minutes=minutes,
                covered=self.rng.sample(list(preparation.TOPICS), 4),
                mode="group" if visit.modes == ("group",) else "individual",
                by=self.staff("facilitator"),
                at=self.at(),
            )
            self.prepare_person()
        elif visit.kind == "integration":
            integration.hold_integration(
                course=self.course,
                visit=visit.id,
                on=self.day,
                minutes=minutes,
                by=self.staff("facilitator"),
                at=self.at(),
            )
            self.integrate()
        else:
            visits.hold_visit(
                course=self.course,
                visit=visit.id,
                on=self.day,
                minutes=minutes,
                by=self.staff("physician"),
                at=self.at(),
            )

    def prepare_person(self) -> None:
        if self.state.intentions:
            return
        words = "To meet what I have been avoiding, and to feel close to my sister again. (Simulated words.)"
        preparation.set_intention(course=self.course, words=words, by=self.person, at=self.at())
        preparation.note_fears(
            course=self.course, words="That it never ends. (Simulated words.)", by=self.person, at=self.at()
        )
        areas = {"hand": True, "shoulder": True, "back": False, "head": False, "feet": False, "arm": True}
        preparation.agree_touch(
            course=self.course, areas=areas, words="“Stop” ends it.", by=self.staff("facilitator"), at=self.at()
        )
        preparation.name_support_person(
            course=self.course, words="A simulated friend, +44 20 7946 0001", by=self.person, at=self.at()
        )
        preparation.confirm_ride_home(
            course=self.course, confirmed=True, words="The friend, by taxi", by=self.person, at=self.at()
        )

    def integrate(self) -> None:
        integration.note_insight(
            course=self.course,
            words="I saw how tired I am of being careful. (Simulated words.)",
            by=self.person,
            at=self.at(),
        )
        if not self.state.commitments:
            due = self.day + timedelta(days=14)
            made = integration.make_commitment(
                course=self.course,
                words="Walk to work by the river, three times a week.",
                due_on=due,
                by=self.person,
                at=self.at(),
            )
            integration.keep_commitment(
                course=self.course, commitment=made.payload["commitment"], outcome="kept", by=self.person, at=self.at()
            )
            integration.make_commitment(
                course=self.course, words="Call my sister.", due_on=due, by=self.person, at=self.at()
            )

    # -- questionnaires --

    def fill_in(self, visit: Visit, name: str, of: str) -> None:
        """Answer one instrument as whoever is asked would, worse before the first dose and better after."""
        if name not in shelf.ids("instruments") or self.state.response_for(visit.id, name):
            return
        definition = instrument(name)
        level = self.level(name)
        if of == "participant":
            begun = assessment.begin(
                course=self.course, instrument=name, visit=visit.id, by=self.person, at=self.at()
            ).payload["response"]
            self.answer(begun, definition, level, self.person)
            return
        by = self.staff({"blinded_rater": "rater", "clinician": "physician", "facilitator": "facilitator"}[of])
        items = {item.id: value for item, value in self.items(definition, level)}
        assessment.enter(
            course=self.course,
            visit=visit.id,
            instrument=name,
            items=items,
            respondent="rater" if of == "blinded_rater" else of,
            by=by,
            at=self.at(),
            paper=False,
        )

    def level(self, name: str) -> float:
        """How much of an instrument's range this person shows now: symptoms fall after a dose, the bond grows."""
        doses = sum(len(day.doses) for day in self.state.days.values())
        if name in ("wai-sr", "wai-s", "star-p", "who-5", "swls"):
            return min(0.95, 0.62 + 0.1 * doses + 0.2 * self.story.gain)
        if name in ("meq30", "ebi", "piq", "edi"):
            return 0.4 + 0.5 * self.story.gain
        if name in ("ceq-challenging", "asc-11"):
            return 0.25
        drift = 0.06 * max(0, (self.day - max(self.state.held.values(), default=self.day)).days > 90)
        return self.story.severity * (1 - self.story.gain * min(1.0, 0.7 * doses)) + drift

    def items(self, definition: Instrument, level: float) -> Iterator[tuple[Item, Any]]:
        answers: dict[str, Any] = {}
        while (item := next_item(definition, answers)) is not None and item.id not in answers:
            answers[item.id] = value = self.value(definition, item, level)
            yield item, value

    def value(self, definition: Instrument, item: Item, level: float) -> Any:
        kind = item.answers
        if definition.id.startswith("c-ssrs"):
            return False if kind.kind == "yes_no" else kind.allowed()[0]
        if item.id in {id for rule in definition.safety for id in rule.items()}:
            return kind.low  # what calls for help is told on purpose only, by a twist of the story
        if kind.kind == "yes_no":
            return level > 0.5
        if kind.kind in ("choice", "many"):
            return kind.allowed()[0] if kind.kind == "choice" else []
        if kind.kind == "scale":
            return round(float(kind.low) + level * (float(kind.high) - float(kind.low)))
        codes = [code for code in kind.allowed() if isinstance(code, int)]
        wanted = float(kind.low) + (level + self.rng.uniform(-0.12, 0.12)) * (float(kind.high) - float(kind.low))
        return min(codes, key=lambda code: abs(code - wanted))

    def answer(self, response: str, definition: Instrument, level: float, by: Actor) -> None:
        for item, value in self.items(definition, level):
            assessment.answer(course=self.course, response=response, item=item.id, value=value, by=by, at=self.at(0))
        assessment.complete(course=self.course, response=response, by=by, at=self.at(1))

    # -- the dosing day --

    def dosing_day(self, lives: list[Life], visit: Visit) -> None:
        """One dosing day of one person, or of a cohort in adjacent rooms."""
        facilitators = self.clinic.staff["facilitator"]
        for life in lives:
            life.go(self.day, 8)
            weight = life.state.facts["weight_kg"]["value"]
            pressure = [{"systolic_mmhg": 118, "diastolic_mmhg": 76, "on": life.day.isoformat()}] * 2
            today = {
                "weight_kg": weight, "blood_pressure": pressure, "heart_rate_bpm": 68, "temperature_c": 36.6, "ride_home": True,
                "support_person": True, "medications": [],
                "suicidality": {
                    **dict.fromkeys(("q1", "q2", "q6", "active_ideation_with_intent", "current_thoughts_of_harm"), False),
                    "reviewed_by_clinician": True,
                },
            }  # fmt: skip
            screening.record_facts(course=life.course, facts=today, by=self.staff("physician"), at=life.at())
            life.override("Looked at again this morning (simulated).")
            screening.sign_verdict(course=life.course, by=self.staff("physician"), at=life.at())
            for ask in visit.asks:
                if ask.when == "before_dose":
                    life.fill_in(visit, ask.instrument, ask.of)
        opened = dosing.open_session(
            courses=[life.course for life in lives],
            visit=visit.id,
            room="The garden room",
            on=self.day,
            by=facilitators[0],
            at=self.at(),
        )
        session = opened.payload["session"]
        for who in facilitators[: max(2, len(lives))]:
            dosing.come_in(session=session, staff=who.id, by=facilitators[0], at=self.at(1))
        for life in lives:
            life.minute = self.minute
            life.take_dose(visit)
        if self.story.twist == "under way" and self.day == self.clinic.today:
            self.held_back.add(visit.id)  # the day goes on: what follows is for whoever looks at the demo
            return
        for life in lives:
            life.afternoon(visit, session)

    def take_dose(self, visit: Visit) -> None:
        first, second = self.clinic.staff["facilitator"][:2]
        given = {"course": self.course, "visit": visit.id}
        dosing.arrive(**given, by=first, at=self.at())
        for minute in (0, 1):
            dosing.record_vitals(
                **given, systolic_mmhg=118 + minute, diastolic_mmhg=76, heart_rate_bpm=68, by=second, at=self.at(2)
            )
        plan = visit.doses[0]
        amount = plan.options[0] if plan.options else None
        dosing.prepare_dose(
            **given,
            substance=plan.substance,
            value=amount.value if amount else None,
            unit=amount.unit if amount else None,
            lot="SIM-0042",
            by=first,
            at=self.at(),
        )
        dosing.confirm_dose(**given, by=second, at=self.at())
        dosing.give_dose(**given, by=first, at=self.at())

    def afternoon(self, visit: Visit, session: str) -> None:
        first, second = self.clinic.staff["facilitator"][:2]
        given = {"course": self.course, "visit": visit.id}
        for hour, (systolic, pulse, step, kind) in enumerate(
            [
                (128, 76, "reach_onset", "music"),
                (138, 84, "reach_peak", "tears"),
                (134, 80, "reach_plateau", "insight"),
                (126, 74, "reach_return", "water"),
            ]
        ):
            dosing.record_vitals(
                **given, systolic_mmhg=systolic, diastolic_mmhg=82, heart_rate_bpm=pulse, by=second, at=self.at(30)
            )
            dosing.reach(**given, step=step, by=first, at=self.at(5))
            words = "“It is like coming home.” (Simulated words.)" if hour == 2 else ""
            dosing.note_moment(**given, kind=kind, words=words, by=first, at=self.at(40))
        dosing.record_vitals(
            **given, systolic_mmhg=120, diastolic_mmhg=78, heart_rate_bpm=70, by=second, at=self.at(120)
        )
        for ask in visit.asks:
            if ask.when == "after_effects":
                self.fill_in(visit, ask.instrument, ask.of)
        self.at(60)
        self.events(visit)
        for item in self.protocol.release.items:
            dosing.sign_release_item(**given, item=item.id, by=second, at=self.at(1))
        dosing.release(**given, by=first, at=self.at(5))

    def events(self, visit: Visit) -> None:
        """What was noticed on the day, as people notice it: most of it passes, some of it is pleasant."""
        rng = random.Random(f"{self.story.name}, {visit.id}")  # its own: the other stories stay as they were
        began = self.at(5) - timedelta(minutes=rng.randrange(60, 240))
        term, valence, grade = rng.choice(
            (
                ("Headache", "unpleasant", 1),
                ("Nausea", "unpleasant", 1),
                ("Anxiety", "mixed", 2),
                ("Crying", "pleasant", 1),
            )
        )
        event = {
            "term": term, "valence": valence, "grade": grade, "serious": [], "began_at": began.isoformat(),
            "ended_at": (began + timedelta(minutes=50)).isoformat(), "outcome": "resolved", "action": "watched",
        }  # fmt: skip
        adverse_events.report_adverse_event(
            course=self.course, event=event, by=self.clinic.staff["facilitator"][0], at=self.at(5)
        )

    # -- what goes wrong --

    def twist(self, visit: Visit) -> bool:
        """Let the story take its turn at this visit; True when the course stops here."""
        kind = self.story.twist
        if kind == "missed" and visit.id == "month-3":
            visits.miss_visit(
                course=self.course, visit=visit.id, cause="travel", by=self.staff("coordinator"), at=self.at()
            )
        elif kind == "late" and visit.id in ("after-2-week-4", "waiting-week-8"):
            self.held_back.add(visit.id)  # nobody came, nobody wrote it down: it stands as overdue
            return True
        elif kind == "amended" and visit.id in ("after-1-day-1", "waiting-week-5"):
            self.attend(visit)
            visits.amend_visit(
                course=self.course,
                visit=visit.id,
                on=self.day,
                minutes=75,
                reason="The length was misread from the diary.",
                by=self.staff("coordinator"),
                at=self.at(),
            )
        elif kind == "consent_withdrawn" and visit.kind in ("preparation", "waiting"):
            screening.withdraw_consent(
                course=self.course, document="treatment-psilocybin", by=self.person, at=self.at()
            )
            return True
        elif kind == "withdrawn" and visit.id == "month-1":
            follow_up.withdraw(
                course=self.course, reason="other-treatment", on=self.day, by=self.staff("coordinator"), at=self.at()
            )
            return True
        elif kind == "alert" and visit.id in ("after-2-week-1", "waiting-week-8"):
            self.attend(visit)
            self.alarming_answer(visit)
        return False

    def alarming_answer(self, visit: Visit) -> None:
        """A half-finished questionnaire at night with an answer that calls for somebody."""
        self.go(self.day, 22)
        begun = assessment.begin(
            course=self.course,
            instrument="phq-9",
            visit="",
            respondent="participant",
            by=self.staff("coordinator"),
            at=self.at(),
        ).payload["response"]
        for item, value in (("1", 2), ("2", 2), ("9", 1)):
            assessment.answer(course=self.course, response=begun, item=item, value=value, by=self.person, at=self.at(1))


def _group(clinic: Clinic) -> None:
    """A cohort of three through the group protocol, up to its follow-up; and one that is being prepared."""
    for began, names in ((40, ("Gus", "Gail", "Greta")), (12, ("Hal", "Hope", "Hilde"))):
        lives = [Life(clinic, Story(f"{name} Simulated", "cancer", began, gain=0.6)) for name in names]
        for life in lives:
            life.enquire()
            life.go(life.day + timedelta(days=1))
            answers = dict.fromkeys(PRE_SCREEN, True)
            screening.pre_screen(
                course=life.course, answers=answers, outcome="suitable", by=life.staff("coordinator"), at=life.at()
            )
            life.consent()
            life.screen()
            screening.sign_verdict(course=life.course, by=life.staff("physician"), at=life.at())
            screening.enrol(course=life.course, by=life.staff("coordinator"), at=life.at())
        first = lives[0]
        together = [life.course for life in lives]
        cohort.form_cohort(
            name=f"Cohort of {first.day:%B}", courses=together, by=first.staff("coordinator"), at=first.at()
        )
        while (coming := first.next_visit()) and coming[1] <= clinic.today:
            visit, day = coming
            for life in lives:
                life.go(day)
            if visit.kind == "dosing":
                first.dosing_day(lives, visit)
            else:
                for life in lives:
                    life.attend(visit)
