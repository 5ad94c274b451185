"""Reach: whom a host probes for the ways out."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_address

from controller.agent.reach import wish
from model.ids import HostName
from pipelines.compile import compile
from pipelines.index import build
from tests.fakes import outward as out


def test_a_standby_without_ports_asks_the_gateway_before_it_and_is_answered() -> None:
    """Else it would never take over."""
    standby = out.leaving("hv3", ("hv1", "hv3"))
    assert ip_address("192.0.2.1") in wish(standby, build(standby), session=True).vteps
    first = out.leaving("hv1", ("hv1", "hv3"))
    probes = [flow for flow in compile(first).flows() if flow.shape.name.startswith("classify-probe")]
    assert any(int(ip_address("192.0.2.3")) in flow.values for flow in probes), [f.shape.name for f in probes]
    plain = replace(first, tenants=first.tenants.set(out.tenant().key, out.tenant("hv1")))
    probes = [flow for flow in compile(plain).flows() if flow.shape.name.startswith("classify-probe")]
    assert not any(int(ip_address("192.0.2.3")) in flow.values for flow in probes)


def test_hosts_with_floating_ips_ask_each_other_and_never_a_border() -> None:
    one = out.leaving("hv1", ())
    made = wish(one, build(one), session=True)
    border = ip_address(out.VTEPS[HostName("hv9")])
    assert ip_address("192.0.2.2") in made.vteps and border not in made.vteps
    assert made.strangers == {border}, "nobody asks for its MAC"
    undeclared = replace(one, hypervisors=one.hypervisors.delete(HostName("hv9")))
    assert undeclared.prefixes == one.prefixes
    assert not wish(undeclared, build(undeclared), session=True).strangers, (
        "a peer could have it ask for anybody"
    )
