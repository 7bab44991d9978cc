"""Pages that become PDF without a browser. Each has a small sheet of its own (`paper.css` beside it)."""

from __future__ import annotations

from typing import Any

from keel.domain.errors import refuse


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
