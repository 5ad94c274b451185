"""Rules: what leaf switches drop on VF rails, and at which of their ports.

Place: asked by the API; `nft` and `acl` write it down. A VF goes past Open vSwitch, so nothing on its host
keeps a tenant from speaking VXLAN to VTEPs or BGP to switches: only the leaf can. Must not guess names of its
ports.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from typing import Final

from ipam.contents import Contents
from model.errors import Conflict, Fault, Invalid, NotFound
from model.fabric import Fabric, FabricKind

VXLAN: Final = 4789
"""RFC 7348 section 5, UDP."""
BGP: Final = 179
"""RFC 4271 section 4, TCP."""


class Way(Enum):
    """As the leaf sees it. FROM: into the switch, from the host; TO: out of it, to the host."""

    FROM = "from host"
    TO = "to host"


@dataclass(frozen=True, slots=True)
class Drop:
    """`protocol`: `udp`, `tcp`; `side`: which of both ports is compared: `destination`, `source`."""

    protocol: str
    side: str
    port: int
    why: str


DROPS: Final = (
    Drop("udp", "destination", VXLAN, "VXLAN: no tenant speaks as a VTEP"),
    Drop("tcp", "destination", BGP, "BGP: no tenant opens a session"),
    Drop("tcp", "source", BGP, "BGP: no tenant answers one"),
)
"""Both ways. VXLAN's source port is any (RFC 7348 section 5), so only its destination is compared."""


@dataclass(frozen=True, slots=True, order=True)
class Socket:
    """Where a PF is plugged in. `leaf` empty: neither rail nor node says it. `port`: the switch's own name,
    empty = nobody said it."""

    leaf: str
    rail: str
    node: str
    pf: str
    port: str = ""


Names = dict[tuple[str, str], str]
"""(node, PF) -> the leaf's own name of the port."""


def sockets(contents: Contents, name: str, names: Names) -> tuple[Socket, ...]:
    """All of a fabric's, by leaf. NotFound; Invalid (InfiniBand; a name for what is not there); Conflict (a
    VTEP on a rail: the rules would cut the overlay)."""
    record = contents.fabrics.get(name)
    if record is None:
        advice = "See those that exist: ringfence get fabric"
        raise NotFound(Fault(f"Fabric {name}", "not-found", "it does not exist", advice))
    fabric = record.value
    if fabric.kind is FabricKind.INFINIBAND:
        message = "its switches know no UDP and TCP ports: partition keys keep its tenants apart"
        advice = "Name a fabric of kind roce or ethernet."
        raise Invalid(Fault(f"Fabric {name}", "infiniband", message, advice))
    _check_vteps(contents, fabric)
    found = tuple(sorted(_sockets(contents, fabric, names)))
    there = {(each.node, each.pf) for each in found}
    faults = [
        Fault(
            f"Port {node}/{pf}", "not-found", f"fabric {name} has no such PF", "See: ringfence ipam inventory"
        )
        for node, pf in sorted(set(names) - there)
    ]
    if faults:
        raise Invalid(*faults)
    return found


def _sockets(contents: Contents, fabric: Fabric, names: Names) -> Iterator[Socket]:
    for name, record in contents.nodes.items():
        node, sku = record.value, contents.skus.get(record.value.sku)
        if node.fabric != fabric.name or sku is None:
            continue
        for slot in sku.value.pfs:
            rail = None if slot.rail is None else fabric.rail(slot.rail)
            if rail is None or slot.kind is not fabric.kind:
                continue
            own = node.leaves[rail.index] if rail.index < len(node.leaves) else ""
            yield Socket(own or rail.leaf, rail.name, name, slot.name, names.get((name, slot.name), ""))


def _check_vteps(contents: Contents, fabric: Fabric) -> None:
    faults = []
    for name, record in sorted(contents.hypervisors.items()):
        vtep = record.value.vtep
        for rail in fabric.rails:
            for subnet in rail.subnets:
                if vtep.version == subnet.version and vtep in subnet:
                    message = f"its VTEP {vtep} is on rail {rail.name} of fabric {fabric.name}"
                    advice = "These rules would cut its tunnels: give it a VTEP on another network."
                    faults.append(Fault(f"Hypervisor {name}", "vtep-on-rail", message, advice))
    if faults:
        raise Conflict(*faults)
