"""Ledger: who holds what of each fabric, and what cools down.

Place: kept by the store's cache as gangs come and go, tried out on copies by `place`. What a gang holds is
taken under its generation; what bears another one is left alone. Must not choose anything.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Final, TypeVar

from ipam.gangs.slots import SERIALS, block_base, block_length
from ipam.spaces import extent
from ipam.spaces.extent import Extent
from ipam.spaces.space import Space, Tombstone
from model.errors import Fault, Invalid
from model.fabric import Addressing, Fabric, PKey
from model.gang import Berth, Gang
from model.ids import Mac

Name = tuple[str, str]
"""(tenant, gang)."""
Port = tuple[str, str]
"""(node, PF)."""
K = TypeVar("K")
V = TypeVar("V")
ROUTERS: Final = 1
"""Addresses at the start of a tenant's block that are left to a router, behind the first."""


@dataclass(frozen=True, slots=True)
class Holding:
    """What a tenant has of a fabric as long as one of its `gangs` is there. `block`: -1 = none."""

    pkey: PKey
    block: int
    generation: int
    gangs: int = 0
    interfaces: int = 0


@dataclass(slots=True)
class Books:
    """One fabric's. `addresses`: by (tenant's block, rail, IP version), with blocks of tenants only.

    `load`: node -> VFs that gangs hold there. `gpus`: node -> (GPU, generation). `tables`: PF -> (partition
    key, how many gangs' VFs there have it). `links`: node -> addresses in use that follow from its
    slots, as integers.
    """

    fabric: Fabric
    slots: Space
    pkeys: Space
    blocks: Space
    addresses: dict[tuple[int, int, int], Space] = field(default_factory=dict)
    holdings: dict[str, Holding] = field(default_factory=dict)
    load: dict[str, int] = field(default_factory=dict)
    gpus: dict[str, tuple[tuple[int, int], ...]] = field(default_factory=dict)
    tables: dict[Port, tuple[tuple[int, int], ...]] = field(default_factory=dict)
    links: dict[str, frozenset[int]] = field(default_factory=dict)

    def copy(self) -> Books:
        """An independent copy."""
        return Books(
            self.fabric,
            self.slots.copy(),
            self.pkeys.copy(),
            self.blocks.copy(),
            {key: space.copy() for key, space in self.addresses.items()},
            dict(self.holdings),
            dict(self.load),
            dict(self.gpus),
            dict(self.tables),
            dict(self.links),
        )

    def space(self, block: int, rail: int, version: int) -> Space | None:
        """The addresses of a tenant's block on a rail; None if the rail has no such block."""
        key = (block, rail, version)
        if key not in self.addresses:
            found = self._extent(block, rail, version)
            if found is None:
                return None
            self.addresses[key] = Space(found)
        return self.addresses[key]

    def peek(self, block: int, rail: int, version: int) -> Space | None:
        """The same; a space that nobody has used yet is not kept."""
        found = self.addresses.get((block, rail, version))
        if found is not None:
            return found
        made = self._extent(block, rail, version)
        return None if made is None else Space(made)

    def _extent(self, block: int, rail: int, version: int) -> Extent | None:
        found = self.fabric.rail(rail)
        for subnet in () if found is None else found.subnets:
            base = block_base(self.fabric, subnet, block)
            if subnet.version == version and base is not None:
                length = block_length(self.fabric, version)
                prefix = type(subnet)((base, length))
                made = extent.addresses(
                    f"block:{block}:{rail}", prefix, self.fabric.excluded, self.fabric.reserved
                )
                routers = range(base + 1, base + 1 + ROUTERS)
                return replace(made, barred=extent.merge([*made.barred, routers]))
        return None

    def thaw(self, now: int) -> None:
        """End the cool-downs that are over at `now` (Unix ms)."""
        for space in (self.slots, self.pkeys, self.blocks, *self.addresses.values()):
            space.thaw(now)


def open_books(fabric: Fabric) -> Books:
    """Of a fabric that nobody has anything of yet."""
    counts = [
        1 << block_length(fabric, subnet.version) - subnet.prefixlen
        for rail in fabric.rails
        for subnet in rail.subnets
        if block_length(fabric, subnet.version) >= subnet.prefixlen
    ]
    tenants = min(counts, default=0) if fabric.addressing is Addressing.TENANT else 0
    return Books(
        fabric,
        Space(Extent(f"vf:{fabric.name}", SERIALS, window=SERIALS.stop)),
        Space(extent.pkeys(fabric)),
        Space(Extent(f"block:{fabric.name}", range(tenants))),
    )


