"""PDFs: made without fetching anything, and refused in words where the system lacks what sets their type."""

from __future__ import annotations

import subprocess
import sys
from importlib.abc import MetaPathFinder
from pathlib import Path
from typing import Any

import pytest

from keel.domain.errors import Refused
from keel.web.layout.paper import as_pdf


class WithoutPango(MetaPathFinder):
    """WeasyPrint on a machine without Pango: importing it ends in an OSError."""

    def find_spec(self, name: str, *rest: Any) -> None:
        if name == "weasyprint":
            raise OSError("cannot load library 'libpango-1.0-0'")


def test_a_page_becomes_a_pdf() -> None:
    assert as_pdf("<h1>Simulated</h1>", "h1 { color: black }").startswith(b"%PDF")


def test_where_pango_is_missing_the_paper_is_refused_with_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [n for n in sys.modules if n.partition(".")[0] == "weasyprint"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(sys, "meta_path", [WithoutPango(), *sys.meta_path])
    with pytest.raises(Refused, match="libpango"):
        as_pdf("<h1>Simulated</h1>", "")


def test_no_page_needs_pango_to_be_loaded() -> None:
    asked = "import django, sys; django.setup(); import keel.web.urls; sys.exit('weasyprint' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", asked], cwd=Path(__file__).parents[2], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
