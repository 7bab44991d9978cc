"""Keel's pages, a bare insert, and the command that is measured beside it."""

from __future__ import annotations

import json
from datetime import datetime

from django.db import connection, transaction
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.urls import path
from django.views.decorators.csrf import csrf_exempt

from keel.actions import assessment
from keel.domain.events import Actor
from keel.records.journal import one_writer
from keel.web.layout.page import page
from keel.web.urls import handler404, handler500, urlpatterns

__all__ = ["handler404", "handler500", "urlpatterns"]


@csrf_exempt
def bare(request: HttpRequest) -> HttpResponse:
    """One row, committed as durably as everything else: no sign-in, no rule, no chain, no projection."""
    given = json.loads(request.body)
    with one_writer(), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("INSERT INTO bench_bare (id, body) VALUES (%s, %s)", [given["id"], json.dumps(given["items"])])
    return JsonResponse({"status": "recorded"})


@csrf_exempt
@page("enter_paper", methods=("POST",))
def command(request: HttpRequest, *, by: Actor, at: datetime) -> HttpResponse:
    """A PHQ-9 taken whole: signed in, allowed, validated, scored, judged, chained, projected, committed."""
    given = json.loads(request.body)
    done = assessment.enter(
        course=given["course"], visit="", instrument="phq-9", items=given["items"], by=by, at=at, id=given["id"]
    )
    return JsonResponse({"status": "recorded", "id": done.id, "scores": done.payload["scores"]})


urlpatterns = [*urlpatterns, path("bench/bare/", bare), path("bench/command/", command)]
