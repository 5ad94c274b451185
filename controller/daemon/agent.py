"""`ringfenced agent`: wires the agent of one hypervisor together and runs its loop.

Place: the only place that makes every hand of the agent. Must not hold logic of the loop or the core.
"""

from __future__ import annotations

import gc
import logging
import queue
import random
import secrets
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Final

from accounting.journal import Journal
from bgp.client import Client
from bgp.interest import Interest
from controller.agent import announcements, core, disk
from controller.agent.answering import Answering
from controller.agent.calm import Calm
from controller.agent.effects import Effects
from controller.agent.events import Event, Followed, Inventory, SessionDown, SessionUp
from controller.agent.fights import Fights
from controller.agent.fitting import Fitting
from controller.agent.hush import Hush
from controller.agent.keeper import Keeper
from controller.agent.leasing import Leasing, StoreRows
from controller.agent.looking import Looking
from controller.agent.loop import Loop
from controller.agent.meter import Meter, read_boot_id
from controller.agent.metering import Metering
from controller.agent.pathing import Pathing
from controller.agent.probing import Probing
from controller.agent.questioning import Questioning
from controller.agent.resolving import Resolving
from controller.agent.seating import Seating
from controller.agent.sequences import Sequences
from controller.agent.state import Seen
from controller.agent.switching import Switching
from controller.agent.telling import HandedUp
from controller.agent.upload import Uploader
from controller.agent.vantage import Vantage
from controller.daemon import allocator, evidence
from controller.daemon.agent_flags import Settings, parse
from controller.daemon.bypass import Bypass
from controller.daemon.mooring import Moored
from controller.southbound.netlink import ways
from controller.southbound.openflow.encoder import Encoder
from controller.southbound.openflow.gate import Gate
from controller.southbound.openflow.session import TARGETS, Callbacks, SessionRunner
from controller.southbound.ovsdb.database import SwitchDatabase
from controller.southbound.ovsdb.plugging import Plugging
from controller.southbound.ovsdb.reading import Local
from controller.southbound.probe import Prober
from controller.store import framing
from controller.store.watch import Watch
from controller.store.wire import Connection, Seat
from controller.store.writer import Store
from ipam.devices import look
from ipam.devices.kernel import ROOT, Kernel
from model.ids import HostName
from pipelines import cookies

LOG: Final = logging.getLogger(__name__)
_SWITCH: Final = 0.001
"""Seconds for which a thread may hold up another one that is ready (Python's own: 0.005). While the upload
parses megabytes the loop goes on after 1.3 ms, not 7, each time that it has waited for the switch."""
_COLLECT: Final = (50_000, 20, 20)
"""Thresholds of the garbage collector. What the agent holds is frozen values, many and without cycles, which
the collector walks in vain: compiling 100,000 flows took 1.0 s with Python's thresholds, 0.6 s with these."""


def run(argv: Sequence[str], kernel: Kernel | None = None) -> int:
    """Until terminated. `kernel`: in the place of this host's, for its VFs; labs have another."""
    settings = parse(argv)
    gc.set_threshold(*_COLLECT)
    sys.setswitchinterval(_SWITCH)
    allocator.give_back()
    framing.speed_up()
    settings.state.mkdir(parents=True, exist_ok=True, mode=0o750)
    events: queue.SimpleQueue[Event] = queue.SimpleQueue()
    named = _SystemId()
    database = SwitchDatabase(
        f"unix:{settings.rundir / 'db.sock'}",
        settings.rundir,
        lambda local: _on_local(local, named, events.put),
        settings.bridge,
    )
    database.start()
    host = named.wait()
    LOG.info("agent begins host=%s rundir=%s datapath=%s", host, settings.rundir, settings.datapath)
    with _Hands(settings, host, database, events, kernel) as hands:
        with Calm():
            saved = disk.load(settings.state / "snapshot.json")
            if saved is not None and saved.host != host:
                LOG.error("snapshot of another host is passed over host=%s found=%s", host, saved.host)
                saved = None
            past = Fights(settings.state, time.monotonic, time.time).recall()
            start = replace(core.start(host, saved, settings.limits, past), shares=settings.shares)
        loop = Loop(start, hands.effects, events, settings.state, settings.pace)
        hands.start(start.table.interest)
        connect = partial(Connection, settings.store, Seat.ANY, settings.caller)
        questioning = Questioning(
            connect,
            host,
            lambda: loop.core,
            events.put,
            settings.rundir,
            settings.bridge,
        )
        questioning.start()
        place = settings.rundir, settings.bridge, settings.state
        hands.answering.start(lambda: loop.core.effective)
        try:
            with evidence.watching(connect, host, lambda: loop.core, *place, settings.evidence):
                loop.run()
        finally:
            questioning.stop()
            LOG.info("agent ends host=%s", host)
    database.stop()
    return 0


class _SystemId:
    """The first name that the switch database gives this host; it stays for the life of the process."""

    def __init__(self) -> None:
        self._known = threading.Event()
        self._name = ""

    def offer(self, name: str) -> None:
        if name and not self._name:
            self._name = name
            self._known.set()
        elif name != self._name:
            LOG.error("system-id changed from=%s to=%s: restart the agent", self._name, name)

    def wait(self) -> HostName:
        while not self._known.wait(10.0):
            LOG.warning("waiting for Open_vSwitch external_ids:system-id: is ovsdb-server running?")
        return HostName(self._name)


