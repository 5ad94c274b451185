"""Planning: what is allocated, what is refused, and that one plan reports everything at once."""

from __future__ import annotations

import time
from dataclasses import replace
from ipaddress import ip_address, ip_network

import pytest

from ipam.contents import Contents
from ipam.draft import Draft
from ipam.plan import plan
from ipam.steps import Verb
from ipam.trial import COOL_DOWN_MS
from model.addresses import parse_mac
from model.errors import Conflict, Exhausted, Invalid, NotFound, RingfenceError, Unavailable
from model.ids import HostName, PortKey, Vni
from model.wanted import (
    Kind,
    Reference,
    Wanted,
    WantedEgressClass,
    WantedHypervisor,
    WantedNetwork,
    WantedPort,
    WantedTenant,
    Where,
)


def rules(error: RingfenceError) -> list[tuple[str, str]]:
    return [(fault.object, fault.rule) for fault in error.faults]


def port(name: str, **more: object) -> WantedPort:
    return WantedPort("acme", name, "prod", **more)  # type: ignore[arg-type]


def test_a_port_gets_key_mac_and_one_address_of_each_family(bench) -> None:
    bench.apply(port("a"), port("b"))
    first, second = (bench.contents.ports["acme", n].value for n in "ab")
    assert first.addresses == (ip_address("10.0.0.2"), ip_address("fd00::2"))
    assert second.addresses == (ip_address("10.0.0.3"), ip_address("fd00::3"))
    assert (first.key, second.key) == (1, 2)
    assert first.mac == parse_mac("02:00:01:00:00:01")
    assert first.hosts == ()


def test_tenants_may_use_the_same_addresses(bench) -> None:
    bench.apply(port("a"), WantedPort("umbra", "a", "prod"))
    mine, theirs = bench.contents.ports["acme", "a"].value, bench.contents.ports["umbra", "a"].value
    assert mine.addresses[0] == theirs.addresses[0]
    assert mine.mac != theirs.mac


def test_what_is_written_is_claimed_before_anything_is_handed_out(bench) -> None:
    bench.apply(port("a"), port("z", addresses=(ip_address("10.0.0.2"),)))
    assert bench.contents.ports["acme", "z"].value.addresses == (ip_address("10.0.0.2"),)
    assert bench.contents.ports["acme", "a"].value.addresses[0] == ip_address("10.0.0.3")


def test_no_addresses_at_all_if_none_are_written(bench) -> None:
    bench.apply(port("a", addresses=()))
    assert bench.contents.ports["acme", "a"].value.addresses == ()


def test_applying_again_changes_nothing(bench) -> None:
    wanted = (port("a", hosts=(HostName("h2"), HostName("h1"))), port("b", labels=(("x", "y"),)))
    bench.apply(*wanted)
    again = bench.plan(*wanted)
    assert not again
    assert [step.verb for step in again.steps] == [Verb.UNCHANGED] * 2


def test_hosts_labels_and_addresses_may_change(bench) -> None:
    bench.apply(port("a", hosts=(HostName("h1"),)))
    changed = bench.apply(
        port("a", hosts=(HostName("h2"),), labels=(("k", "v"),), addresses=(ip_address("10.0.0.9"),))
    )
    assert [step.verb for step in changed.steps] == [Verb.CHANGE]
    record = bench.contents.ports["acme", "a"]
    assert record.value.hosts == ("h2",)
    assert record.labels == (("k", "v"),)
    assert record.value.addresses == (ip_address("10.0.0.9"),)
    assert {stone.value for stone in changed.tombstones} == {
        int(ip_address("10.0.0.2")),
        int(ip_address("fd00::2")),
    }


def test_l2vnis_and_l3vnis_are_of_one_number_space(bench) -> None:
    """What is written anywhere in a manifest is claimed before a tenant or network is handed anything."""
    bench.apply(
        WantedTenant("aa"),
        WantedTenant("ab", l3vni=Vni(10_006)),
        WantedNetwork("aa", "one", vni=Vni(10_004)),
        WantedNetwork("ab", "two"),
    )
    tenants, networks = bench.contents.tenants, bench.contents.networks
    assert (tenants["aa"].value.l3vni, tenants["ab"].value.l3vni) == (10_005, 10_006)
    assert (networks["aa", "one"].value.vni, networks["ab", "two"].value.vni) == (10_004, 10_007)
    assert bench.apply(WantedTenant("aa"), WantedTenant("ab", l3vni=Vni(10_006))).of(Verb.CHANGE) == ()


