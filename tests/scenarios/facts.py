"""Facts: the words in which a state is told, one thing that happens each, and the steps that hand them over.

Place: states are made of facts, expanders cut and order them, the house lets them happen. Must not know what
follows from them.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from ipaddress import ip_address
from typing import Any

from bgp.codec import communities, nlri
from model.addresses import Address
from model.change import Part
from model.ids import HostName, Mac, PortKey, Uid, Vni
from model.intent import Binding, Cluster
from model.inventory import Interface
from model.route import Attributes, Distinguisher, MacRoute, MulticastRoute, Route
from tests.fakes import world

ASN = 65000
ONE, TWO = "192.0.2.251", "192.0.2.252"
"""The route reflectors."""


@dataclass(frozen=True)
class Row:
    """The store holds this now; `value` None: no longer."""

    part: Part
    key: Any
    value: Any


@dataclass(frozen=True)
class Wire:
    """The local switch has this interface; `ofport` None: no longer."""

    uid: Uid
    ofport: int | None


@dataclass(frozen=True)
class Heard:
    """A reflector passes on this route; `route` None: it takes it back."""

    peer: str
    key: bytes
    route: Route | None


@dataclass(frozen=True)
class Passed:
    """Time went by, in seconds."""

    seconds: float


@dataclass(frozen=True)
class Silent:
    """A VTEP answers no probe."""

    vtep: Address


@dataclass(frozen=True)
class Lost:
    """The session with a reflector broke."""

    peer: str


@dataclass(frozen=True)
class Back:
    """The session stands again; all that the reflector passes on now comes once more, then End-of-RIB."""

    peer: str


Fact = Row | Wire | Heard | Passed | Silent | Lost | Back
Happening = Passed | Silent | Lost | Back
"""Facts that have a moment: never reordered, repeated or merged."""


class Delivery(Enum):
    """How the store's part of a step arrives: what changed, or everything as after a reconnect."""

    CHANGES = "changes"
    EVERYTHING = "everything"


@dataclass(frozen=True)
class Step:
    """Facts that arrive together: rows as one batch, wires as one look, routes as one burst; in the order of
    the first of each."""

    facts: tuple[Fact, ...]
    delivery: Delivery = Delivery.CHANGES


def row(*values: Any) -> tuple[Row, ...]:
    """Rows of tenants, networks, ports, classes, hypervisors and bindings."""
    return tuple(Row(*world.keyed(value), value) for value in values)


def no_row(*values: Any) -> tuple[Row, ...]:
    return tuple(Row(*world.keyed(value), None) for value in values)


def cluster(uid: str = "cluster-1", generation: int = 5) -> Row:
    return Row(Part.CLUSTER, None, Cluster(Uid(uid), generation, ASN))


def bound(port: int, host: str, sequence: int = 0, *, active: bool = True) -> Row:
    return Row(Part.BINDING, PortKey(port), Binding(PortKey(port), HostName(host), sequence, active))


def plug(port: int, ofport: int) -> Wire:
    return Wire(Uid(f"port-{port}"), ofport)


def unplug(port: int) -> Wire:
    return Wire(Uid(f"port-{port}"), None)


def interface(wire: Wire) -> Interface:
    assert wire.ofport is not None
    return Interface(f"tap-{wire.uid}", wire.uid, wire.ofport)


def _hung(host: int, vni: int, target: int, sequence: int | None) -> Attributes:
    return Attributes(
        next_hop=ip_address(f"192.0.2.{host}"),
        route_targets=(communities.route_target(ASN, Vni(target)),),
        sequence=sequence,
        encapsulations=(communities.VXLAN,),
    )


def _heard(peer: str, route: Route) -> Heard:
    return Heard(peer, nlri.key(nlri.encode(route.nlri)), route)


def says(
    host: int,
    net: int,
    mac: int,
    *addresses: str,
    sequence: int | None = None,
    target: int | None = None,
    peer: str = ONE,
) -> tuple[Heard, ...]:
    """RT-2 of host number `host`: the MAC alone and with each address; `target`: a VNI other than its own."""
    rd, vni = nlri.distinguisher(Distinguisher(host, net)), 1000 + net
    hung = _hung(host, vni, vni if target is None else target, sequence)
    bodies = (None, *(ip_address(a) for a in addresses))
    return tuple(_heard(peer, Route(MacRoute(rd, Mac(mac), a, Vni(vni)), hung)) for a in bodies)


def floods(host: int, net: int, *, peer: str = ONE) -> tuple[Heard, ...]:
    """RT-3 of host number `host`."""
    vtep, vni = ip_address(f"192.0.2.{host}"), Vni(1000 + net)
    hung = Attributes(
        next_hop=vtep,
        route_targets=(communities.route_target(ASN, vni),),
        pmsi_vni=vni,
        pmsi_endpoint=vtep,
        encapsulations=(communities.VXLAN,),
    )
    return (_heard(peer, Route(MulticastRoute(nlri.distinguisher(Distinguisher(host, net)), vtep), hung)),)


def taken_back(*heard: Heard) -> tuple[Heard, ...]:
    return tuple(Heard(one.peer, one.key, None) for one in heard)
