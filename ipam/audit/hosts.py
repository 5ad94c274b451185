"""Hosts: what a host's kernel and its agent say of VFs and gangs, beside what the store says.

Place: part of `ipam.audit.look`. A VF is judged only by a host that was heard lately, and a gang's VF only
when the host has had time to look again. Must not take "not told" for "not there".
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from ipam.audit.claims import Berthing, Claim
from ipam.audit.findings import Finding, Hold, Orphan, Rule, Side
from ipam.audit.heard import HOST_STALE_MS, Heard, Told, fresh
from model.addresses import format_mac
from model.bearing import HostWord, Reached
from model.fabric import Fabric, FabricKind, PKey, format_guid
from model.gang import Gang, GangState
from model.sighting import SeenVf, Sighting

SETTLED_MS: Final = 90_000
"""Hosts look at their hardware every minute: what was seen may be older than a gang's last step."""
_STRICT: Final = frozenset({GangState.VERIFIED, GangState.ACTIVE})
"""What is programmed was read back."""
_VM: Final = "vfio-pci"
_REACHED: Final = {
    GangState.VERIFIED: frozenset({Reached.SET, Reached.UP}),
    GangState.ACTIVE: frozenset({Reached.UP}),
}
_SET: Final = frozenset({Reached.SET, Reached.UP})


@dataclass(frozen=True, slots=True)
class Ours:
    """Identities that Ringfence gives. `mine`: MACs that gangs have now."""

    macs: range
    mine: Container[int]


def strict(gang: Gang) -> bool:
    """Whether everything of it must be as the store says: it was read back, and is not being undone."""
    return gang.progress.state in _STRICT


def sight(one: Berthing, heard: Heard, now: int) -> tuple[Side, SeenVf | None]:
    """What the host says of a VF: nothing, or what it is; TOLD and None: it is not there."""
    told = heard.sightings.get(one.host)
    if told is None or not one.declared:
        return Side.UNTOLD, None
    if fresh(told, now, HOST_STALE_MS) is None:
        return Side.SILENT, None
    if told.value == Sighting():
        return Side.UNTOLD, None
    pf = told.value.pf(one.pci)
    return Side.TOLD, None if pf is None else next((vf for vf in pf.vfs if vf.index == one.vf), None)


def judge_vf(one: Berthing, seen: SeenVf | None, fabric: Fabric, ours: Ours, now: int) -> Iterator[Finding]:
    """What is wrong with a VF that its host tells of; `seen` None: it is not there."""
    claim, name = one.claim, f"VF {one.node}/{one.pf}/{one.vf}"
    calm = claim is None or now - claim.gang.since > SETTLED_MS
    firm = claim is not None and claim.hold is Hold.HELD and strict(claim.gang) and calm
    if seen is None:
        if firm and claim is not None:
            message = f"{title(claim.gang)} has it, and {one.host} has no such VF"
            remedy = f"See ringfence ipam inventory --node {one.node}; if the VF is lost, release the gang."
            yield Finding(Rule.VF_MISSING, name, message, remedy)
        return
    if fabric.kind is FabricKind.INFINIBAND:
        yield from _guids(one, seen, fabric, name, firm=firm)
    else:
        yield from _mac(one, seen, ours, name, firm=firm)
    if firm and claim is not None and claim.gang.progress.state is GangState.ACTIVE and not seen.driver:
        message = f"{title(claim.gang)} is active, and no driver has it"
        remedy = f"See the log of {one.host}'s agent: who unbound it?"
        yield Finding(Rule.DRIVER_LACKING, name, message, remedy)
    free = claim is None or (claim.hold is Hold.COOLING and calm)
    if free and one.declared and _in_use(seen, fabric, ours):
        message = f"driver {seen.driver} has it on {one.host}, and no gang does"
        orphan = Orphan(fabric.name, one.node, one.host, one.pf, one.vf, one.port_guid, PKey(0))
        remedy = "If nobody needs it: ringfence ipam audit --reclaim"
        yield Finding(Rule.VF_IN_USE, name, message, remedy, orphan)


def _guids(one: Berthing, seen: SeenVf, fabric: Fabric, name: str, *, firm: bool) -> Iterator[Finding]:
    """Of a free VF any GUID that is not the fabric's is its vendor's business."""
    told = ((seen.node_guid, one.node_guid), (seen.port_guid, one.port_guid))
    for found, wanted in told:
        if found in (0, wanted) or not (firm or any(found in span for span in fabric.guids)):
            continue
        message = f"it bears {format_guid(found)} on {one.host}, and by its place has {format_guid(wanted)}"
        remedy = "Somebody set it by hand: unbind it; the agent sets what a gang needs."
        yield Finding(Rule.WRONG_GUID, name, message, remedy)
        return


