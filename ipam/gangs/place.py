"""Place: from a request and what is there to a gang that could be written, or a refusal. All or nothing.

Place: called by the API for requests, dry runs and `explain`; the store writes the result in one transaction.
Pure and deterministic: the same input has the same result. Must not change the ledger, nor read a clock.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from typing import Final

from ipam.gangs.arrange import arrange
from ipam.gangs.fit import Fit, Ground, build, fit, ports
from ipam.gangs.ledger import Books, Holding, Ledger, holding
from ipam.gangs.refusal import Cause, Lack, Refusal
from ipam.gangs.slots import address, block_length, reach, spans
from ipam.spaces.extent import Standing
from model.addresses import Address
from model.fabric import Addressing, Fabric, FabricKind, PKey, Rail, format_pkey
from model.gang import Berth, Event, Gang, GangRequest, Interface, Progress, Quota, Static, finish
from model.hardware import Node, Sku
from model.ids import Mac

_NO_PKEY: Final = PKey(0)
_NO_BLOCK: Final = -1
_NO_QUOTA: Final = Quota()
_RELEASE: Final = (
    "Release gangs that are not needed, wait until what was released has cooled down, or ask for less."
)


@dataclass(frozen=True, slots=True)
class Estate:
    """What the operator declared, by name. `quotas`: of tenants that have one."""

    fabrics: Mapping[str, Fabric]
    skus: Mapping[str, Sku]
    nodes: Mapping[str, Node]
    quotas: Mapping[str, Quota]


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of one node. `lacks`: why it can't; empty = it can, and is `chosen` or was not needed."""

    node: str
    lacks: tuple[Lack, ...]
    chosen: tuple[Berth, ...] = ()


@dataclass(frozen=True, slots=True)
class Placement:
    """Where a gang would be, without MACs. `verdicts`: of every node that was looked at, by name."""

    request: GangRequest
    berths: tuple[Berth, ...]
    pkey: PKey
    block: int
    verdicts: tuple[Verdict, ...]

    @property
    def macs(self) -> int:
        """How many MACs it needs."""
        return sum(not i.port_guid for berth in self.berths for i in berth.interfaces)


def place(estate: Estate, ledger: Ledger, request: GangRequest, now: int) -> Placement | Refusal:
    """Where the gang would be. `now`: Unix ms: after the request's deadline nothing is placed.

    `ledger`: what cools down is not to be had; thaw a copy of it first.
    """
    objection = _object(estate, ledger, request, now)
    if objection is not None:
        return objection
    fabric, books = estate.fabrics[request.fabric], ledger.books[request.fabric]
    held = books.holdings.get(request.tenant)
    shared = _share(fabric, books, request) if held is None else _keep(request, held)
    if isinstance(shared, Refusal):
        return shared
    ground = _ground(estate, books, request, _NO_PKEY if held is None else held.pkey)
    fits: dict[str, Fit] = {}
    lacking: dict[str, tuple[Lack, ...]] = {}
    for name in sorted(request.nodes) or sorted(
        n for n in estate.nodes if estate.nodes[n].fabric == fabric.name
    ):
        node = estate.nodes[name]
        found = fit(ground, node, estate.skus[node.sku])
        if isinstance(found, Fit):
            fits[name] = found
        else:
            lacking[name] = found
    wanted = len(request.nodes) or request.count
    if len(fits) < wanted or (request.nodes and lacking):
        return _short(request, wanted, len(fits), lacking)
    leaves = {name: _leaves(fabric, estate.nodes[name]) for name in fits}
    chosen = arrange(request.arrange, leaves, books.load, wanted)
    over = _over_quota(estate, ledger, request, sum(len(fits[name].seats) for name in chosen))
    if over is not None:
        return over
    addressed = _address(books, request, [build(ground, fits[name]) for name in chosen], shared[1])
    if isinstance(addressed, Refusal):
        return addressed
    return Placement(request, tuple(addressed), *shared, _judge(fits, lacking, addressed))


