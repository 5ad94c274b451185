"""Adapters: the host channel adapters of a simulated fabric, one for each VF that its nodes are to have.

Place: between the product's inventory and `subnet`. ibsim knows no VFs, so that each is an adapter of its
own, under the GUIDs that the IPAM derives from its place. Must not choose a GUID itself.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ipam.gangs.slots import guids, serial
from model.fabric import Fabric, Guid
from model.hardware import Node, Sku
from topologies.errors import LabError
from topologies.subnet import MANAGERS, SPINES


@dataclass(frozen=True, slots=True)
class Adapter:
    """A VF as ibsim has it. `guid`: of its port."""

    node: str
    rail: int
    vf: int
    node_guid: Guid
    guid: Guid

    @property
    def name(self) -> str:
        """What ibsim calls it; also the host that a program there is attached to."""
        return f"{self.node}-rail{self.rail}-vf{self.vf}"


def adapters(fabric: Fabric, sku: Sku, nodes: Iterable[Node]) -> tuple[Adapter, ...]:
    """By node, place of the PF in the SKU, number of the VF; PFs that are on no rail have none."""
    found = []
    for node in nodes:
        for place, slot in enumerate(sku.pfs):
            for vf in range(slot.vfs if slot.rail is not None else 0):
                pair = guids(fabric, serial(node.key, place, vf))
                if pair is None:
                    raise LabError(f"fabric {fabric.name} has no GUID for VF {vf} of {node.name}/{slot.name}")
                found.append(Adapter(node.name, int(slot.rail or 0), vf, *pair))
    return tuple(found)


def drawing(there: Sequence[Adapter]) -> str:
    """ibsim's network file: a leaf for each rail, spines above, subnet managers' hosts at the first leaf."""
    rails = sorted({each.rail for each in there})
    parts, leaves = [], {}
    for rail in rails:
        ends = [(each.name, each.node_guid, each.guid) for each in there if each.rail == rail]
        if rail == rails[0]:
            ends += [(f"sm{place}", guid - 1, guid) for place, guid in enumerate(MANAGERS)]
        parts += [
            f'caguid=0x{node:016x}\nHca 1 "{name}"\n[1]({guid:016x}) "leaf{rail}"[{port}]'
            for port, (name, node, guid) in enumerate(ends, 1)
        ]
        leaves[rail] = [name for name, _, _ in ends]
    for rail, names in leaves.items():
        lines = [f'[{port}] "{name}"[1]' for port, name in enumerate(names, 1)]
        lines += [f'[{len(names) + 1 + s}] "spine{s}"[{rails.index(rail) + 1}]' for s in range(SPINES)]
        parts.append("\n".join((f'Switch {len(lines)} "leaf{rail}"', *lines)))
    for s in range(SPINES):
        lines = [f'[{port}] "leaf{rail}"[{len(leaves[rail]) + 1 + s}]' for port, rail in enumerate(rails, 1)]
        parts.append("\n".join((f'Switch {len(rails)} "spine{s}"', *lines)))
    return "\n\n".join(parts) + "\n"
