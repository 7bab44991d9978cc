"""Keel's settings with the benchmark's two addresses, and nothing else changed."""

from keel.config.settings import *  # noqa: F403

ROOT_URLCONF = "bench.urls"
