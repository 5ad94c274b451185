"""Estates for tests of gangs: fabrics, SKUs and nodes in memory, and a ledger that follows gangs.

Place: imported by tests. Holds no rule of the product.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from ipaddress import ip_network
from typing import Any

from ipam.gangs.ledger import Ledger
from ipam.gangs.place import Estate, Placement, place, reserve
from ipam.gangs.refusal import Refusal
from model.fabric import Addressing, Fabric, FabricKind, Rail, RailIndex
from model.gang import Gang, GangRequest, Quota
from model.hardware import Gpu, Node, NodeKey, PciAddress, PfSlot, Sku
from model.ids import HostName, Mac

GUIDS = range(0x02 << 56, (0x02 << 56) + (1 << 32))


def sku(rails: int = 8, vfs: int = 4, kind: FabricKind = FabricKind.INFINIBAND, pkeys: int = 128) -> Sku:
    """A GPU beside each rail's PF, the first half at NUMA node 0."""
    gpus = tuple(Gpu(PciAddress(0x100 + n), n * 2 // rails) for n in range(rails))
    pfs = tuple(
        PfSlot(
            f"mlx{n}",
            PciAddress(0x200 + n),
            kind,
            RailIndex(n),
            n * 2 // rails,
            n,
            vfs,
            pkeys if kind is FabricKind.INFINIBAND else 0,
        )
        for n in range(rails)
    )
    return Sku("h", gpus, pfs)


def infiniband(rails: int = 8, **more: Any) -> Fabric:
    """A /12 and a /40 a rail, a /20 and a /64 for each tenant."""
    planes = tuple(
        Rail(
            RailIndex(n),
            f"r{n}",
            (ip_network((n * 16 + 64 << 16 | 10 << 24, 16)), ip_network((0xFD << 120 | n << 80, 48))),
            f"leaf{n}",
        )
        for n in range(rails)
    )
    given = {
        "pkeys": range(1, 0x7FFF),
        "guids": (GUIDS,),
        "addressing": Addressing.TENANT,
        "blocks": (22, 64),
        "cool_down": 10,
    }
    return Fabric("ib", FabricKind.INFINIBAND, planes, **{**given, **more})


def roce(rails: int = 8, addressing: Addressing = Addressing.LINK, **more: Any) -> Fabric:
    """A /16 and a /48 a rail; a /24 and a /64 for each node."""
    planes = infiniband(rails).rails
    given = {"addressing": addressing, "blocks": (24, 64), "cool_down": 10}
    return Fabric("roce", FabricKind.ROCE, planes, **{**given, **more})


def nodes(count: int, fabric: str, pods: int = 1) -> dict[str, Node]:
    """n1 .. : the first ones at the first pod's leaves."""
    size = -(-count // pods)
    return {
        f"n{n}": Node(
            f"n{n}",
            NodeKey(n),
            "h",
            fabric,
            HostName(f"hv{n}"),
            tuple(f"p{(n - 1) // size}l{r}" for r in range(8)) if pods > 1 else (),
        )
        for n in range(1, count + 1)
    }


@dataclass
class Yard:
    """An estate of one fabric, its ledger, and the time."""

    estate: Estate
    ledger: Ledger = field(default_factory=Ledger)
    now: int = 1_000
    generation: int = 0
    macs: int = 0x020000000000

    def ask(self, **more: Any) -> Placement | Refusal:
        fabric = next(iter(self.estate.fabrics))
        return place(
            self.estate,
            self.ledger,
            GangRequest(**{"tenant": "acme", "name": "job", "fabric": fabric, "count": 1, **more}),
            self.now,
        )

    def reserve(self, **more: Any) -> Gang:
        placed = self.ask(**more)
        assert isinstance(placed, Placement), placed
        self.generation += 1
        given = tuple(Mac(self.macs + n + 1) for n in range(placed.macs))
        self.macs += placed.macs
        gang = reserve(placed, self.generation, given)
        self.ledger.hold(gang)
        return gang

    def refused(self, **more: Any) -> Refusal:
        placed = self.ask(**more)
        assert isinstance(placed, Refusal)
        return placed

    def release(self, gang: Gang) -> Gang | None:
        name = (gang.request.tenant, gang.request.name)
        return self.ledger.release(name, gang.generation, self.now + 100)

    def wait(self, ms: int) -> None:
        self.now += ms
        self.ledger.thaw(self.now)


def yard(
    fabric: Fabric, kind: Sku, count: int, pods: int = 1, quotas: dict[str, Quota] | None = None
) -> Yard:
    """A fabric with nodes of one SKU."""
    made = Yard(
        Estate({fabric.name: fabric}, {kind.name: kind}, nodes(count, fabric.name, pods), quotas or {})
    )
    made.ledger.set_fabric(fabric)
    return made
