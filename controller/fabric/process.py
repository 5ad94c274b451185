"""Process: rounds of the conductor until it is told to stop, and its sign of life beside them.

Place: under `controller.daemon.fabric`. Must not end because the store is away: it goes on when it is back.
"""

from __future__ import annotations

import contextlib
import logging
import threading
from typing import Final

from controller.fabric.bell import Bell
from controller.fabric.conductor import Conductor
from controller.fabric.office import BEAT, Office
from model.errors import RingfenceError

log = logging.getLogger(__name__)
_AWAY: Final = 1.0
"""Seconds until the next round, if the store does not answer."""


def conduct(conductor: Conductor, office: Office, bell: Bell) -> None:
    """Until the bell rings; a failure of another kind than the store's ends the process."""
    beating = threading.Thread(target=_beat, args=(office, bell), name="fabric-beat", daemon=True)
    beating.start()
    away = False
    try:
        while not bell.wait(0):
            try:
                pause = conductor.turn()
            except RingfenceError as error:
                if not away:
                    log.warning("fabric=%s waits for the store: %s", office.fabric, error)
                away, pause = True, _AWAY
            else:
                if away:
                    log.info("fabric=%s goes on", office.fabric)
                away = False
            bell.wait(pause)
    finally:
        bell.ring()
        beating.join()
        with contextlib.suppress(RingfenceError):
            conductor.end()


def _beat(office: Office, bell: Bell) -> None:
    while not bell.wait(BEAT / 2):
        try:
            office.repeat()
        except RingfenceError:
            continue  # the rounds say so
