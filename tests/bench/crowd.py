"""Crowd: what a large cluster's store and reflector hold for a host: remote ports by the thousand, and the
UPDATEs that announce them.

Place: made by `evpn`, written to its lab's store and said by its `sender`. The small things (tenants,
networks, hosts) are applied through the API as anybody would; the ports by transactions of rows, since
planning 50,000 of them one after the other is not what is measured. Must not measure.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address
from itertools import groupby
from typing import Any, Final

from bgp.codec import communities, nlri, update
from controller.store import rows
from controller.store.identity import row_uid
from controller.store.operations import binding_uid
from controller.store.records import DATABASE
from controller.store.statements import Operation, insert
from controller.store.wire import Connection
from controller.store.writer import Store, random_uid
from model.addresses import router_mac
from model.ids import HostName, Mac, NetworkKey, PortKey, Uid, Vni
from model.intent import Port
from model.route import Attributes, Distinguisher, MacRoute, Route
from tests.bench.sender import HEADER, LONGEST, framed

GROUP: Final = 95
"""MACs of a network on one host: about what fills a message of 4,096 octets, if its sender packs."""
_FIRST_KEY: Final = 1 << 20
_FIRST_MAC: Final = 0x06 << 40
_FIRST_ADDRESS: Final = 0x8000
"""Within a network's /16: what the API hands out comes before."""
_ROWS: Final = 6_000
"""Of one transaction."""
_LONG: Final = 120.0


@dataclass(frozen=True, slots=True)
class Place:
    """A network, as the store has it: uids, key, VNIs; `number`: of its subnet 10.NUMBER.0.0/16."""

    tenant: Uid
    uid: Uid
    key: NetworkKey
    vni: Vni
    l3vni: Vni
    number: int


@dataclass(frozen=True, slots=True)
class Host:
    """A hypervisor without an agent, whose VTEP the sender's node has."""

    name: HostName
    vtep: IPv4Address


@dataclass(frozen=True, slots=True)
class Member:
    """A port on another host, and what its route says. `place` None: of a tenant that nobody knows here."""

    number: int
    host: Host
    place: Place | None
    vni: Vni
    l3vni: Vni
    mac: Mac
    address: IPv4Address


