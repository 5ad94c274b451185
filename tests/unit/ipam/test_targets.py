"""Route targets and communities: what is kept, and that no tenant's are another's, unless they peer."""

from __future__ import annotations

from ipaddress import ip_network

import pytest

from model.errors import RingfenceError
from model.ids import Vni
from model.targets import DERIVED, PLAIN, Rules, derived, parse_any, parse_target
from model.wanted import WantedExternal, WantedNetwork, WantedPeering, WantedTenant

ASN = 65000
OWN, OTHER = parse_target("65001:100"), parse_target("192.0.2.1:7")
ACME, UMBRA = WantedTenant("acme"), WantedTenant("umbra")
NET = WantedNetwork("umbra", "net", vni=Vni(5002))


def faults(call, *arguments) -> list[tuple[str, str, str]]:
    """(rule, object, field) of each."""
    with pytest.raises(RingfenceError) as caught:
        call(*arguments)
    return [(f.rule, f.object, f.path) for f in caught.value.faults]


def network(*imports: bytes, **more) -> WantedNetwork:
    return WantedNetwork("acme", "net", vni=Vni(5001), import_targets=imports, **more)


def test_lists_are_kept_once_each_in_order_until_others_are_written(bench) -> None:
    some = tuple(map(parse_any, ("65000:2", "65000:1:1", "65000:1")))
    bench.apply(ACME, network(OWN, DERIVED, OWN, export_targets=(DERIVED,), communities=some))
    kept = bench.contents.networks["acme", "net"].value.rules
    assert kept == Rules((DERIVED, OWN), (), (0xFDE80001, 0xFDE80002), ((65000, 1, 1),))
    bench.apply(WantedNetwork("acme", "net", mtu=1400))
    assert bench.contents.networks["acme", "net"].value.rules == kept
    bench.apply(network(DERIVED, communities=()))
    assert bench.contents.networks["acme", "net"].value.rules is PLAIN


def test_a_tenant_has_them_too(bench) -> None:
    bench.apply(WantedTenant("acme", import_targets=(OWN, DERIVED), export_targets=(OWN,)))
    assert bench.contents.tenants["acme"].value.rules == Rules((DERIVED, OWN), (OWN,))
    bench.apply(WantedTenant("acme", export_targets=()))
    assert bench.contents.tenants["acme"].value.rules == Rules((DERIVED, OWN))


@pytest.mark.parametrize(
    ("imports", "exports"), [((), (OWN,)), ((OWN,), ()), ((OWN,), (OTHER, DERIVED)), ((DERIVED,), (OTHER,))]
)
def test_an_object_that_would_not_hear_itself_is_refused(bench, imports, exports) -> None:
    want = network(*imports, export_targets=exports)
    bench.apply(ACME)
    assert faults(bench.plan, want) == [("targets-apart", "Network acme/net", "spec.exportTargets")]


def test_the_derived_one_may_be_written_out(bench) -> None:
    bench.apply(ACME, network(export_targets=(derived(ASN, Vni(5001)),)))


@pytest.mark.parametrize("vni", [5002, 10001, 7001])
def test_what_follows_from_anothers_vni_is_refused(bench, vni) -> None:
    bench.apply(ACME, UMBRA, NET, WantedExternal("net", (ip_network("203.0.113.0/24"),), vni=Vni(7001)))
    (fault,) = faults(bench.plan, network(DERIVED, derived(ASN, Vni(vni))))
    assert fault == ("target-foreign", "Network acme/net", "spec.importTargets[1]")
    want = WantedTenant("acme", import_targets=(DERIVED,), export_targets=(DERIVED, derived(ASN, Vni(vni))))
    assert faults(bench.plan, want) == [("target-foreign", "Tenant acme", "spec.exportTargets[1]")]


def test_what_another_wrote_is_refused(bench) -> None:
    bench.apply(ACME, UMBRA, network(DERIVED, OWN))
    want = WantedTenant("umbra", export_targets=(DERIVED, OWN))
    found = faults(bench.plan, want)
    assert ("target-foreign", "Tenant umbra", "spec.exportTargets[1]") in found
    bench.apply(WantedTenant("acme", import_targets=(DERIVED, OWN)))  # the same tenant's


def test_a_vni_whose_target_somebody_wrote_is_refused(bench) -> None:
    bench.apply(ACME, UMBRA, network(DERIVED, derived(ASN, Vni(5002))))
    assert [f[:2] for f in faults(bench.plan, NET)] == [("target-foreign", "Network umbra/net")]


def test_who_peers_may(bench) -> None:
    bench.apply(ACME, UMBRA, NET)
    want = network(DERIVED, derived(ASN, Vni(5002)))
    bench.apply(WantedPeering("acme", "one", "umbra", ()))
    assert faults(bench.plan, want)
    bench.apply(WantedPeering("umbra", "two", "acme", ()))
    bench.apply(want)
