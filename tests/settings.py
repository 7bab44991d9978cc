"""Keel's settings with a home of its own, on the database that the leg of the test run names."""

import os
import tempfile

os.environ["KEEL_HOME"] = os.environ.get("KEEL_TEST_HOME") or tempfile.mkdtemp(prefix="keel-tests-")
os.environ["KEEL_DATABASE"] = os.environ["KEEL_TEST_PG"] if os.environ.get("KEEL_TEST_DATABASE") == "postgresql" else ""
os.environ.pop("KEEL_SHELF", None)

from keel.config.settings import *  # noqa: F403
from keel.config.settings import DATABASES

PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]

if "OPTIONS" in DATABASES["default"]:
    # Nothing here cuts the power: a commit need not wait for the disk. What `keel` itself does keeps FULL.
    DATABASES["default"]["OPTIONS"]["init_command"] += " PRAGMA synchronous=OFF;"
