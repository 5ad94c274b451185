"""What ports are told of names where they are served, by each of the ways that tell it."""

from __future__ import annotations

import json
from dataclasses import replace
from ipaddress import IPv6Network, ip_address

from hypothesis import given
from hypothesis import strategies as st
from scapy.layers.dhcp import BOOTP, DHCP
from scapy.layers.dhcp6 import DHCP6_Solicit, DHCP6OptDNSDomains, DHCP6OptDNSServers
from scapy.layers.inet6 import ICMPv6NDOptDNSSL, ICMPv6NDOptPrefixInfo, ICMPv6NDOptRDNSS
from scapy.layers.l2 import Ether
from scapy.packet import Packet

from model.guidance import USUAL, Guidance
from model.serving import RESOLVERS, SERVED
from services.answering import answer
from services.client import Client, make_client
from services.metadata.facts import make_facts, network_config
from services.served import fill_in, zone_of
from tests.fakes.askers import ALL, dhcp4, dhcp6, network, own_id, port, solicitation

ZONE = "acme.internal"
BOTH = ("10.0.0.0/24", "fd00::/64")
OWN = ("10.0.0.5", "fd00::5")
ELSEWHERE = (ip_address("10.0.0.2"), ip_address("fd00::2"))


def told(frame: bytes, client: Client) -> Packet:
    answered = answer(frame, client)
    assert answered.frame is not None, answered.outcome
    return Ether(answered.frame)


def four(client: Client) -> dict[str, object]:
    packet = told(dhcp4(("message-type", "discover"), ("param_req_list", ALL)), client)
    return {option[0]: option[1:] for option in packet[BOOTP][DHCP].options if isinstance(option, tuple)}


def test_zones_are_in_lower_case_as_names_are_kept() -> None:
    assert zone_of("Acme", "internal") == ZONE


def test_who_is_told_nothing_gets_our_resolver_and_the_zone_over_each_way() -> None:
    client = make_client(network(*BOTH), port(*OWN), USUAL, ZONE)
    options = four(client)
    assert options["name_server"] == ("169.254.169.253",)
    assert options["domain"] == (ZONE.encode(),)
    routes = options["classless_static_routes"]
    served = ["169.254.169.253/32:10.0.0.1", "169.254.169.254/32:10.0.0.1"]
    assert routes == ([*served, "0.0.0.0/0:10.0.0.1"],)
    packet = told(dhcp6(DHCP6_Solicit(), own_id()), client)
    assert packet[DHCP6OptDNSServers].dnsservers == ["fd00:ec2::253"]
    assert packet[DHCP6OptDNSDomains].dnsdomains == [f"{ZONE}."]
    packet = told(solicitation(), client)
    assert packet[ICMPv6NDOptRDNSS].dns == ["fd00:ec2::253"]
    assert packet[ICMPv6NDOptDNSSL].searchlist == [f"{ZONE}."]
    facts = make_facts(port(*OWN), network(*BOTH), ZONE)
    (ethernet,) = json.loads(network_config(facts))["ethernets"].values()
    assert ethernet["nameservers"] == {"addresses": list(map(str, RESOLVERS)), "search": [ZONE]}


def test_without_a_gateway_what_serves_is_on_the_link() -> None:
    """As ARP and neighbour discovery say, too."""
    client = make_client(network(*BOTH, routed=False), port(*OWN), USUAL, ZONE)
    routes = four(client)["classless_static_routes"]
    assert routes == (["169.254.169.253/32:0.0.0.0", "169.254.169.254/32:0.0.0.0"],)
    assert prefixes(told(solicitation(), client)) == {
        "fd00::/64",
        *(str(IPv6Network(str(at))) for at in SERVED if at.version == 6),
    }
    routed = make_client(network(*BOTH), port(*OWN), USUAL, ZONE)
    assert prefixes(told(solicitation(), routed)) == {"fd00::/64"}, "by the default route"


def prefixes(packet: Packet) -> set[str]:
    found = set()
    layer = packet.getlayer(ICMPv6NDOptPrefixInfo)
    while layer is not None:
        assert (layer.L, layer.A) == (1, 0), "on the link, and no address is made of it"
        found.add(f"{layer.prefix}/{layer.prefixlen}")
        layer = layer.payload.getlayer(ICMPv6NDOptPrefixInfo)
    return found


def test_who_has_resolvers_of_its_own_is_not_sent_to_them_for_our_zone() -> None:
    filled = fill_in(Guidance(resolvers=ELSEWHERE), ZONE)
    assert (filled.resolvers, filled.domain) == (ELSEWHERE, "")
    facts = make_facts(port(*OWN), network(*BOTH, guidance=Guidance(resolvers=ELSEWHERE)), ZONE)
    (ethernet,) = json.loads(network_config(facts))["ethernets"].values()
    assert ethernet["nameservers"] == {"addresses": list(map(str, ELSEWHERE)), "search": []}
    ours = fill_in(Guidance(resolvers=(*ELSEWHERE, RESOLVERS[0])), ZONE)
    assert ours.domain == ZONE, "one of them is ours"


def test_a_network_may_want_no_resolver_at_all_over_each_way() -> None:
    alone = Guidance(names=False)
    client = make_client(network(*BOTH), port(*OWN), alone, ZONE)
    options = four(client)
    assert "name_server" not in options and "domain" not in options and "router" in options
    assert options["classless_static_routes"] == (["169.254.169.254/32:10.0.0.1", "0.0.0.0/0:10.0.0.1"],)
    packet = told(dhcp6(DHCP6_Solicit(), own_id()), client)
    assert DHCP6OptDNSServers not in packet and DHCP6OptDNSDomains not in packet
    packet = told(solicitation(), client)
    assert ICMPv6NDOptRDNSS not in packet and ICMPv6NDOptDNSSL not in packet
    facts = make_facts(port(*OWN), network(*BOTH, guidance=alone), ZONE)
    (ethernet,) = json.loads(network_config(facts))["ethernets"].values()
    assert "nameservers" not in ethernet
    assert facts.host_name.endswith(ZONE), "its name is in the zone all the same"


def test_what_it_declares_itself_is_told_all_the_same() -> None:
    said = Guidance(resolvers=ELSEWHERE, search=("b.example",), names=False)
    assert fill_in(said, ZONE) == said


_GUIDANCE = st.builds(
    Guidance,
    answers=st.booleans(),
    resolvers=st.lists(st.sampled_from((*ELSEWHERE, *RESOLVERS)), unique=True, max_size=3).map(tuple),
    domain=st.sampled_from(("", "a.example")),
    search=st.sampled_from(((), ("b.example",))),
)


@given(_GUIDANCE)
def test_what_is_said_stands_and_where_nothing_is_served_nothing_is_added(said: Guidance) -> None:
    assert fill_in(said, "") == said
    filled = fill_in(said, ZONE)
    assert filled == fill_in(filled, ZONE)
    if said.resolvers:
        assert filled.resolvers == said.resolvers
    if said.domain:
        assert filled.domain == said.domain
    assert replace(filled, resolvers=(), domain="") == replace(said, resolvers=(), domain="")