@dataclass(slots=True)
class Ledger:
    """`gangs`: those that hold something. `cooling`: generation -> gang that was released, until when (Unix
    ms) its things cool down.
    """

    books: dict[str, Books] = field(default_factory=dict)
    gangs: dict[Name, Gang] = field(default_factory=dict)
    cooling: dict[int, tuple[Gang, int]] = field(default_factory=dict)

    def copy(self, fabric: str = "") -> Ledger:
        """A copy that may be changed in what concerns one fabric; "" = everywhere."""
        books = {name: held.copy() if fabric in ("", name) else held for name, held in self.books.items()}
        return Ledger(books, dict(self.gangs), dict(self.cooling))

    def set_fabric(self, fabric: Fabric) -> None:
        """A fabric comes, or is declared differently: its books are written again from its gangs."""
        self.books[fabric.name] = open_books(fabric)
        for gang in sorted(self.gangs.values(), key=lambda g: g.generation):
            if gang.request.fabric == fabric.name:
                _enter(self.books[fabric.name], gang)
        for gang, until in sorted(self.cooling.values(), key=lambda pair: pair[1]):
            if gang.request.fabric == fabric.name:
                _bury(self.books[fabric.name], gang, until)

    def drop_fabric(self, name: str) -> None:
        """A fabric goes."""
        self.books.pop(name, None)

    def hold(self, gang: Gang) -> None:
        """Everything of a gang becomes its own. Invalid, and nothing changes, if a part is somebody's."""
        name = (gang.request.tenant, gang.request.name)
        held = self.gangs.get(name)
        if held is not None and held.generation == gang.generation:
            self.gangs[name] = gang
            return
        if held is not None:
            raise _broken(gang, f"generation {held.generation} has its name")
        books = self.books.get(gang.request.fabric)
        if books is None:
            raise _broken(gang, f"there is no fabric {gang.request.fabric}")
        _enter(books, gang)
        self.gangs[name] = gang

    def release(self, name: Name, generation: int, until: int) -> Gang | None:
        """Everything of a gang cools down until `until` (Unix ms); None, and nothing changes, if no gang of
        that name and generation holds anything.
        """
        gang = self.gangs.get(name)
        if gang is None or gang.generation != generation:
            return None
        del self.gangs[name]
        self.cooling[generation] = (gang, until)
        if gang.request.fabric in self.books:
            _leave(self.books[gang.request.fabric], gang, until)
        return gang

    def cool(self, gang: Gang, until: int) -> None:
        """A gang that was released, whether it was known before or not: its things cool down."""
        known = self.release((gang.request.tenant, gang.request.name), gang.generation, until)
        if known is not None:
            self.cooling[gang.generation] = (gang, until)
        if known is None and gang.generation not in self.cooling:
            self.cooling[gang.generation] = (gang, until)
            if gang.request.fabric in self.books:
                _bury(self.books[gang.request.fabric], gang, until)

    def forget(self, gang: Gang) -> None:
        """The cool-down of a gang's things is over."""
        if self.cooling.pop(gang.generation, None) is not None and gang.request.fabric in self.books:
            _exhume(self.books[gang.request.fabric], gang)

    def thaw(self, now: int) -> None:
        """End the cool-downs that are over at `now` (Unix ms)."""
        for books in self.books.values():
            books.thaw(now)
        for generation in [g for g, (_, until) in self.cooling.items() if until <= now]:
            del self.cooling[generation]

    def macs(self) -> Iterator[Mac]:
        """Those that gangs hold, or that cool down."""
        for gang in (*self.gangs.values(), *(gang for gang, _ in self.cooling.values())):
            yield from macs(gang)


def holding(tenant: str, ledger: Ledger) -> tuple[int, int]:
    """(gangs, interfaces) that a tenant has on all fabrics; what cools down is not its own any more."""
    has = [b.holdings[tenant] for b in ledger.books.values() if tenant in b.holdings]
    return sum(h.gangs for h in has), sum(h.interfaces for h in has)


def macs(gang: Gang) -> Iterator[Mac]:
    """Those of a gang's interfaces; none on InfiniBand."""
    for berth in gang.berths:
        for interface in berth.interfaces:
            if interface.mac:
                yield interface.mac


def _enter(books: Books, gang: Gang) -> None:
    """Take everything; what was taken is given back if something is somebody's."""
    tenant = gang.request.tenant
    held = books.holdings.get(tenant) or Holding(gang.pkey, gang.block, gang.generation)
    if (held.pkey, held.block) != (gang.pkey, gang.block):
        raise _broken(gang, f"partition key and block differ from those of {tenant}'s other gangs")
    done: list[tuple[Space, int]] = []
    for space, value in itertools.chain(_numbers(books, gang), () if held.gangs else _shared(books, held)):
        if not space.take(value, gang.generation):
            for taken, number in reversed(done):
                taken.undo(number, gang.generation)
            raise _broken(gang, f"{value} of {space.extent.name} is of generation {space.holder(value)}")
        done.append((space, value))
    books.holdings[tenant] = replace(held, gangs=held.gangs + 1, interfaces=held.interfaces + gang.size)
    for berth in gang.berths:
        _board(books, gang, berth)


