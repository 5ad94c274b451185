"""Expiry: answers packets whose TTL ran out at a gateway, at a bounded rate (docs/decisions/0010).

Place: the loop hands in what the switch sends up, with its snapshot; the answer goes out as a packet-out.
Help for people who trace a path, never forwarding: whoever asks too much gets silence. Must not raise for
anything that a workload wrote.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Final, Protocol

from controller.agent import icmp
from model.addresses import Address, gateway
from model.ids import PortKey
from model.intent import Network, Port
from model.snapshot import Snapshot
from pipelines import cookies

PORT_RATE: Final = 10.0
"""Answers a second to one port."""
PORT_BURST: Final = 20.0
HOST_RATE: Final = 100.0
"""Answers a second to all ports together."""
HOST_BURST: Final = 200.0


class Post(Protocol):
    """Sends a frame out of an OpenFlow port (see `controller.southbound.openflow.session`)."""

    def send(self, port: int, frame: bytes) -> None: ...


class Dropped(Enum):
    """Why there was no answer, besides `icmp.Silence`."""

    ALIEN = "alien"
    """Not from a flow of ours that asks for this."""
    STRANGER = "stranger"
    """Not of a port that lives here, or not with its addresses."""
    RATE = "rate"


@dataclass(frozen=True, slots=True)
class Expired:
    """An event: the packet of a port whose TTL ran out. `frame`: from its Ethernet header on."""

    cookie: int
    in_port: int
    frame: bytes


@dataclass(slots=True)
class Bucket:
    """A token bucket: `rate` a second, at most `burst` at once; times in seconds of any monotonic clock."""

    rate: float
    burst: float
    tokens: float
    stamp: float

    def take(self, now: float) -> bool:
        """One token, if there is one."""
        self.tokens = min(self.burst, self.tokens + max(0.0, now - self.stamp) * self.rate)
        self.stamp = now
        if self.tokens < 1.0:
            return False
        self.tokens -= 1.0
        return True

    def is_full(self, now: float) -> bool:
        """Whether it would be as a new one."""
        return self.tokens + (now - self.stamp) * self.rate >= self.burst


class Expiry:
    """Used by one thread. `counts`: answered, and every reason for silence."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._host = Bucket(HOST_RATE, HOST_BURST, HOST_BURST, clock())
        self._ports: dict[PortKey, Bucket] = {}
        self.counts: Counter[str] = Counter()
        self._told: Counter[str] = Counter()

    def news(self) -> str:
        """The counts as `name=number ...` if they have changed since the last call; else empty."""
        if self.counts == self._told:
            return ""
        self._told = self.counts.copy()
        return " ".join(f"{name}={self.counts[name]}" for name in sorted(self.counts))

    def answer(self, snapshot: Snapshot, expired: Expired) -> bytes | None:
        """The frame to send back to the port that it came from; None (and counted) if there is none."""
        made = self._answer(snapshot, expired)
        self.counts["answered" if isinstance(made, bytes) else made.value] += 1
        return made if isinstance(made, bytes) else None

    def _answer(self, snapshot: Snapshot, expired: Expired) -> bytes | Dropped | icmp.Silence:
        found = _sender(snapshot, expired.in_port)
        cookie = cookies.parse(expired.cookie)
        if cookie is None or cookie.kind is not cookies.Kind.EXPIRED:
            return Dropped.ALIEN
        if found is None or found[1].tenant != cookie.tenant:
            return Dropped.STRANGER
        port, network = found
        if not self._admit(port.key):
            return Dropped.RATE
        packet = icmp.parse(expired.frame)
        if isinstance(packet, icmp.Silence):
            return packet
        source = packet.source
        router = _gateway(network, source)
        if router is None or packet.mac != port.mac or source not in port.addresses:
            return Dropped.STRANGER
        return icmp.time_exceeded(packet, router)

    def _admit(self, port: PortKey) -> bool:
        now = self._clock()
        if port not in self._ports:
            # Full buckets say nothing: dropped now and then, so that ports that are gone leave nothing behind
            self._ports = {key: one for key, one in self._ports.items() if not one.is_full(now)}
            self._ports[port] = Bucket(PORT_RATE, PORT_BURST, PORT_BURST, now)
        return self._ports[port].take(now) and self._host.take(now)


def _sender(snapshot: Snapshot, in_port: int) -> tuple[Port, Network] | None:
    """The port that lives here behind an OpenFlow port, and its network."""
    for uid, interface in snapshot.interfaces.items():
        if interface.ofport == in_port:
            key = snapshot.by_uid.get(uid)
            port = None if key is None else snapshot.ports.get(key)
            network = None if port is None else snapshot.networks.get(port.network)
            if port is None or network is None or not network.routed or not snapshot.bound_here(port.key):
                return None
            return port, network
    return None


def _gateway(network: Network, source: Address) -> Address | None:
    for subnet in network.subnets:
        if subnet.version == source.version and source in subnet:
            return gateway(subnet)
    return None
