"""Sku, Fabric and Node as documents: fields arrive typed, mistakes name field, rule and remedy."""

from __future__ import annotations

from ipaddress import ip_network

import pytest

from controller.manifest.manifest import Source, merge, parse
from ipam.contents import Contents
from ipam.draft import Draft
from ipam.plan import plan
from ipam.pools import defaults
from model.errors import RingfenceError
from model.fabric import Addressing, FabricKind, Rail, RailIndex
from model.hardware import Eswitch, Gpu, PfSlot, parse_pci
from model.ids import Uid
from model.intent import Cluster
from model.wanted import WantedFabric, WantedNode, WantedSku

PFS = '[{name: rail0, pci: "18:00.0", kind: infiniband, rail: 0, pkeys: 128}]'
RAILS = "[{name: rail0, ipv4: 10.128.0.0/16, ipv6: 'fd00::/48', leaf: leaf0}, {name: rail1}]"
GUIDS = '["0200:5200:0000:0000-0200:5200:00ff:ffff"]'


def document(kind: str, spec: str, name: str = "x") -> str:
    return f"apiVersion: ringfence/v1\nkind: {kind}\nmetadata: {{name: {name}}}\nspec: {spec}\n---\n"


def pf(fields: str) -> str:
    return f"{{pfs: [{{name: p, pci: '18:00.0', {fields}}}]}}"


def rail(fields: str) -> str:
    return f"{{kind: roce, rails: [{{name: r, {fields}}}]}}"


def one(kind: str, spec: str):
    manifest = parse([Source("m", document(kind, spec))])
    assert not manifest.faults
    (made,) = manifest.wanted
    return made


def test_every_field_of_a_sku_arrives_typed() -> None:
    pf = "{name: p, pci: '0000:AA:00.1', kind: ethernet, rail: 3, numa: 1, gpu: 0, vfs: 16,"
    pf += " eswitch: switchdev}"
    made = one("Sku", f"{{gpus: [{{pci: '1b:00.0', numa: 1}}, {{pci: '43:00.0'}}], pfs: [{pf}]}}")
    gpus = (Gpu(parse_pci("1b:00.0"), 1), Gpu(parse_pci("43:00.0")))
    slot = PfSlot(
        "p", parse_pci("aa:00.1"), FabricKind.ETHERNET, RailIndex(3), 1, 0, 16, 0, Eswitch.SWITCHDEV
    )
    assert made == WantedSku("x", gpus, (slot,), None, made.where)


def test_every_field_of_a_fabric_arrives_typed() -> None:
    made = one(
        "Fabric",
        f"{{kind: infiniband, rails: {RAILS}, pkeys: 0x0001-0x3fff, guids: {GUIDS}, addressing: node,"
        " block4: 20, block6: 56, excluded: [10.128.0.0/24], coolDown: 0,"
        " reserved: [10.128.1.0/28, 'fd00::/64'], reservedPkeys: [0x0001-0x000f, 0x0100-0x0100]}",
    )
    subnets = (ip_network("10.128.0.0/16"), ip_network("fd00::/48"))
    rails = (Rail(RailIndex(0), "rail0", subnets, "leaf0"), Rail(RailIndex(1), "rail1"))
    guids = (range(0x0200520000000000, 0x0200520001000000),)
    excluded = (ip_network("10.128.0.0/24"),)
    assert made == WantedFabric(
        *("x", FabricKind.INFINIBAND, rails, range(1, 0x4000), guids, Addressing.NODE, 20, 56, excluded, 0),
        None,
        made.where,
        (ip_network("10.128.1.0/28"), ip_network("fd00::/64")),
        (range(1, 16), range(0x100, 0x101)),
    )


def test_every_field_of_a_node_arrives_typed() -> None:
    made = one("Node", "{sku: h200, fabric: east, host: hv1.example, leaves: [{rail: rail0, leaf: l9}]}")
    assert made == WantedNode("x", "h200", "east", "hv1.example", (("rail0", "l9"),), None, made.where)