def _board(books: Books, gang: Gang, berth: Berth) -> None:
    books.load[berth.node] = books.load.get(berth.node, 0) + len(berth.interfaces)
    if berth.gpus:
        new = tuple((gpu, gang.generation) for gpu in berth.gpus)
        books.gpus[berth.node] = tuple(sorted((*books.gpus.get(berth.node, ()), *new)))
    for interface in berth.interfaces:
        if gang.pkey:
            _count(books.tables, (berth.node, interface.pf), gang.pkey, 1)
    if books.fabric.addressing is not Addressing.TENANT:
        mine = frozenset(int(a) for i in berth.interfaces for a in i.addresses)
        books.links[berth.node] = books.links.get(berth.node, frozenset()) | mine


def _leave(books: Books, gang: Gang, until: int) -> None:
    for space, value in _numbers(books, gang):
        space.release(value, gang.generation, until)
    tenant = gang.request.tenant
    held = books.holdings.get(tenant)
    if held is not None:
        after = replace(held, gangs=held.gangs - 1, interfaces=held.interfaces - gang.size)
        if after.gangs > 0:
            books.holdings[tenant] = after
        else:
            del books.holdings[tenant]
            for space, value in _shared(books, held):
                space.undo(value, held.generation)
                space.bury(Tombstone(value, gang.generation, until))
    for berth in gang.berths:
        _disembark(books, gang, berth)


def _bury(books: Books, gang: Gang, until: int) -> None:
    """What a gang had cools down, but for what somebody holds: what its tenant's other gangs share."""
    shared = Holding(gang.pkey, gang.block, gang.generation)
    for space, value in itertools.chain(_numbers(books, gang), _shared(books, shared)):
        space.bury(Tombstone(value, gang.generation, until))


def _exhume(books: Books, gang: Gang) -> None:
    """End the cool-downs that a gang left, and no other gang's."""
    shared = Holding(gang.pkey, gang.block, gang.generation)
    for space, value in itertools.chain(_numbers(books, gang), _shared(books, shared)):
        space.forget(value, gang.generation)


def _disembark(books: Books, gang: Gang, berth: Berth) -> None:
    left = books.load.get(berth.node, 0) - len(berth.interfaces)
    _keep(books.load, berth.node, left)
    gpus = tuple(g for g in books.gpus.get(berth.node, ()) if g[1] != gang.generation)
    _keep(books.gpus, berth.node, gpus)
    for interface in berth.interfaces:
        if gang.pkey:
            _count(books.tables, (berth.node, interface.pf), gang.pkey, -1)
    mine = frozenset(int(a) for i in berth.interfaces for a in i.addresses)
    _keep(books.links, berth.node, books.links.get(berth.node, frozenset()) - mine)


def _numbers(books: Books, gang: Gang) -> Iterator[tuple[Space, int]]:
    """What each interface takes from spaces."""
    by_tenant = books.fabric.addressing is Addressing.TENANT
    for berth in gang.berths:
        for interface in berth.interfaces:
            yield books.slots, interface.slot
            if by_tenant:
                for address in interface.addresses:
                    space = books.space(gang.block, interface.rail, address.version)
                    if space is not None:
                        yield space, int(address)


def _shared(books: Books, held: Holding) -> Iterator[tuple[Space, int]]:
    """What all gangs of a tenant share. It is held under the first one's generation, whichever goes last."""
    if held.pkey:
        yield books.pkeys, held.pkey
    if held.block >= 0:
        yield books.blocks, held.block


def _count(tables: dict[Port, tuple[tuple[int, int], ...]], port: Port, pkey: int, step: int) -> None:
    counts = dict(tables.get(port, ()))
    counts[pkey] = counts.get(pkey, 0) + step
    _keep(tables, port, tuple(sorted((k, n) for k, n in counts.items() if n > 0)))


def _keep(index: dict[K, V], key: K, value: V) -> None:
    """An entry that says nothing is none."""
    if value:
        index[key] = value
    else:
        index.pop(key, None)


def _broken(gang: Gang, why: str) -> Invalid:
    return Invalid(
        Fault(
            f"Gang {gang.request.tenant}/{gang.request.name}",
            "gang-overlap",
            f"it can't hold what it says: {why}",
            "This is a defect, or somebody wrote into the store by hand: report it with this message.",
        )
    )
