import pytest

from tests.clinic import clinic

__all__ = ["clinic"]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The long walks through a browser first: at the end one of them would keep a single worker busy alone."""
    items.sort(key=lambda item: ("test_courses" not in item.nodeid, item.get_closest_marker("browser") is None))
