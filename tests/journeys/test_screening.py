"""A consent signed on a phone, and a sheet worked through at a desk, in a real browser and by keyboard."""

from __future__ import annotations

from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe

from tests.journeys.house import House, browser, house
from tests.journeys.test_phone import open_link

__all__ = ["browser", "house"]
pytestmark = pytest.mark.browser


def look(page: Any) -> None:
    """What axe finds wrong with the page as it stands: nothing; and nothing runs out of it sideways."""
    found = Axe().run(page).response["violations"]
    assert not found, [(v["id"], v["nodes"][0]["html"]) for v in found]
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")


def press(page: Any, name: str) -> None:
    """Press a button or follow a link without a mouse, and wait for the page it leads to."""
    target = page.get_by_role("button", name=name).or_(page.get_by_role("link", name=name)).first
    target.focus()
    with page.expect_navigation(timeout=60_000):
        page.keyboard.press("Enter")


def choose(page: Any, words: str) -> None:
    page.get_by_label(words, exact=True).focus()
    page.keyboard.press("Space")


def test_a_consent_is_read_understood_and_signed_on_a_phone(house: House, browser: Any) -> None:
    scene = house.make("tests.journeys.scenes:screening")
    page = house.page(browser, width=320, height=700)
    open_link(page, scene)
    press(page, "Read it")
    page.get_by_role("heading", name="What this is about").wait_for()
    look(page)
    for _ in range(7):
        press(page, "Go on")
    press(page, "On to the questions")
    choose(page, "It ends")
    press(page, "Save and go on")
    page.get_by_text("Not quite, and that is no harm.").wait_for()
    look(page)
    for _ in scene["right"]:
        asked = page.locator("input[name=question]").get_attribute("value")
        choose(page, scene["right"][asked])
        press(page, "Save and go on")
    page.get_by_role("heading", name="Your signature").wait_for()
    look(page)
    choose(page, "I want this, of my own free will. I know that I can stop at any time.")
    page.get_by_label("Your first and last name").fill("Somebody Else")
    press(page, "Sign it")
    page.get_by_text("not the name we know you by").wait_for()
    page.get_by_label("Your first and last name").fill(scene["name"])
    press(page, "Sign it")
    page.get_by_text("You signed this on").wait_for()
    look(page)


def test_a_missing_fact_is_one_click_from_its_field(house: House, browser: Any) -> None:
    scene = house.make("tests.journeys.scenes:screening")
    page = house.page(browser, width=1440)
    house.sign_in(page, scene["emails"]["north/physician"])
    page.goto(f"/course/{scene['course']}/screening/")
    look(page)
    press(page, "Epilepsy or a seizure disorder")
    page.wait_for_url("**/facts/#fact-history.seizure_disorder")
    field = page.locator("[id='fact-history.seizure_disorder']")
    assert field.is_visible() and field.evaluate("element => element.matches(':target')")
    look(page)
    field.get_by_label("No", exact=True).focus()
    page.keyboard.press("Space")
    page.get_by_label("Body weight").fill("7150")
    press(page, "Record and judge")
    page.get_by_text("7150 kg cannot be").first.wait_for()
    assert field.get_by_label("No", exact=True).is_checked()
    page.get_by_label("Body weight").fill("71.5")
    press(page, "Record and judge")
    page.get_by_role("heading", name="Eligibility").wait_for()
    assert page.get_by_role("link", name="Epilepsy or a seizure disorder").count() == 0
    page.get_by_text("rules found nothing").click()
    assert page.get_by_text("Epilepsy or a seizure disorder: no").is_visible()
