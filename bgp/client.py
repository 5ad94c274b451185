"""The agent's end of the speaker's socket: one thread that keeps the connection and the announced routes.

Place: an effect; started by the agent, which gets every event through one callback (which should only
enqueue). It remembers what is announced, and on each new connection says all of it again and, if the agent
has called `eor`, that it is complete: so a restarted speaker or agent converges without anybody asking.
Must not import exabgp, judge or choose routes.
"""

from __future__ import annotations

import contextlib
import logging
import os
import random
import select
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from bgp import wire
from bgp.codec import attributes, nlri, update
from bgp.codec.malformed import Malformed
from bgp.codec.update import Update
from bgp.interest import Interest
from bgp.interest import pack as pack_interest
from model.route import Route

LOG: Final = logging.getLogger(__name__)

_FIRST_WAIT: Final = 0.1
_LONGEST_WAIT: Final = 5.0
_CHUNK: Final = 1 << 16


@dataclass(frozen=True, slots=True)
class PeerUp:
    """A BGP session is established (also said of each such peer when the speaker is first reached)."""

    peer: str


@dataclass(frozen=True, slots=True)
class PeerDown:
    """A BGP session, or with it the speaker, was lost."""

    peer: str
    reason: str


@dataclass(frozen=True, slots=True)
class PeerSilent:
    """A peer has had no session since this connection began, and why, as far as the speaker can tell."""

    peer: str
    reason: str


@dataclass(frozen=True, slots=True)
class Received:
    """A peer's UPDATE, as it came: a replay is thousands that wait for the agent, and values would take five
    times their room."""

    peer: str
    body: bytes

    def read(self) -> Update:
        """Decoded; bytes that can't be cut up are an Update with a fault alone."""
        return _decode(self.body)


@dataclass(frozen=True, slots=True)
class Synced:
    """The speaker has said all that its peers had said so far."""


@dataclass(frozen=True, slots=True)
class Acknowledged:
    """ExaBGP has taken all routes that were handed over up to ticket `number`."""

    number: int


@dataclass(frozen=True, slots=True)
class Attached:
    """The speaker was reached."""


@dataclass(frozen=True, slots=True)
class Detached:
    """The speaker was lost; the client goes on trying."""

    reason: str


Event = PeerUp | PeerDown | PeerSilent | Received | Synced | Acknowledged | Attached | Detached

Packed = tuple[str, str, str]
"""NLRI, next hop and attributes in hex."""


@dataclass(slots=True)
class _Book:
    """What should be announced, and what of it has not been handed over."""

    wanted: dict[bytes, Packed] = field(default_factory=dict)
    unsent: dict[bytes, str | None] = field(default_factory=dict)
    """Key -> NLRI to withdraw, or None to announce what `wanted` has."""
    orders: list[bytes] = field(default_factory=list)
    """Other lines, sent after `unsent`."""
    complete: bool = False
    interest: Interest | None = None
    ticket: int = 0
    told: int = 0
    """The newest ticket that this connection was told."""


