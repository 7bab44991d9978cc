import os
from pathlib import Path

import pytest
from hypothesis import settings

from tests.clinic import clinic

__all__ = ["clinic"]

# How long an example takes is the machine's affair: nothing here is measured by the clock.
settings.register_profile("keel", deadline=None)
settings.load_profile("keel")


def pytest_ignore_collect(collection_path: Path) -> bool | None:
    """The leg on PostgreSQL reads only files in which something is marked for it: reading the others takes as long as many tests."""
    if os.environ.get("KEEL_TEST_DATABASE") != "postgresql" or not collection_path.match("test_*.py"):
        return None
    return None if "mark.database" in collection_path.read_text() else True


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The long walks through a browser first: at the end one of them would keep a single worker busy alone."""
    items.sort(key=lambda item: ("test_courses" not in item.nodeid, item.get_closest_marker("browser") is None))