def test_a_tenant_of_an_older_store_gets_its_l3vni_when_it_is_named(bench) -> None:
    draft = Draft(bench.contents)
    old = bench.contents.tenants["acme"]
    draft.put(replace(old, value=replace(old.value, l3vni=Vni(0))))
    bench.contents = draft.contents()
    bench.apply(WantedNetwork("acme", "more"))  # names the network alone
    assert bench.contents.tenants["acme"].value.l3vni == 0
    plan = bench.apply(WantedTenant("acme"))
    assert [step.verb for step in plan.steps] == [Verb.CHANGE]
    taken = {record.value.vni for record in bench.contents.networks.values()}
    assert bench.contents.tenants["acme"].value.l3vni not in taken | {0}


def test_routed_is_the_default_and_stays_if_not_written(bench) -> None:
    assert bench.contents.networks["acme", "prod"].value.routed
    bench.apply(WantedNetwork("acme", "prod", routed=False))
    bench.apply(WantedNetwork("acme", "prod"))
    assert not bench.contents.networks["acme", "prod"].value.routed


def test_two_ports_may_swap_their_addresses(bench) -> None:
    one, two = ip_address("10.0.0.10"), ip_address("10.0.0.11")
    bench.apply(port("a", addresses=(one,)), port("b", addresses=(two,)))
    swapped = bench.apply(port("a", addresses=(two,)), port("b", addresses=(one,)))
    assert bench.contents.ports["acme", "a"].value.addresses == (two,)
    assert swapped.tombstones == ()


BAD: tuple[tuple[Wanted, type[RingfenceError], str, str], ...] = (
    (port("x", addresses=(ip_address("10.0.0.1"),)), Invalid, "address-reserved", "spec.addresses[0]"),
    (port("x", addresses=(ip_address("10.0.0.255"),)), Invalid, "address-reserved", "spec.addresses[0]"),
    (port("x", addresses=(ip_address("fd00::"),)), Invalid, "address-reserved", "spec.addresses[0]"),
    (port("x", addresses=(ip_address("10.9.0.1"),)), Invalid, "address-out-of-subnet", "spec.addresses[0]"),
    (port("x", addresses=(ip_address("10.0.0.7"),) * 2), Invalid, "address-twice", "spec.addresses[1]"),
    (port("x", addresses=(ip_address("10.0.0.2"),)), Conflict, "already-taken", "spec.addresses[0]"),
    (port("x", mac=parse_mac("01:00:5e:00:00:01")), Invalid, "mac-not-unicast", "spec.mac"),
    (port("x", mac=parse_mac("02:00:01:00:00:01")), Conflict, "already-taken", "spec.mac"),
    (port("x", hosts=(HostName("h1"), HostName("h9"))), Conflict, "unknown-host", "spec.hosts[1]"),
    (port("taken", mac=parse_mac("02:00:01:00:00:99")), Conflict, "immutable", "spec.mac"),
    (WantedPort("acme", "taken", "edge"), Conflict, "unknown-network", "spec.network"),
    (WantedPort("acme", "x", "nowhere"), Conflict, "unknown-network", "spec.network"),
    (WantedPort("nobody", "x", "prod"), Conflict, "unknown-tenant", "metadata.tenant"),
    (
        WantedPort("umbra", "x", "prod", addresses=(ip_address("fd00::9"),)),
        Invalid,
        "family-missing",
        "spec.addresses[0]",
    ),
    (WantedNetwork("nobody", "x"), Conflict, "unknown-tenant", "metadata.tenant"),
    (WantedNetwork("acme", "x", vni=Vni(10_000)), Conflict, "already-taken", "spec.vni"),
    (WantedNetwork("acme", "x", vni=Vni(10_002)), Conflict, "already-taken", "spec.vni"),
    (WantedNetwork("acme", "prod", vni=Vni(5)), Conflict, "immutable", "spec.vni"),
    (WantedTenant("acme", l3vni=Vni(5)), Conflict, "immutable", "spec.l3vni"),
    (WantedTenant("new", l3vni=Vni(10_000)), Conflict, "already-taken", "spec.l3vni"),
    (WantedTenant("new", l3vni=Vni(10_002)), Conflict, "already-taken", "spec.l3vni"),
    (WantedNetwork("acme", "prod", (ip_network("10.1.0.0/24"),)), Conflict, "subnet-in-use", "spec.subnets"),
    (
        WantedNetwork("acme", "x", (ip_network("10.1.0.0/24"), ip_network("10.2.0.0/24"))),
        Invalid,
        "one-subnet-per-family",
        "spec.subnets",
    ),
    (WantedHypervisor(HostName("h8"), ip_address("192.0.2.1")), Conflict, "already-taken", "spec.vtep"),
    (WantedHypervisor(HostName("h8"), ip_address("fd00::8")), Invalid, "router-id-missing", "spec.routerId"),
    (
        WantedHypervisor(HostName("h8"), ip_address("192.0.2.8"), int(ip_address("192.0.2.1"))),
        Conflict,
        "already-taken",
        "spec.routerId",
    ),
    (WantedEgressClass("x", (ip_network("198.51.100.0/24"),)), Conflict, "already-taken", "spec.prefixes[0]"),
)


