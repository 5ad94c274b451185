"""Kinds of hardware, declared as data: SKUs, fabrics, nodes. The whole cluster's: tenants see none of them,
and what they may have of it stands here too.

Place: part of `controller.manifest.schema`. Must not hold rules that span fields or objects.
"""

from __future__ import annotations

from typing import Final

from controller.manifest import hardware_readers as hard
from controller.manifest import readers
from controller.manifest.fields import LABELS, NAME, FieldRule, KindRule, Presence, Shape
from controller.manifest.readers import Reader
from model.fabric import RAILS
from model.hardware import GPUS, SLOTS
from model.wanted import Kind


def _part(name: str, read: Reader, example: str, presence: Presence = Presence.OPTIONAL) -> FieldRule:
    return FieldRule("part", name, read, "", example, presence)


_PFS: Final = (
    _part("name", readers.read_name, "rail0", Presence.REQUIRED),
    _part("pci", hard.read_pci, '"0000:18:00.0"', Presence.REQUIRED),
    _part("kind", hard.read_fabric_kind, "infiniband", Presence.REQUIRED),
    _part("rail", hard.read_rail, "0"),
    _part("numa", hard.read_numa, "0"),
    _part("gpu", hard.read_gpu, "0"),
    _part("vfs", hard.read_vfs, "8"),
    _part("pkeys", hard.read_capacity, "128"),
    _part("eswitch", hard.read_eswitch, "legacy"),
)
SKU: Final = KindRule(
    Kind.SKU,
    "skus",
    (),
    "A kind of server: which NICs and GPUs are in which slots.",
    (
        NAME,
        LABELS,
        FieldRule(
            "spec",
            "gpus",
            hard.read_pci,
            "Its GPUs; the first is number 0.",
            '[{pci: "0000:1b:00.0", numa: 0}]',
            shape=Shape.RECORDS,
            most=len(GPUS),
            parts=(
                _part("pci", hard.read_pci, '"0000:1b:00.0"', Presence.REQUIRED),
                _part("numa", hard.read_numa, "0"),
            ),
        ),
        FieldRule(
            "spec",
            "pfs",
            readers.read_name,
            "Its physical functions: PCI address, what the link speaks, the rail that it is on (left out:"
            " none), NUMA node, the GPU under the same PCI switch, how many VFs it is to have, entries of its"
            " PKey table (InfiniBand only), and the mode of its switch (left out: not compared). While nodes"
            " are of this SKU, PFs are only added behind the others.",
            '[{name: rail0, pci: "0000:18:00.0", kind: infiniband, rail: 0, gpu: 0, vfs: 8, pkeys: 128}]',
            Presence.REQUIRED,
            Shape.RECORDS,
            most=len(SLOTS),
            parts=_PFS,
        ),
    ),
)
FABRIC: Final = KindRule(
    Kind.FABRIC,
    "fabrics",
    ("fab", "fabs"),
    "A network of rails between nodes, beside the overlay, and the spaces that interfaces on it get theirs"
    " from.",
    (
        NAME,
        LABELS,
        FieldRule(
            "spec",
            "kind",
            hard.read_fabric_kind,
            "What its links speak. Can't be changed.",
            "infiniband",
            Presence.REQUIRED,
        ),
        FieldRule(
            "spec",
            "rails",
            readers.read_name,
            "Its rails; the first is number 0. Of each the subnets that addresses come from, and the leaf"
            " switch, if all nodes meet the same one there. While nodes are on it, rails are only added.",
            "[{name: rail0, ipv4: 10.128.0.0/16, ipv6: 'fd00:128::/48', leaf: leaf0}]",
            Presence.REQUIRED,
            Shape.RECORDS,
            most=len(RAILS),
            parts=(
                _part("name", readers.read_name, "rail0", Presence.REQUIRED),
                _part("ipv4", hard.read_rail4, "10.128.0.0/16"),
                _part("ipv6", hard.read_rail6, "'fd00:128::/48'"),
                _part("leaf", readers.read_name, "leaf0"),
            ),
        ),
        FieldRule(
            "spec",
            "pkeys",
            hard.read_pkeys,
            "Partition keys of its tenants, apart from those of other fabrics. Needed for InfiniBand, and for"
            " nothing else.",
            '"0x0001-0x3fff"',
        ),
        FieldRule(
            "spec",
            "guids",
            hard.read_guids,
            "GUIDs of its VFs, apart from other fabrics'. Needed for InfiniBand, and for nothing else.",
            '["0200:5200:0000:0000-0200:5200:ffff:ffff"]',
            shape=Shape.MANY,
            most=16,
        ),
        FieldRule(
            "spec",
            "addressing",
            hard.read_addressing,
            "Whose the blocks of a subnet are: `tenant`: a tenant's; `node`: a node's; `link`: a node's, cut"
            " into a /31 or /127 for each VF (default: tenant on InfiniBand, else link).",
            "link",
        ),
        FieldRule(
            "spec",
            "block4",
            hard.read_block4,
            "Length of the blocks of an IPv4 subnet (default 24).",
            "24",
        ),
        FieldRule("spec", "block6", hard.read_block6, "Length of IPv6 blocks, likewise (default 64).", "64"),
        FieldRule(
            "spec",
            "excluded",
            readers.read_unicast,
            "What nobody is given of the rails' subnets.",
            "[10.128.0.0/24]",
            shape=Shape.MANY,
            most=256,
        ),
        FieldRule(
            "spec",
            "reserved",
            readers.read_unicast,
            "What only gangs are given that ask for an interface, or an address, by name.",
            "[10.128.0.0/28]",
            shape=Shape.MANY,
            most=256,
        ),
        FieldRule(
            "spec",
            "reservedPkeys",
            hard.read_pkeys,
            "Partition keys that only tenants are given that ask for one by value.",
            '["0x0001-0x000f"]',
            shape=Shape.MANY,
            most=64,
        ),
        FieldRule(
            "spec",
            "coolDown",
            hard.read_cool_down,
            "Seconds until something that was released is given again (default 300).",
            "300",
        ),
    ),
)
QUOTA: Final = FieldRule(
    "spec",
    "quota",
    hard.read_most,
    "Most gangs, and interfaces of all its gangs together, that it may have on rails; what is left out has no"
    " limit, and `{}` takes the quota off. What it has already stays (default none).",
    "{gangs: 8, interfaces: 4096}",
    shape=Shape.RECORD,
    parts=(_part("gangs", hard.read_most, "8"), _part("interfaces", hard.read_most, "4096")),
)
PORT_VF: Final = FieldRule(
    "spec",
    "vf",
    readers.read_name,
    "A VF that serves it: the agent sets it (MAC, driver, link) and puts its representor into the bridge."
    " `pf`: an Ethernet PF of the Sku on no rail, with `eswitch: switchdev`; `index`: the VF's number there;"
    " `for`: container (the kernel's own driver) or vm (vfio-pci; default container). Needs exactly one"
    " host, which is a Node's; `{}` takes it off (default none).",
    "{pf: fe0, index: 3}",
    shape=Shape.RECORD,
    parts=(
        _part("pf", readers.read_name, "fe0"),
        _part("index", hard.read_vf, "3"),
        _part("for", hard.read_use, "vm"),
    ),
)
NODE: Final = KindRule(
    Kind.NODE,
    "nodes",
    (),
    "A server of a SKU on a fabric.",
    (
        NAME,
        LABELS,
        FieldRule("spec", "sku", readers.read_name, "The kind of server.", "h200", Presence.REQUIRED),
        FieldRule("spec", "fabric", readers.read_name, "Its rails' fabric.", "east", Presence.REQUIRED),
        FieldRule(
            "spec",
            "host",
            readers.read_host,
            "The hypervisor whose agent sees its devices, of one node only.",
            "hv1",
            Presence.REQUIRED,
        ),
        FieldRule(
            "spec",
            "leaves",
            readers.read_name,
            "The leaf switch that it meets on a rail, where that is not the rail's own.",
            "[{rail: rail0, leaf: leaf8}]",
            shape=Shape.RECORDS,
            most=len(RAILS),
            parts=(
                _part("rail", readers.read_name, "rail0", Presence.REQUIRED),
                _part("leaf", readers.read_name, "leaf8", Presence.REQUIRED),
            ),
        ),
    ),
)