class Client:
    """Connection to one speaker. All methods may be called from any thread, and none waits.

    Each change returns its ticket: `Acknowledged(number >= ticket)` says that ExaBGP has it.
    """

    def __init__(
        self, path: str, on_event: Callable[[Event], None], chance: random.Random | None = None
    ) -> None:
        self._path = path.removeprefix("unix:")
        self._on_event = on_event
        self._chance = chance or random.Random()
        self._lock = threading.Lock()
        self._book = _Book()
        self._peers: set[str] = set()
        self._wake_read, self._wake_write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._stopping = threading.Event()
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="bgp-client", daemon=True)

    def start(self) -> None:
        """Begin to connect."""
        self._thread.start()

    def stop(self) -> None:
        """Close the connection and end the thread; the speaker keeps sessions and routes."""
        self._stopping.set()
        self._wake()
        if self._thread.is_alive():
            self._thread.join()
        with self._lock:
            self._closed = True
            os.close(self._wake_read)
            os.close(self._wake_write)

    def announce(self, routes: Iterable[Route]) -> int:
        """Announce or replace routes."""
        packed = [_pack(route) for route in routes]
        with self._lock:
            for key, one in packed:
                if self._book.wanted.get(key) != one:
                    self._book.wanted[key] = one
                    self._book.unsent[key] = None
            ticket = self._next_ticket()
        self._wake()
        return ticket

    def withdraw(self, routes: Iterable[Route]) -> int:
        """Withdraw routes; those never announced are passed over."""
        packed = [_pack(route) for route in routes]
        with self._lock:
            for key, _ in packed:
                gone = self._book.wanted.pop(key, None)
                if gone is not None:
                    self._book.unsent[key] = gone[0]
            ticket = self._next_ticket()
        self._wake()
        return ticket

    def eor(self) -> None:
        """Say that what is announced now is everything: the speaker drops the rest and tells the peers."""
        with self._lock:
            self._book.complete = True
            self._book.orders.append(wire.pack(op="eor"))
        self._wake()

    def refresh(self) -> None:
        """Ask the peers to send everything again (RFC 2918)."""
        self._order(wire.pack(op="refresh"))

    def want(self, interest: Interest | None) -> None:
        """Say which received routes concern this host; None: all."""
        with self._lock:
            if self._book.interest == interest:
                return
            self._book.interest = interest
        self._order(wire.pack(op="want", want=pack_interest(interest)))

    def learn(self, interest: Interest, targets: tuple[bytes, ...] | None) -> None:
        """Say which received routes concern this host, and ask again for those with these route targets:
        none, or all (None)."""
        self.want(interest)
        if targets or targets is None:
            self.replay(targets)

    def replay(self, targets: Iterable[bytes] | None = None) -> None:
        """Ask the speaker for what the peers said: routes with one of these route targets, or all."""
        chosen = None if targets is None else [target.hex() for target in targets]
        self._order(wire.pack(op="replay", targets=chosen))

    def _order(self, line: bytes) -> None:
        with self._lock:
            self._book.orders.append(line)
        self._wake()

    def _next_ticket(self) -> int:
        """To be called under the lock."""
        self._book.ticket += 1
        return self._book.ticket

    def _wake(self) -> None:
        """Let the thread look at the book. Takes the lock: a closed pipe's number may be another file's."""
        with self._lock:
            if not self._closed:
                with contextlib.suppress(BlockingIOError):  # it is awake already
                    os.write(self._wake_write, b"!")

    def _run(self) -> None:
        wait, said = _FIRST_WAIT, ""
        while not self._stopping.is_set():
            began = time.monotonic()
            reason = self._session()
            if time.monotonic() - began > _LONGEST_WAIT:
                wait = _FIRST_WAIT
            if self._stopping.is_set():
                return
            if reason != said:
                LOG.info("speaker not attached path=%s reason=%s", self._path, reason)
            said = reason
            self._stopping.wait(wait * self._chance.uniform(0.5, 1.5))
            wait = min(wait * 2, _LONGEST_WAIT)

    def _session(self) -> str:
        """One connection from start to end; returns why it ended."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as link:
            try:
                link.connect(self._path)
            except OSError as fault:
                return f"cannot connect: {fault.strerror}"
            self._on_event(Attached())
            self._begin()
            try:
                reason = self._exchange(link)
            except (OSError, wire.Broken, TypeError, ValueError) as fault:
                reason = str(fault)
            except Exception as fault:  # a defect: the agent must hear that it is deaf, and be tried again
                LOG.exception("speaker's client failed path=%s", self._path)
                reason = f"{type(fault).__name__}: {fault}"
        for peer in sorted(self._peers):
            self._on_event(PeerDown(peer, f"speaker lost: {reason}"))
        self._peers.clear()
        self._on_event(Detached(reason))
        return reason

    def _begin(self) -> None:
        """Everything is unsent again; the speaker withdraws what is not repeated once `eor` follows."""
        with self._lock:
            self._book.unsent = dict.fromkeys(self._book.wanted)
            self._book.told = 0
            tail = [wire.pack(op="eor")] if self._book.complete else []
            said_anew = (b'"op":"eor"', b'"op":"want"')
            kept = [line for line in self._book.orders if not any(one in line for one in said_anew)]
            self._book.orders = kept + tail

    def _exchange(self, link: socket.socket) -> str:
        link.setblocking(False)
        lines = wire.Lines()
        poller = select.poll()
        poller.register(link)
        poller.register(self._wake_read, select.POLLIN)
        with self._lock:
            out = wire.pack(op="begin", want=pack_interest(self._book.interest))
        while not self._stopping.is_set():
            out = out or self._outgoing()
            poller.modify(link, select.POLLIN | (select.POLLOUT if out else 0))
            ready = dict(poller.poll())
            if self._wake_read in ready:
                os.read(self._wake_read, _CHUNK)
            at_link = ready.get(link.fileno(), 0)
            if at_link & ~select.POLLOUT:
                data = link.recv(_CHUNK)
                if not data:
                    return "the speaker closed the connection"
                for line in lines.feed(data):
                    self._hear(wire.unpack(line))
            if at_link & select.POLLOUT:
                out = out[link.send(out) :]
        return "stopped"

    def _outgoing(self) -> bytes:
        """The next lines to send: routes first, then orders; empty if there is nothing."""
        with self._lock:
            if self._book.unsent or self._book.ticket > self._book.told:
                return self._next_batch()
            if self._book.orders:
                lines, self._book.orders = b"".join(self._book.orders), []
                return lines
        return b""

    def _next_batch(self) -> bytes:
        announced: list[Packed] = []
        withdrawn: list[str] = []
        for key in list(self._book.unsent)[: wire.BATCH]:
            gone = self._book.unsent.pop(key)
            if gone is None and key in self._book.wanted:
                announced.append(self._book.wanted[key])
            elif gone is not None:
                withdrawn.append(gone)
        # The ticket of a batch is reached only when nothing older is left behind it.
        ticket = 0 if self._book.unsent else self._book.ticket
        self._book.told = max(self._book.told, ticket)
        lines = wire.pack(op="withdraw", id=0, routes=withdrawn) if withdrawn else b""
        return lines + wire.pack(op="announce", id=ticket, routes=announced)

    def _hear(self, message: Mapping[str, Any]) -> None:
        kind = message.get("ev")
        if kind == "update":
            peer = sys.intern(str(message.get("peer")))  # the same in thousands that wait
            self._on_event(Received(peer, wire.octets(message.get("raw"))))
        elif kind == "hello":
            if message.get("version") != wire.VERSION:
                raise wire.Broken(
                    f"protocol version {message.get('version')}; this agent speaks {wire.VERSION}"
                )
            for peer, state in sorted(dict(message.get("peers", {})).items()):
                if state == "up":
                    self._peer(str(peer), "up", "")
        elif kind == "peer":
            self._peer(str(message.get("peer")), str(message.get("state")), str(message.get("reason", "")))
        elif kind == "synced":
            self._on_event(Synced())
        elif kind == "ack" and message.get("id"):
            self._on_event(Acknowledged(int(message["id"])))
        elif kind in ("error", "refused"):
            LOG.error("speaker refuses path=%s text=%s", self._path, message.get("text"))

    def _peer(self, peer: str, state: str, reason: str) -> None:
        if state == "up" and peer not in self._peers:
            self._peers.add(peer)
            self._on_event(PeerUp(peer))
        elif state == "down" and peer in self._peers:
            self._peers.discard(peer)
            self._on_event(PeerDown(peer, reason))
        elif state == "down" and reason:
            self._on_event(PeerSilent(peer, reason))


def _pack(route: Route) -> tuple[bytes, Packed]:
    raw = nlri.encode(route.nlri)
    hop = route.attributes.next_hop.packed.hex()
    return nlri.key(raw), (raw.hex(), hop, attributes.encode(route.attributes).hex())


def _decode(body: bytes) -> Update:
    try:
        return update.decode(body)
    except Malformed as fault:
        return Update(faults=(f"skipped an UPDATE: {fault}",))
    except Exception as fault:  # noqa: BLE001 - a defect: the speaker would say it again after each reconnection
        return Update(faults=(f"skipped an UPDATE: {type(fault).__name__}: {fault}",))
