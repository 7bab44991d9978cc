"""The stylesheet as paper sees it, for pages that become PDF without a browser."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

SHEET = Path(__file__).parents[1] / "static" / "keel" / "keel.css"


@cache
def stylesheet() -> str:
    """keel.css with the light value of every colour: the PDF writer knows no `light-dark()`."""
    return re.sub(r"light-dark\(\s*([^,()]+),\s*[^()]+\)", r"\1", SHEET.read_text(encoding="utf-8"))
