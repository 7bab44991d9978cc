"""Every page of the URL table in a real browser: axe, 320 px, weight, and pictures to look at."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe

from tests.journeys.house import House, browser, house

__all__ = ["browser", "house"]
pytestmark = pytest.mark.browser

HEAVIEST_BYTES = 200_000
RULES = {"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"], "resultTypes": ["violations"]}
PICTURES = os.environ.get("KEEL_PICTURES")
"""A folder for pictures of every page at 360, 820 and 1440 px, light and dim; none are taken without it."""


def weighed(page: Any, url: str) -> tuple[int, int]:
    """Open a page with an empty cache; gives its status and what it weighed in all, as sent."""
    bodies: list[int] = []
    page.on("requestfinished", lambda request: bodies.append(request.sizes()["responseBodySize"]))
    answer = page.goto(url)
    page.wait_for_load_state("load")
    return answer.status, sum(bodies)


def look(page: Any, name: str) -> None:
    if not PICTURES:
        return
    for width in (360, 820, 1440):
        for scheme in ("light", "dark"):
            page.set_viewport_size({"width": width, "height": 900})
            page.emulate_media(color_scheme=scheme)
            page.screenshot(path=Path(PICTURES) / f"{name}-{width}-{scheme}.png", full_page=True)
    page.emulate_media(color_scheme="light")


def test_every_page_is_accessible_narrow_and_light(house: House, browser: Any) -> None:
    scene = house.make("tests.journeys.scenes:pages")
    wrong: list[str] = []
    axe = Axe()
    desks: dict[str, Any] = {}
    for role, email in scene["emails"].items():
        desks[role] = house.page(browser, width=320, height=800)
        house.sign_in(desks[role], email)
    phone = house.page(browser, width=320, height=800)
    phone.goto(scene["link"])
    for part, value in scene["born"].items():
        phone.get_by_label(part.capitalize(), exact=True).fill(str(value))
    phone.get_by_role("button", name="Open my page").click()
    phone.wait_for_url("**/me/")
    desks["participant"] = phone
    desks["nobody"] = house.page(browser, width=320, height=800)

    for name, role, url in scene["pages"]:
        page = desks[role]
        fresh = page.context.new_page()
        status, weight = weighed(fresh, url)
        if status != 200:
            wrong.append(f"{name} as {role}: status {status}")
        if weight > HEAVIEST_BYTES:
            wrong.append(f"{name} as {role}: {weight} bytes")
        over = fresh.evaluate("() => document.documentElement.scrollWidth - document.documentElement.clientWidth")
        if over > 0:
            wrong.append(f"{name} as {role}: {over} px wider than 320 px")
        for violation in axe.run(fresh, options=RULES).response["violations"]:
            nodes = "; ".join(n["html"][:120] for n in violation["nodes"][:2])
            wrong.append(f"{name} as {role}: axe {violation['id']}: {nodes}")
        look(fresh, f"{name}-{role}")
        fresh.close()
    assert len(scene["pages"]) > 35
    assert not wrong, "\n".join(wrong)
