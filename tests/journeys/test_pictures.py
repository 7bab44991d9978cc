"""The pictures in the documents are photographs of the simulated clinic, taken here.

KEEL_WRITE_PICTURES=1 ./dev test tests/journeys/test_pictures.py -n0    # writes them to docs/pictures anew
"""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from tests.journeys.house import House, browser, house

__all__ = ["browser", "house"]
pytestmark = [pytest.mark.browser]

FOLDER = Path(__file__).parents[2] / "docs" / "pictures"
WRITE = os.environ.get("KEEL_WRITE_PICTURES") == "1"
LARGEST_BYTES = 200_000


def photograph(page: Any) -> bytes:
    """What the window shows, as a PNG of 128 colours: the pages are ink on paper and lose nothing by it."""
    picture = Image.open(io.BytesIO(page.screenshot())).convert("RGB")
    written = io.BytesIO()
    picture.quantize(128, dither=Image.Dither.NONE).save(written, "PNG", optimize=True)
    return written.getvalue()


def test_the_caseload_of_the_simulated_clinic_fits_a_desk(house: House, browser: Any) -> None:
    # Photographed whole when it is kept; a few people are enough to see that the page stands.
    assert house.make("keel.cli.demo:fill", **({} if WRITE else {"people": 2, "groups": False}))
    page = house.page(browser, width=1440, height=900, color_scheme="light")
    page.set_default_timeout(60_000)  # a whole clinic was just written beside it
    house.sign_in(page, "coordinator@harbour.example")
    page.goto("/caseload/")
    assert page.get_by_text("Simulated data.").is_visible()
    assert page.get_by_role("link", name="Ada Simulated").or_(page.get_by_text("ended")).count()
    assert page.evaluate("document.documentElement.scrollWidth") <= 1440
    picture = photograph(page)
    assert len(picture) <= LARGEST_BYTES
    if WRITE:
        FOLDER.mkdir(exist_ok=True)
        (FOLDER / "caseload.png").write_bytes(picture)


def test_the_kept_picture_is_a_desk_and_is_small() -> None:
    kept = FOLDER / "caseload.png"
    assert Image.open(kept).size == (1440, 900)
    assert kept.stat().st_size <= LARGEST_BYTES
