"""Facts: all that the answers to one port may depend on.

Place: made when the snapshot changes, from what is the port's own and that of the other NICs of its instance,
as its tenant declared them. Must not hold anything of other instances.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address
from typing import Final

from model.addresses import Address, Prefix, format_mac, gateway
from model.guidance import Guidance
from model.intent import Network, Port
from model.order import address_rank
from model.seed import NOTHING, Seed
from model.serving import METADATA, RESOLVERS
from services.served import fill_in

_ALL: Final = {4: "0.0.0.0/0", 6: "::/0"}
"""cloud-init's own parser knows no `default`."""
_ON_LINK: Final[dict[int, Address]] = {4: IPv4Address(0), 6: IPv6Address(0)}
"""A next hop that is none, as DHCP has it (RFC 3442). cloud-init's writers for ifcfg files break on a route
without one, and its `on-link` reaches netplan alone."""


@dataclass(frozen=True, slots=True)
class Nic:
    """One port. `addresses` in its own order; `gateways`: of its network's subnets, if it is routed.
    `guidance`: what the network tells besides."""

    uid: str
    name: str
    mac: str
    addresses: tuple[Address, ...]
    subnets: tuple[Prefix, ...]
    gateways: tuple[Address, ...]
    mtu: int
    guidance: Guidance


@dataclass(frozen=True, slots=True)
class Facts:
    """Of an instance. `nics`: one at least, the first first. `domain`: of the tenant's zone."""

    nics: tuple[Nic, ...]
    domain: str
    seed: Seed = NOTHING

    @property
    def first(self) -> Nic:
        """By which the instance is known."""
        return self.nics[0]

    @property
    def host_name(self) -> str:
        """With its domain."""
        return f"{self.first.name}.{self.domain}"


def make_facts(
    port: Port, network: Network, domain: str, seed: Seed = NOTHING, more: Iterable[tuple[Port, Network]] = ()
) -> Facts:
    """`port`: the first of its instance, with its seed; `more`: the others. `domain`: the tenant's zone."""
    return Facts(tuple(_nic(*each) for each in ((port, network), *more)), domain, seed)


def _nic(port: Port, network: Network) -> Nic:
    return Nic(
        uid=port.uid,
        name=port.name,
        mac=format_mac(port.mac),
        addresses=port.addresses,
        subnets=network.subnets,
        gateways=tuple(gateway(subnet) for subnet in network.subnets) if network.routed else (),
        mtu=network.mtu,
        guidance=network.guidance,
    )


def subnet_of(nic: Nic, address: Address) -> Prefix | None:
    """The network's subnet that an address is in."""
    return next((s for s in nic.subnets if s.version == address.version and address in s), None)


def network_config(facts: Facts) -> str:
    """cloud-init's network configuration, version 2, as JSON, which YAML is a superset of.

    MACs say which interface is which. Of each family the first NIC with a gateway has the default route; our
    resolvers are told of with the first NIC, those that a network declares with its own.
    """
    ethernets: dict[str, object] = {}
    known: set[str] = set()
    for number, nic in enumerate(facts.nics):
        told = fill_in(nic.guidance, facts.domain if nic is facts.first else "")
        reached = {address.version for address in nic.addresses}
        resolvers = [each for each in told.resolvers if each.version in reached]
        guests = [(str(to), hop) for to, hop in told.routes if hop.version in reached]
        known.update(to for to, _ in guests)
        own = [(to, hop) for to, hop in _own_routes(facts, nic, resolvers) if to not in known]
        known.update(to for to, _ in own)
        ethernets[f"id{number}"] = made = {
            "match": {"macaddress": nic.mac},
            "mtu": nic.mtu,
            "addresses": [_with_length(nic, address) for address in nic.addresses],
            "routes": [{"to": to, "via": str(hop)} for to, hop in (*own, *guests)],
        }
        search = [name for name in dict.fromkeys((told.domain, *told.search)) if name]
        if resolvers or search:  # where both are empty, cloud-init passes over the NICs behind as well
            made["nameservers"] = {"addresses": [str(each) for each in resolvers], "search": search}
    return json.dumps({"version": 2, "ethernets": ethernets}, indent=1) + "\n"


def _own_routes(facts: Facts, nic: Nic, resolvers: Iterable[Address]) -> Iterator[tuple[str, Address]]:
    """Its default routes. Without a gateway, what it asks of us is on its link, as DHCP says, too: our
    resolvers, which are asked by the NIC that is told of them; metadata, if no NIC has a gateway."""
    mine = {at.version: at for at in _hops(nic)}
    for version, hop in mine.items():
        yield _ALL[version], hop
    elsewhere = {at.version for each in facts.nics for at in _hops(each)}
    reached = {address.version for address in nic.addresses}
    asked = [each for each in resolvers if each in RESOLVERS and each.version not in mine]
    asked += [each for each in METADATA if each.version in reached - elsewhere]
    for each in sorted(asked, key=address_rank):
        yield f"{each}/{each.max_prefixlen}", _ON_LINK[each.version]


def _hops(nic: Nic) -> tuple[Address, ...]:
    """The gateways that it has an address for."""
    reached = {address.version for address in nic.addresses}
    return tuple(at for at in nic.gateways if at.version in reached)


def _with_length(nic: Nic, address: Address) -> str:
    subnet = subnet_of(nic, address)
    return f"{address}/{address.max_prefixlen if subnet is None else subnet.prefixlen}"
