"""Numbers of route distinguishers and Ethernet segments: what is kept, and that no two objects share one."""

from __future__ import annotations

from ipaddress import ip_address

import pytest

from model.errors import RingfenceError
from model.ids import HostName
from model.segments import parse_segment
from model.wanted import Kind, Reference, WantedHypervisor, WantedNetwork, WantedTenant

ACME = WantedTenant("acme")
ONE, TWO = (parse_segment(f"00:00:00:00:00:00:00:00:00:0{n}") for n in (1, 2))


def faults(call, *arguments) -> list[tuple[str, str, str]]:
    """(rule, object, field) of each."""
    with pytest.raises(RingfenceError) as caught:
        call(*arguments)
    return [(f.rule, f.object, f.path) for f in caught.value.faults]


def network(name: str, number: int | None = None) -> WantedNetwork:
    return WantedNetwork("acme", name, distinguisher=number)


def numbers(bench) -> dict[str, tuple[int, int]]:
    return {name: (r.value.key, r.value.distinguisher) for (_, name), r in bench.contents.networks.items()}


def test_a_number_is_kept_until_another_or_the_derived_one_is_written(bench) -> None:
    bench.apply(ACME, network("a", 40001))
    assert numbers(bench)["a"][1] == 40001
    bench.apply(WantedNetwork("acme", "a", mtu=1400))
    assert numbers(bench)["a"][1] == 40001
    bench.apply(network("a", 40002))
    assert numbers(bench)["a"][1] == 40002
    bench.apply(network("a", 0))
    assert numbers(bench)["a"][1] == 0


def test_the_key_written_out_is_the_derived_one(bench) -> None:
    bench.apply(ACME, network("a"))
    key = numbers(bench)["a"][0]
    bench.apply(network("a", key))
    assert numbers(bench)["a"] == (key, 0)


def test_no_two_networks_have_one_number(bench) -> None:
    bench.apply(ACME, network("a", 40001), network("b"))
    wrong = [("already-taken", "Network acme/b", "spec.distinguisher")]
    assert faults(bench.plan, network("b", 40001)) == wrong, "written twice"
    assert faults(bench.plan, network("b", numbers(bench)["a"][0])) == wrong, "another's key"


def test_nobody_is_handed_a_number_as_key(bench) -> None:
    bench.apply(ACME, network("first"))
    following = numbers(bench)["first"][0] + 1
    bench.apply(network("a", following), network("b"), network("c"))
    keys = [key for key, _ in numbers(bench).values()]
    assert following not in keys
    assert len(set(keys)) == len(keys)


def test_a_number_is_free_again_once_its_network_is_gone(bench) -> None:
    bench.apply(ACME, network("a", 40001), network("b"))
    bench.delete(Reference(Kind.NETWORK, "a", "acme"))
    bench.apply(network("b", 40001))
    assert numbers(bench)["b"][1] == 40001


def test_tenants_have_numbers_of_their_own_that_networks_may_have_too(bench) -> None:
    bench.apply(WantedTenant("acme", distinguisher=40001), network("a", 40001), WantedTenant("umbra"))
    assert bench.contents.tenants["acme"].value.distinguisher == 40001
    wrong = [("already-taken", "Tenant umbra", "spec.distinguisher")]
    assert faults(bench.plan, WantedTenant("umbra", distinguisher=40001)) == wrong
    bench.apply(WantedTenant("acme", distinguisher=0))
    assert bench.contents.tenants["acme"].value.distinguisher == 0


def leaf(**more) -> WantedHypervisor:
    return WantedHypervisor(HostName("leaf"), ip_address("192.0.2.9"), **more)


def test_segments_are_kept_once_each_in_order(bench) -> None:
    bench.apply(leaf(external=True, segments=(TWO, ONE, TWO)))
    assert bench.contents.hypervisors[HostName("leaf")].value.segments == (ONE, TWO)
    bench.apply(leaf())
    assert bench.contents.hypervisors[HostName("leaf")].value.segments == (ONE, TWO)
    bench.apply(leaf(segments=()))
    assert bench.contents.hypervisors[HostName("leaf")].value.segments == ()


def test_only_external_hosts_are_on_segments(bench) -> None:
    wrong = [("segments-not-external", "Hypervisor leaf", "spec.segments")]
    assert faults(bench.plan, leaf(segments=(ONE,))) == wrong
    bench.apply(leaf(external=True, segments=(ONE,)))
    assert faults(bench.plan, leaf(external=False)) == wrong


@pytest.mark.parametrize(
    "text",
    ["", "00:11", "00:00:00:00:00:00:00:00:00:00", "ff:ff:ff:ff:ff:ff:ff:ff:ff:ff", "0:1:2:3:4:5:6:7:8:9"],
)
def test_what_names_no_segment_is_refused(text) -> None:
    with pytest.raises(ValueError, match=r"octets|reserved"):
        parse_segment(text)