def members(count: int, places: Sequence[Place], hosts: Sequence[Host], first: int = 0) -> list[Member]:
    """So many ports, GROUP of a network on a host, network by network, host by host."""
    made = []
    for n in range(count):
        group, rank = divmod(n, GROUP)
        place = places[group % len(places)]
        host = hosts[group // len(places) % len(hosts)]
        within = _FIRST_ADDRESS + group // len(places) * GROUP + rank
        address = IPv4Address((10 << 24) + (place.number << 16) + within)
        made.append(
            Member(first + n, host, place, place.vni, place.l3vni, Mac(_FIRST_MAC + first + n), address)
        )
    return made


def strangers(count: int, networks: int, hosts: Sequence[Host], first: int) -> list[Member]:
    """The same of tenants that the store does not have: others' routes, as a reflector sends them along."""
    made = []
    for n in range(count):
        group = n // GROUP
        network = group % networks
        host = hosts[group // networks % len(hosts)]
        vni, l3vni = Vni(9_000_000 + network), Vni(9_500_000 + network)
        address = IPv4Address((11 << 24) + n)
        made.append(Member(first + n, host, None, vni, l3vni, Mac(_FIRST_MAC + first + n), address))
    return made


def places(remote: str) -> dict[str, Place]:
    """The networks in the store, by name."""
    store = Store(remote)
    try:
        found = store.read_all()
    finally:
        store.close()
    made = {}
    for (tenant, name), record in found.networks.items():
        owner, network = found.tenants[tenant].value, record.value
        number = int(network.subnets[0].network_address) >> 16 & 0xFF
        made[name] = Place(owner.uid, network.uid, network.key, network.vni, owner.l3vni, number)
    return made


def write(remote: str, crowd: Sequence[Member]) -> list[Uid]:
    """Put their ports into the store, authorised on their hosts, bound nowhere; their uids, in order."""
    uids = [random_uid() for _ in crowd]
    operations = [one for member, uid in zip(crowd, uids, strict=True) for one in _rows(member, uid)]
    _commit(remote, operations)
    return uids


def bind(remote: str, crowd: Sequence[Member], uids: Sequence[Uid]) -> None:
    """Let the store say that they are where they say to be."""
    operations = []
    for member, uid in zip(crowd, uids, strict=True):
        assert member.place is not None
        columns = {"port": ["uuid", uid], "key": _key(member), "network": ["uuid", member.place.uid],
                   "host": member.host.name, "sequence": 0, "active": True}  # fmt: skip
        operations.append(insert("Binding", binding_uid(uid), columns))
    _commit(remote, operations)


def _commit(remote: str, operations: Sequence[Operation]) -> None:
    connection = Connection(remote)
    raised = {"op": "mutate", "table": "Cluster", "where": [], "mutations": [["generation", "+=", 1]]}
    try:
        for start in range(0, len(operations), _ROWS):
            connection.commit(DATABASE, [*operations[start : start + _ROWS], raised], _LONG)
    finally:
        connection.close()


def _rows(member: Member, uid: Uid) -> Iterator[Operation]:
    place = member.place
    assert place is not None
    port = Port(uid, place.key, f"m{member.number}", PortKey(_key(member)), member.mac, (member.address,),
                (member.host.name,))  # fmt: skip
    yield insert("Port", uid, rows.port_columns(port, place.tenant, place.uid, ()))
    address = {"network": ["uuid", place.uid], "address": str(member.address), "port": ["uuid", uid]}
    yield insert("Address", row_uid("Address", place.uid, str(member.address)), address)


def _key(member: Member) -> int:
    return _FIRST_KEY + member.number


def announced(crowd: Sequence[Member], asn: int, *, packed: bool) -> bytes:
    """Whole messages: those that share attributes together, up to 4,096 octets, or each alone."""
    return b"".join(_messages(crowd, asn, packed=packed))


def _messages(crowd: Sequence[Member], asn: int, *, packed: bool) -> Iterator[bytes]:
    for (host, vni, l3vni), some in groupby(crowd, lambda one: (one.host, one.vni, one.l3vni)):
        hop, rest = host.vtep.packed, _attributes(host, vni, l3vni, asn)
        empty = len(update.join(update.Parts((), hop, (), rest))) + HEADER + 4 + 4 + len(hop) + 1
        raws = [_nlri(one) for one in some]
        most = (LONGEST - empty) // max(map(len, raws)) if packed else 1
        for start in range(0, len(raws), most):
            yield framed(update.join(update.Parts(tuple(raws[start : start + most]), hop, (), rest)))


def withdrawn(crowd: Sequence[Member]) -> bytes:
    """Whole messages that take all of it back, packed."""
    raws = [_nlri(one) for one in crowd]
    most = (LONGEST - HEADER - 4 - 7) // max(map(len, raws))
    parts = (tuple(raws[start : start + most]) for start in range(0, len(raws), most))
    return b"".join(framed(update.join(update.Parts(unreach=some))) for some in parts)


def end_of_rib() -> bytes:
    """As a message."""
    return framed(update.end_of_rib())


def _nlri(member: Member) -> bytes:
    return nlri.encode(_body(member))


def _body(member: Member) -> MacRoute:
    number = 1 + member.vni % 0xFFFF
    rd = nlri.distinguisher(Distinguisher(int(member.host.vtep), number))
    return MacRoute(rd, member.mac, member.address, member.vni, member.l3vni)


def _attributes(host: Host, vni: Vni, l3vni: Vni, asn: int) -> bytes:
    """As an agent of ours says them."""
    said = Attributes(
        host.vtep,
        tuple(communities.route_target(asn, one) for one in (vni, l3vni)),
        router_mac=router_mac(int(host.vtep)),
        encapsulations=(communities.VXLAN,),
    )
    return update.split(update.encode(Route(MacRoute(bytes(8), Mac(0), None, Vni(1)), said))).rest


def expected(crowd: Sequence[Member]) -> dict[tuple[NetworkKey, Mac], tuple[IPv4Address, Vni]]:
    """What the table that finds MACs must lead to."""
    found: dict[tuple[NetworkKey, Mac], tuple[IPv4Address, Vni]] = {}
    for one in crowd:
        if one.place is not None:
            found[one.place.key, one.mac] = (one.host.vtep, one.vni)
    return found


def document(kind: str, name: str, spec: dict[str, Any], tenant: str = "") -> dict[str, Any]:
    """A manifest's document."""
    metadata = {"name": name, "tenant": tenant} if tenant else {"name": name}
    return {"apiVersion": "ringfence/v1", "kind": kind, "metadata": metadata, "spec": spec}
