"""Laws of gangs: what a gang holds, or what cools down of it, keeps the hardware that it rests on.

Place: part of `ipam.hardware`, which asks before it settles a change. Only what a change would really take
from somebody is refused. Must not change anything: a plan neither makes gangs nor releases them.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from ipam.gangs.slots import spans
from ipam.needs import of_node
from ipam.spaces.extent import merge
from ipam.trial import Trial
from model.fabric import Addressing, Fabric
from model.gang import Berth, Gang, Interface
from model.hardware import Node, Sku
from model.wanted import Kind, Reference, title

Objection = tuple[str, str, str, str]
"""Rule, message, remedy, field path."""

RULE = "held-by-gang"
_DEFAULT_ENTRIES = 1
"""Of a port's PKey table: the default partition's."""
_SHOWN = 3


@dataclass(frozen=True, slots=True)
class Hold:
    """What one gang has on one node. `until`: 0, or when it has cooled down (Unix ms)."""

    gang: Gang
    berth: Berth
    until: int


def of_nodes(trial: Trial, nodes: Collection[str]) -> list[Hold]:
    """Everything that gangs have on these nodes: those that live first, by name; then what cools down."""
    live = {each for name in nodes for each in trial.draft.dependants(of_node(name))}
    names = sorted((each.tenant or "", each.name) for each in live if each.kind is Kind.GANG)
    gangs = [(trial.ledger.gangs[name], 0) for name in names]
    return [
        Hold(gang, berth, until)
        for gang, until in (*gangs, *_cooling(trial))
        for berth in gang.berths
        if berth.node in nodes
    ]


def whose(trial: Trial, fabric: str) -> str:
    """Who is on a fabric, as the end of a sentence; empty if nobody is."""
    live = [gang for _, gang in sorted(trial.ledger.gangs.items()) if gang.request.fabric == fabric]
    if live:
        return f"{_named(live[0])} is on it"
    cooling = [(gang, until) for gang, until in _cooling(trial) if gang.request.fabric == fabric]
    return (
        f"what {_named(cooling[0][0])} had on it cools down until {_moment(cooling[0][1])}" if cooling else ""
    )


def check_node(trial: Trial, before: Node, after: Node) -> Iterator[Objection]:
    """A gang's interfaces stay on the SKU, fabric and host that they were placed on."""
    moved = [
        (field, old, new)
        for field, old, new in (
            ("sku", before.sku, after.sku),
            ("fabric", before.fabric, after.fabric),
            ("host", before.host, after.host),
        )
        if old != new
    ]
    if moved and (holds := of_nodes(trial, {before.name})):
        for field, old, new in moved:
            yield _object(f"its {field} would become {new} instead of {old}", holds, f"spec.{field}")


def check_sku(trial: Trial, before: Sku, after: Sku, nodes: Collection[str]) -> Iterator[Objection]:
    """VFs, PKey tables, PCI addresses and GPUs that gangs have on its nodes stay, and so do addresses."""
    if before == after or not (holds := of_nodes(trial, nodes)):
        return
    for index, old in enumerate(before.pfs):
        new = after.pfs[index] if index < len(after.pfs) else None
        on_it = [(hold, i) for hold in holds for i in hold.berth.interfaces if i.pf == old.name]
        if new is None or new.name != old.name:
            if on_it:
                yield _object(f"PF {old.name} would lose its place", [hold for hold, _ in on_it], "spec.pfs")
            continue
        path = f"spec.pfs[{index}]"
        if over := [hold for hold, i in on_it if i.vf >= new.vfs]:
            yield _object(f"PF {old.name} would have {new.vfs} VFs", over, f"{path}.vfs")
        if new.pkeys < old.pkeys and (over := _crowded(on_it, new.pkeys)):
            message = f"the PKey table of PF {old.name} would have {new.pkeys} entries"
            yield _object(message, over, f"{path}.pkeys")
        if new.pci != old.pci and on_it:
            message = f"PF {old.name} would be at another PCI address"
            yield _object(message, [hold for hold, _ in on_it], f"{path}.pci")
    yield from _check_addresses(trial, before, after, holds)
    for number, gpu in enumerate(before.gpus):
        kept = number < len(after.gpus) and after.gpus[number].pci == gpu.pci
        if not kept and (over := [hold for hold in holds if number in hold.berth.gpus]):
            yield _object(f"GPU {number} would go or be another", over, "spec.gpus")