def _on_local(local: Local, named: _SystemId, put: Callable[[Event], None]) -> None:
    if local.system_id:
        named.offer(local.system_id)
    put(Inventory(local.system_id, Seen(local.switch, local.interfaces)))


class _Hands:
    """Everything that the loop uses, started and stopped in order."""

    def __init__(
        self,
        settings: Settings,
        host: HostName,
        database: SwitchDatabase,
        events: queue.SimpleQueue[Event],
        kernel: Kernel | None,
    ) -> None:
        put = events.put
        vantage = Vantage(seating=Seating(settings.state / "seats"))
        self._switching = Switching(
            database,
            settings.rundir,
            settings.bridge,
            settings.datapath,
            time.monotonic,
            partial(put, Followed()),
        )
        journal = Journal(settings.state / "egress")
        refused = settings.state / "egress-refused.jsonl"
        self._uploader = Uploader(journal, host, settings.post(), refused, random.Random())
        meter = Meter(
            journal,
            self._switching.counters,
            lambda: time.time_ns() // 1_000_000,
            read_wires=vantage.wires,
            on_written=self._uploader.wake,
            slices=self._switching.counter_slices,
        )
        connect = partial(Connection, caller=settings.caller)
        self._store = Store(settings.store, connect=connect)
        self._leases = connect(settings.store)
        self._leasing = Leasing(
            host,
            settings.timing,
            Gate(settings.rundir / f"{settings.bridge}.mgmt", Encoder()),
            lambda partner: StoreRows(self._leases, host, partner),
            put,
        )
        self._metering = Metering(
            meter,
            vantage,
            self._switching,
            self._uploader,
            journal,
            settings.rundir,
            read_boot_id(),
            breaches=self._leasing.breaches,
            devices=lambda: self._bypass.withheld,
        )
        self._keeper = Keeper(self._store, host, put, self._leasing.hold)
        self._probing = Probing(Prober(secrets.randbits(64)), put)
        self._speaker = None if settings.speaker is None else Client(str(settings.speaker), put)
        self._watch = Watch(settings.store, host, put, caller=settings.caller)
        callbacks = Callbacks(
            on_up=lambda _: put(SessionUp()),
            on_down=lambda reason: put(SessionDown(reason)),
            on_port=lambda *_: None,  # the switch database says the same, with the iface-id
            on_packet=self._take,
        )
        self._session = SessionRunner(settings.rundir, callbacks, lambda: database.recall(TARGETS))
        self._put = put
        self.answering = Answering(settings.rundir / f"{settings.bridge}.mgmt", host)
        self._pathing = Pathing(self._session, secrets.randbits(64), put)
        told = self._pathing.unanswered, self._switching.stirred
        self._resolving = Resolving(settings.rundir, settings.datapath, self._session, *told)
        self._fitting = Fitting(ways.observe, ways.glance)
        self._looking = Looking(look.observe)
        plugging = Plugging(settings.rundir / "db.sock", settings.bridge)
        root = ROOT if kernel is None else kernel.root
        self._bypass = Bypass(settings.state, host, settings.post(), root, read_boot_id())
        self._moored = Moored(
            settings.store,
            host,
            settings.state,
            settings.berths,
            kernel,
            plugging,
            self._bypass.gauging,
            settings.caller,
        )
        self.effects = Effects(
            self._switching,
            self._metering,
            None if self._speaker is None else self._voice(settings.state / "sequences", self._speaker),
            self._keeper,
            self._probing,
            self._session,
            self._pathing,
            self._resolving,
            self._fitting,
            self._looking,
            self._leasing,
            self._bypass,
            self.answering,
        )

    def _voice(self, path: Path, speaker: Client) -> Hush:
        """What announces: never a lower sequence than before, and nothing while this host is fenced."""
        return Hush(Sequences(speaker, path), self._leasing.speaks)

    def _take(self, cookie: int, in_port: int, frame: bytes) -> None:
        """What the switch hands up, each kind to whom it is for."""
        found = cookies.parse(cookie)
        if found is not None and found.kind is cookies.Kind.PROBE:
            self._pathing.hear(found.path, frame)
            return
        self._put(announcements.read(cookie, frame) or HandedUp(cookie, in_port, frame))

    def __enter__(self) -> _Hands:
        return self

    def start(self, interest: Interest) -> None:
        """Begin to hear the world; the switch first, so that a restart adopts before it changes. `interest`:
        in which routes, until the store says more."""
        self._session.start()
        self._uploader.start()
        self._keeper.start()
        self._leasing.start()
        self._probing.start()
        self._pathing.start()
        self._resolving.start()
        self._fitting.start()
        self._looking.start()
        self._bypass.start()
        self._moored.start()
        self._watch.start()
        if self._speaker is not None:
            self._speaker.want(interest)
            self._speaker.start()

    def __exit__(self, *_: object) -> None:
        self.answering.stop()
        first = self._watch, self._leasing, self._resolving, self._pathing, self._fitting, self._session
        last = self._probing, self._keeper, self._looking, self._moored, self._bypass, self._metering
        for part in (*first, *last):
            part.stop()
        if self._speaker is not None:
            self._speaker.stop()
        self._store.close()
        self._leases.close()
        self._switching.close()
