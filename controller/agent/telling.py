"""Telling: answers packets that a gateway could not forward, at a bounded rate (docs/packet-walks.md).

Place: the loop hands in what the switch sends up, with its snapshot; the answer goes out as a packet-out.
Help for people, never forwarding: whoever asks too much gets silence. Must not raise for anything that a
workload wrote. A new reason is one in `pipelines.cookies.Reason` and a line of `_MESSAGES`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import Enum
from typing import Final, Protocol

from controller.agent import icmp
from model.addresses import Address, gateway
from model.ids import Mac, PortKey, TenantKey
from model.intent import Egress, Network, Peering, Port
from model.snapshot import Snapshot
from model.vrfs import exported
from pipelines import cookies
from pipelines.cookies import Reason
from pipelines.fields import VRF
from pipelines.tables import PEER, ROUTE

PORT_RATE: Final = 10.0
"""Answers a second to one port."""
PORT_BURST: Final = 20.0
HOST_RATE: Final = 100.0
"""Answers a second to all ports together."""
HOST_BURST: Final = 200.0

_MESSAGES: Final = {
    Reason.TTL: icmp.TIME_EXCEEDED,
    Reason.TTL_AFAR: icmp.TIME_EXCEEDED,
    Reason.NO_NETWORK: icmp.NO_NETWORK,
    Reason.NO_HOST: icmp.NO_HOST,
}


_BEYOND: Final = PortKey(0)
"""No port: the rate of all that would leave by an egress address."""


class Post(Protocol):
    """Sends frames (see `controller.southbound.openflow.session`): out of an OpenFlow port, or through the
    tables from `table` on, with fields set."""

    def send(self, port: int, frame: bytes) -> None: ...
    def enter(self, table: int, fields: tuple[tuple[str, int], ...], frame: bytes) -> None: ...


class Dropped(Enum):
    """Why there was no answer, besides `icmp.Silence`."""

    ALIEN = "alien"
    """Not from a flow of ours that asks for this."""
    STRANGER = "stranger"
    """Not of a port that lives here, or not with its addresses."""
    RATE = "rate"


@dataclass(frozen=True, slots=True)
class HandedUp:
    """An event: a packet that a flow handed to the agent. `frame`: from its Ethernet header on."""

    cookie: int
    in_port: int
    frame: bytes


@dataclass(frozen=True, slots=True)
class Answer:
    """`port`: the OpenFlow port to send it to; None: to whoever has the address in the VRF, here or afar, as
    `table` finds him."""

    frame: bytes
    vrf: TenantKey
    port: int | None
    table: int = ROUTE.number


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


class Teller:
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

    def tell(self, snapshot: Snapshot, event: HandedUp, post: Post) -> None:
        """Send the answer, if there is one: to the port that asked, or into the tables that route it."""
        answer = self.answer(snapshot, event)
        if answer is None:
            return
        if answer.port is not None:
            post.send(answer.port, answer.frame)
        else:
            post.enter(answer.table, ((VRF.field.name, answer.vrf),), answer.frame)

    def answer(self, snapshot: Snapshot, event: HandedUp) -> Answer | None:
        """What to send to the packet's sender; None (and counted) if nothing."""
        made = self._answer(snapshot, event)
        self.counts["answered" if isinstance(made, Answer) else made.value] += 1
        return made if isinstance(made, Answer) else None

    def _answer(self, snapshot: Snapshot, event: HandedUp) -> Answer | Dropped | icmp.Silence:
        cookie = cookies.parse(event.cookie)
        if cookie is None or cookie.kind is not cookies.Kind.TOLD or cookie.reason is Reason.NONE:
            return Dropped.ALIEN
        if cookie.reason is Reason.TTL_AFAR:
            return self._afar(snapshot, cookie, event)
        found = _sender(snapshot, event.in_port)
        if found is None or found[1].tenant != cookie.tenant:
            return Dropped.STRANGER
        port, network = found
        if not self._admit(port.key):
            return Dropped.RATE
        packet = icmp.parse(event.frame)
        if isinstance(packet, icmp.Silence):
            return packet
        router = _gateway(network, packet.source)
        if router is None or not _may_speak(snapshot, port, network, packet.mac, packet.source):
            return Dropped.STRANGER
        too_big = cookie.reason is Reason.TOO_BIG
        message = icmp.too_big(_mtu(snapshot, cookie, network)) if too_big else _MESSAGES[cookie.reason]
        return Answer(icmp.error(packet, router, message), cookie.tenant, event.in_port)

    def _afar(
        self, snapshot: Snapshot, cookie: cookies.Cookie, event: HandedUp
    ) -> Answer | Dropped | icmp.Silence:
        """The second router speaks with the gateway's address in the network of who should have got it, at
        the rate of that port: the sender is another host's. A gateway of the tenant speaks with the tenant's
        egress address, for what would leave by it."""
        packet = icmp.parse(event.frame)
        if isinstance(packet, icmp.Silence):
            return packet
        if cookie.tenant in snapshot.peerings:
            return self._peered(snapshot, snapshot.peerings[cookie.tenant], packet)
        found = _receiver(snapshot, cookie.tenant, packet.destination)
        if found is None:
            router, key = _egress(snapshot, cookie.tenant, packet.destination), _BEYOND
        else:
            router, key = _gateway(found[1], packet.destination), found[0].key
        if router is None:
            return Dropped.STRANGER
        if not self._admit(key):
            return Dropped.RATE
        return Answer(icmp.error(packet, router, _MESSAGES[cookie.reason]), cookie.tenant, None)

    def _peered(
        self, snapshot: Snapshot, peering: Peering, packet: icmp.Invoking
    ) -> Answer | Dropped | icmp.Silence:
        """Between two tenants the gateway speaks too, but only as what its side lets the other reach."""
        for own, peer in (peering.sides, peering.sides[::-1]):
            if not exported((packet.destination,), own.prefixes):
                continue
            found = _receiver(snapshot, own.tenant, packet.destination)
            router = None if found is None else _gateway(found[1], packet.destination)
            if found is None or router is None or not exported((router,), own.prefixes):
                continue
            if not exported((packet.source,), peer.prefixes):
                continue
            if not self._admit(found[0].key):
                return Dropped.RATE
            frame = icmp.error(packet, router, _MESSAGES[Reason.TTL_AFAR])
            return Answer(frame, peering.key, None, PEER.number)
        return Dropped.STRANGER

    def _admit(self, port: PortKey) -> bool:
        now = self._clock()
        if port not in self._ports:
            # Full buckets say nothing: dropped now and then, so that ports that are gone leave nothing behind
            self._ports = {key: one for key, one in self._ports.items() if not one.is_full(now)}
            self._ports[port] = Bucket(PORT_RATE, PORT_BURST, PORT_BURST, now)
        return self._ports[port].take(now) and self._host.take(now)