def _ground(estate: Estate, books: Books, request: GangRequest, pkey: PKey) -> Ground:
    fabric = books.fabric
    statics: dict[tuple[str, str], tuple[Static, ...]] = {}
    for one in request.statics:
        statics[one.node, one.pf] = (*statics.get((one.node, one.pf), ()), one)
    return Ground(
        books,
        request,
        tuple(rail for rail in fabric.rails if not request.rails or rail.index in request.rails),
        {
            (name, rail.index): ports(sku, rail.index, fabric.kind)
            for name, sku in estate.skus.items()
            for rail in fabric.rails
        },
        spans(fabric.excluded),
        spans((*fabric.excluded, *fabric.reserved)),
        pkey,
        statics,
        reach(fabric),
    )


def _judge(
    fits: Collection[str], lacking: Mapping[str, tuple[Lack, ...]], chosen: list[Berth]
) -> tuple[Verdict, ...]:
    names = {berth.node: (berth,) for berth in chosen}
    looked = sorted({*fits, *lacking})
    return tuple(Verdict(name, lacking.get(name, ()), names.get(name, ())) for name in looked)


def reserve(placement: Placement, generation: int, macs: tuple[Mac, ...]) -> Gang:
    """The gang as it is written, RESERVED. `macs`: as many as `placement.macs`. ValueError otherwise."""
    if len(macs) != placement.macs:
        raise ValueError(f"{placement.macs} MACs are needed, {len(macs)} were given")
    left = iter(macs)

    def dress(interface: Interface) -> Interface:
        return interface if interface.port_guid else replace(interface, mac=next(left))

    berths = tuple(
        replace(berth, interfaces=tuple(dress(i) for i in berth.interfaces)) for berth in placement.berths
    )
    progress = finish(Progress(), Event.RESERVE)
    return Gang(placement.request, generation, progress, berths, placement.pkey, placement.block)


def _object(estate: Estate, ledger: Ledger, request: GangRequest, now: int) -> Refusal | None:
    """What is wrong whatever is free."""

    def refuse(cause: Cause, rule: str, message: str, remedy: str) -> Refusal:
        return Refusal(request, cause, rule, message, remedy)

    fabric = estate.fabrics.get(request.fabric)
    if fabric is None or request.fabric not in ledger.books:
        advice = "See those that exist: ringfence get fabric"
        return refuse(Cause.MISSING, "unknown-fabric", f"there is no Fabric {request.fabric}", advice)
    if fabric.kind is FabricKind.ETHERNET:
        message = f"Fabric {fabric.name} is Ethernet without rails for gangs"
        return refuse(Cause.WRONG, "fabric-kind", message, "Name an InfiniBand or RoCE fabric.")
    if request.deadline and now >= request.deadline:
        return refuse(Cause.SHORT, "deadline", "its deadline has passed", "Ask again with a later one.")
    held = ledger.gangs.get((request.tenant, request.name))
    if held is not None:
        message = f"it exists, of generation {held.generation}"
        return refuse(Cause.TAKEN, "already-taken", message, "Release it first, or choose another name.")
    if request.pkey and fabric.kind is not FabricKind.INFINIBAND:
        message = f"Fabric {fabric.name} has no partition keys"
        return refuse(Cause.WRONG, "infiniband-only", message, "Leave pkey out.")
    absent = [rail for rail in request.rails if fabric.rail(rail) is None]
    if absent or not fabric.rails:
        message = f"Fabric {fabric.name} has {len(fabric.rails)} rails, none of index {absent or 'any'}"
        return refuse(Cause.WRONG, "rail-unknown", message, "Name rails of the fabric, or leave them out.")
    unknown = [n for n in request.nodes if n not in estate.nodes or estate.nodes[n].fabric != fabric.name]
    if unknown:
        message = f"no Node of Fabric {fabric.name}: {', '.join(sorted(unknown)[:20])}"
        return refuse(Cause.MISSING, "unknown-node", message, "See those that exist: ringfence get node")
    return None


