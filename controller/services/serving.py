"""Serving: the life of `ringfenced services`: answers ports, follows the agent's file, keeps the wire in.

Place: started by `controller.daemon.services`. One loop; what waits for a disk, a kernel or a database waits
on a thread. Nothing of it needs the agent, the API or the store to be alive. Must not change a flow.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Protocol

from controller.agent.calm import Calm
from controller.services import door, report, roster
from controller.services.door import Sockets
from controller.services.resolver import Resolver
from controller.services.roster import Mark, Roster
from controller.services.server import Manners, Server
from controller.services.turnstile import Turnstile
from controller.services.upstream import Patience, Upstream
from controller.services.web import Web
from model.addresses import Address
from model.errors import Fault, RingfenceError, Unavailable
from model.serving import RESOLVERS, port_of
from services.metadata.answering import Asking
from services.metadata.tree import plant
from services.naming.answering import Terms
from services.naming.outcome import Asker

LOG: Final = logging.getLogger(__name__)
_LOOK: Final = 0.5
"""Seconds between looks at the agent's file."""
_TEND: Final = 2.0
"""Seconds between looks at the wire."""
_AGAIN: Final = 1.0
_REPORT: Final = 10.0


@dataclass(frozen=True, slots=True)
class Settings:
    """`state`: the agent's directory. `rundir`, `bridge`: of Open vSwitch. `resolvers`: addresses and ports
    that are asked for names outside. `metrics`: a file for Prometheus, None = none."""

    state: Path
    rundir: Path
    bridge: str
    suffix: str
    resolvers: tuple[tuple[Address, int], ...] = ()
    metrics: Path | None = None


class Door(Protocol):
    """What `controller.services.door` does; tests have another."""

    def lay(self) -> Sockets: ...

    def plug(self, rundir: Path, bridge: str, suffix: str) -> None: ...

    def is_plugged(self, rundir: Path) -> bool: ...

    def is_laid(self) -> bool: ...


@dataclass(slots=True)
class Known:
    """What the file said last."""

    roster: Roster
    seen: Mark | None = None
    trouble: str = ""


@dataclass(slots=True)
class _Trouble:
    """Logs what goes wrong when it begins, and when it ends."""

    what: str
    said: str = field(default="")

    def note(self, words: str) -> None:
        if bool(words) != bool(self.said):
            if words:
                LOG.warning("%s: %s", self.what, words)
            else:
                LOG.info("%s: well again", self.what)
        self.said = words


class Serving:
    """From `run` until it is cancelled. `clock`: seconds that never go back."""

    def __init__(
        self, settings: Settings, entry: Door = door, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._settings = settings
        self._entry = entry
        self._known = Known(roster.empty(settings.suffix))
        self._path = settings.state / roster.FILE
        terms = Terms(RESOLVERS, tuple(address for address, _ in settings.resolvers))
        upstream = Upstream(settings.resolvers, secrets.randbits, Patience())
        self.resolver = Resolver(self._known.roster.directory, terms, upstream, clock)
        turnstile = Turnstile()
        self.server = Server(self.resolver.ask, self.identify, Manners(), self.resolver.note, turnstile)
        self.web = Web(self.know, self.identify, clock, turnstile=turnstile)
        self._clock = clock
        self._key = secrets.token_bytes(32)
        self._in = _Trouble("the bridge does not have the wire")
        self._plugged = False
        self._calm = Calm()
        self._file = _Trouble(f"the agent's snapshot {self._path} can't be read")

    async def run(self) -> None:
        """Serve. Raises RingfenceError if the wire is lost: whoever started the process starts it again."""
        await self.follow()
        sockets = await self._lay()
        try:
            await self.server.start(sockets.datagrams, sockets.streams)
            await self.web.start(sockets.web)
            LOG.info(
                "services begin state=%s tenants=%d",
                self._settings.state,
                len(self._known.roster.directory.zones),
            )
            await asyncio.gather(self._following(), self._tending(), self._reporting())
        finally:
            await self.server.close()
            await self.web.close()
            LOG.info("services end")

    def identify(self, address: Address) -> Asker | None:
        """Who is behind an alias."""
        key = port_of(address)
        return None if key is None else self._known.roster.askers.get(key)

    def know(self, asker: Asker) -> Asking | None:
        """What a port may be told of itself."""
        facts = roster.facts(self._known.roster, asker)
        return None if facts is None else Asking(asker.port, plant(facts), self._key, int(self._clock()))

    async def follow(self) -> None:
        """Read the agent's file, if it is another than before. What cannot be read changes nothing."""
        found = await asyncio.to_thread(roster.mark, self._path)
        if found == self._known.seen:
            return
        if found is None:
            self._file.note("it is not there")
            self._known.seen = None
            return
        try:
            now = await asyncio.to_thread(self._read)
        except Exception:  # a defect costs news, never the answers that are known
            LOG.exception("the agent's snapshot is not understood")
            now = None
        self._known.seen = found
        if now is None:
            self._file.note("it is cut short, or of another format")
            return
        self._file.note("")
        self.adopt(now)

    def _read(self) -> Roster | None:
        # Else Python's garbage collector would walk all names now and then, while ports wait.
        with self._calm:
            return roster.load(self._path, self._known.roster)

    def adopt(self, now: Roster) -> None:
        """These are the names and the ports from now on; who is another, or gone, is let go."""
        before = self._known.roster
        self._known.roster = now
        self.resolver.directory = now.directory
        for key in now.others:
            self.server.drop(key)
            self.resolver.forget_port(key)
            self.web.forget(key)
        for tenant in before.directory.zones:
            if tenant not in now.directory.zones:
                self.resolver.forget_tenant(tenant)

    async def _lay(self) -> Sockets:
        trouble = _Trouble("the wire can't be laid")
        while True:
            try:
                made = await asyncio.to_thread(self._entry.lay)
            except RingfenceError as error:
                trouble.note(str(error))
                await asyncio.sleep(_AGAIN)
                continue
            trouble.note("")
            return made

    async def _tend(self) -> bool:
        """Whether the bridge has the wire."""
        if not await asyncio.to_thread(self._entry.is_laid):
            fault = Fault(
                "interface rf-services", "wire-gone", "somebody took it away", "Nothing: see the log."
            )
            raise Unavailable(fault)
        rundir, bridge = self._settings.rundir, self._settings.bridge
        try:
            # What the bridge has of an earlier life is not this wire.
            if not self._plugged or not await asyncio.to_thread(self._entry.is_plugged, rundir):
                await asyncio.to_thread(self._entry.plug, rundir, bridge, self._settings.suffix)
        except RingfenceError as error:
            self._in.note(str(error))
            return False
        self._in.note("")
        self._plugged = True
        return True

    async def _following(self) -> None:
        while True:
            await asyncio.sleep(_LOOK)
            await self.follow()

    async def _tending(self) -> None:
        while True:
            await asyncio.sleep(_TEND if await self._tend() else _AGAIN)

    async def _reporting(self) -> None:
        path = self._settings.metrics
        while path is not None:
            questions, requests = self.resolver.tally, self.web.tally
            asked = {port for port, _ in (*questions, *requests)}
            text = report.render(questions, requests, roster.labels(self._known.roster, asked))
            await asyncio.to_thread(report.put, path, text)
            await asyncio.sleep(_REPORT)
