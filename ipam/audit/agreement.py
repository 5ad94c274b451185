"""Agreement: what no two tenants may share on rails, and what one tenant may not have twice.

Place: part of `ipam.audit.look`. Over everything that gangs hold or that cools down, whoever wrote it: the
ledger refuses most of this when a gang is reserved (`ipam.gangs.ledger`), and a fabric's spans are kept apart
when it is applied (`ipam.laws_hardware`); this does not believe them. Must not look at a fabric's tables.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import combinations

from ipam.audit.findings import Agreement, Finding, Rule
from ipam.claims import peer_claim
from ipam.contents import Contents
from model.addresses import Address, format_mac
from model.fabric import format_guid, format_pkey
from model.gang import Gang

Mark = tuple[Rule, str, int | Address]
"""Kind of number, fabric (and rail) that it counts on, value: of these there are many, and text only of those
that are shared."""


@dataclass(frozen=True, slots=True, order=True)
class Bearer:
    """Who has a number, and where."""

    tenant: str
    where: str


@dataclass(frozen=True, slots=True)
class Tag:
    """A VLAN that a host sees on a tenant's VF."""

    tenant: str
    fabric: str
    vlan: int
    where: str


_KINDS: tuple[tuple[Rule, str], ...] = (
    (Rule.PKEY_SHARED, "partition keys"),
    (Rule.GUID_SHARED, "GUIDs"),
    (Rule.MAC_SHARED, "MACs"),
    (Rule.ADDRESS_SHARED, "addresses"),
    (Rule.VLAN_SHARED, "VLANs"),
)
_WRITERS: Mapping[Rule, Callable[[int], str]] = {
    Rule.PKEY_SHARED: format_pkey,
    Rule.GUID_SHARED: format_guid,
    Rule.MAC_SHARED: format_mac,
}
_WORDS: Mapping[Rule, str] = {
    Rule.PKEY_SHARED: "partition key",
    Rule.GUID_SHARED: "GUID",
    Rule.MAC_SHARED: "MAC",
    Rule.ADDRESS_SHARED: "address",
    Rule.VLAN_SHARED: "VLAN",
}


def agree(contents: Contents, gangs: Iterable[tuple[Gang, int]], tags: Iterable[Tag]) -> Agreement:
    """`gangs`: each with 0, or when it has cooled down (Unix ms)."""
    held = list(gangs)
    marks: dict[Mark, set[Bearer]] = defaultdict(set)
    for gang, _ in held:
        for mark, where in _marks(gang):
            marks[mark].add(Bearer(gang.request.tenant, where))
    if any(rule is Rule.MAC_SHARED for rule, _, _ in marks):
        # Ordinary ports have theirs from the same pool.
        for (tenant, name), record in contents.ports.items():
            mark = (Rule.MAC_SHARED, "", record.value.mac)
            if mark in marks:
                marks[mark].add(Bearer(tenant, f"Port {tenant}/{name}"))
    for tag in tags:
        marks[Rule.VLAN_SHARED, tag.fabric, tag.vlan].add(Bearer(tag.tenant, tag.where))
    clashes = [*_shared(contents, marks), *_split(held)]
    tenants = sorted({gang.request.tenant for gang, until in held if not until})
    apart = sum(not _peered(contents, *pair) for pair in combinations(tenants, 2))
    counts = {words: sum(mark[0] is rule for mark in marks) for rule, words in _KINDS}
    ordered = sorted(clashes, key=lambda each: (each.rule.value, each.object, each.message))
    return Agreement(len(tenants), apart, counts, tuple(ordered))


def _marks(gang: Gang) -> Iterator[tuple[Mark, str]]:
    """Every number that a gang has. Keys, GUIDs and MACs count everywhere, addresses on their rail."""
    mine = f"Gang {gang.request.tenant}/{gang.request.name}"
    if gang.pkey:
        yield (Rule.PKEY_SHARED, "", gang.pkey), mine
    for berth in gang.berths:
        for i in berth.interfaces:
            where = f"{mine} at {berth.node}/{i.pf}/{i.vf}"
            for guid in (i.node_guid, i.port_guid):
                if guid:
                    yield (Rule.GUID_SHARED, "", guid), where
            if i.mac:
                yield (Rule.MAC_SHARED, "", i.mac), where
            for address in i.addresses:
                yield (Rule.ADDRESS_SHARED, f"{gang.request.fabric}, rail {i.rail}", address), where


def _shared(contents: Contents, marks: Mapping[Mark, set[Bearer]]) -> Iterator[Finding]:
    """One for each pair of tenants and number, with the first place of each."""
    for (rule, scope, value), bearers in marks.items():
        if len(bearers) == 1:
            continue
        first: dict[str, Bearer] = {}
        for bearer in sorted(bearers):
            first.setdefault(bearer.tenant, bearer)
        for one, other in combinations(first.values(), 2):
            yield _clash(contents, rule, scope, value, (one, other))


def _clash(
    contents: Contents, rule: Rule, scope: str, value: int | Address, pair: tuple[Bearer, Bearer]
) -> Finding:
    one, other = pair
    are = "peers" if _peered(contents, one.tenant, other.tenant) else "apart"
    on = f" on {scope}" if scope else ""
    what = f"{_WORDS[rule]} {_text(rule, value)}{on}"
    message = f"both have {what}: {one.where}; {other.where}. On VXLAN they are {are}"
    remedy = "Release the later one; somebody wrote into the store by hand, or this is a defect: report it."
    if rule is Rule.VLAN_SHARED:
        remedy = "Take the VLAN off the VFs (ip link set PF vf N vlan 0), or give each tenant its own."
    return Finding(rule, f"Tenants {one.tenant} and {other.tenant}", message, remedy)


def _text(rule: Rule, value: int | Address) -> str:
    writer = _WRITERS.get(rule)
    return writer(value) if writer is not None and isinstance(value, int) else str(value)


def _split(held: Iterable[tuple[Gang, int]]) -> Iterator[Finding]:
    """The reverse: of one fabric a tenant has one key. What cools down may have been another."""
    keys: dict[tuple[str, str], dict[int, str]] = defaultdict(dict)
    for gang, until in held:
        if gang.pkey and not until:
            keys[gang.request.tenant, gang.request.fabric].setdefault(gang.pkey, gang.request.name)
    for (tenant, fabric), found in sorted(keys.items()):
        if len(found) > 1:
            named = ", ".join(f"{format_pkey(pkey)} (Gang {name})" for pkey, name in sorted(found.items()))
            message = f"it has {len(found)} partition keys on fabric {fabric}: {named}"
            remedy = "Its gangs don't reach each other: release those of one key."
            yield Finding(Rule.PKEY_SPLIT, f"Tenant {tenant}", message, remedy)


def _peered(contents: Contents, one: str, other: str) -> bool:
    """Both have declared it."""
    return peer_claim(one, other) in contents.owners and peer_claim(other, one) in contents.owners