@pytest.fixture
def busy(bench):
    bench.apply(port("taken"), WantedEgressClass("storage", (ip_network("198.51.100.0/24"),)))
    return bench


@pytest.mark.parametrize(
    ("wanted", "error", "rule", "path"), BAD, ids=[f"{b[2]}-{i}" for i, b in enumerate(BAD)]
)
def test_each_mistake_has_its_rule_path_and_remedy(busy, wanted, error, rule, path) -> None:
    where = Where("m.yaml", 7, {path: 9})
    with pytest.raises(error) as caught:
        busy.plan(replace(wanted, where=where))
    assert [fault.rule for fault in caught.value.faults if fault.path == path] == [rule]
    fault = next(f for f in caught.value.faults if f.rule == rule)
    assert fault.remedy
    assert (fault.source, fault.line) == ("m.yaml", 9)


def test_all_mistakes_are_reported_at_once_and_nothing_is_taken(busy) -> None:
    before = busy.contents
    wanted = [
        replace(w, name=f"{w.name}-{i}") if w.name == "x" or w.name == "h8" else w
        for i, (w, _, _, _) in enumerate(BAD)
    ]
    wanted = [w for w in wanted if w.name != "taken"]
    with pytest.raises(Invalid) as caught:
        busy.plan(*wanted, port("fine"))
    found = {fault.rule for fault in caught.value.faults}
    assert found >= {rule for w, _, rule, _ in BAD if w.name != "taken"} - {"subnet-in-use"}
    assert len(caught.value.faults) >= len({w.name for w in wanted})
    assert busy.contents == before
    assert ("acme", "fine") not in busy.contents.ports


def test_one_missing_tenant_is_said_once_per_object_not_per_consequence(bench) -> None:
    with pytest.raises(Conflict) as caught:
        bench.plan(WantedNetwork("ghost", "n"), WantedPort("ghost", "p", "n"))
    assert rules(caught.value) == [("Network ghost/n", "unknown-tenant")]


def test_an_object_written_twice_is_refused_with_the_first_place(bench) -> None:
    first, second = port("a", where=Where("m.yaml", 3)), port("a", where=Where("m.yaml", 30))
    with pytest.raises(Invalid) as caught:
        bench.plan(first, second)
    (fault,) = caught.value.faults
    assert (fault.rule, fault.line) == ("written-twice", 30)
    assert "m.yaml:3" in fault.message


def test_exhaustion_says_which_pool_how_full_and_what_to_do(bench) -> None:
    bench.apply(WantedNetwork("acme", "tiny", (ip_network("10.1.0.0/29"),)))
    with pytest.raises(Exhausted) as caught:
        bench.plan(*(WantedPort("acme", f"p{i}", "tiny") for i in range(7)))
    assert rules(caught.value) == [("Port acme/p5", "pool-exhausted"), ("Port acme/p6", "pool-exhausted")]
    fault = caught.value.faults[0]
    assert "IPv4 pool of network acme/tiny" in fault.message
    assert "5 of 5" in fault.message
    assert "larger subnet" in fault.remedy


def test_what_was_given_up_cools_down_but_may_be_asked_for(bench) -> None:
    bench.apply(port("a"))
    old = bench.contents.ports["acme", "a"].value
    bench.delete(Reference(Kind.PORT, "a", "acme"))
    bench.apply(port("b"), port("c", addresses=(old.addresses[0],)))
    fresh = bench.contents.ports["acme", "b"].value
    assert fresh.key != old.key
    assert fresh.mac != old.mac
    assert not set(fresh.addresses) & set(old.addresses)
    assert bench.contents.ports["acme", "c"].value.addresses == (old.addresses[0],)
    bench.now += COOL_DOWN_MS
    bench.apply(port("d"))
    assert bench.contents.ports["acme", "d"].value.key == old.key


def test_a_class_counts_its_versions_and_orders_its_prefixes(bench) -> None:
    wide, long = ip_network("203.0.113.0/24"), ip_network("203.0.113.128/25")
    bench.apply(WantedEgressClass("s", (wide,)))
    bench.apply(WantedEgressClass("s", (wide, long)))
    record = bench.contents.classes["s"]
    assert record.version == 2
    assert record.value.prefixes == (long, wide)
    assert record.value.id == 2
    assert not bench.plan(WantedEgressClass("s", (long, wide)))


