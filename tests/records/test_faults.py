"""A slice of the storm `faults`: a writer that is killed loses nothing that it acknowledged."""

from __future__ import annotations

import os

import pytest

from soak.faults import storm

pytestmark = pytest.mark.database


def test_a_killed_writer_loses_nothing_that_it_acknowledged() -> None:
    setting = os.environ.get("KEEL_TEST_DATABASE", "sqlite")
    found = storm(setting, seed=20261121, kills=6)
    assert all(found["invariants"].values()), found
