"""Two hosts name each other as partners, or neither does: at no time may only one of them ask for the
lease."""

from __future__ import annotations

from ipaddress import ip_address

import pytest

from model.errors import RingfenceError
from model.ids import HostName
from model.wanted import WantedHypervisor

VTEPS = {"a": "192.0.2.101", "b": "192.0.2.102", "c": "192.0.2.103"}
NOBODY = HostName("")


def host(name: str, partner: str | None = None, **more: bool) -> WantedHypervisor:
    named = None if partner is None else HostName(partner)
    return WantedHypervisor(HostName(name), ip_address(VTEPS[name]), partner=named, **more)


def rules(bench, *wanted: WantedHypervisor) -> list[tuple[str, str]]:
    with pytest.raises(RingfenceError) as caught:
        bench.apply(*wanted)
    return sorted((fault.object, fault.rule) for fault in caught.value.faults)


def partners(bench) -> dict[str, str]:
    found = bench.contents.hypervisors.items()
    return {name: record.value.partner for name, record in found if name in VTEPS}


def test_both_are_paired_and_parted_in_one_request(bench) -> None:
    bench.apply(host("a"), host("b"))
    assert partners(bench) == {"a": "", "b": ""}
    bench.apply(host("a", "b"), host("b", "a"))
    assert partners(bench) == {"a": "b", "b": "a"}
    bench.apply(host("a"))
    assert partners(bench) == {"a": "b", "b": "a"}, "left out, it stays"
    bench.apply(host("a", NOBODY), host("b", NOBODY))
    assert partners(bench) == {"a": "", "b": ""}


def test_one_alone_is_refused(bench) -> None:
    one_sided = [("Hypervisor a", "partner-one-sided")]
    assert rules(bench, host("a", "b")) == one_sided
    bench.apply(host("a", "b"), host("b", "a"))
    assert rules(bench, host("a", NOBODY)) == one_sided
    bench.apply(host("c"))
    both = [("Hypervisor a", "partner-one-sided"), ("Hypervisor c", "partner-one-sided")]
    assert rules(bench, host("a", "c"), host("c", "a"))[:1] == both[:1]
    assert partners(bench) == {"a": "b", "b": "a", "c": ""}


def test_only_two_hosts_with_agents_that_translate_for_nobody(bench) -> None:
    assert rules(bench, host("a", "a")) == [("Hypervisor a", "partner-itself")]
    for duty in ("external", "gateway"):
        found = rules(bench, host("a", "b", **{duty: True}), host("b", "a"))
        assert ("Hypervisor a", "partner-duty") in found
