"""Orphans: what nobody bears is taken back when it was seen several times, each time by one who was heard.

Place: between looks; the API keeps the trails and writes what `adopt` makes. An orphan is taken back as a
gang that nobody asked for and that is being undone from the beginning: so its slot is nobody else's by then,
agents park the VF, the fabric's process sees its membership gone, and what is free again cools down as ever.
Must not count a look at which the side in question had nothing new to say.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from ipam.audit.findings import Audit, Orphan
from ipam.contents import Contents
from ipam.gangs.slots import serial
from model.errors import Fault
from model.fabric import Guid, PKey, format_guid, format_pkey
from model.gang import Berth, Gang, GangRequest, GangState, Interface, Progress
from model.ids import HostName

LOOKS: Final = 3
"""So many looks have to show an orphan, one after the other, each with something new said by its side."""
APART_MEMBERSHIP_MS: Final = 10_000
"""Between two looks that count, at a port's table."""
APART_VF_MS: Final = 65_000
"""And at a VF: hosts look at their hardware every minute."""
FORGET_MS: Final = 900_000
"""A trail that nobody went on with for so long begins anew."""
NOBODY: Final = "-"
"""Begins the name of who has what was nobody's; no tenant can be called so."""


@dataclass(frozen=True, slots=True)
class Trail:
    """Of one orphan: how many looks have counted, the last one at `last` (Unix ms), by what was said at
    `stamp`."""

    looks: int
    last: int
    stamp: int


Trails = Mapping[Orphan, Trail]
Place = tuple[str, str, int]
"""Node, PF, VF."""


def follow(trails: Trails, seen: Audit, now: int) -> dict[Orphan, Trail]:
    """The trails after a look at `now` (Unix ms). What its side was heard of and does not show ends."""
    shown = {each.orphan for each in seen.findings if each.orphan is not None}
    found = {
        orphan: trail
        for orphan, trail in trails.items()
        if orphan not in shown and side(orphan) not in seen.looked and now - trail.last <= FORGET_MS
    }
    for orphan in sorted(shown):
        stamp, before = seen.looked.get(side(orphan)), trails.get(orphan)
        if stamp is None:
            continue
        if before is None or now - before.last > FORGET_MS:
            found[orphan] = Trail(1, now, stamp)
        elif stamp > before.stamp and now - before.last >= apart(orphan):
            found[orphan] = Trail(before.looks + 1, now, stamp)
        else:
            found[orphan] = before
    return found


def side(orphan: Orphan) -> str:
    """Who shows it, as in `Audit.looked`."""
    return f"fabric {orphan.fabric}" if orphan.pkey else f"host {orphan.host}"


def apart(orphan: Orphan) -> int:
    """ms between two looks that count."""
    return APART_MEMBERSHIP_MS if orphan.pkey else APART_VF_MS


def ripe(trail: Trail | None) -> bool:
    """Whether it was seen often enough."""
    return trail is not None and trail.looks >= LOOKS


def hindrance(contents: Contents, orphan: Orphan) -> Fault | None:
    """Why it can't be taken back now, whatever was seen; None = it can."""
    name = title(orphan)
    node, books = contents.nodes.get(orphan.node), contents.ledger.books.get(orphan.fabric)
    slot = _slot(contents, orphan)
    if node is None or books is None or slot is None:
        message = "it is no VF of a node that is declared, so no agent can park it"
        return Fault(name, "orphan-homeless", message, "Declare its Node, or take the port off the fabric.")
    if not books.slots.can_take(slot):
        message = "its VF is a gang's, or cools down"
        return Fault(name, "orphan-held", message, "Wait until it has cooled down, and look again.")
    tenant, pkey, _ = _bearer(contents, orphan)
    if tenant.startswith(NOBODY) and pkey and not books.pkeys.can_take(pkey):
        message = f"partition key {format_pkey(pkey)} cools down, or is none of the fabric's"
        return Fault(name, "orphan-key", message, "Wait until it has cooled down, and look again.")
    return None


