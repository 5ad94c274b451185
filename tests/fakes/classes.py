"""Egress classes for the tests: a host with every relation, packets to all kinds of destinations, a crowd.

Place: beside `world` and `peering`.
"""

from __future__ import annotations

from ipaddress import ip_address
from typing import Final

from model.addresses import GATEWAY_MAC
from model.snapshot import Snapshot
from pipelines import cookies
from tests.fakes import packets as p
from tests.fakes import peering, world
from tests.fakes.packets import Packet
from tests.fakes.switch import Verdict

DESTINATIONS: Final = (
    ("10.0.1.12", 0),  # its own network
    ("fd00:0:0:1::c", 0),
    ("10.0.2.11", 5),  # another network of its tenant, though class 9 has 10.0.0.0/8
    ("fd00:0:0:2::b", 5),
    ("10.0.6.11", 6),  # across the peering
    ("fd00:0:0:6::b", 6),
    ("10.99.0.1", 9),  # by prefix
    ("fd99::1", 9),
    ("198.51.100.9", 8),  # a prefix of the internet
    ("2001:db8:7::9", 8),
    ("192.0.2.77", 7),
    ("8.8.8.8", 7),
    ("2001:4860::8", 7),
    ("100.64.0.1", 1),  # neither public nor anybody's
    ("172.31.255.1", 1),
    ("172.32.0.1", 7),
    ("4001::1", 1),  # not given out yet
)
"""Where port 11 of `open_to_all` may send, and the class of each."""
MANY: Final = (
    *(f"{20 + n // 65536}.{n // 256 % 256}.{n % 256}.0/24" for n in range(8_000)),
    *(f"2001:db8:{n:x}::/48" for n in range(2_000)),
)
"""10,000 prefixes."""


def open_to_all() -> Snapshot:
    """Tenants 1 and 2 peered, a default route of tenant 1 in both families, and a class for each relation."""
    over = [str(a) for a in world.routed_port(21, world.HERE).addresses]
    ways = (world.static_route(t, t, over[i : i + 1]) for i, t in enumerate(("0.0.0.0/0", "::/0")))
    return world.related(world.added(peering.peered(), *ways))


def packet(snapshot: Snapshot, to: str, sender: int = 11) -> Packet:
    """Of a port's, sent to a neighbour or else to the gateway."""
    one, target = snapshot.ports[world.PortKey(sender)], ip_address(to)
    make = p.ipv4 if target.version == 4 else p.ipv6
    source = next(a for a in one.addresses if a.version == target.version)
    near = next((n.mac for n in snapshot.ports.values() if target in n.addresses), None)
    local = any(target in subnet for subnet in snapshot.networks[one.network].subnets)
    mac = int(near if local and near is not None else GATEWAY_MAC)
    return make(int(one.mac), mac, int(source), int(target)) | {"in_port": sender}


def billed(verdict: Verdict) -> int | None:
    """The class as which a packet was counted; None if it was not."""
    for _, flow in verdict.path:
        cookie = None if flow is None else cookies.parse(flow.cookie)
        if cookie is not None and cookie.kind is cookies.Kind.ACCOUNT:
            return cookie.cls
    return None


def crowd(ports: int, prefixes: tuple[str, ...]) -> Snapshot:
    """A host with so many ports, and three classes that share the prefixes."""
    made = [world.egress_class(2 + n, prefixes[n::3]) for n in range(3)]
    snapshot = world.added(world.empty(), world.tenant(1), world.network(1, subnets=["10.0.0.0/16"]), *made)
    for n in range(1, ports + 1):
        one = world.port(n, 1, 0x020000000000 | n, [f"10.0.{n // 200}.{n % 200 + 1}"])
        snapshot = world.plugged(snapshot, one, n)
    return snapshot
