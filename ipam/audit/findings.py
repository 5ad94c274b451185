"""Findings: the rules of the audit, what one finds, and the truth table's rows.

Place: vocabulary of `ipam.audit`; the API makes JSON of it. Must not hold how a rule is judged.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

from model.fabric import Guid, PKey
from model.gang import Gang, Interface
from model.sighting import SeenVf


class Rule(Enum):
    """Stable codes. Those of the store, of hosts, of fabrics, and between tenants."""

    SLOT_UNDECLARED = "slot-undeclared"
    STUCK = "gang-stuck"
    LEFT_OUT = "gang-left-out"
    HOST_SILENT = "host-silent"
    BEARING_SILENT = "bearing-silent"
    HOST_FAULT = "host-fault"
    DEVICES_LACKING = "devices-lacking"
    ORPHAN_BEARING = "orphan-bearing"
    VF_MISSING = "vf-missing"
    WRONG_GUID = "wrong-guid"
    WRONG_MAC = "wrong-mac"
    DRIVER_LACKING = "driver-lacking"
    VF_IN_USE = "vf-in-use-unallocated"
    FABRIC_SILENT = "fabric-silent"
    FABRIC_ALARM = "fabric-alarm"
    PORT_UNSEEN = "port-unseen"
    OPEN = "open"
    DEFAULT = "default"
    LACKING = "lacking"
    LEVEL = "level"
    INDEX = "index"
    STRAY_MEMBERSHIP = "stray-membership"
    ORPHAN_MEMBERSHIP = "orphan-membership"
    PKEY_SHARED = "pkey-shared"
    PKEY_SPLIT = "pkey-split"
    GUID_SHARED = "guid-shared"
    MAC_SHARED = "mac-shared"
    ADDRESS_SHARED = "address-shared"
    VLAN_SHARED = "vlan-shared"


class Hold(Enum):
    """What the store says of a VF. GOING: its gang is being undone."""

    FREE = "free"
    HELD = "held"
    GOING = "going"
    COOLING = "cooling"


class Side(Enum):
    """Whether another side says anything. UNTOLD: it was not asked, or has nothing to say of this; SILENT: it
    should, and does not, or not lately; TOLD: it does.
    """

    UNTOLD = "untold"
    SILENT = "silent"
    TOLD = "told"


@dataclass(frozen=True, slots=True, order=True)
class Orphan:
    """Something that nobody bears, and somebody sees. `pkey`: the membership, 0 = a VF in use.

    `node` empty: its GUID is no VF's of today.
    """

    fabric: str
    node: str
    host: str
    pf: str
    vf: int
    guid: Guid
    pkey: PKey


@dataclass(frozen=True, slots=True)
class Finding:
    """`object`: what people call it."""

    rule: Rule
    object: str
    message: str
    remedy: str
    orphan: Orphan | None = None


@dataclass(frozen=True, slots=True)
class Row:
    """A VF, or a port of the fabric that is none of ours (`vf` -1). `guid`: of its port, 0 unless InfiniBand.

    `gang`, `interface`: who has it, or had. `until`: Unix ms, while it cools down. `seen` None with TOLD: it
    is not there. `table` None with TOLD: the port does not answer.
    """

    fabric: str
    node: str
    host: str
    rail: str
    pf: str
    vf: int
    guid: Guid
    hold: Hold
    gang: Gang | None = None
    interface: Interface | None = None
    until: int = 0
    sight: Side = Side.UNTOLD
    seen: SeenVf | None = None
    asked: Side = Side.UNTOLD
    table: tuple[int, ...] | None = None
    findings: tuple[Finding, ...] = ()


@dataclass(frozen=True, slots=True)
class Agreement:
    """Between tenants: how many there are on rails, pairs of them that are apart (no peering), and how many
    numbers of each kind they have; `clashes`: what two of them share."""

    tenants: int
    apart: int
    counts: Mapping[str, int]
    clashes: tuple[Finding, ...]


@dataclass(frozen=True, slots=True)
class Audit:
    """`findings`: all, those of rows and of the agreement too, by rule and object. `looked`: who was heard
    (`host NAME`, `fabric NAME`), and the stamp of what he said."""

    rows: tuple[Row, ...]
    findings: tuple[Finding, ...]
    agreement: Agreement
    looked: Mapping[str, int]
