"""Mooring: wires the device half of an agent together: store, devices, words, and the file for workloads.

Place: `ringfenced agent` starts one with this host's kernel; a lab starts one a host, with simulated NICs.
Must not hold logic.
"""

from __future__ import annotations

import time
from functools import partial
from pathlib import Path
from typing import Final

from controller.agent.bearing import Bearing
from controller.agent.berthing import Berthing
from controller.agent.claims import claims
from controller.agent.credence import Credence
from controller.agent.gauging import Gauging, Watched
from controller.agent.outlets import Bridge
from controller.agent.settling import nobody
from controller.store.calling import Caller
from controller.store.moorings import Lookout
from controller.store.wire import Connection
from controller.store.words import Word
from controller.store.writer import Store
from ipam.devices.kernel import Host, Kernel
from model.bearing import HostWord, format_host
from model.ids import HostName

REMEMBERED: Final = "devices.json"


class Moored:
    """`remote`: of the store. `state`: directory in which it is remembered which cluster was obeyed.
    `berths`: the file that the CNI plugin reads. `bridge`: where representors of ports' VFs go. `gauging`:
    counts what gangs' VFs carry; None = nobody does. `caller`: for a remote over TLS."""

    def __init__(
        self,
        remote: str,
        host: HostName,
        state: Path,
        berths: Path,
        kernel: Kernel | None = None,
        bridge: Bridge | None = None,
        gauging: Gauging | None = None,
        caller: Caller | None = None,
    ) -> None:
        self._host = host
        self._store = Store(remote, connect=partial(Connection, caller=caller))
        hands: Kernel = Host() if kernel is None else kernel
        self._bearing = Bearing(
            host,
            hands if gauging is None else Watched(hands, gauging),
            Credence(host, state / REMEMBERED),
            self._say,
            Berthing(berths, host, _now),
            bridge=bridge,
            follow=nobody if gauging is None else lambda found: gauging.follow(claims(found)),
        )
        self._lookout = Lookout(remote, host, self._bearing.moor, caller=caller)

    def start(self) -> None:
        """Begin; returns at once, whether or not the store is there."""
        self._bearing.start()
        self._lookout.start()

    def stop(self) -> None:
        """End its threads; devices stay as they are."""
        self._lookout.stop()
        self._bearing.stop()
        self._store.close()

    def _say(self, word: HostWord) -> None:
        self._store.say_of_host(Word(self._host, format_host(word), _now()))


def _now() -> int:
    return time.time_ns() // 1_000_000
