"""A cohort of three and two tablets in one room: nothing that was tapped is lost, and both tablets agree."""

from __future__ import annotations

import io
import time
import wave
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from PIL import Image

from tests.journeys.house import House, browser, house

__all__ = ["browser", "house"]
pytestmark = pytest.mark.browser

SCENES = "tests.journeys.day_scenes"


class Tablet:
    """A tablet with the board open."""

    def __init__(self, house: House, browser: Any, email: str, session: str, **size: int) -> None:
        self.page = house.page(browser, **({"width": 1180, "height": 820} | size))
        self.page.context.set_default_timeout(40_000)  # a machine that tests much at once is slow
        self.faults: list[str] = []
        self.path = f"/session/{session}/"
        house.sign_in(self.page, email)
        self.open()

    def open(self) -> None:
        self.page.on("pageerror", lambda fault: self.faults.append(str(fault)))
        self.page.goto(self.path)
        self.page.locator("main[data-ready]").wait_for()

    def person(self, course: str) -> Any:
        return self.page.locator(f"#p-{course}")

    def tap(self, course: str, what: str) -> None:
        self.person(course).get_by_role("button", name=what, exact=True).first.click()

    def taps_at_once(self, course: str, *what: str) -> None:
        """Press buttons so fast that the device has not written the first when the last comes."""
        buttons = [self.person(course).get_by_role("button", name=name, exact=True).first for name in what]
        self.page.evaluate("buttons => buttons.forEach(b => b.click())", [b.element_handle() for b in buttons])

    def vitals(self, course: str, *values: int) -> int:
        """One set of vital signs; gives how many taps it took, digits not counted."""
        self.person(course).locator("details.vitals-entry > summary").click()
        for value in values:  # the focus is in the first field and goes on by itself
            self.page.keyboard.type(str(value))
        self.person(course).get_by_role("button", name="Record", exact=True).click()
        return 2

    def says(self, words: str) -> None:
        said = self.page.locator("[data-outbox-state]")
        until(lambda: words in said.inner_text(), self.page, what_is=said.inner_text)

    def waiting(self, number: int) -> None:
        until(lambda: self.page.locator("[data-waiting] > li").count() == number, self.page)


def until(what: Any, page: Any, seconds: float = 40.0, what_is: Any = lambda: "") -> None:
    began = time.monotonic()
    while not what():
        assert time.monotonic() - began < seconds, f"it did not come about in time {what_is()}"
        page.wait_for_timeout(50)


