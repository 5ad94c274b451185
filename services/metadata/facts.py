"""Facts: all that the answers to one port may depend on.

Place: made when the snapshot changes, from what is the port's own. Must not hold anything of other ports.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Final

from model.addresses import Address, Prefix, format_mac, gateway
from model.guidance import Guidance
from model.intent import Network, Port
from services.served import fill_in

_ALL: Final = {4: "0.0.0.0/0", 6: "::/0"}
"""cloud-init's own parser knows no `default`."""


@dataclass(frozen=True, slots=True)
class Facts:
    """`addresses` in the order of the port's; `gateways`: of its network's subnets, if it is routed.
    `domain`: of the tenant's zone; `guidance`: what the network tells besides."""

    instance: str
    name: str
    mac: str
    addresses: tuple[Address, ...]
    subnets: tuple[Prefix, ...]
    gateways: tuple[Address, ...]
    mtu: int
    domain: str
    guidance: Guidance


def make_facts(port: Port, network: Network, domain: str) -> Facts:
    """`domain`: that of the tenant's zone."""
    gateways = tuple(gateway(subnet) for subnet in network.subnets) if network.routed else ()
    return Facts(
        instance=port.uid,
        name=port.name,
        mac=format_mac(port.mac),
        addresses=port.addresses,
        subnets=network.subnets,
        gateways=gateways,
        mtu=network.mtu,
        domain=domain,
        guidance=network.guidance,
    )


def subnet_of(facts: Facts, address: Address) -> Prefix | None:
    """The network's subnet that an address is in."""
    return next((s for s in facts.subnets if s.version == address.version and address in s), None)


def network_config(facts: Facts) -> str:
    """cloud-init's network configuration, version 2, as JSON, which YAML is a superset of.

    The MAC says which interface it is. Without a gateway there is no route, nor to where names are served.
    """
    reached, told = {address.version for address in facts.addresses}, fill_in(facts.guidance, facts.domain)
    hops = (*((_ALL[at.version], at) for at in facts.gateways), *((str(to), hop) for to, hop in told.routes))
    ethernet: dict[str, object] = {
        "match": {"macaddress": facts.mac},
        "mtu": facts.mtu,
        "addresses": [_with_length(facts, address) for address in facts.addresses],
        "routes": [{"to": to, "via": str(hop)} for to, hop in hops if hop.version in reached],
        "nameservers": {
            "addresses": [str(each) for each in told.resolvers if each.version in reached],
            "search": [name for name in dict.fromkeys((told.domain, *told.search)) if name],
        },
    }
    return json.dumps({"version": 2, "ethernets": {"id0": ethernet}}, indent=1) + "\n"


def _with_length(facts: Facts, address: Address) -> str:
    subnet = subnet_of(facts, address)
    return f"{address}/{address.max_prefixlen if subnet is None else subnet.prefixlen}"
