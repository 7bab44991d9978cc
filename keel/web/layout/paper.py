"""Pages that become PDF without a browser, and the stylesheet as paper sees it."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import Any

from keel.domain.errors import refuse

SHEET = Path(__file__).parents[1] / "static" / "keel" / "keel.css"


@cache
def stylesheet() -> str:
    """keel.css with the light value of every colour: the PDF writer knows no `light-dark()`."""
    return re.sub(r"light-dark\(\s*([^,()]+),\s*[^()]+\)", r"\1", SHEET.read_text(encoding="utf-8"))


def as_pdf(page: str, style: str, **more: Any) -> bytes:
    """A whole page of HTML as a PDF; `more` goes to WeasyPrint. Nothing is fetched for it.

    Loaded only here: it takes a while, and it needs Pango from the system. Where that is missing the paper is refused
    and every other page stands.
    """
    try:
        from weasyprint import CSS, HTML
    except OSError:
        raise refuse(
            "The paper was not made",
            "this machine has no Pango, which sets its type",
            "Install it on the server (on Debian: apt-get install libpango-1.0-0 libpangoft2-1.0-0), or print the page from the browser",
            code="no-pango",
        ) from None
    written: bytes = HTML(string=page, url_fetcher=_nothing).write_pdf(stylesheets=[CSS(string=style)], **more)
    return written


def _nothing(url: str) -> Any:
    raise ValueError(f"a paper is made of its own text; it does not fetch {url}")
