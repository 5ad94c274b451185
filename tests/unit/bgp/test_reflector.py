"""The text of a reflector's configuration: what each client gets, in an order that nobody chose."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Address, ip_address

from bgp.reflector import Client, Terms, configuration
from model.ids import Mac, Vni

TERMS = Terms(65000, ip_address("192.0.2.1"), 3, 9, hops=2, password="s3cret")
ONE = Client("hv1", ip_address("192.0.2.11"), (Mac(0x020000000002), Mac(0x020000000001)), (Vni(7), Vni(5)))
ANY = Client("hv2", ip_address("192.0.2.12"))
SIX = Client("hv6", ip_address("2001:db8::6"), ())


def test_the_order_of_clients_makes_no_difference() -> None:
    assert configuration(TERMS, (ONE, ANY, SIX)) == configuration(TERMS, (SIX, ONE, ANY))


def test_a_client_says_its_own_macs_with_its_own_next_hop_and_gets_what_it_imports() -> None:
    lines = configuration(TERMS, (ONE,)).splitlines()
    assert [x.rsplit(" ", 1)[1] for x in lines if x.startswith("mac access-list macs-hv1")] == [
        "02:00:00:00:00:01",
        "02:00:00:00:00:02",
    ]
    assert [x for x in lines if x.startswith("bgp extcommunity-list")] == [
        "bgp extcommunity-list standard targets-hv1 permit rt 65000:5",
        "bgp extcommunity-list standard targets-hv1 permit rt 65000:7",
    ]
    entries = "\n".join(lines).split("route-map from-hv1 permit ")[1:]
    assert len(entries) == 3
    for entry in entries:
        assert " match ip next-hop address 192.0.2.11" in entry
        assert " set ipv4 vpn next-hop 192.0.2.11" in entry
        assert (" match mac address macs-hv1" in entry) == ("route-type macip" in entry)
    assert "  neighbor 192.0.2.11 route-map to-hv1 out" in lines


def test_only_hosts_on_segments_speak_of_them() -> None:
    assert "route-type ead" not in configuration(TERMS, (ONE, ANY, SIX))
    text = configuration(TERMS, (replace(ANY, segments=2), ONE))
    for kind in ("ead", "es"):
        (entry,) = (e for e in text.split("route-map ") if f" match evpn route-type {kind}" in e)
        assert entry.startswith("from-hv2 permit ") and " match ip next-hop address 192.0.2.12" in entry


def test_without_lists_any_mac_passes_and_all_is_sent() -> None:
    text = configuration(TERMS, (ANY,))
    assert "access-list" not in text and "extcommunity" not in text and " out" not in text
    assert "  neighbor 192.0.2.12 route-map from-hv2 in" in text


def test_no_ports_means_no_mac_and_ipv6_has_its_own_words() -> None:
    text = configuration(TERMS, (SIX,))
    assert "permit 02:" not in text and " match mac address macs-hv6" in text
    assert " match ipv6 next-hop address 2001:db8::6" in text and "set ipv4" not in text


def test_over_ipv6_it_has_an_identifier_of_its_own() -> None:
    terms = replace(TERMS, source=ip_address("2001:db8::1"))
    assert "router-id" not in configuration(terms, (SIX,))
    named = replace(terms, router_id=IPv4Address("192.0.2.9"))
    assert " bgp router-id 192.0.2.9" in configuration(named, (SIX,)).splitlines()
    assert " bgp router-id 192.0.2.9" in configuration(replace(TERMS, router_id=named.router_id), (ANY,))


def test_what_all_clients_share() -> None:
    lines = configuration(TERMS, (ANY,)).splitlines()
    for line in (
        " no bgp suppress-duplicates",
        " neighbor CLIENTS timers 3 9",
        " neighbor CLIENTS password s3cret",
        " neighbor CLIENTS ttl-security hops 2",
        " neighbor 192.0.2.12 peer-group CLIENTS",
        "  neighbor CLIENTS route-reflector-client",
    ):
        assert line in lines, line
    bare = configuration(Terms(65000, ip_address("192.0.2.1")), (ANY,))
    assert "password" not in bare and "ttl-security" not in bare