def adopt(
    contents: Contents, orphans: Iterable[Orphan], generation: int, now: int
) -> tuple[Gang, frozenset[Orphan]]:
    """A gang that is being undone and has VFs of orphans, none of which is hindered; and whose it has: those
    of the first fabric and bearer. At least one orphan is needed.
    """
    groups: dict[tuple[str, str, PKey, int], dict[Place, Orphan]] = {}
    taken: dict[Place, Orphan] = {}
    # A VF with a membership comes once, with that: what it is undone by is the same.
    for orphan in sorted(orphans, key=lambda each: (not each.pkey, each)):
        place = (orphan.node, orphan.pf, orphan.vf)
        if place not in taken:
            taken[place] = orphan
            groups.setdefault((orphan.fabric, *_bearer(contents, orphan)), {})[place] = orphan
    first = min(groups)
    gang = _gang(contents, first, tuple(groups[first].values()), generation, now)
    return gang, frozenset(each for each in orphans if (each.node, each.pf, each.vf) in groups[first])


def _gang(
    contents: Contents, key: tuple[str, str, PKey, int], orphans: Iterable[Orphan], generation: int, now: int
) -> Gang:
    fabric, tenant, pkey, block = key
    berths: dict[str, list[Interface]] = {}
    for orphan in sorted(orphans):
        slot, node = _slot(contents, orphan), contents.nodes[orphan.node].value
        pf = contents.skus[node.sku].value.slot(orphan.pf)
        assert slot is not None and pf is not None and pf.rail is not None
        # Without a membership no port has to be seen without one.
        guid = orphan.guid if orphan.pkey else Guid(0)
        other = Guid(guid - 1) if guid else Guid(0)
        each = Interface(slot, orphan.pf, orphan.vf, pf.rail, (), node_guid=other, port_guid=guid)
        berths.setdefault(orphan.node, []).append(each)
    return Gang(
        request=GangRequest(tenant, f"reclaim-{generation}", fabric, nodes=tuple(sorted(berths))),
        generation=generation,
        progress=Progress(GangState.RELEASING, GangState.PROGRAMMED),
        berths=tuple(
            Berth(name, HostName(contents.nodes[name].value.host), (), tuple(berths[name]))
            for name in sorted(berths)
        ),
        pkey=pkey,
        block=block,
        why="nobody bore it: taken back by ringfence ipam audit --reclaim",
        since=now,
    )


def _bearer(contents: Contents, orphan: Orphan) -> tuple[str, PKey, int]:
    """Whose gang it becomes: the tenant's whose key it has, or nobody's. With key and block."""
    books = contents.ledger.books[orphan.fabric]
    for tenant, held in sorted(books.holdings.items()):
        if orphan.pkey and held.pkey == orphan.pkey:
            return tenant, held.pkey, held.block
    return NOBODY + (format_pkey(orphan.pkey)[2:] if orphan.pkey else ""), orphan.pkey, -1


def _slot(contents: Contents, orphan: Orphan) -> int | None:
    """The number of its VF in the fabric; None if no node has such a VF."""
    record = contents.nodes.get(orphan.node)
    sku = None if record is None else contents.skus.get(record.value.sku)
    if record is None or sku is None or record.value.fabric != orphan.fabric:
        return None
    for place, pf in enumerate(sku.value.pfs):
        if pf.name == orphan.pf and pf.rail is not None and orphan.vf in range(pf.vfs):
            return serial(record.value.key, place, orphan.vf)
    return None


def title(orphan: Orphan) -> str:
    """`Port 0200:5200:... (h200-1/rail0/3), partition 0x0010`; `VF h200-1/rail0/3`."""
    place = f"{orphan.node}/{orphan.pf}/{orphan.vf}"
    if not orphan.pkey:
        return f"VF {place}"
    where = f" ({place})" if orphan.node else ""
    return f"Port {format_guid(orphan.guid)}{where}, partition {format_pkey(orphan.pkey)}"
