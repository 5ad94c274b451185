"""What instances are told: set, kept and taken back field by field; one first NIC each, which says it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from model.errors import Conflict
from model.seed import NOTHING, Seed
from model.wanted import Kind, Reference, WantedPort, WantedSeed

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHBlcm1pdHRlZC1mb3ItZXhhbXBsZXMtb25seS0hISEh me"


def port(name: str, **seed: object) -> WantedPort:
    return WantedPort("acme", name, "prod", seed=WantedSeed(**seed))


def held(bench, name: str) -> Seed:
    return bench.contents.ports["acme", name].seed


def refused(bench, *wanted: WantedPort) -> set[tuple[str, str]]:
    with pytest.raises(Conflict) as caught:
        bench.apply(*wanted)
    return {(fault.rule, fault.path) for fault in caught.value.faults}


def test_it_is_set_kept_and_taken_back(bench) -> None:
    bench.apply(port("web", keys=(KEY,), data="#!/bin/sh"))
    assert held(bench, "web") == Seed("", (KEY,), "#!/bin/sh")
    assert bench.contents.ports["acme", "web"].value.labels == ()
    bench.apply(port("web"))
    assert held(bench, "web") == Seed("", (KEY,), "#!/bin/sh")
    bench.apply(port("web", keys=()))
    assert held(bench, "web") == Seed("", (), "#!/bin/sh")
    bench.apply(port("web", data=""))
    assert held(bench, "web") == NOTHING


def test_further_nics_rest_on_the_first_in_any_order(bench) -> None:
    bench.apply(port("b", first="web"), port("a", first="web"), port("web", data="x"))
    assert held(bench, "a") == held(bench, "b") == Seed("web")
    with pytest.raises(Conflict) as caught:
        bench.delete(Reference(Kind.PORT, "web", "acme"))
    assert [(f.rule, "a" in f.message) for f in caught.value.faults] == [("still-used", True)]
    bench.delete(*(Reference(Kind.PORT, name, "acme") for name in ("a", "b", "web")))


def test_a_nic_stands_alone_again(bench) -> None:
    bench.apply(port("web"), port("a", first="web"))
    bench.apply(port("a", first=""))
    bench.delete(Reference(Kind.PORT, "web", "acme"))
    assert held(bench, "a") == NOTHING


@pytest.mark.parametrize(
    ("made", "rules"),
    [
        ([("a", {"first": "a"})], {"instance-self"}),
        ([("a", {"first": "nobody"})], {"instance-unknown"}),
        ([("a", {"first": "web"}), ("b", {"first": "a"})], {"instance-chain"}),
        ([("web", {"first": "other"}), ("a", {"first": "web"})], {"instance-chain"}),
        ([("a", {"first": "web", "data": "x"})], {"instance-data"}),
        ([("a", {"first": "web", "keys": (KEY,)})], {"instance-data"}),
    ],
)
def test_what_makes_no_instance_is_refused(bench, made: list, rules: set[str]) -> None:
    bench.apply(port("web"), port("other"))
    found = refused(bench, *(port(name, **seed) for name, seed in made))
    assert found == {(rule, "spec.instance") for rule in rules}


def test_a_first_nic_of_others_does_not_become_a_further_one(bench) -> None:
    bench.apply(port("web"), port("other"), port("a", first="web"))
    assert refused(bench, port("web", first="other")) == {("instance-chain", "spec.instance")}
    bench.apply(port("web", first="other"), port("a", first="other"))
    assert held(bench, "a") == held(bench, "web") == Seed("other")


def test_another_tenants_port_is_nobodys_first(bench) -> None:
    bench.apply(port("web"))
    stranger = replace(port("x", first="web"), tenant="umbra")
    assert refused(bench, stranger) == {("instance-unknown", "spec.instance")}