def _share(fabric: Fabric, books: Books, request: GangRequest) -> tuple[PKey, int] | Refusal:
    """Partition key and block of a tenant that has nothing on the fabric yet."""
    pkey, block = _NO_PKEY, _NO_BLOCK
    if request.pkey:
        pkey = request.pkey
        if not books.pkeys.can_take(pkey):
            return _no_pkey(fabric, books, request)
    elif fabric.kind is FabricKind.INFINIBAND:
        free = books.pkeys.next_free()
        if free is None:
            used = f"{books.pkeys.held} held, {books.pkeys.cooling} cooling down"
            message = f"Fabric {fabric.name} has no partition key left: {used}"
            return Refusal(request, Cause.SHORT, "pool-exhausted", message, _RELEASE)
        pkey = PKey(free)
    if fabric.addressing is Addressing.TENANT and any(rail.subnets for rail in fabric.rails):
        number = _block_asked(books, request)
        if number is None:
            number = books.blocks.next_free()
        if number is None:
            used = f"{books.blocks.held} held, {books.blocks.cooling} cooling down"
            message = f"Fabric {fabric.name} has no block of addresses left for a tenant: {used}"
            return Refusal(request, Cause.SHORT, "pool-exhausted", message, _RELEASE)
        block = number
    return pkey, block


def _keep(request: GangRequest, held: Holding) -> tuple[PKey, int] | Refusal:
    """What a tenant has already: one partition key for all its gangs on the fabric."""
    if request.pkey and request.pkey != held.pkey:
        message = f"its gangs on Fabric {request.fabric} have partition key {format_pkey(held.pkey)}"
        advice = "Leave pkey out, or release the tenant's other gangs there first."
        return Refusal(request, Cause.TAKEN, "pkey-held", message, advice)
    return held.pkey, held.block


def _no_pkey(fabric: Fabric, books: Books, request: GangRequest) -> Refusal:
    """Why a tenant can't have the partition key that it asks for."""
    asked = f"partition key {format_pkey(request.pkey)}"
    if books.pkeys.extent.standing(request.pkey) is Standing.BARRED:
        message, advice = (
            f"{asked} is none of Fabric {fabric.name}",
            "Name one of its pkeys, or leave pkey out.",
        )
        return Refusal(request, Cause.WRONG, "pkey-outside", message, advice)
    why = "another tenant has it" if books.pkeys.holder(request.pkey) else "it cools down"
    message = f"{asked} is not free: {why}"
    return Refusal(request, Cause.SHORT, "pkey-taken", message, "Name another, leave pkey out, or wait.")


def _block_asked(books: Books, request: GangRequest) -> int | None:
    """The block that the first address lies in that is asked for, if it is free."""
    fabric = books.fabric
    for one in request.statics:
        for asked in one.addresses:
            for subnet in (s for rail in fabric.rails for s in rail.subnets if s.version == asked.version):
                if asked in subnet and block_length(fabric, asked.version) >= subnet.prefixlen:
                    shift = asked.max_prefixlen - block_length(fabric, asked.version)
                    number = int(asked) - int(subnet.network_address) >> shift
                    return number if books.blocks.can_take(number) else None
    return None


def _leaves(fabric: Fabric, node: Node) -> tuple[str, ...]:
    """The switches that a node meets: nodes with the same ones are one hop apart on every rail."""
    return tuple((node.leaves[rail.index] if node.leaves else "") or rail.leaf for rail in fabric.rails)


