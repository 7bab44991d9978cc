"""Walking a course through the pages, as the people of a clinic do: each in a browser of their own."""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from keel.domain.answers import next_item
from keel.domain.protocol import Visit
from keel.domain.screening import PRE_SCREEN
from keel.library.document_files import document_entry
from keel.library.instrument_files import instrument
from keel.library.protocol_files import protocol as protocol_of
from keel.library.rule_files import catalogue
from tests.journeys.house import House

ZONE = ZoneInfo("Europe/London")
BORN = {"day": 4, "month": 5, "year": 1986}


class Clinic:
    """The staff of one site, each signed in, and a clock that the walk sets."""

    def __init__(self, house: House, browser: Any, protocol: str):
        self.house, self.browser, self.protocol = house, browser, protocol_of(protocol)
        self.scene = house.make("tests.journeys.scenes:clinic", protocol=protocol)
        self.now = datetime.fromisoformat(self.scene["start"]).astimezone(ZONE)
        self.house.at(self.now)
        self.desks: dict[str, Any] = {}
        self.keyed: set[str] = set()

    def desk(self, role: str) -> Any:
        """The page of a member of staff, signed in once."""
        if role not in self.desks:
            page = self.house.page(self.browser)
            self.house.sign_in(page, self.scene["emails"][f"north/{role}"])
            self.desks[role] = page
        return self.desks[role]

    def key(self, desk: Any, sheet: str, keyed: dict[str, str]) -> None:
        """Fill a sheet: item by item as a hand does the first time, in one step when that sheet comes again."""
        desk.locator(f"[name='{next(iter(keyed))}']").first.wait_for(state="attached")  # the page may just be coming
        if sheet in self.keyed:
            assert desk.evaluate(KEY_IN_AT_ONCE, keyed) == len(keyed), desk.url
            return
        self.keyed.add(sheet)
        kinds = desk.evaluate(KINDS_THERE)
        for name, value in keyed.items():
            if kinds[name] == "radio":
                desk.locator(f"[name='{name}'][value='{value}']").check()
            elif kinds[name].startswith("select"):
                desk.locator(f"[name='{name}']").select_option(value)
            else:
                desk.locator(f"[name='{name}']").fill(value)

    def visit(self, id: str) -> Visit:
        """A visit of the protocol, in whichever arm it is."""
        return next(v for v in self.protocol.visits if v.id == id)

    def go(self, **by: float) -> datetime:
        """Let time pass: `go(days=7)`."""
        self.now += timedelta(**by)
        self.house.at(self.now)
        return self.now

    def morning(self, on: Any, hour: int = 9) -> None:
        """The morning of a day to come."""
        self.now = datetime(on.year, on.month, on.day, hour, tzinfo=ZONE)
        self.house.at(self.now)