@pytest.mark.database
def test_two_tablets_lose_nothing_and_agree(house: House, browser: Any) -> None:
    scene = house.make(f"{SCENES}:cohort_under_way")
    session, (ada, ben, cleo) = scene["session"], scene["courses"]
    one = Tablet(house, browser, scene["emails"]["north/facilitator"], session)
    two = Tablet(house, browser, scene["emails"]["north/physician"], session)

    # In touch: what is entered on one tablet comes to the other without a reload; how fast is for `./dev bench live-board`.
    assert one.vitals(ada, 128, 82, 71) <= 6
    two.person(ada).locator(".reading").get_by_text("128", exact=True).wait_for(timeout=20_000)
    until(lambda: one.page.locator("[data-waiting] > li").count() == 0, one.page)

    # The worker has to hold the board before the network goes.
    for tablet in (one, two):
        tablet.page.evaluate("navigator.serviceWorker.ready.then(() => undefined)")
        url = tablet.page.url
        until(lambda t=tablet, u=url: t.page.evaluate("u => caches.match(u).then(Boolean)", u), tablet.page)
        tablet.page.context.set_offline(True)

    for what in ("Water", "Distress", "Reassurance"):
        one.tap(ada, what)
    one.vitals(ben, 141, 88, 90)
    one.says("4 entries are saved on this device")
    one.page.get_by_text("Out of touch").wait_for()  # not "up to date" a moment longer than the network was there
    two.taps_at_once(cleo, "Silence", "Silence", "Insight")  # pressed twice is one entry; the next button is another
    two.vitals(cleo, 133, 80, 76)
    two.says("3 entries are saved on this device")
    one.waiting(4)

    # A step that a rule has to allow first is not taken without the record, and what was typed stays.
    two.person(cleo).get_by_text("Release", exact=True).click()
    two.person(cleo).get_by_role("button", name="Sign and release").click()
    two.person(cleo).get_by_text("asks the record first").wait_for()

    # A reload, a tab that dies and a server that is started anew, all while the network is gone.
    one.page.reload()
    one.page.locator("main[data-ready]").wait_for()
    one.waiting(4)
    house.restart()
    dead = two.page
    two.page = dead.context.new_page()
    dead.close()
    two.open()
    two.waiting(3)
    one.tap(ben, "Water")
    one.waiting(5)
    assert len(house.make(f"{SCENES}:standing", session=session)["moments"]) == 0

    for tablet in (one, two):
        tablet.page.context.set_offline(False)
    for tablet in (one, two):
        tablet.says("Everything has reached the record")
        tablet.waiting(0)

    for tablet in (one, two):  # they agree, without a reload
        tablet.person(ben).locator(".reading").get_by_text("141", exact=True).wait_for(timeout=20_000)
        tablet.person(cleo).locator(".reading").get_by_text("133", exact=True).wait_for(timeout=20_000)
        assert not tablet.faults

    found = house.make(f"{SCENES}:standing", session=session)
    by_person = {course: [kind for _, c, kind, _ in found["moments"] if c == course] for course in (ada, ben, cleo)}
    assert by_person == {ada: ["water", "distress", "reassurance"], ben: ["water"], cleo: ["silence", "insight"]}
    assert Counter(map(tuple, found["vitals"])) == {(ada, 128): 1, (ben, 141): 1, (cleo, 133): 1}
    assert found["verified"] and found["identical"] and not found["twice"]


def test_what_a_rule_refuses_stays_in_sight_until_somebody_settles_it(house: House, browser: Any) -> None:
    scene = house.make(f"{SCENES}:cohort_under_way", people=1)
    (ada,) = scene["courses"]
    tablet = Tablet(house, browser, scene["emails"]["north/facilitator"], scene["session"])
    tablet.vitals(ada, 82, 128, 71)  # upside down
    refused = tablet.page.locator("[data-outbox-refusals]")
    refused.get_by_text("82 over 128 is upside down").wait_for()
    room = tablet.page.locator("details[data-shared]")
    room.locator("summary").first.click()
    room.get_by_role("button", name="leaves the room").first.click()  # and nothing behind it waits
    shared = tablet.page.locator("#part-room")
    shared.get_by_text("Wait until they are there").wait_for()
    room.get_by_role("button", name="Take back:").click()  # it was the wrong one
    shared.get_by_text("As many as asked for").wait_for()
    room.locator("#files").set_input_files({"name": "Sea.wav", "mimeType": "audio/wav", "buffer": silence()})
    room.get_by_role("button", name="Sea.wav").click()
    shared.get_by_text("Music: Sea").or_(shared.get_by_text("Music: stopped")).wait_for()  # played, and logged
    assert [m[2] for m in house.make(f"{SCENES}:standing", session=scene["session"])["moments"]][:2] == [
        "withdrawn", "music",
    ]  # fmt: skip
    tablet.page.reload()
    tablet.page.locator("main[data-ready]").wait_for()
    refused.get_by_text("82 over 128 is upside down").wait_for()
    refused.get_by_role("button", name="Remove it from this device").click()
    until(lambda: refused.locator("li").count() == 0, tablet.page)
    assert house.make(f"{SCENES}:standing", session=scene["session"])["vitals"] == []