def _address(books: Books, request: GangRequest, chosen: list[Berth], block: int) -> list[Berth] | Refusal:
    """Addresses of the tenant's block on each rail, the lowest first; as they are if slots give them."""
    if books.fabric.addressing is not Addressing.TENANT:
        return chosen
    asked = {(int(i.rail), a.version, int(a)): a for b in chosen for i in b.interfaces for a in i.addresses}
    for (rail_index, version, number), wanted in sorted(asked.items()):
        objection = _no_address(books, request, block, rail_index, version, number, wanted)
        if objection is not None:
            return objection
    search: dict[tuple[int, int], Callable[[], int | None]] = {}
    short: dict[tuple[int, int], int] = {}

    def give(rail: Rail, version: int) -> Address | None:
        key = (int(rail.index), version)
        if key not in search:
            taken = {number for rail_index, of, number in asked if (rail_index, of) == key}
            search[key] = _sequence(books, block, *key, taken)
        found = search[key]()
        if found is None:
            short[key] = short.get(key, 0) + 1
            return None
        return address(version, found)

    made: list[Berth] = []
    for berth in chosen:
        interfaces = []
        for interface in berth.interfaces:
            rail = books.fabric.rails[interface.rail]
            own = {a.version: a for a in interface.addresses}
            given = [own.get(subnet.version) or give(rail, subnet.version) for subnet in rail.subnets]
            interfaces.append(replace(interface, addresses=tuple(a for a in given if a is not None)))
        made.append(replace(berth, interfaces=tuple(interfaces)))
    if short:
        parts = [
            f"rail {books.fabric.rails[r].name}: {n} IPv{v} addresses" for (r, v), n in sorted(short.items())
        ]
        message = f"the tenant's block {block} lacks {', '.join(parts)}"
        return Refusal(request, Cause.SHORT, "pool-exhausted", message, _RELEASE)
    return made


def _no_address(
    books: Books, request: GangRequest, block: int, rail: int, version: int, number: int, wanted: Address
) -> Refusal | None:
    """Why a tenant can't have an address that it asks for on a rail; None if it can."""
    space, name = books.peek(block, rail, version), books.fabric.rails[rail].name
    if space is None or space.extent.standing(number) is Standing.BARRED:
        where = "it has no block there"
        if space is not None:
            span = space.extent.span
            where = f"that is {address(version, span.start)} to {address(version, span.stop - 1)}"
        message = f"{wanted} is no address of the tenant's block {block} on rail {name}: {where}"
        advice = (
            "Name one in the block, not its first ones, nor one that is excluded; or leave addresses out."
        )
        return Refusal(request, Cause.WRONG, "address-outside", message, advice)
    if not space.can_take(number):
        why = "a gang has it" if space.holder(number) else "it cools down"
        message = f"{wanted} on rail {name} is not free: {why}"
        return Refusal(request, Cause.SHORT, "address-taken", message, "Name another, or wait.")
    return None


def _sequence(
    books: Books, block: int, rail: int, version: int, taken: Collection[int]
) -> Callable[[], int | None]:
    """Free addresses one after the other, without those that are asked for. The space of a tenant's first
    gang is not kept: nothing changes.
    """
    space = books.peek(block, rail, version)
    last = -1

    def following() -> int | None:
        nonlocal last
        found = None if space is None else space.next_free(None if last < 0 else last + 1)
        while space is not None and found is not None and found in taken:
            found = space.next_free(found + 1)
        last = last if found is None else found
        return found

    return following


def _over_quota(estate: Estate, ledger: Ledger, request: GangRequest, size: int) -> Refusal | None:
    quota = estate.quotas.get(request.tenant, _NO_QUOTA)
    gangs, interfaces = holding(request.tenant, ledger)
    for what, most, has, more in (
        ("gangs", quota.gangs, gangs, 1),
        ("interfaces", quota.interfaces, interfaces, size),
    ):
        if most is not None and has + more > most:
            message = (
                f"tenant {request.tenant} may have {most} {what}: it has {has}, and this needs {more} more"
            )
            advice = "Release gangs that are not needed, or ask the operator for a larger quota."
            return Refusal(request, Cause.SHORT, "quota", message, advice)
    return None


def _short(request: GangRequest, wanted: int, there: int, lacking: Mapping[str, tuple[Lack, ...]]) -> Refusal:
    counts: dict[str, int] = {}
    for lacks in lacking.values():
        for what in sorted({lack.what for lack in lacks}):
            counts[what] = counts.get(what, 0) + 1
    why = "; ".join(f"{count} lack {what}" for what, count in sorted(counts.items()))
    message = f"{wanted} nodes are wanted, {there} of {there + len(lacking)} can" + (
        f": {why}" if why else ""
    )
    lacks = tuple(lack for name in sorted(lacking) for lack in lacking[name])
    return Refusal(request, Cause.SHORT, "nodes-short", message, _RELEASE, lacks)