class Person:
    """One participant: their course at the desks, and their own phone."""

    def __init__(self, clinic: Clinic, name: str):
        self.clinic, self.name = clinic, name
        self.course = ""
        self.phone: Any = None

    def desk(self, role: str, page: str = "") -> Any:
        """A desk with a page of this course open."""
        desk = self.clinic.desk(role)
        desk.goto(f"/course/{self.course}/{page}")
        return desk

    def press(self, page: Any, name: str) -> None:
        """Press a button and see that nothing was refused."""
        page.get_by_role("button", name=name, exact=True).first.click()
        page.wait_for_load_state()
        refused = page.locator(".reasons")
        assert refused.count() == 0, refused.first.inner_text()

    # ---- from the enquiry to enrolment ----

    def enquire(self) -> None:
        desk = self.clinic.desk("coordinator")
        desk.goto("/caseload/")
        desk.locator("#main").get_by_role("link", name="New enquiry").click()
        desk.get_by_label("First and last name").fill(self.name)
        desk.get_by_label("Date of birth").fill("{year}-{month:02}-{day:02}".format(**BORN))
        desk.locator("[name=phone]").fill("+44 20 7946 0000")
        self.press(desk, "Open the course")
        found = re.search(r"/course/([0-9a-f-]{36})/", desk.url)
        assert found, desk.url
        self.course = found[1]

    def pre_screen(self) -> None:
        desk = self.desk("coordinator", "pre-screen/")
        for name in PRE_SCREEN:
            desk.locator(f"[name={name}][value=yes]").check()
        desk.locator("[name=outcome][value=suitable]").check()
        self.press(desk, "Record the conversation")

    def open_phone(self) -> None:
        """A fresh personal link, opened and confirmed on the phone."""
        desk = self.desk("coordinator", "link/")
        self.press(desk, "Make a link")
        address = desk.locator(".note code").inner_text()
        self.phone = self.clinic.house.page(self.clinic.browser, width=390, height=844)
        self.phone.goto(address[address.index("/p/") :])
        for part, value in BORN.items():
            self.phone.get_by_label(part.capitalize(), exact=True).fill(str(value))
        self.phone.get_by_role("button", name="Open my page").click()
        self.phone.wait_for_url("**/me/")

    def consent(self, name: str) -> None:
        """Offer, read, understand, sign on the phone, countersign."""
        desk = self.desk("coordinator", "consent/")
        form = desk.locator(f"form:has(input[value='{name}']):has(button[value=offer])")
        form.locator("button[value=offer]").click()
        desk.wait_for_load_state()
        self.phone.goto(f"/me/consent/{name}/?step=questions")
        for _ in document_entry(name)[0].questions:
            asked = self.phone.locator("[name=question]").get_attribute("value")
            right = next(q.right for q in document_entry(name)[0].questions if q.id == asked)
            self.phone.get_by_text(right, exact=True).click()
            self.phone.get_by_role("button", name="Save and go on").click()
            self.phone.wait_for_load_state()
        self.phone.goto(f"/me/consent/{name}/?step=sign")
        self.phone.locator("[name=free]").check()
        self.phone.get_by_label("Your first and last name").fill(self.name)
        self.phone.get_by_role("button", name="Sign it").click()
        self.phone.get_by_text("You signed this on").wait_for()
        desk = self.desk("physician", "consent/")
        desk.locator(f"form:has(input[value='{name}']) button[value=countersign]").click()
        desk.wait_for_load_state()
        assert desk.locator(".reasons").count() == 0

    def record_facts(self, diagnoses: tuple[str, ...]) -> None:
        """Everything that the rules ask for, found to be in order."""
        desk = self.desk("physician", "facts/")
        numbers = {
            "weight_kg": "70",
            "height_cm": "174",
            "heart_rate_bpm": "66",
            "temperature_c": "36.6",
            "qtcf_ms": "404",
            "episode_months": "9",
            "psychedelic_use_last_months": "240",
            "scales.grid-hamd-17": "22",
        }
        kinds = desk.evaluate(KINDS_THERE)
        keyed = {name: value for name, value in numbers.items() if name in kinds}
        yes = {
            "support_person",
            "ride_home",
            "can_swallow_capsules",
            "speaks_language",
            "suicidality.reviewed_by_clinician",
        }
        asked_apart = {"sex", "pregnancy_test", "can_become_pregnant", "first_episode"}
        for name in catalogue():
            if kinds.get(name) == "radio" and name not in asked_apart:
                keyed[name] = "yes" if name in yes else "no"
        self.clinic.key(desk, "facts", keyed)
        desk.locator("[name=sex]").select_option("male")
        for diagnosis in diagnoses:
            desk.locator(f"[name=diagnoses][value={diagnosis}]").check()
        self.pressure(desk)
        if desk.locator("[name='medications.none']").count():
            desk.locator("[name='medications.none']").check()
        self.press(desk, "Record and judge")

    def pressure(self, desk: Any) -> None:
        today, before = self.clinic.now.date(), self.clinic.now.date() - timedelta(days=1)
        rows = desk.locator("[name='blood_pressure.systolic_mmhg']").count()
        for row, day in zip(range(rows), (before, before, today, today), strict=False):
            desk.locator("[name='blood_pressure.systolic_mmhg']").nth(row).fill(str(118 + row))
            desk.locator("[name='blood_pressure.diastolic_mmhg']").nth(row).fill("76")
            desk.locator("[name='blood_pressure.on']").nth(row).fill(day.isoformat())

    def sign_verdict(self) -> None:
        """The physician decides on what the sources leave open, one finding at a time, and signs."""
        desk = self.desk("physician", "screening/")
        while (waiting := desk.locator("details:has(input[value=override])")).count():
            first = waiting.first
            if first.get_attribute("open") is None:
                first.locator("summary").click()
            first.locator("textarea, input[name=reason]").first.fill("Decided after the interview.")
            first.locator("button").first.click()
            desk.wait_for_load_state()
            assert desk.locator(".reasons").count() == 0, desk.locator(".reasons").inner_text()
        self.press(desk, "Sign the verdict")

    def enrol(self) -> None:
        self.press(self.desk("coordinator", "enrolment/"), "Enrol")

    def allocate(self) -> None:
        desk = self.desk("coordinator", "enrolment/")
        self.press(desk, "Lay it before the participant")
        self.answer_all()
        desk = self.desk("coordinator", "enrolment/")
        self.press(desk, "Draw the arm")

    # ---- questionnaires ----

    def answer_all(self) -> int:
        """On the phone: answer whatever waits, one item at a time; gives how many questionnaires there were."""
        done = 0
        while True:
            self.phone.goto("/me/")
            waiting = self.phone.get_by_role("link", name=re.compile("^(Answer the questions|Go on)"))
            begin = self.phone.get_by_role("button", name=re.compile("^(Answer|Begin|Go on)"))
            if waiting.count():
                waiting.first.click()
            elif begin.count():
                begin.first.click()
            else:
                return done
            self.phone.locator("form[data-ready]").wait_for()
            self.answer_one()
            done += 1

    def answer_one(self) -> None:
        """One questionnaire to its end: the middle of what each item offers."""
        for _ in range(120):
            shown = self.phone.locator("fieldset:not([hidden])").first
            item = shown.get_attribute("data-item")
            choices = shown.locator("label.choice")
            field = shown.locator("input[type=range], input[type=number]")
            if choices.count():
                choices.nth(choices.count() // 3).click()
            elif field.count():
                field.first.fill(field.first.get_attribute("min") or "1")
            onward = self.phone.locator("[data-next]")
            last = onward.inner_text().startswith("Finish")  # the page then sends, and goes elsewhere
            onward.click()
            if last:
                self.phone.wait_for_url(lambda url: "/me/q/" not in url)
                return
            self.phone.locator(f"fieldset[data-item='{item}']").wait_for(state="hidden")
        raise AssertionError(f"the questionnaire did not end: {self.phone.url}")

    def key_in(self, visit: str, name: str, role: str, *, of: str, paper: bool, share: float = 0.4) -> None:
        """At a desk: a sheet keyed item by item, from paper or as one's own rating."""
        if role == "rater":  # blinded: an address with a visit in it leads nowhere; what waits is listed
            desk = self.desk(role, "questionnaires/")
            desk.locator(f"a[href*='/enter/{name}/']").first.click()
        else:
            desk = self.desk(role, f"visit/{visit}/enter/{name}/?of={of}")
        answers: dict[str, Any] = {}
        definition = instrument(name)
        while (item := next_item(definition, answers)) is not None and item.id not in answers:
            codes = item.answers.allowed()
            value: Any = codes[int(share * (len(codes) - 1))] if codes else item.answers.low
            if definition.id.startswith("c-ssrs") or item.id in {i for s in definition.safety for i in s.items()}:
                value = codes[0]
            answers[item.id] = value
        keyed = {f"item-{id}": str(value) for id, value in answers.items()}
        self.clinic.key(desk, name, keyed)
        if desk.locator("[name=paper]").count():
            desk.locator("[name=paper]").select_option("yes" if paper else "no")
        self.press(desk, "Enter and score")

    def measure(self, visit: str, *, when: str = "") -> None:
        """Whatever a visit asks: the rater rates, clinicians rate, and the participant's sheets come from paper."""
        roles = {"blinded_rater": "rater", "clinician": "physician", "facilitator": "facilitator"}
        for ask in self.clinic.visit(visit).asks:
            if (ask.when or "") != when or ask.instrument not in _shelf():
                continue
            if ask.of == "participant":
                self.key_in(visit, ask.instrument, "coordinator", of="participant", paper=True)
            else:
                of = "rater" if ask.of == "blinded_rater" else ask.of
                self.key_in(visit, ask.instrument, roles[ask.of], of=of, paper=False)

    # ---- visits ----

    def hold(self, visit: str, role: str = "physician", minutes: int = 60) -> None:
        desk = self.desk(role, f"visit/{visit}/")
        desk.get_by_label("Length").first.fill(str(minutes))
        self.press(desk, "Record the visit")

    def prepare(self, visit: str, minutes: int) -> None:
        desk = self.desk("facilitator", "preparation/")
        desk.get_by_label("Session", exact=True).select_option(visit)
        desk.locator("#minutes").fill(str(minutes))
        desk.locator("[name=covered]").first.check()
        self.press(desk, "Record the session")

    def bring(self) -> None:
        """What the participant brings: in their own words, and the agreements."""
        desk = self.desk("facilitator", "preparation/")
        for field, words, button in (
            ("#intention", "To be less careful.", "Keep the intention"),
            ("#support", "A friend, +44 20 7946 0001", "Name the person"),
            ("#ride", "The friend, by taxi", "Confirm"),
        ):
            desk.locator(field).fill(words)
            self.press(desk, button)
        desk.locator("[name=touch-hand]").check()
        self.press(desk, "Keep the agreement")

    def integrate(self, visit: str) -> None:
        desk = self.desk("facilitator", "integration/")
        desk.get_by_label("Session", exact=True).select_option(visit)
        desk.locator("#minutes").fill("60")
        self.press(desk, "Record the session")

    def judge_today(self) -> None:
        """The morning of a dosing day: weight, pressure, mood, medicines; the rules again, and the signature."""
        desk = self.desk("physician", "facts/")
        for name, value in {"weight_kg": "70", "heart_rate_bpm": "66", "temperature_c": "36.6"}.items():
            desk.locator(f"[name='{name}']").fill(value)
        self.pressure(desk)
        for name in (
            "suicidality.q1",
            "suicidality.q2",
            "suicidality.q6",
            "suicidality.active_ideation_with_intent",
            "suicidality.current_thoughts_of_harm",
        ):
            field = desk.locator(f"[name='{name}'][value=no]")
            if field.count():
                field.check()
        for name in ("support_person", "ride_home", "suicidality.reviewed_by_clinician"):
            desk.locator(f"[name='{name}'][value=yes]").check()
        again = desk.locator("[name='medications.again'], [name='medications.none']")
        if again.count():
            again.first.check()
        self.press(desk, "Record and judge")
        self.sign_verdict()


KINDS_THERE = (
    "() => Object.fromEntries([...document.querySelectorAll('[name]')].map(f => [f.name, f.type || f.tagName]))"
)
KEY_IN_AT_ONCE = """keyed => Object.entries(keyed).filter(([name, value]) => {
    const fields = [...document.getElementsByName(name)]
    const field = fields.find(f => f.type === "radio" ? f.value === value : true)
    if (!field) return false
    if (field.type === "radio") field.checked = true
    else field.value = value
    for (const told of ["input", "change"]) field.dispatchEvent(new Event(told, { bubbles: true }))
    return field.type === "radio" || field.value === value
}).length"""
"""Fills a sheet in one step and gives how many items took their answer: for sheets that were keyed by hand once."""


def _shelf() -> frozenset[str]:
    from keel.library import shelf

    return frozenset(shelf.ids("instruments"))


class Board:
    """The board of a dosing day, on the tablets of two facilitators."""

    def __init__(self, clinic: Clinic, people: list[Person], visit: str):
        self.clinic, self.people, self.visit = clinic, people, visit
        self.opened: dict[str, datetime] = {}
        desk = people[0].desk("facilitator", "dosing/")
        section = desk.locator(f"section:has(input[name=visit][value='{visit}'])")
        section.get_by_label("Room").fill("The garden room")
        section.get_by_role("button", name="Open the session").click()
        desk.wait_for_load_state()
        assert desk.locator(".reasons").count() == 0, desk.locator(".reasons").inner_text()
        if "/session/" not in desk.url:
            desk.locator("a", has_text="Go to the board").first.click()
            desk.wait_for_url("**/session/**")
        self.path = re.sub(r"^https?://[^/]+", "", desk.url)

    def tablet(self, role: str) -> Any:
        """The tablet with the board open. It is opened anew only where the clock has jumped, or after another page."""
        page = self.clinic.desk(role)
        if self.opened.get(role) != self.clinic.now or not page.url.endswith(self.path):
            page.goto(self.path)
            page.locator("main[data-ready]").wait_for()
            self.opened[role] = self.clinic.now
        return page

    def send(self, role: str, kind: str, person: Person | None = None, **fields: str) -> None:
        """Fill and press one form of the board, opening what it lies under; wait until the record has it."""
        page = self.tablet(role)
        chosen = f"form:has(input[name=kind][value='{kind}'])"
        if person:
            chosen += f":has(input[name=course][value='{person.course}'])"
        for name, value in fields.items():
            if name in ("moment", "step", "item", "staff"):
                chosen += f":has([name={name}][value='{value}'])"
        form = page.locator(chosen).first
        form.wait_for(state="attached")
        page.evaluate("() => document.querySelectorAll('details').forEach(d => d.open = true)")
        for name, value in fields.items():
            if name in ("moment", "step", "item"):
                continue
            field = form.locator(f"[name={name}]")
            kind_of = field.first.evaluate("f => f.type")
            if kind_of == "hidden":
                continue
            field.select_option(value) if kind_of.startswith("select") else field.fill(value)
        pressed = next(
            (f"[name={n}][value='{fields[n]}']" for n in ("moment", "step", "item") if n in fields), "button"
        )
        with page.expect_response(lambda r: r.request.method == "POST" and "/session/" in r.url) as told:
            form.locator(pressed).first.click()
        answer = told.value
        assert answer.status in (200, 302), (kind, fields, answer.status, answer.text()[:600])
        page.wait_for_load_state()


# ---- the steps that every course takes ----------------------------------------------------------------

TREATMENT = "treatment-psilocybin"


def admit(clinic: Clinic, name: str, diagnoses: tuple[str, ...]) -> Person:
    """From the enquiry to enrolment: coordinator, participant on the phone, physician."""
    person = Person(clinic, name)
    person.enquire()
    person.pre_screen()
    person.open_phone()
    person.consent(TREATMENT)
    person.measure("screening")
    person.record_facts(diagnoses)
    person.hold("screening")
    person.sign_verdict()
    person.enrol()
    return person


def dosing_day(clinic: Clinic, people: list[Person], visit: str, facilitators: list[str]) -> None:
    """The whole day on two tablets: presence, the dose checked by two, vital signs, moments, the checklist, release."""
    for person in people:
        person.judge_today()
        person.measure(visit, when="before_dose")
    board = Board(clinic, people, visit)
    first, second = facilitators[0], facilitators[1]
    tablet = board.tablet(first)
    staff = tablet.locator("form:has(input[name=kind][value=come_in]) input[name=staff]")
    ids = [staff.nth(i).get_attribute("value") for i in range(staff.count())]
    for id in ids[: max(2, len(people) + 1)]:
        board.send(first, "come_in", staff=id)
    for person in people:
        board.send(first, "arrive", person)
        board.send(second, "vitals", person, systolic_mmhg="118", diastolic_mmhg="76", heart_rate_bpm="66")
        clinic.go(minutes=2)
        board.send(second, "vitals", person, systolic_mmhg="119", diastolic_mmhg="77", heart_rate_bpm="66")
        board.send(first, "prepare_dose", person, lot="SIM-0042")
        board.send(second, "confirm_dose", person)
        board.send(first, "give_dose", person)
    clinic.go(minutes=40)
    for person in people:
        board.send(first, "reach", person, step="reach_onset")
        board.send(second, "moment", person, moment="water")
        board.send(second, "vitals", person, systolic_mmhg="131", diastolic_mmhg="82", heart_rate_bpm="78")
    clinic.go(hours=7)
    for person in people:
        person.measure(visit, when="after_effects")
        for item in clinic.protocol.release.items:
            board.send(second, "sign", person, item=item.id)
        board.send(first, "release", person)


def settle(clinic: Clinic, person: Person, visit: str) -> None:
    """A visit after the dosing days: what it asks, then that it was held."""
    person.measure(visit)
    if clinic.visit(visit).kind == "integration":
        person.integrate(visit)
    else:
        person.hold(visit)
