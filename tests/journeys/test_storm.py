"""A short slice of the storm over the outbox; the long one is `./dev soak outbox`."""

from __future__ import annotations

from typing import Any

import pytest

from soak.outbox import Storm
from tests.journeys.house import House, browser, house

__all__ = ["browser", "house"]
pytestmark = [pytest.mark.browser, pytest.mark.database]


def test_what_a_device_acknowledged_is_in_the_record_once_or_still_on_the_device(house: House, browser: Any) -> None:
    storm = Storm(house, browser)
    for seed in (11, 12):
        found = storm.run(seed, steps=10)
        assert all(found["invariants"].values()), found
        assert found["acknowledged"] > 0
    assert all(storm.aftermath().values())
