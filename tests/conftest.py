import pytest
from hypothesis import settings

from tests.clinic import clinic

__all__ = ["clinic"]

# How long an example takes is the machine's affair: nothing here is measured by the clock.
settings.register_profile("keel", deadline=None)
settings.load_profile("keel")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The long walks through a browser first: at the end one of them would keep a single worker busy alone."""
    items.sort(key=lambda item: ("test_courses" not in item.nodeid, item.get_closest_marker("browser") is None))
