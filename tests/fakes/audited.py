"""Worlds for tests of the audit: contents with gangs, and hosts and fabrics that say what is then true.

Place: imported by tests. Holds no rule of the product.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from ipam.audit.findings import Audit
from ipam.audit.heard import Heard, Told
from ipam.audit.look import audit
from ipam.contents import Contents, FabricRecord, NodeRecord, SkuRecord
from ipam.draft import Draft
from ipam.gangs.slots import guids, serial
from ipam.pools import defaults
from model.bearing import FabricWord, HostPart, HostWord, Reached
from model.fabric import DEFAULT_PKEY, FULL_MEMBER, Fabric, FabricKind, Guid
from model.gang import Gang, GangState, Membership, Progress
from model.hardware import Sku
from model.ids import Mac, Uid
from model.intent import Cluster
from model.sighting import SeenPf, SeenVf, Sighting
from tests.fakes.estate import Yard, infiniband, nodes, roce, sku, yard

NOW = 10_000_000
SINCE = NOW - 1_000_000
STATES = {
    GangState.RESERVED: GangState.RESERVED,
    GangState.PROGRAMMED: GangState.VERIFIED,
    GangState.VERIFIED: GangState.ACTIVE,
    GangState.ACTIVE: GangState.ACTIVE,
    GangState.RELEASING: GangState.ACTIVE,
    GangState.FAILED: GangState.PROGRAMMED,
}
"""How far effects have begun in each state."""
_PORTS = frozenset({GangState.PROGRAMMED, GangState.VERIFIED, GangState.ACTIVE})
_REACHED = {
    GangState.RESERVED: Reached.NOTHING,
    GangState.PROGRAMMED: Reached.SET,
    GangState.VERIFIED: Reached.UP,
    GangState.ACTIVE: Reached.UP,
    GangState.RELEASING: Reached.PARKED,
    GangState.FAILED: Reached.PARKED,
}
PCI = 0x300000


@dataclass
class World:
    """`kind`: of the only SKU. What hosts and fabrics say follows from the gangs, until a test changes it."""

    fabric: Fabric
    kind: Sku
    yard: Yard
    gangs: list[Gang] = field(default_factory=list)
    cooling: list[tuple[Gang, int]] = field(default_factory=list)
    now: int = NOW

    def add(self, tenant: str, name: str, state: GangState, **more: Any) -> Gang:
        made = self.yard.reserve(tenant=tenant, name=name, **more)
        # The yard's MACs begin anywhere; those of the pool are ours.
        first = defaults(site=1)[1].first
        berths = tuple(
            replace(
                berth,
                interfaces=tuple(
                    replace(i, mac=Mac(first + i.mac - 0x020000000001)) if i.mac else i
                    for i in berth.interfaces
                ),
            )
            for berth in made.berths
        )
        since = self.now - 100_000 if state is not GangState.ACTIVE else SINCE
        made = replace(made, progress=Progress(state, STATES[state]), berths=berths, since=since)
        self.gangs.append(made)
        return made

    def cool(self, gang: Gang) -> None:
        """Released a while ago."""
        self.gangs.remove(gang)
        gone = replace(gang, progress=Progress(GangState.RELEASED), since=self.now - 200_000)
        self.cooling.append((gone, self.now + 60_000))

    def contents(self) -> Contents:
        draft = Draft(Contents())
        draft.set_cluster(Cluster(Uid("cluster"), 1_000, 65000))
        for pool in defaults(site=1):
            draft.put_pool(pool)
        draft.put(SkuRecord(self.kind))
        draft.put(FabricRecord(self.fabric))
        for node in nodes(len(self.yard.estate.nodes), self.fabric.name).values():
            draft.put(NodeRecord(node))
        for gang in self.gangs:
            draft.put_gang(gang)
        for gang, until in self.cooling:
            draft.put_gang(gang, until)
        return draft.contents()

    def heard(self) -> Heard:
        words = {f"hv{n}": Told(self._word(f"hv{n}"), self.now - 1_000) for n in self._numbers()}
        seen = {f"hv{n}": Told(self._sighting(n), self.now - 2_000) for n in self._numbers()}
        tables = self._tables() if self.fabric.kind is FabricKind.INFINIBAND else {}
        said = FabricWord(self.fabric.name, "opensm", "test", (), (), tables)
        return Heard(seen, words, {self.fabric.name: Told(said, self.now - 3_000)})

    def audit(self, heard: Heard | None = None) -> Audit:
        return audit(self.contents(), self.heard() if heard is None else heard, self.now)

    def _numbers(self) -> range:
        return range(1, len(self.yard.estate.nodes) + 1)

    def _word(self, host: str) -> HostWord:
        return HostWord(
            tuple(
                HostPart(g.generation, g.progress.state, g.progress.begun, _REACHED[g.progress.state])
                for g in self.gangs
                if any(berth.host == host for berth in g.berths)
            )
        )

    def place(self, number: int, pf: int, vf: int) -> tuple[Guid, Guid]:
        """The GUIDs of a VF by its place; 0 unless InfiniBand."""
        if self.fabric.kind is not FabricKind.INFINIBAND:
            return Guid(0), Guid(0)
        found = guids(self.fabric, serial(nodes(number, "")[f"n{number}"].key, pf, vf))
        assert found is not None
        return found

    def _sighting(self, number: int) -> Sighting:
        borne = {
            (i.pf, i.vf): (gang, i)
            for gang in self.gangs
            for berth in gang.berths
            if berth.node == f"n{number}"
            for i in berth.interfaces
        }
        pfs = []
        for place, slot in enumerate(self.kind.pfs):
            vfs = []
            for index in range(slot.vfs):
                seen = SeenVf(index, PCI + place * 64 + index)  # type: ignore[arg-type]
                node_guid, port_guid = self.place(number, place, index)
                seen = replace(seen, node_guid=node_guid, port_guid=port_guid)
                gang, interface = borne.get((slot.name, index), (None, None))
                if gang is not None and interface is not None and gang.progress.state in _PORTS:
                    seen = replace(seen, driver="mlx5_core", mac=interface.mac)
                vfs.append(seen)
            pfs.append(SeenPf(slot.pci, made=slot.vfs, vfs=tuple(vfs)))
        return Sighting(tuple(pfs))

    def _tables(self) -> dict[Guid, tuple[int, ...] | None]:
        """Ports that gangs have or had."""
        found: dict[Guid, tuple[int, ...] | None] = {}
        for gang in (*(gang for gang, _ in self.cooling), *self.gangs):
            level = FULL_MEMBER if gang.request.membership is Membership.FULL else 0
            joined = gang.progress.state in _PORTS
            for berth in gang.berths:
                for i in berth.interfaces:
                    own = (gang.pkey | level, DEFAULT_PKEY) if joined else (DEFAULT_PKEY,)
                    found[i.port_guid] = (*own, 0, 0)
        return found


def world(kind: FabricKind = FabricKind.INFINIBAND, count: int = 4, rails: int = 2, vfs: int = 3) -> World:
    """A fabric of nodes of one SKU; nobody has anything yet."""
    fabric = infiniband(rails) if kind is FabricKind.INFINIBAND else roce(rails)
    made = sku(rails, vfs, kind)
    return World(fabric, made, yard(fabric, made, count))
