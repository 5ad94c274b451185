"""Spoken for: may this VTEP say that an address of an allowed pair is with it now (VRRP and its kin)?

Place: the part of `bgp.guard` that judges RT-2 with such an address; `bgp.choice` asks it for the best. Pure.
Authority is the store's as ever: a port whose pairs name address and MAC, and that may be on that host. Which
of several such hosts has it is for the sequence to say (model.whereabouts).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from bgp.irb import judge_router
from bgp.verdict import Case, Refused, title
from model.addresses import Address, format_mac
from model.ids import Mac, NetworkKey, PortKey
from model.route import MacRoute, RemoteAddress
from model.snapshot import Snapshot


@dataclass(frozen=True, slots=True)
class AddressClaim:
    """An accepted RT-2 about an address of a pair. `ports`: those that may stand behind it on that VTEP."""

    network: NetworkKey
    address: Address
    mac: Mac
    vtep: Address
    sequence: int
    preference: int
    router_mac: Mac | None
    ports: tuple[PortKey, ...]


def judge_spoken(
    snapshot: Snapshot, case: Case, body: MacRoute, address: Address, ports: Iterable[PortKey]
) -> AddressClaim | Refused:
    """`ports`: those of the network whose pairs allow this address with this MAC; at least one."""
    known = sorted(ports)
    there = tuple(key for key in known if _may_be_at(snapshot, key, case))
    if not there:
        names = ", ".join(snapshot.ports[key].name for key in known)
        return Refused(
            "vtep-not-authorised",
            f"{case.who()} announces {address} with {format_mac(body.mac)} in network "
            f"{title(snapshot, case.network.key)}: the ports that may ({names}) are not on that host; bind "
            "one of them there, or look into who sends this",
        )
    router = judge_router(snapshot, case, body)
    if isinstance(router, Refused):
        return router
    hung = case.route.attributes
    return AddressClaim(
        case.network.key,
        address,
        body.mac,
        case.host.vtep,
        hung.sequence or 0,
        hung.local_preference,
        router if case.network.routed else None,
        there,
    )


def _may_be_at(snapshot: Snapshot, key: PortKey, case: Case) -> bool:
    port, binding = snapshot.ports[key], snapshot.bindings.get(key)
    if case.host.name not in port.hosts:
        return False
    return binding is None or not binding.active or binding.host == case.host.name


def select_address(live: tuple[AddressClaim, ...], held: tuple[AddressClaim, ...]) -> RemoteAddress | None:
    """The newest of the claims on one address: as `bgp.table.select` chooses, whatever the MAC."""
    contest = live or held
    if not contest:
        return None
    best = min(
        contest, key=lambda one: (-one.sequence, -one.preference, one.vtep.version, int(one.vtep), one.mac)
    )
    return RemoteAddress(best.network, best.address, best.mac, best.vtep, best.sequence, best.router_mac)
