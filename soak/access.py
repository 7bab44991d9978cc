"""`access`: random people ask for random pages with random ids, again and again.

Whatever is asked, nobody reads the name or the code of a course that is not theirs, nobody gets what the access table
refuses, and no request ends in an error of the server. Ids are real ones of both people and both sites, broken ones,
and ones of another kind in the wrong place; methods and bodies are mixed as well.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from bench import site

REQUESTS_A_RUN = 1_500
CODE = """
import json, logging, random, time
from django.test import Client
from keel.domain import access
from keel.records import vault
from keel.records.models import CourseRow
from tests.world import doors, small_world
logging.disable(logging.CRITICAL)
rng = random.Random({seed})
at = small_world()
courses = list(CourseRow.objects.all())
private = {{c.id: (c.code, vault.identity(c.participant).name) for c in courses}}
def staff(account):
    client = Client(raise_request_exception=False)
    client.force_login(account, backend="allauth.account.auth_backends.AuthenticationBackend")
    return client
def phone(link, born):
    client = Client(raise_request_exception=False); client.post(link, born); return client
people = [(role, "here", staff(a)) for role, a in at.here.items()]
people += [(role, "elsewhere", staff(a)) for role, a in at.elsewhere.items()]
people += [("participant", "mine", phone(at.link, at.born)), ("participant", "other", phone(at.others_link, at.others_born))]
people += [("nobody", "", Client(raise_request_exception=False))]
ids = list(at.values.values()) + [c.id for c in courses] + ["-", "x", "0" * 36, "%00", "session-1", "../..", "baseline", "wai-sr"]
pages = list(doors())
asked, errors, leaks, entered = 0, [], [], []
until = time.monotonic() + {seconds}
while asked < {most} and time.monotonic() < until:
    asked += 1
    page, (role, where, client) = rng.choice(pages), rng.choice(people)
    kwargs = {{n: (at.values[n] if rng.random() < 0.6 else rng.choice(ids)) for n in page.pattern.converters}}
    from django.urls import NoReverseMatch, reverse
    try:
        url = reverse(page.name, kwargs=kwargs)
    except NoReverseMatch:
        continue
    method = rng.choice(["get", "get", "get", "post", "put"])
    form = {{"form": rng.choice(["x", "hold", "sign", "enrol", "withdraw"]), "course": courses[0].id}}
    if method == "put":
        answer = client.put(url, "{{}}", content_type="application/json")
    else:
        answer = getattr(client, method)(url, rng.choice([{{}}, form]) if method == "post" else {{}})
    text = (b"".join(answer) if answer.streaming else answer.content).decode(errors="replace")
    if answer.status_code >= 500:
        errors.append([role, where, method, url, answer.status_code])
    table = access.TABLE[page.callback.door].roles
    if answer.status_code == 200 and method == "get" and role not in table and role != "nobody":
        entered.append([role, where, url])
    own = {{at.course.id}} if where == "mine" else ({{c.id for c in courses if c.id != at.course.id}} if where == "other" else set())
    if where in ("elsewhere", "mine", "other", ""):
        for id, words in private.items():
            if id not in own and any(w in text for w in words):
                leaks.append([role, where, url])
print(json.dumps({{"asked": asked, "errors": errors[:5], "leaks": leaks[:5], "entered": entered[:5]}}))
"""


def run(seed: int, minutes: float) -> Iterator[dict[str, Any]]:
    for setting in ("sqlite", "postgresql"):
        yield storm(setting, seed, most=REQUESTS_A_RUN, seconds=minutes * 30)


def storm(setting: str, seed: int, *, most: int, seconds: float) -> dict[str, Any]:
    """Ask at most so often, for at most so long, on one database."""
    with site.database(setting) as env:
        found = json.loads(site.python(env, CODE.format(seed=seed, most=most, seconds=seconds)).splitlines()[-1])
    return {
        "setting": setting,
        "requests": found["asked"],
        "invariants": {
            "no error of the server": not found["errors"],
            "nobody reads of a course that is not theirs": not found["leaks"],
            "nobody gets a page that the table refuses": not found["entered"],
        },
        "found": {k: found[k] for k in ("errors", "leaks", "entered") if found[k]},
    }
