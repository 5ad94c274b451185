"""Door: the one TCP port of Ringfence: TLS 1.3, with a certificate demanded of whoever calls.

Place: beside `listener`, in a thread and an event loop of its own, so that it takes no turn from the
operators' socket; behind it stands `controller.api.uploads`. A connection is for one request and lives for a
bounded time; of one address or one certificate there are few, of an address not many a second: whoever is
slow, or many, is so at his own cost. Must not serve anybody without a certificate, and must not log what a
stranger sends.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
import threading
import time
from collections import Counter
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.server import ServerState

from controller.api.uploads import CERTIFIED
from controller.tls.endpoint import Endpoint
from controller.tls.names import hosts
from controller.tls.papers import Current
from model.errors import Conflict, Fault
from model.ids import HostName

_LOG: Final = logging.getLogger(__name__)
LIFE: Final = 75.0
_BACKLOG: Final = 1024
_HEAD: Final = 16 * 1024
_KEEP_ALIVE: Final = 5
_BREATH: Final = 0.2
_QUIET: Final = 10.0
_REMEMBERED: Final = 1024


@dataclass(frozen=True, slots=True)
class Crowd:
    """How many at once, and for how many seconds. `each`: of one address, and of one certificate's names (an
    agent has two). `unknown`: in their handshakes; of more the oldest has to go. `life`: of a connection,
    for one request. `pause`: after `burst` connections of an address the next ones wait so long each.
    """

    all: int = 512
    each: int = 4
    unknown: int = 64
    handshake: float = 10.0
    life: float = LIFE
    burst: int = 20
    pause: float = 0.05


_USUAL: Final = Crowd()


class Complaints:
    """Refusals in the log: a line each ten seconds at most, with how many went unsaid. Any thread."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock, self._lock = clock, threading.Lock()
        self._next, self._unsaid = clock(), 0

    def __call__(self, text: str) -> None:
        with self._lock:
            now = self._clock()
            if now < self._next:
                self._unsaid += 1
                return
            unsaid, self._unsaid, self._next = self._unsaid, 0, now + _QUIET
        _LOG.warning("upload refused %s%s", text, f" ({unsaid} more were refused before)" if unsaid else "")


class Door:
    """`start`, then `stop`; both once."""

    def __init__(
        self,
        place: Endpoint,
        current: Current,
        app: ASGIApp,
        complain: Callable[[str], None],
        crowd: Crowd = _USUAL,
    ) -> None:
        """Binds. `place`: an address of this host. Invalid: papers that can't be; Conflict: no such place."""
        current.context()
        self._current, self._app, self._crowd, self._complain = current, app, crowd, complain
        self._listening = _bind(place)
        self._place = place
        self._loop = asyncio.new_event_loop()
        self._stopping = asyncio.Event()
        self._addresses, self._certified = _Places(crowd.each), _Places(crowd.each)
        self._turns = Turns(crowd.burst, crowd.pause)
        self._there: set[asyncio.Task[None]] = set()
        self._unknown: dict[asyncio.Task[None], None] = {}
        self._thread = threading.Thread(target=self._run, name="uploads", daemon=True)

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self._listening.getsockname()[1])

    def start(self) -> None:
        """Serve."""
        self._thread.start()
        _LOG.info("uploads are taken place=%s", self._place)

    def stop(self) -> None:
        """End all connections. What was not answered comes again: agents keep it."""
        self._loop.call_soon_threadsafe(self._stopping.set)
        self._thread.join()
        self._listening.close()

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            runner.run(self._serve())

    async def _serve(self) -> None:
        accepting = asyncio.create_task(self._accept(self._protocols()))
        ending = asyncio.create_task(self._stopping.wait())
        # If accepting fails it is a defect, and ends the process: deaf and alive would be worse.
        await asyncio.wait((accepting, ending), return_when=asyncio.FIRST_COMPLETED)
        for task in (ending, *self._there):
            task.cancel()
        await asyncio.gather(*self._there, return_exceptions=True)
        if accepting.done():
            accepting.result()
        accepting.cancel()

    def _protocols(self) -> Callable[[], _Caller]:
        config = uvicorn.Config(
            self._app,
            http="h11",
            ws="none",
            log_config=None,
            access_log=False,
            server_header=False,
            lifespan="off",
            timeout_keep_alive=_KEEP_ALIVE,
            h11_max_incomplete_event_size=_HEAD,
        )
        config.load()
        state = ServerState()
        # An agent posts once a connection. Else who is in would ask as fast as he can for all of its life.
        state.default_headers = [(b"connection", b"close")]
        return lambda: _Caller(config, state, {}, self._loop)

    async def _accept(self, protocols: Callable[[], _Caller]) -> None:
        while True:
            try:
                sock, address = await self._loop.sock_accept(self._listening)
            except OSError as error:
                # Out of descriptors, most likely: the next ones wait in the kernel.
                self._complain(f"a connection: {error.strerror}")
                await asyncio.sleep(_BREATH)
                continue
            if len(self._unknown) >= self._crowd.unknown:
                oldest = next(iter(self._unknown))
                del self._unknown[oldest]
                oldest.cancel()
            task = asyncio.create_task(self._receive(sock, str(address[0]), protocols))
            self._there.add(task)
            self._unknown[task] = None
            task.add_done_callback(self._forget)
            # Whoever knocks all the time takes turns with those who are in.
            await asyncio.sleep(0)

    def _forget(self, task: asyncio.Task[None]) -> None:
        self._there.discard(task)
        self._unknown.pop(task, None)

    async def _receive(self, sock: socket.socket, address: str, protocols: Callable[[], _Caller]) -> None:
        """One connection from its first byte to its last."""
        try:
            with self._addresses.take(address, self._room(), sock.close):
                await self._turn(address, sock)
                caller = await self._greet(sock, protocols)
                try:
                    with self._certified.take(caller.names):
                        async with asyncio.timeout(self._crowd.life):
                            await caller.gone.wait()
                finally:
                    if not caller.gone.is_set():
                        caller.transport.abort()
        except TimeoutError:
            self._complain(f"peer={address}: too slow")
        except _Full:
            self._complain(f"peer={address}: too many connections")
        except (OSError, ssl.SSLError) as error:
            self._complain(f"peer={address}: {_words(error)}")

    async def _turn(self, address: str, sock: socket.socket) -> None:
        try:
            await asyncio.sleep(self._turns.wait(address))
        except asyncio.CancelledError:
            sock.close()
            raise

    def _room(self) -> int:
        return self._crowd.all - len(self._there) + 1

    async def _greet(self, sock: socket.socket, protocols: Callable[[], _Caller]) -> _Caller:
        """TimeoutError, OSError: no certificate that is believed."""
        context = self._current.context()
        async with asyncio.timeout(self._crowd.handshake):
            # From here on the transport owns the socket.
            _, caller = await self._loop.connect_accepted_socket(
                protocols,
                sock,
                ssl=context,
                ssl_handshake_timeout=self._crowd.life,
                ssl_shutdown_timeout=1.0,
            )
        task = asyncio.current_task()
        if task is not None:
            self._unknown.pop(task, None)
        return caller


