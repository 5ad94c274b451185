"""Responding: what ports ask their network, and what each is answered or told unasked; counted by port.

Place: pure but for its counts; `controller.agent.answering` feeds it what the switch hands up, with the
loop's snapshot. A workload wrote the frames: nothing in one may raise. Must not send, and must not answer
anybody but the port that a flow of ours vouches for.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from enum import Enum
from typing import Final

from controller.agent.telling import Bucket
from controller.southbound.openflow.questions import Question
from model.asked import MOST_PORTS, Asked
from model.ids import PortKey, Uid
from model.intent import Network, Port, Tenant
from model.serving import IFACE_ID
from model.snapshot import Snapshot
from pipelines import cookies
from pipelines.index import compilable
from services.advertising import INTERVAL, advertise
from services.answering import answer
from services.client import Client, make_client
from services.served import zone_of

HOST_RATE: Final = 1_000.0
"""Questions a second of all ports together: some 10 % to 30 % of a core, however many ports flood."""
HOST_BURST: Final = 2_000.0
OWN_RATE: Final = 0.5
OWN_BURST: Final = 12.0
"""Questions of each port that are answered whatever all others ask: who boots over both families asks some
ten times. Hundreds of ports of one tenant may flood together, each within its meter: others boot."""


class Unheard(Enum):
    """Why nobody looked into a question, besides `services.outcome.Outcome`. FAILED: a defect of ours."""

    ALIEN = "alien"
    STRANGER = "stranger"
    BUSY = "busy"
    FAILED = "failed"


class Responder:
    """Used by one thread; `clock` in seconds, monotonic. `counts`: by uid of a port that is here; `others`:
    of what no port is known for."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._host = Bucket(HOST_RATE, HOST_BURST, HOST_BURST, clock())
        self._own: dict[PortKey, Bucket] = {}
        self._clients: dict[PortKey, tuple[Network, Port, str, Client]] = {}
        self._advertised: dict[PortKey, tuple[float, bytes]] = {}
        self._seen: tuple[object, ...] = ()
        self._next = 0.0
        self.counts: dict[Uid, Counter[str]] = {}
        self.others: Counter[str] = Counter()
        self._gone: Counter[str] = Counter()

    def respond(self, snapshot: Snapshot, question: Question) -> bytes | None:
        """The frame that goes back out of its port; None (and counted) if nothing does."""
        port = _asker(snapshot, question)
        if isinstance(port, Unheard):
            self.others[port.value] += 1
            return None
        if not self._may(port):
            self._count(port, Unheard.BUSY.value)
            return None
        try:
            answered = answer(question.frame, self._client(snapshot, port))
        except Exception:
            self._count(port, Unheard.FAILED.value)
            raise
        self._count(port, answered.outcome.value)
        return answered.frame

    def lose(self, snapshot: Snapshot, question: Question) -> None:
        """Count one that was pushed out by what its port asked later."""
        port = _asker(snapshot, question)
        if isinstance(port, Unheard):
            self.others[port.value] += 1
        else:
            self._count(port, Unheard.BUSY.value)

    def advertise(self, snapshot: Snapshot) -> tuple[tuple[int, bytes], ...]:
        """(OpenFlow port, frame) of the router advertisements that are due: of each port after `INTERVAL`,
        and at once where one would say something else. A port that is new asks for itself."""
        now = self._clock()
        seen = _said_by(snapshot)
        if now < self._next and _same(seen, self._seen):
            return ()
        self._seen = seen
        self._forget(snapshot)
        due: list[tuple[int, bytes]] = []
        advertised: dict[PortKey, tuple[float, bytes]] = {}
        for key, ofport, frame in self._frames(snapshot):
            before = self._advertised.get(key)
            if before is not None and (before[1] != frame or before[0] <= now):
                due.append((ofport, frame))
            kept = before is not None and before[1] == frame and before[0] > now
            advertised[key] = before if before is not None and kept else (now + INTERVAL, frame)
        self._advertised = advertised
        self._next = min((at for at, _ in advertised.values()), default=now + INTERVAL)
        return tuple(due)

    def _forget(self, snapshot: Snapshot) -> None:
        """Ports that are here no more."""
        here = {port.key: port for port, _ in _here(snapshot)}
        self._clients = {key: known for key, known in self._clients.items() if key in here}
        self._own = {key: own for key, own in self._own.items() if key in here}
        uids = {port.uid for port in here.values()}
        for uid in self.counts.keys() - uids:
            self._gone += self.counts.pop(uid)

    def told(self) -> Asked:
        """All of it, for the report."""
        totals = sum(self.counts.values(), self.others + self._gone)
        named = sorted(self.counts.items())[:MOST_PORTS]
        ports = tuple((str(uid), tuple(sorted(counted.items()))) for uid, counted in named)
        return Asked(tuple(sorted(totals.items())), ports)

    def _frames(self, snapshot: Snapshot) -> Iterator[tuple[PortKey, int, bytes]]:
        for port, ofport in _here(snapshot):
            try:
                client = self._client(snapshot, port)
            except ValueError:  # what its network tells is no name: others hear of their router all the same
                self._count(port, Unheard.FAILED.value)
                continue
            if client.answers and client.six is not None and client.six.addresses:
                yield port.key, ofport, advertise(client, client.six)

    def _may(self, port: Port) -> bool:
        now = self._clock()
        own = self._own.get(port.key)
        if own is None:
            own = self._own[port.key] = Bucket(OWN_RATE, OWN_BURST, OWN_BURST, now)
        return own.take(now) or self._host.take(now)

    def _client(self, snapshot: Snapshot, port: Port) -> Client:
        network = snapshot.networks[port.network]
        zone = _zone(snapshot, snapshot.tenants.get(network.tenant))
        known = self._clients.get(port.key)
        if known is None or known[0] is not network or known[1] is not port or known[2] != zone:
            known = (network, port, zone, make_client(network, port, network.guidance, zone))
            self._clients[port.key] = known
        return known[3]

    def _count(self, port: Port, word: str) -> None:
        self.counts.setdefault(port.uid, Counter())[word] += 1