def _crowded(on_it: Iterable[tuple[Hold, Interface]], entries: int) -> list[Hold]:
    """Those on nodes where a port has more tenants than its table has room for."""
    by_node: dict[str, list[Hold]] = {}
    for hold, _ in on_it:
        by_node.setdefault(hold.berth.node, []).append(hold)
    return [
        hold
        for held in by_node.values()
        if len({hold.gang.pkey for hold in held}) + _DEFAULT_ENTRIES > entries
        for hold in held
    ]


def _check_addresses(trial: Trial, before: Sku, after: Sku, holds: Sequence[Hold]) -> Iterator[Objection]:
    """Where addresses follow from slots, they follow from how many PFs a node has on a rail."""
    fabrics = trial.draft.fabrics
    derived = {name for name in fabrics if fabrics[name].value.addressing is not Addressing.TENANT}
    for rail in before.rails:
        had, has = len(before.on_rail(rail)), len(after.on_rail(rail))
        over = [
            hold
            for hold in holds
            if had != has
            and hold.gang.request.fabric in derived
            and any(i.rail == rail for i in hold.berth.interfaces)
        ]
        if over:
            message = f"{has} PFs instead of {had} would be on rail {rail}, and its VFs have other addresses"
            yield _object(message, over, "spec.pfs")


def check_fabric(trial: Trial, before: Fabric, after: Fabric) -> Iterator[Objection]:
    """No address that a gang has becomes excluded."""
    new = [prefix for prefix in after.excluded if prefix not in before.excluded]
    if not new:
        return
    closed = {version: merge(found) for version, found in spans(new).items()}
    over = [
        Hold(gang, berth, 0)
        for _, gang in sorted(trial.ledger.gangs.items())
        if gang.request.fabric == before.name
        for berth in gang.berths
        if any(_within(closed[a.version], int(a)) for i in berth.interfaces for a in i.addresses)
    ]
    if over:
        yield _object("addresses in use would be excluded", over, "spec.excluded")


def _within(closed: Sequence[range], value: int) -> bool:
    index = bisect_right(closed, value, key=lambda span: span.start) - 1
    return index >= 0 and value in closed[index]


def _cooling(trial: Trial) -> list[tuple[Gang, int]]:
    """What has not cooled down yet, the last to do so first: who waits for that waits long enough."""
    found = [(gang, until) for gang, until in trial.ledger.cooling.values() if until > trial.now]
    return sorted(found, key=lambda pair: (-pair[1], pair[0].generation))


def _object(change: str, holds: Sequence[Hold], path: str) -> Objection:
    live = list({_named(hold.gang): hold for hold in holds if not hold.until}.values())
    if not live:
        last = holds[0]
        message = f"{change}, and what {_named(last.gang)} had on Node {last.berth.node} cools down"
        return RULE, message, f"Wait until {_moment(last.until)}, and apply it again.", path
    names = [_named(hold.gang) for hold in live]
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    have = "has" if len(names) == 1 else "have"
    where = f"on Node {live[0].berth.node}" if len(names) == 1 else "there"
    message = f"{change}, and {', '.join(names[:_SHOWN])}{more} {have} interfaces {where}"
    first = live[0].gang.request
    advice = f"Release first what needs it (ringfence gang release {first.name} --tenant {first.tenant}), and"
    return RULE, message, f"{advice} wait until it has cooled down.", path


def _named(gang: Gang) -> str:
    return title(Reference(Kind.GANG, gang.request.name, gang.request.tenant))


def _moment(until: int) -> str:
    """A whole second that is not before `until` (Unix ms)."""
    return datetime.fromtimestamp(-(-until // 1000), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