def test_a_second_family_may_come_later(bench) -> None:
    bench.apply(WantedPort("umbra", "a", "prod"))
    bench.apply(WantedNetwork("umbra", "prod", (ip_network("10.0.0.0/24"), ip_network("fd01::/64"))))
    bench.apply(WantedPort("umbra", "b", "prod"))
    assert ip_address("fd01::2") in bench.contents.ports["umbra", "b"].value.addresses
    assert bench.contents.ports["umbra", "a"].value.addresses == (ip_address("10.0.0.2"),)


def test_deletion_is_refused_with_what_still_needs_it(bench) -> None:
    bench.apply(port("a", hosts=(HostName("h1"),)))
    tenant, network = Reference(Kind.TENANT, "acme"), Reference(Kind.NETWORK, "prod", "acme")
    host, own = Reference(Kind.HYPERVISOR, "h1"), Reference(Kind.PORT, "a", "acme")
    for reference, needed_by in (
        (tenant, "Network acme/prod"),
        (network, "Port acme/a"),
        (host, "Port acme/a"),
    ):
        with pytest.raises(Conflict) as caught:
            bench.delete(reference)
        (fault,) = caught.value.faults
        assert fault.rule == "still-used"
        assert needed_by in fault.message
    done = bench.delete(host, tenant, own, network)
    kinds = [step.reference.kind for step in done.steps]
    assert kinds == [Kind.PORT, Kind.NETWORK, Kind.TENANT, Kind.HYPERVISOR]
    assert "acme" not in bench.contents.tenants


def test_deleting_what_is_not_there_is_said(bench) -> None:
    with pytest.raises(NotFound) as caught:
        bench.delete(Reference(Kind.PORT, "ghost", "acme"), Reference(Kind.TENANT, "ghost"))
    assert len(caught.value.faults) == 2


def test_a_store_without_cluster_settings_is_not_planned_on(bench) -> None:
    with pytest.raises(Unavailable):
        plan(Contents(), [WantedTenant("a")], 0, bench.uids)


def test_a_bound_host_keeps_its_vtep(bench) -> None:
    from ipam.draft import Draft
    from model.intent import Binding

    bench.apply(port("a", hosts=(HostName("h1"),)))
    draft = Draft(bench.contents)
    key = bench.contents.ports["acme", "a"].value.key
    draft.bind(Binding(key, HostName("h1"), 0, active=True))
    bench.contents = draft.contents()
    with pytest.raises(Conflict) as caught:
        bench.plan(WantedHypervisor(HostName("h1"), ip_address("192.0.2.77")))
    assert rules(caught.value) == [("Hypervisor h1", "host-in-use")]
    assert bench.plan(WantedHypervisor(HostName("h2"), ip_address("192.0.2.78")))


def test_two_thousand_ports_in_one_plan_and_one_port_beside_them_scale(bench) -> None:
    """No time is asserted: one port must cost a small part of two thousand, or something scans everything."""
    bench.apply(WantedNetwork("acme", "big", (ip_network("10.64.0.0/16"),)))
    many = [WantedPort("acme", f"p{i}", "big") for i in range(2000)]
    made = bench.apply(*many)
    assert len(made.of(Verb.CREATE)) == 2000
    addresses = {p.value.addresses for p in bench.contents.ports.values()}
    assert len(addresses) == 2000
    started = time.process_time()
    bench.plan(WantedPort("acme", "one", "big"))
    print(f"one port beside 2,000: {1e3 * (time.process_time() - started):.2f} ms")


def test_who_lives_where_follows_bindings(bench) -> None:
    from ipam.draft import Draft
    from model.intent import Binding

    hosts = (HostName("h1"), HostName("h2"))
    bench.apply(port("a", hosts=hosts), port("b", hosts=hosts))
    a, b = (bench.contents.ports["acme", name] for name in "ab")
    home = ("acme", a.network)

    def after(*changes: Binding | PortKey):
        draft = Draft(bench.contents)
        for change in changes:
            if isinstance(change, Binding):
                draft.bind(change)
            else:
                draft.unbind(change)
        bench.contents = draft.contents()
        return dict(bench.contents.bound), dict(bench.contents.dwellers.get(home, {}))

    here = [Binding(one.value.key, hosts[0], 0, active=True) for one in (a, b)]
    assert after(*here) == ({"h1": 2}, {"h1": 2})
    assert after(*here) == ({"h1": 2}, {"h1": 2})
    assert after(Binding(a.value.key, hosts[1], 1, active=True)) == ({"h1": 1, "h2": 1},) * 2
    assert after(Binding(a.value.key, hosts[1], 1, active=False)) == ({"h1": 1}, {"h1": 1})
    assert after(b.value.key, a.value.key) == ({}, {})
    assert home not in bench.contents.dwellers
