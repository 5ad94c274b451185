"""Documents to wanted objects: every field, every rule, and the merge with the planner's faults."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from ipaddress import ip_address, ip_network

import pytest

from controller.manifest.cross import cross
from controller.manifest.manifest import Source, merge, parse
from controller.manifest.schema import KINDS, find_kind
from ipam.contents import Contents
from model.gang import Quota
from model.intent import Relation
from model.wanted import (
    Kind,
    Reference,
    WantedEgressClass,
    WantedHypervisor,
    WantedNetwork,
    WantedPort,
    fault,
)


def one(kind: str, metadata: str, spec: str = "{}"):
    text = f"apiVersion: ringfence/v1\nkind: {kind}\nmetadata: {metadata}\nspec: {spec}\n"
    return parse([Source("x", text)])


def wanted(kind: str, metadata: str, spec: str = "{}"):
    manifest = one(kind, metadata, spec)
    assert not manifest.faults
    (made,) = manifest.wanted
    return made


def test_every_field_arrives_typed() -> None:
    network = wanted(
        "Network",
        "{name: n, tenant: t, labels: {b: y, a: x}}",
        "{subnets: ['fd00::/64', 10.0.0.0/24], vni: 7, mtu: 1400, replicate: true}",
    )
    assert network == WantedNetwork(
        "t",
        "n",
        (ip_network("fd00::/64"), ip_network("10.0.0.0/24")),
        7,
        1400,
        True,
        (("a", "x"), ("b", "y")),
        network.where,
    )
    port = wanted(
        "Port",
        "{name: p, tenant: t}",
        "{network: n, mac: 52:54:00:12:34:56, addresses: [10.0.0.9, 'fd00::9'], hosts: [hv1.example]}",
    )
    assert port == WantedPort(
        "t",
        "p",
        "n",
        0x525400123456,
        (ip_address("10.0.0.9"), ip_address("fd00::9")),
        ("hv1.example",),
        None,
        port.where,
    )
    host = wanted("Hypervisor", "{name: h}", "{vtep: '2001:db8::1', routerId: 192.0.2.1, external: false}")
    assert host == WantedHypervisor("h", ip_address("2001:db8::1"), 0xC0000201, False, None, host.where)
    group = wanted(
        "EgressClass",
        "{name: c}",
        "{prefixes: [0.0.0.0/0, 192.0.2.1], effective: '2026-01-01T01:00:00+01:00',"
        " relations: [same-tenant, internet]}",
    )
    assert isinstance(group, WantedEgressClass)
    assert group.prefixes == (ip_network("0.0.0.0/0"), ip_network("192.0.2.1/32"))
    assert group.effective == datetime(2026, 1, 1, tzinfo=UTC)
    assert group.relations == (Relation.SAME_TENANT, Relation.INTERNET)
    assert wanted("EgressClass", "{name: c}", "{prefixes: []}").relations is None


def test_what_is_left_out_is_none_and_what_is_empty_is_empty() -> None:
    port = wanted("Port", "{name: p, tenant: t}", "{network: n}")
    assert (port.mac, port.addresses, port.hosts, port.labels) == (None, None, None, None)
    assert wanted("Port", "{name: p, tenant: t}", "{network: n, addresses: []}").addresses == ()


def test_a_quota_is_one_mapping_whose_parts_may_be_left_out() -> None:
    assert wanted("Tenant", "{name: t}", "{quota: {interfaces: 0}}").quota == Quota(None, 0)
    assert wanted("Tenant", "{name: t}", "{quota: {gangs: 2, interfaces: 0x10}}").quota == Quota(2, 16)
    assert wanted("Tenant", "{name: t}", "{quota: {}}").quota == Quota()
    assert wanted("Tenant", "{name: t}", "{}").quota is None


@pytest.mark.parametrize(
    ("spec", "rule"),
    [
        ("{quota: {gangs: -1}}", "range"),
        ("{quota: {interfaces: 16777216}}", "range"),
        ("{quota: {interfaces: '5'}}", "wrong-type"),
        ("{quota: {gangs: [5]}}", "wrong-type"),
        ("{quota: {nodes: 5}}", "unknown-field"),
        ("{quota: {gangs: 1, gangs: 2}}", "duplicate-key"),
        ("{quota: 5}", "wrong-type"),
        ("{quota: [{gangs: 1}]}", "wrong-type"),
        ("{quota: }", "wrong-type"),
    ],
)
def test_a_quota_that_is_none_is_refused(spec: str, rule: str) -> None:
    assert [f.rule for f in one("Tenant", "{name: t}", spec).faults] == [rule]


@pytest.mark.parametrize(
    ("kind", "spec", "rule"),
    [
        ("Network", "{vni: 0}", "range"),
        ("Network", "{vni: 16777216}", "range"),
        ("Network", "{vni: 99999999999999999999999999}", "range"),
        ("Network", "{vni: 5.0}", "wrong-type"),
        ("Network", "{vni: '5'}", "wrong-type"),
        ("Network", "{vni: [5]}", "wrong-type"),
        ("Network", "{mtu: 575}", "range"),
        ("Network", "{mtu: 9217}", "range"),
        ("Network", "{replicate: 'true'}", "wrong-type"),
        ("Network", "{subnets: [127.0.0.0/24]}", "subnet-reserved"),
        ("Network", "{subnets: [169.254.0.0/24]}", "subnet-reserved"),
        ("Network", "{subnets: ['fe80::/64']}", "subnet-reserved"),
        ("Network", "{subnets: [10.0.0.0/255.255.255.0]}", "prefix-syntax"),
        ("Network", "{subnets: [10.0.0.0/31]}", "subnet-size"),
        ("Network", "{subnets: ['fd00::1/64']}", "prefix-host-bits"),
        ("Network", "{subnets: ['fd00::%eth0/64']}", "prefix-syntax"),
        ("Network", "{mtu: 1000, subnets: ['fd00::/64']}", "mtu-ipv6"),
        ("Network", "{subnets: [10.0.0.0/24, 10.1.0.0/24]}", "one-subnet-per-family"),
        ("Port", "{network: n, mac: '01:00:5e:00:00:01'}", "mac-multicast"),
        ("Port", "{network: n, mac: '00:00:00:00:00:00'}", "mac-multicast"),
        ("Port", "{network: n, mac: 'ff:ff:ff:ff:ff:ff'}", "mac-multicast"),
        ("Port", "{network: n, mac: '0a:00:52:f1:00:01'}", "mac-reserved"),
        ("Port", "{network: n, mac: '0e:52:c0:00:02:0b'}", "mac-reserved"),
        ("Network", "{routed: 'no'}", "wrong-type"),
        ("Port", "{network: n, mac: 020000000001}", "wrong-type"),
        ("Port", "{network: n, mac: '02:00:00:00:00'}", "mac-syntax"),
        ("Port", "{network: n, mac: '٠2:00:00:00:00:01'}", "mac-syntax"),
        ("Port", "{network: n, addresses: [10.0.0.1/24]}", "address-syntax"),
        ("Port", "{network: n, addresses: ['fe80::1']}", "address-reserved"),
        ("Port", "{network: n, addresses: ['fd00:ec2::254']}", "address-reserved"),
        ("Port", "{network: n, addresses: [169.254.169.253]}", "address-reserved"),
        ("Port", "{network: n, addresses: [224.0.0.1]}", "address-reserved"),
        ("Port", "{network: n, addresses: [255.255.255.255]}", "address-reserved"),
        ("Port", "{network: n, addresses: ['::']}", "address-reserved"),
        ("Port", "{network: n, addresses: [10.0.0.010]}", "address-syntax"),
        ("Port", "{network: n, addresses: ['fd00::1%eth0']}", "address-syntax"),
        ("Port", "{network: n, hosts: [HV1]}", "name-rule"),
        ("Port", "{network: n, hosts: [hv1, hv1]}", "duplicate-item"),
        ("Port", "{network: n, hosts: {hv1: yes}}", "wrong-type"),
        ("Port", "{netwrok: n, network: n}", "unknown-field"),
        ("Port", "{}", "missing-field"),
    ],
)
def test_one_mistake_gives_one_fault_of_its_rule(kind: str, spec: str, rule: str) -> None:
    manifest = one(kind, "{name: x, tenant: t}", spec)
    assert [f.rule for f in manifest.faults] == [rule]
    (found,) = manifest.faults
    assert found.object == f"{kind} t/x" and found.line == 4 and found.message and found.remedy


@pytest.mark.parametrize(
    "name",
    ["A", "-a", "a-", "a_b", "a.b", "a" * 64, "а", "a\u0301", "ａ", "", " ", "a\n"],
)
def test_names_are_labels_of_rfc_1123(name: str) -> None:
    manifest = one("Tenant", "{name: " + json.dumps(name) + "}")
    assert [f.rule for f in manifest.faults] == ["name-rule"]


def test_unknown_fields_get_the_nearest_known() -> None:
    (found,) = one("Network", "{name: n, tenant: t}", "{subnet: [10.0.0.0/24]}").faults
    assert 'Did you mean "subnets"?' in found.remedy
    (found,) = one("Port", "{name: n, tenant: t, mac: x}", "{network: n}").faults
    assert found.remedy == "Move it under spec."
    (found,) = one("Tenant", "{name: n, tenant: t}").faults
    assert "belongs to no tenant" in found.remedy


def test_kinds_are_found_in_every_form() -> None:
    for rule in KINDS:
        forms = (rule.kind.value, rule.kind.value.upper(), rule.plural, *rule.short)
        assert all(find_kind(form) is rule for form in forms)
    assert find_kind("prot") is None
    (found,) = one("port", "{name: n, tenant: t}").faults
    assert found.rule == "kind-unknown" and 'Did you mean "Port"?' in found.remedy


def test_a_list_unfolds_into_its_items() -> None:
    items = [
        {"apiVersion": "ringfence/v1", "kind": "Tenant", "metadata": {"name": n, "uid": "u"}, "status": {}}
        for n in ("a", "b")
    ]
    text = json.dumps({"apiVersion": "ringfence/v1", "kind": "List", "items": items})
    manifest = parse([Source("x", text)])
    assert not manifest.faults and [w.name for w in manifest.wanted] == ["a", "b"]


def test_the_second_document_of_a_name_is_refused_with_the_first_place() -> None:
    text = "apiVersion: ringfence/v1\nkind: Tenant\nmetadata: {name: a}\n"
    manifest = parse([Source("x", text), Source("y", text)])
    (found,) = manifest.faults
    assert (found.rule, found.source, len(manifest.wanted)) == ("duplicate-object", "y", 1)
    assert "x:1" in found.message


def test_echoes_of_broken_fields_are_left_out_and_positions_are_the_written_ones() -> None:
    text = (
        "apiVersion: ringfence/v1\nkind: Port\nmetadata: {name: p, tenant: t}\nspec:\n  network: n\n"
        "  mac: nonsense\n  addresses:\n    - nonsense\n    - 10.0.0.1\n"
    )
    manifest = parse([Source("x", text)])
    reference = Reference(Kind.PORT, "p", "t", manifest.wanted[0].where)
    planned = [
        fault(reference, "planner", "echo", "none", "spec.mac"),
        fault(reference, "planner", "real", "none", "spec.addresses[0]"),
    ]
    merged = merge(manifest, planned)
    assert [(f.rule, f.path, f.line) for f in merged] == [
        ("mac-syntax", "spec.mac", 6),
        ("address-syntax", "spec.addresses[0]", 8),
        ("planner", "spec.addresses[1]", 9),
    ]


def test_addresses_of_a_network_with_unreadable_subnets_are_not_judged() -> None:
    text = (
        "apiVersion: ringfence/v1\nkind: Network\nmetadata: {name: n, tenant: t}\nspec: {subnets: [bad]}\n"
        "---\n"
        "apiVersion: ringfence/v1\nkind: Port\nmetadata: {name: p, tenant: t}\n"
        "spec: {network: n, addresses: [10.0.0.5]}\n"
    )
    manifest = parse([Source("x", text)])
    echo = fault(manifest.references[1], "family-missing", "no subnet", "none", "spec.addresses[0]")
    assert [f.rule for f in merge(manifest, [echo])] == ["prefix-syntax"]


def test_a_host_whose_manifest_is_unreadable_is_not_unknown_too() -> None:
    text = (
        "apiVersion: ringfence/v1\nkind: Hypervisor\nmetadata: {name: h1}\nspec: {vtep: bad}\n---\n"
        "apiVersion: ringfence/v1\nkind: Port\nmetadata: {name: p, tenant: t}\n"
        "spec: {network: n, hosts: [h1, h2]}\n"
    )
    manifest = parse([Source("x", text)])
    planned = [
        fault(manifest.references[1], "unknown-host", "no host", "none", f"spec.hosts[{index}]")
        for index in (0, 1)
    ]
    assert [(f.rule, f.path) for f in merge(manifest, planned)] == [
        ("address-syntax", "spec.vtep"),
        ("unknown-host", "spec.hosts[1]"),
    ]


def test_overlaps_are_refused_within_a_tenant_only() -> None:
    text = "".join(
        f"---\napiVersion: ringfence/v1\nkind: Network\nmetadata: {{name: {name}, tenant: {tenant}}}\n"
        f"spec: {{subnets: [{subnet}]}}\n"
        for tenant, name, subnet in (
            ("a", "one", "10.0.0.0/16"),
            ("a", "two", "10.0.5.0/24"),
            ("a", "three", "10.1.0.0/16"),
            ("a", "four", "10.0.0.0/8"),
            ("b", "one", "10.0.0.0/16"),
        )
    )
    faults = cross(Contents(), parse([Source("x", text)]).wanted)
    assert [(f.object, f.rule) for f in faults] == [
        ("Network a/two", "subnet-overlap"),
        ("Network a/four", "subnet-overlap"),
    ]


@pytest.mark.parametrize(
    ("segments", "hosts", "rules"),
    [
        ({"e1": "[S, T]", "e2": "[S]"}, "[e1, e2]", []),
        ({"e1": "[T]", "e2": "[S]"}, "[e1, e2]", ["external-host", "external-host"]),
        ({"e1": "[S]", "e2": "[S]"}, "[e1, h1]", ["external-host"]),
        ({"e1": "[S]", "e2": "[S]"}, "[e1]", []),
    ],
)
def test_a_port_has_several_external_hosts_if_they_share_a_segment(segments, hosts, rules) -> None:
    named = {"S": "00:11:22:33:44:55:66:77:88:99", "T": "00:11:22:33:44:55:66:77:88:9a"}
    head, text = "---\napiVersion: ringfence/v1\nkind: ", ""
    for number, (name, some) in enumerate(sorted({**segments, "h1": ""}.items()), 1):
        more = f", external: true, segments: {some}" if some else ""
        text += f"{head}Hypervisor\nmetadata: {{name: {name}}}\nspec: {{vtep: 192.0.2.{number}{more}}}\n"
    text += f"{head}Port\nmetadata: {{name: p, tenant: t}}\nspec: {{network: n, hosts: {hosts}}}\n"
    for letter, segment in named.items():
        text = text.replace(f"[{letter}]", f"['{segment}']").replace(f"[{letter}, ", f"['{segment}', ")
        text = text.replace(f", {letter}]", f", '{segment}']")
    manifest = parse([Source("x", text)])
    assert not manifest.faults
    assert [fault.rule for fault in cross(Contents(), manifest.wanted)] == rules


def test_distinguishers_and_segments_arrive_typed() -> None:
    texts = ("40001", "derived")
    made = [wanted("Network", "{name: n, tenant: t}", f"{{distinguisher: {text}}}") for text in texts]
    assert [one.distinguisher for one in made] == [40001, 0]
    assert wanted("Tenant", "{name: t}", "{distinguisher: 7}").distinguisher == 7
    for text in ("0", "65536", "none", "'7'"):
        (mistake,) = one("Tenant", "{name: t}", f"{{distinguisher: {text}}}").faults
        assert mistake.rule in {"range", "wrong-type"}, text
    (mistake,) = one("Hypervisor", "{name: h}", "{vtep: 192.0.2.1, segments: ['00:11']}").faults
    assert mistake.rule == "segment"


def test_rates_marks_and_pairs_arrive_typed() -> None:
    made = [
        wanted("Port", "{name: p, tenant: t}", f"{{network: n, rateOut: {text}}}").rate_out
        for text in ("64", "800k", "100M", "2.5G", "1Gbit/s", "none", "'1g'", "400G")
    ]
    assert made == [64, 800, 100_000, 2_500_000, 1_000_000, 0, 1_000_000, 400_000_000]
    for text in ("0", "63", "10k", "401G", "0.0001M", "-5", "1T", "'5'", "1e3"):
        (mistake,) = one("Port", "{name: p, tenant: t}", f"{{network: n, rateIn: {text}}}").faults
        assert mistake.rule in {"range", "wrong-type"}, text
    assert wanted("Network", "{name: n, tenant: t}", "{dscp: none}").dscp == -1
    pairs = "[{prefix: 10.0.0.9, mac: '00:00:5e:00:01:0a'}, {prefix: 'fd00::/64'}]"
    made = wanted("Port", "{name: p, tenant: t}", f"{{network: n, allowedAddresses: {pairs}}}").allowed
    assert [(str(p.prefix), p.mac) for p in made] == [("10.0.0.9/32", 0x00005E00010A), ("fd00::/64", None)]


def test_what_a_network_tells_its_ports_arrives_typed() -> None:
    text = (
        "{dhcp: false, resolvers: [10.0.0.53, 'fd00:ec2::253', 169.254.169.253], domain: a.example,"
        " search: [b.example, c], guestRoutes: [{prefix: 192.0.2.0/24, nextHop: 10.0.0.9}], lease: 600,"
        " names: false}"
    )
    made = wanted("Network", "{name: n, tenant: t}", text).guidance
    assert (made.answers, made.names, made.domain, made.search, made.lease) == (
        False,
        False,
        "a.example",
        ("b.example", "c"),
        600,
    )
    assert [str(a) for a in made.resolvers] == ["10.0.0.53", "fd00:ec2::253", "169.254.169.253"]
    assert [(str(p), str(a)) for p, a in made.routes] == [("192.0.2.0/24", "10.0.0.9")]
    assert wanted("Network", "{name: n, tenant: t}", "{domain: none}").guidance.domain == ""
    nothing = wanted("Network", "{name: n, tenant: t}", "{}").guidance
    assert (nothing.answers, nothing.resolvers, nothing.domain, nothing.lease) == (None, None, None, None)
    assert nothing.names is None


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("{dhcp: 1}", "wrong-type"),
        ("{resolvers: [224.0.0.1]}", "address-reserved"),
        ("{resolvers: ['fe80::1']}", "address-reserved"),
        ("{resolvers: [169.254.0.0/16]}", "address-syntax"),
        ("{resolvers: [169.254.1.x]}", "address-syntax"),
        ("{domain: a.example.}", "domain-rule"),
        ("{domain: A.example}", "domain-rule"),
        ("{domain: ''}", "domain-rule"),
        ("{search: [a..b]}", "domain-rule"),
        ("{search: [none, none]}", "duplicate-item"),
        ("{lease: 599}", "range"),
        ("{lease: 1d}", "wrong-type"),
        ("{guestRoutes: [{prefix: 192.0.2.0/24}]}", "missing-field"),
        ("{guestRoutes: [{prefix: 'fd00::/64', nextHop: 'fd00::1'}]}", "guest-route-family"),
    ],
)
def test_what_a_network_cannot_tell_is_refused(text: str, rule: str) -> None:
    (mistake,) = one("Network", "{name: n, tenant: t}", text).faults
    assert mistake.rule == rule
