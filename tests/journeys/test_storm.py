"""A short slice of the storm over the outbox; the long one is `./dev soak outbox`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from soak.outbox import Storm
from soak.warm import warm_house
from tests.journeys.house import browser, databases

__all__ = ["browser"]
pytestmark = [pytest.mark.browser, pytest.mark.database]


def test_what_a_device_acknowledged_is_in_the_record_once_or_still_on_the_device(tmp_path: Path, browser: Any) -> None:
    with databases(os.environ.get("KEEL_TEST_DATABASE", "")) as database, warm_house(tmp_path, database) as house:
        storm = Storm(house, browser)
        for seed in (11, 12):
            found = storm.run(seed, steps=10)
            assert all(found["invariants"].values()), found
            assert found["acknowledged"] > 0
        assert all(storm.aftermath().values())