def silence(seconds: int = 1) -> bytes:
    """A WAV file in which nothing is heard."""
    file = io.BytesIO()
    with wave.open(file, "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(2)
        sound.setframerate(8_000)
        sound.writeframes(bytes(2 * 8_000 * seconds))
    return file.getvalue()


SIZES = {"phone": (390, 844), "tablet": (1180, 820), "desktop": (1440, 900)}


def test_the_room_stays_dim_reachable_and_sound(house: House, browser: Any, tmp_path: Path) -> None:
    scene = house.make(f"{SCENES}:cohort_under_way")
    tablet = Tablet(house, browser, scene["emails"]["north/facilitator"], scene["session"])
    page, ada = tablet.page, scene["courses"][0]
    tablet.vitals(ada, 148, 92, 96)
    page.locator(".reading").get_by_text("148", exact=True).wait_for()
    for name, (width, height) in SIZES.items():
        page.set_viewport_size({"width": width, "height": height})
        page.reload()
        page.locator("main[data-ready]").wait_for()
        for theme in ("dim", "light"):
            page.evaluate("theme => document.documentElement.dataset.theme = theme", theme)
            shot = page.screenshot(path=tmp_path / f"board-{name}-{theme}.png")
            if theme == "dim":
                assert brightness(shot) < 0.08, name
            found = Axe().run(page).response["violations"]
            assert not found, [(name, v["id"], v["nodes"][0]["html"][:200]) for v in found]
        for drawer in page.locator("main details > summary").all():
            drawer.click()
        small = page.evaluate(SMALL)
        assert not small, (name, small)
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), name
    assert not tablet.faults


SMALL = """() => [...document.querySelectorAll('main button, main summary, main a, main select, main input:not([type=hidden])')]
  .map(node => node.closest('label') ?? node).filter(node => node.offsetParent && !node.matches('.small a'))
  .filter(node => node.getBoundingClientRect().height < 47.5).map(node => node.outerHTML.slice(0, 120))"""


def brightness(shot: bytes) -> float:
    """The mean relative luminance of a picture."""
    picture = Image.open(io.BytesIO(shot)).convert("RGB").resize((200, 200))
    total = 0.0
    parts = iter(picture.tobytes())
    for pixel in zip(parts, parts, parts, strict=True):
        r, g, b = (p / 255 / 12.92 if p / 255 <= 0.04045 else ((p / 255 + 0.055) / 1.055) ** 2.4 for p in pixel)
        total += 0.2126 * r + 0.7152 * g + 0.0722 * b
    return total / (200 * 200)


def test_by_keyboard_alone(house: House, browser: Any) -> None:
    scene = house.make(f"{SCENES}:cohort_under_way", people=1)
    tablet = Tablet(house, browser, scene["emails"]["north/facilitator"], scene["session"])
    page, ada = tablet.page, scene["courses"][0]
    tablet.person(ada).locator("details.vitals-entry > summary").focus()
    page.keyboard.press("Enter")
    page.wait_for_timeout(100)
    page.keyboard.type("119")
    page.keyboard.type("77")
    page.keyboard.type("66")
    page.keyboard.press("Enter")  # the focus went on to the button
    tablet.person(ada).locator(".reading").get_by_text("119", exact=True).wait_for()
    tablet.person(ada).get_by_role("button", name="Water", exact=True).focus()
    page.keyboard.press("Space")
    until(lambda: house.make(f"{SCENES}:standing", session=scene["session"])["moments"], page)
    tablet.person(ada).get_by_role("button", name="Take back: Water").focus()
    page.keyboard.press("Enter")  # a wrong tap is taken back
    tablet.person(ada).locator("details > summary", has_text="Log of").focus()
    page.keyboard.press("Enter")
    tablet.person(ada).get_by_text("Taken back: Water").wait_for()

    # With every drawer open the tab key comes to each action of the board, one after the other.
    page.evaluate("document.querySelectorAll('main details').forEach(drawer => { drawer.open = true; })")
    page.locator("body").press("Tab")
    wanted = page.evaluate(ACTIONS)
    for _ in range(4 * wanted):
        page.keyboard.press("Tab")
        if not page.evaluate(LEFT):
            break
    assert wanted > 40 and page.evaluate(LEFT) == []


ACTIONS = """() => { const all = [...document.querySelectorAll('main :is(button, a[href], summary, select, textarea, input:not([type=hidden]))')]
  .filter(node => node.checkVisibility()); globalThis.left = new Set(all.filter(node => node !== document.activeElement));
  addEventListener('focusin', event => globalThis.left.delete(event.target)); return all.length; }"""
LEFT = "() => [...globalThis.left].filter(node => node.isConnected).map(node => node.outerHTML.slice(0, 120))"