def _asker(snapshot: Snapshot, question: Question) -> Port | Unheard:
    """The port that the flow says and that lives behind the port of entry now."""
    cookie = cookies.parse(question.cookie)
    if cookie is None or cookie.kind is not cookies.Kind.ASKED:
        return Unheard.ALIEN
    port = snapshot.ports.get(cookie.port)
    if port is None or not compilable(snapshot, port.key):
        return Unheard.STRANGER
    return port if snapshot.interfaces[port.uid].ofport == question.in_port else Unheard.STRANGER


def _zone(snapshot: Snapshot, tenant: Tenant | None) -> str:
    """Of a tenant, if this host serves names. The interface counts, not whether anybody is behind it now: a
    lease outlives a restart."""
    served = snapshot.interfaces.get(IFACE_ID)
    if served is None or tenant is None or not served.suffix:
        return ""
    return zone_of(tenant.name, served.suffix)


def _here(snapshot: Snapshot) -> Iterator[tuple[Port, int]]:
    """(port, OpenFlow port) of what lives here, in order."""
    keys = (snapshot.by_uid.get(uid) for uid in snapshot.interfaces)
    for key in sorted(key for key in keys if key is not None and compilable(snapshot, key)):
        port = snapshot.ports[key]
        yield port, snapshot.interfaces[port.uid].ofport


def _same(one: tuple[object, ...], other: tuple[object, ...]) -> bool:
    return len(one) == len(other) and all(a is b for a, b in zip(one, other, strict=True))


def _said_by(snapshot: Snapshot) -> tuple[object, ...]:
    """All that decides who is here and what he is told: immutable, so that the same object says the same."""
    return (
        snapshot.ports,
        snapshot.networks,
        snapshot.tenants,
        snapshot.bindings,
        snapshot.interfaces,
        snapshot.hypervisors,
        snapshot.epochs,
        snapshot.switch,
        snapshot.term,
    )
