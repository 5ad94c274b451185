"""Fabrics: what the ports of a fabric hold in their tables, beside what the store says.

Place: part of `ipam.audit.look`, InfiniBand only. A table is evidence when it was read after the gang's last
step; a port that does not answer is evidence of nothing. Must not judge a fabric that is silent.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from ipam.audit.claims import Berthing, Claim
from ipam.audit.findings import Finding, Hold, Orphan, Rule, Side
from ipam.audit.heard import FABRIC_STALE_MS, Heard, Told, fresh
from ipam.audit.hosts import strict, title
from ipam.fabric.tables import holds
from model.bearing import FabricWord
from model.fabric import (
    DEFAULT_PKEY,
    FULL_MEMBER,
    PKEYS,
    Fabric,
    FabricKind,
    Guid,
    PKey,
    format_guid,
    format_pkey,
)
from model.gang import Membership

_EVERYBODY = DEFAULT_PKEY | FULL_MEMBER


def ask(guid: int, heard: Heard, fabric: str, now: int) -> tuple[Side, tuple[int, ...] | None]:
    """What a port holds; TOLD and None: it was asked, and did not answer."""
    told = heard.fabrics.get(fabric)
    if not guid or told is None:
        return Side.UNTOLD, None
    if fresh(told, now, FABRIC_STALE_MS) is None:
        return Side.SILENT, None
    if Guid(guid) not in told.value.tables:
        return Side.UNTOLD, None
    return Side.TOLD, told.value.tables[Guid(guid)]


def judge_port(
    one: Berthing, table: tuple[int, ...] | None, fabric: Fabric, keepers: Mapping[int, str], stamp: int
) -> Iterator[Finding]:
    """What is wrong with a VF's port of a fabric that was heard. `table` None: it did not answer, or nobody
    asked it. `stamp`: when it was read; `keepers`: whose a key is."""
    claim, name = one.claim, f"Port {format_guid(one.port_guid)} ({one.node}/{one.pf}/{one.vf})"
    current = claim is None or stamp >= claim.gang.since
    firm = claim is not None and claim.hold is Hold.HELD and strict(claim.gang) and current
    if table is None:
        if firm and claim is not None:
            message = f"{title(claim.gang)} has it, and nobody knows what it holds: it did not answer"
            remedy = f"Is the port up? Ask it: smpquery -G pkeys 0x{one.port_guid:016x}"
            yield Finding(Rule.PORT_UNSEEN, name, message, remedy)
        return
    if _EVERYBODY in table:
        message = f"it is a full member of the default partition {format_pkey(DEFAULT_PKEY)}: it reaches all"
        remedy = "See the alarms of the fabric; without a tenant there, take its host off the fabric."
        yield Finding(Rule.OPEN, name, message, remedy)
    own = 0 if claim is None or claim.hold is Hold.COOLING else claim.gang.pkey
    for pkey in sorted({entry & ~FULL_MEMBER for entry in table if entry}):
        if pkey not in PKEYS or pkey == own or not current:
            continue
        yield _member(one, claim, fabric, name, PKey(pkey), keepers)
    if firm and claim is not None:
        yield from _own(claim, table, name)


def _member(
    one: Berthing, claim: Claim | None, fabric: Fabric, name: str, pkey: PKey, keepers: Mapping[int, str]
) -> Finding:
    """A partition that a port is in, and should not be."""
    whose = f"tenant {keepers[pkey]}'s" if pkey in keepers else "nobody's"
    message = f"it is a member of partition {format_pkey(pkey)}, which is {whose}"
    if claim is not None and claim.hold is not Hold.COOLING:
        message += f"; {title(claim.gang)} has it"
        remedy = f"See the alarms of fabric {fabric.name}: its process mends that, or says why not."
        return Finding(Rule.STRAY_MEMBERSHIP, name, message, remedy)
    message += f"; {title(claim.gang)} had it" if claim else "; no gang has it"
    orphan = Orphan(fabric.name, one.node, one.host, one.pf, one.vf, one.port_guid, pkey)
    return Finding(Rule.ORPHAN_MEMBERSHIP, name, message, "ringfence ipam audit --reclaim", orphan)


def _own(claim: Claim, table: tuple[int, ...], name: str) -> Iterator[Finding]:
    """Whether a port is in its own partition, as it should be."""
    pkey, full = claim.gang.pkey, claim.gang.request.membership is Membership.FULL
    wanted = pkey | (FULL_MEMBER if full else 0)
    gang, advice = title(claim.gang), "The fabric's process mends that, or says why not: see its alarms."
    if not holds(table, pkey):
        yield Finding(Rule.LACKING, name, f"it lacks {format_pkey(pkey)} of {gang}", advice)
    elif wanted not in table or wanted ^ FULL_MEMBER in table:
        level = "full" if full else "limited"
        yield Finding(Rule.LEVEL, name, f"it is no {level} member of {format_pkey(pkey)} alone", advice)
    elif table[0] != wanted:
        yield Finding(Rule.INDEX, name, f"{format_pkey(pkey)} of {gang} is not its first", advice)
    if DEFAULT_PKEY not in table and _EVERYBODY not in table:
        message = f"it lacks {format_pkey(DEFAULT_PKEY)}, and finds no subnet manager"
        yield Finding(Rule.DEFAULT, name, message, advice)


def judge_others(
    fabric: Fabric, word: FabricWord, known: Mapping[int, object], keepers: Mapping[int, str]
) -> Iterator[tuple[Guid, tuple[int, ...] | None, tuple[Finding, ...]]]:
    """Ports that were asked and are no VF's of today: of nodes or PFs that were taken away."""
    for guid, table in sorted(word.tables.items()):
        if guid in known:
            continue
        other = "(no VF of today)"
        name = f"Port {format_guid(guid)} {other}"
        found = []
        for pkey in sorted({entry & ~FULL_MEMBER for entry in table or () if entry}):
            if pkey in PKEYS:
                whose = f"tenant {keepers[pkey]}'s" if pkey in keepers else "nobody's"
                message = f"it is a member of partition {format_pkey(pkey)}, which is {whose}; no gang has it"
                orphan = Orphan(fabric.name, "", "", "", -1, guid, PKey(pkey))
                remedy = "Take it off the fabric, or declare its node, and: ringfence ipam audit --reclaim"
                found.append(Finding(Rule.ORPHAN_MEMBERSHIP, name, message, remedy, orphan))
        if _EVERYBODY in (table or ()):
            message = f"it is a full member of the default partition {format_pkey(DEFAULT_PKEY)}"
            found.append(Finding(Rule.OPEN, name, message, "See the alarms of the fabric."))
        yield guid, table, tuple(found)


def silent(fabric: Fabric, borne: int, heard: Heard, now: int) -> Finding | None:
    """A fabric that has gangs, and of which nobody says anything."""
    told: Told[FabricWord] | None = heard.fabrics.get(fabric.name)
    if not borne or fresh(told, now, FABRIC_STALE_MS) is not None:
        return None
    since = "never did" if told is None else f"did not for {(now - told.stamp) // 1000} s"
    message = f"it has {borne} gangs, and its process says nothing ({since})"
    driver = "" if fabric.kind is FabricKind.INFINIBAND else " --driver none"
    remedy = f"Start it: ringfenced fabric --fabric {fabric.name}{driver}; see its log."
    return Finding(Rule.FABRIC_SILENT, f"Fabric {fabric.name}", message, remedy)


def alarms(fabric: Fabric, word: FabricWord) -> Iterator[Finding]:
    """What the fabric's process says itself."""
    for alarm in word.alarms:
        name = f"Fabric {fabric.name}"
        yield Finding(Rule.FABRIC_ALARM, name, f"[{alarm.rule}] {alarm.message}", alarm.remedy)