def _here(snapshot: Snapshot) -> Iterator[tuple[int, Port, Network]]:
    """(OpenFlow port, port, network) of what lives here in routed networks."""
    for uid in sorted(snapshot.interfaces):
        key = snapshot.by_uid.get(uid)
        port = None if key is None else snapshot.ports.get(key)
        network = None if port is None else snapshot.networks.get(port.network)
        if port is not None and network is not None and network.routed and snapshot.bound_here(port.key):
            yield snapshot.interfaces[uid].ofport, port, network


def _sender(snapshot: Snapshot, in_port: int) -> tuple[Port, Network] | None:
    """The port that lives here behind an OpenFlow port, and its network."""
    return next(((port, network) for number, port, network in _here(snapshot) if number == in_port), None)


def _receiver(snapshot: Snapshot, vrf: TenantKey, address: Address) -> tuple[Port, Network] | None:
    """The port that lives here and has an address, or to which a static route sends it: the longest."""
    mine = [(port, network) for _, port, network in _here(snapshot) if network.tenant == vrf]
    for port, network in mine:
        if address in port.addresses:
            return port, network
    routes = (r for r in snapshot.static_routes.values() if r.tenant == vrf and address in r.prefix)
    for route in sorted(routes, key=lambda r: -r.prefix.prefixlen):
        for port, network in mine:
            if any(hop in port.addresses for hop in route.next_hops):
                return port, network
    return None


def _egress(snapshot: Snapshot, key: TenantKey, target: Address) -> Address | None:
    """The egress address of a tenant that this host is a gateway of."""
    tenant = snapshot.tenants.get(key)
    if tenant is None or tenant.egress is not Egress.SNAT or snapshot.host not in tenant.gateways:
        return None
    return next((one for one in tenant.egress_addresses if one.version == target.version), None)


def _mtu(snapshot: Snapshot, cookie: cookies.Cookie, network: Network) -> int:
    """Of the network that the flow compared with, which may be beyond the sender's `network`."""
    limiting = snapshot.networks.get(cookie.network, network)
    return min(limiting.mtu, network.mtu)


def _may_speak(snapshot: Snapshot, port: Port, network: Network, mac: Mac, source: Address) -> bool:
    """As table guard has it: own addresses, those of its pairs, and of prefixes that are routed to it."""
    if mac == port.mac and source in port.addresses:
        return True
    if any(source in pair.prefix and mac == (pair.mac or port.mac) for pair in port.allowed):
        return True
    routes = (r for r in snapshot.static_routes.values() if r.tenant == network.tenant)
    return mac == port.mac and any(
        source in r.prefix and any(hop in port.addresses for hop in r.next_hops) for r in routes
    )


def _gateway(network: Network, address: Address) -> Address | None:
    """The gateway's address in the network: of the subnet of `address`, or else of its family."""
    family = [subnet for subnet in network.subnets if subnet.version == address.version]
    found = next((subnet for subnet in family if address in subnet), family[0] if family else None)
    return None if found is None else gateway(found)
