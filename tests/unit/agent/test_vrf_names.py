"""Peerings and external networks by name, wherever the agent speaks of their VRFs."""

from __future__ import annotations

from ipaddress import ip_network

from controller.agent import receipts
from controller.agent.naming import names
from model.ids import TenantKey
from model.vrfs import title
from pipelines import cookies
from pipelines import objects as o
from tests.fakes import peering


def test_a_peering_is_named_by_its_tenants() -> None:
    made = peering.peered()
    prefix = ip_network("10.0.1.12/32")
    assert title(made, peering.KEY) == "peering of t1 and t2"
    assert receipts.owner(cookies.vrf(peering.KEY), made) == "peering of t1 and t2"
    assert receipts.owner(cookies.prefix(peering.KEY, prefix), made) == "peering of t1 and t2"
    assert receipts.owner(cookies.vrf(TenantKey(1)), made) == "tenant t1"
    known = names(made)
    assert known.object(o.peering(peering.KEY)) == "peering of t1 and t2"
    assert known.object(o.peered(peering.KEY, prefix)) == f"address {prefix} of peering of t1 and t2"


def test_a_vrf_that_nobody_knows_is_a_number() -> None:
    assert title(peering.peered(), TenantKey(77)) == "VRF 77"
