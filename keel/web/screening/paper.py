"""A consent as a tagged PDF: the text, its fingerprint, the answers, the signatures with their times."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

from django.conf import settings
from django.http import HttpResponse
from django.template.loader import render_to_string

from keel.queries.screening import SignedPaper
from keel.web.layout import paper as layout

SHEET = Path(__file__).with_name("paper.css")
KINDS = {
    "consent_offered": "Offered",
    "comprehension_answered": "Last answer to the questions",
    "consent_signed": "Signed by the participant",
    "consent_countersigned": "Countersigned by the team",
    "consent_withdrawn": "Withdrawn or declined",
}


def as_pdf(paper: SignedPaper, at: datetime) -> HttpResponse:
    """The paper as a file that a screen reader can follow (PDF/UA-1)."""
    zone = ZoneInfo(paper.timezone)
    context = {
        "paper": paper,
        "events": [(KINDS[kind], id) for kind, id in paper.events],
        "times": {name: _local(getattr(paper.paper, name), zone) for name in _TIMES},
        "printed_at": at.astimezone(zone),
        "simulated": settings.SIMULATED,
    }
    text = render_to_string("screening/paper.html", context)
    pdf = layout.as_pdf(text, SHEET.read_text(encoding="utf-8"), pdf_variant="pdf/ua-1")
    response = HttpResponse(pdf, content_type="application/pdf")
    name = f"{paper.code}-{paper.document.id}-v{paper.document.version}.pdf"
    response["Content-Disposition"] = f'inline; filename="{name}"'
    return response


_TIMES = ("offered_at", "signed_at", "countersigned_at", "withdrawn_at")


def _local(moment: datetime | None, zone: ZoneInfo) -> datetime | None:
    return moment.astimezone(zone) if moment else None