class _Caller(H11Protocol):
    """HTTP of one connection, with what its certificate says."""

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self.gone = asyncio.Event()
        self.names: frozenset[HostName] = frozenset()

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self.names = hosts(transport.get_extra_info("peercert") or {})
        self.app_state[CERTIFIED] = self.names
        super().connection_made(transport)

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self.gone.set()


class Turns:
    """When each may come in: at once, and after `burst` of them one each `pause` seconds. One thread."""

    def __init__(self, burst: int, pause: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._leeway, self._pause, self._clock = burst * pause, pause, clock
        self._due: dict[Hashable, float] = {}
        self._most = _REMEMBERED

    def wait(self, whose: Hashable) -> float:
        """Takes a turn; so many seconds until it is there."""
        now = self._clock()
        due = max(self._due.get(whose, 0.0), now - self._leeway + self._pause)
        self._due[whose] = due + self._pause
        if len(self._due) > self._most:
            self._due = {each: due for each, due in self._due.items() if due > now}
            self._most = max(_REMEMBERED, 2 * len(self._due))
        return max(due - now, 0.0)


class _Full(Exception):
    """There are enough of these."""


class _Places:
    """How many are here, by whose they are. One thread."""

    def __init__(self, each: int) -> None:
        self._each = each
        self._taken: Counter[Hashable] = Counter()

    @contextmanager
    def take(
        self, whose: Hashable, room: int = 1, turn_away: Callable[[], None] = lambda: None
    ) -> Iterator[None]:
        """Raises _Full, after `turn_away`, if its owner has enough, or there is no room."""
        if room < 1 or self._taken[whose] >= self._each:
            turn_away()
            raise _Full
        self._taken[whose] += 1
        try:
            yield
        finally:
            self._taken[whose] -= 1
            if not self._taken[whose]:
                del self._taken[whose]


def _bind(place: Endpoint) -> socket.socket:
    wide = ":" in place.host
    family = socket.AF_INET6 if wide else socket.AF_INET
    try:
        made = socket.create_server(
            (place.host, place.port),
            family=family,
            backlog=_BACKLOG,
            dualstack_ipv6=place.host == "::" and socket.has_dualstack_ipv6(),
        )
    except OSError as error:
        message = f"it can't be listened at: {error.strerror or type(error).__name__}"
        remedy = "Name an address of this host, and a port that nobody else has."
        raise Conflict(Fault(str(place), "not-listening", message, remedy)) from error
    made.setblocking(False)
    # What is accepted inherits it; asyncio sets it only on sockets that say that they are of TCP.
    made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return made


def _words(error: OSError) -> str:
    """Of OpenSSL or the system."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate: {error.verify_message}"
    if isinstance(error, ssl.SSLError):
        return error.reason or type(error).__name__
    return error.strerror or type(error).__name__