@pytest.mark.parametrize(
    ("kind", "spec", "path", "rule"),
    [
        ("Sku", "{}", "spec.pfs", "missing-field"),
        ("Sku", "{pfs: []}", "spec.pfs", "missing-field"),
        ("Sku", PFS.join(("{pfs: ", ", tenant: acme}")), "spec.tenant", "unknown-field"),
        ("Sku", '{pfs: [{name: p, pci: "18:00", kind: roce}]}', "spec.pfs[0].pci", "pci-syntax"),
        ("Sku", '{pfs: [{name: p, pci: "../..", kind: roce}]}', "spec.pfs[0].pci", "pci-syntax"),
        ("Sku", pf("kind: token-ring"), "spec.pfs[0].kind", "choice"),
        ("Sku", '{pfs: [{name: p, pci: "18:00.0"}]}', "spec.pfs[0]", "missing-field"),
        ("Sku", pf("kind: roce, vfs: 256"), "spec.pfs[0].vfs", "range"),
        ("Sku", pf("kind: roce, vfs: -1"), "spec.pfs[0].vfs", "range"),
        ("Sku", pf("kind: roce, rail: 64"), "spec.pfs[0].rail", "range"),
        ("Sku", pf("kind: roce, numa: '0'"), "spec.pfs[0].numa", "wrong-type"),
        ("Sku", pf("kind: roce, eswitch: off"), "spec.pfs[0].eswitch", "choice"),
        ("Sku", pf("kind: roce, speed: 9"), "spec.pfs[0].speed", "unknown-field"),
        ("Sku", "{pfs: {rail0: x}}", "spec.pfs", "wrong-type"),
        ("Sku", f"{{pfs: {PFS}, gpus: [x]}}", "spec.gpus[0]", "wrong-type"),
        ("Sku", f"{{pfs: {PFS}, gpus: [{{numa: 0}}]}}", "spec.gpus[0]", "missing-field"),
        ("Fabric", f"{{kind: roce, rails: {RAILS}, pkeys: 0x0000-0x0010}}", "spec.pkeys", "pkey-syntax"),
        ("Fabric", f"{{kind: roce, rails: {RAILS}, pkeys: 0x0001-0x7fff}}", "spec.pkeys", "pkey-syntax"),
        ("Fabric", f"{{kind: roce, rails: {RAILS}, pkeys: 0x0010-0x0001}}", "spec.pkeys", "pkey-syntax"),
        ("Fabric", f"{{kind: roce, rails: {RAILS}, pkeys: 7}}", "spec.pkeys", "wrong-type"),
        ("Fabric", f"{{kind: roce, rails: {RAILS}, guids: [0200-zz]}}", "spec.guids[0]", "guid-syntax"),
        (
            "Fabric",
            f"{{kind: roce, rails: {RAILS}, guids: ['0002:c903:0000:0000-0002:c903:0000:ffff']}}",
            "spec.guids[0]",
            "guid-not-local",
        ),
        (
            "Fabric",
            f"{{kind: roce, rails: {RAILS}, guids: ['0200:0000:0000:0000-0600:0000:0000:0000']}}",
            "spec.guids[0]",
            "guid-not-local",
        ),
        ("Fabric", rail("ipv4: 'fd00::/48'"), "spec.rails[0].ipv4", "family-mismatch"),
        ("Fabric", rail("ipv6: 10.0.0.1/8"), "spec.rails[0].ipv6", "prefix-host-bits"),
        ("Fabric", rail("ipv4: 224.0.0.0/8"), "spec.rails[0].ipv4", "subnet-reserved"),
        ("Fabric", f"{{kind: roce, rails: {RAILS}, addressing: random}}", "spec.addressing", "choice"),
        ("Fabric", f"{{kind: roce, rails: {RAILS}, block4: 7}}", "spec.block4", "range"),
        ("Fabric", f"{{kind: roce, rails: {RAILS}, block6: 129}}", "spec.block6", "range"),
        ("Fabric", f"{{kind: roce, rails: {RAILS}, coolDown: 700000}}", "spec.coolDown", "range"),
        ("Fabric", f"{{rails: {RAILS}}}", "spec.kind", "missing-field"),
        ("Node", "{sku: h200, fabric: east}", "spec.host", "missing-field"),
        ("Node", "{sku: H200, fabric: east, host: hv1}", "spec.sku", "name-rule"),
        ("Node", "{sku: a, fabric: b, host: c, leaves: [{rail: r}]}", "spec.leaves[0]", "missing-field"),
    ],
)  # fmt: skip
def test_a_mistake_names_field_rule_and_remedy(kind: str, spec: str, path: str, rule: str) -> None:
    (fault, *more) = parse([Source("m", document(kind, spec))]).faults
    assert not more
    assert (fault.path, fault.rule) == (path, rule)
    assert fault.remedy
    assert fault.line


def test_a_tenant_has_none_of_them() -> None:
    text = document("Node", "{sku: a, fabric: b, host: c}").replace("name: x", "name: x, tenant: acme")
    (fault,) = parse([Source("m", text)]).faults
    assert (fault.path, fault.rule) == ("metadata.tenant", "unknown-field")
    assert "belongs to no tenant" in fault.remedy


def _all_faults(text: str):
    draft = Draft(Contents())
    draft.set_cluster(Cluster(Uid("00000000-0000-4000-8000-000000000000"), 1, 65000))
    for pool in defaults(0):
        draft.put_pool(pool)
    manifest = parse([Source("m", text)])
    try:
        plan(draft.contents(), manifest.wanted, 1, lambda: Uid("u"))
    except RingfenceError as error:
        return merge(manifest, error.faults)
    return manifest.faults


def test_what_a_broken_parent_makes_of_a_node_is_told_once() -> None:
    text = document("Sku", "{pfs: bad}", "h200") + document("Fabric", "{kind: bad}", "east")
    text += "apiVersion: ringfence/v1\nkind: Hypervisor\nmetadata: {name: hv1}\nspec: {vtep: bad}\n---\n"
    text += document("Node", "{sku: h200, fabric: east, host: hv1}")
    assert {f.object for f in _all_faults(text)} == {"Sku h200", "Fabric east", "Hypervisor hv1"}
    alone = _all_faults(document("Node", "{sku: h200, fabric: east, host: hv1}"))
    assert sorted(f.rule for f in alone) == ["unknown-fabric", "unknown-host", "unknown-sku"]
    assert all(f.line for f in alone)