def _mac(one: Berthing, seen: SeenVf, ours: Ours, name: str, *, firm: bool) -> Iterator[Finding]:
    wanted = 0 if one.claim is None else one.claim.interface.mac
    if seen.mac in (0, wanted) or not (firm or seen.mac in ours.mine):
        return
    has = f"its gang's is {format_mac(wanted)}" if wanted else "that MAC is another gang's"
    message = f"it bears {format_mac(seen.mac)} on {one.host}, and {has}"
    remedy = "Somebody set it by hand: unbind it; the agent sets what a gang needs."
    yield Finding(Rule.WRONG_MAC, name, message, remedy)


def _in_use(seen: SeenVf, fabric: Fabric, ours: Ours) -> bool:
    """A VM has it, or it has a driver and an identity of ours. One that its driver took by itself, without,
    is in nobody's use."""
    if not seen.driver:
        return False
    if fabric.kind is FabricKind.INFINIBAND:
        own = any(seen.port_guid in span for span in fabric.guids)
    else:
        own = seen.mac in ours.macs
    return own or seen.driver == _VM


def judge_gang(gang: Gang, word: HostWord, node: str, host: str) -> Iterator[Finding]:
    """What a host that was heard says of a gang on one of its nodes."""
    part = word.part(gang.generation)
    advice = f"See the log of {host}'s agent, and ringfence gang get {gang.request.name}"
    advice += f" --tenant {gang.request.tenant}"
    if part is not None and part.faults:
        first = part.faults[0]
        more = f", and {len(part.faults) - 1} more" if len(part.faults) > 1 else ""
        message = f"{first.object} [{first.rule}]: {first.message}{more}"
        yield Finding(Rule.HOST_FAULT, f"{title(gang)} on {node}", message, first.remedy or advice)
    elif strict(gang) and (part is None or part.reached not in _REACHED[gang.progress.state]):
        far = "says nothing of it" if part is None else f"has reached: {part.reached.value}"
        message = f"it is {gang.progress.state.value}, and {host} {far}"
        yield Finding(Rule.DEVICES_LACKING, f"{title(gang)} on {node}", message, advice)


def silent(host: str, needs: Iterable[str], heard: Heard, now: int) -> Finding | None:
    """A host that bears gangs and is not heard: at all, or of what it bears. `needs`: whose gangs."""
    whose = ", ".join(sorted(set(needs))[:3])
    seen, word = heard.sightings.get(host), heard.words.get(host)
    if fresh(seen, now, HOST_STALE_MS) is None:
        rule, what, stamp = Rule.HOST_SILENT, "nothing", None if seen is None else seen.stamp
    elif fresh(word, now, HOST_STALE_MS) is None:
        rule, what, stamp = Rule.BEARING_SILENT, "nothing of gangs", None if word is None else word.stamp
    else:
        return None
    since = "it never did" if stamp is None else f"for {(now - stamp) // 1000} s"
    message = f"it says {what} ({since}), and bears {whose}"
    remedy = f"Is the agent of {host} running? A node that is dead for good: ringfence gang release"
    return Finding(rule, f"Hypervisor {host}", message, remedy + " NAME --tenant T --without NODE")


def strangers(host: str, word: Told[HostWord], known: Container[int], newest: int) -> Iterator[Finding]:
    """Gangs that a host bears and the store does not have. `known`: generations that may be borne; `newest`:
    what comes after it the reader has not heard of yet."""
    for part in word.value.parts:
        if part.reached in _SET and part.generation not in known and part.generation <= newest:
            message = f"it bears a gang of generation {part.generation}, which the store has not"
            remedy = f"Restart the agent of {host}; then: ringfence ipam audit"
            yield Finding(Rule.ORPHAN_BEARING, f"Hypervisor {host}", message, remedy)


def title(gang: Gang) -> str:
    """`Gang acme/train`."""
    return f"Gang {gang.request.tenant}/{gang.request.name}"


def macs_of(claims: Iterable[Claim]) -> frozenset[int]:
    """MACs that gangs have now."""
    return frozenset(each.interface.mac for each in claims if each.interface.mac and not each.until)
