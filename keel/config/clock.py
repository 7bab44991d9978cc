"""The one thread that looks at the time by itself: it seals the journal, lets unanswered alerts climb, and puts covers into the
letter box."""

from __future__ import annotations

import logging
import secrets
import threading
from collections.abc import Callable

from django.db import close_old_connections

from keel.actions.concerns import COVERS_A_DAY, post_cover
from keel.actions.now import now
from keel.actions.record import seal
from keel.actions.safety import climb_alerts
from keel.domain.access import SYSTEM

SEAL_SECONDS = 1.0
CLIMB_EVERY = 5  # seals

log = logging.getLogger(__name__)


class Clock(threading.Thread):
    """Runs beside the server. A turn that fails is logged and tried again at the next: nothing waits for it."""

    def __init__(self) -> None:
        super().__init__(name="keel-clock", daemon=True)
        self._over = threading.Event()

    def run(self) -> None:
        turn = 0
        while not self._over.wait(SEAL_SECONDS):
            turn += 1
            self._try(lambda: seal(by=SYSTEM, at=now()))
            if secrets.randbelow(int(86_400 / SEAL_SECONDS / COVERS_A_DAY)) == 0:
                self._try(lambda: post_cover(by=SYSTEM, at=now()))
            if turn % CLIMB_EVERY == 0:
                self._try(lambda: climb_alerts(by=SYSTEM, at=now()))

    def _try(self, what: Callable[[], object]) -> None:
        try:
            close_old_connections()
            what()
        except Exception:
            log.exception("a turn of the clock failed")

    def stop(self) -> None:
        self._over.set()
        self.join(timeout=5)
