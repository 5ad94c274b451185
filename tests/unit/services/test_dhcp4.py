"""DHCPv4: each message of RFC 2131 and what comes back, read by scapy."""

from __future__ import annotations

from typing import Any

import pytest
from scapy.layers.dhcp import BOOTP, DHCP
from scapy.layers.inet import IP, UDP
from scapy.layers.l2 import Ether
from scapy.packet import Packet

from model.guidance import Guidance
from services.answering import answer
from services.client import Client, make_client
from services.outcome import Outcome
from tests.fakes.askers import (
    ALL,
    EVERYBODY,
    GATEWAY,
    GUIDANCE,
    MAC,
    OTHER,
    XID,
    dhcp4,
    network,
    port,
)

CLIENT = make_client(network("10.0.0.0/24"), port("10.0.0.5", "10.0.0.6"), GUIDANCE)
BARE = make_client(network("10.0.0.0/24"), port(), GUIDANCE)
KIND = "message-type"
WANTED = ("param_req_list", ALL)


def _told(frame: bytes, client: Client = CLIENT) -> Packet:
    answered = answer(frame, client)
    assert answered.outcome is Outcome.ANSWERED
    assert answered.frame is not None
    return Ether(answered.frame)


def _options(packet: Packet) -> dict[Any, Any]:
    """By name; scapy checks the sums again."""
    for layer in (IP, UDP):
        rebuilt = packet.copy()
        del rebuilt[layer].chksum
        assert Ether(bytes(rebuilt))[layer].chksum == packet[layer].chksum
    pairs = [pair for pair in packet[DHCP].options if isinstance(pair, tuple)]
    assert len({pair[0] for pair in pairs}) == len(pairs)
    return {pair[0]: pair[1] if len(pair) == 2 else list(pair[1:]) for pair in pairs}


def test_an_offer_says_all_that_was_asked_for() -> None:
    packet = _told(dhcp4((KIND, "discover"), WANTED))
    assert (packet.src, packet.dst) == (GATEWAY, MAC)
    assert (packet[IP].src, packet[IP].dst, packet[IP].ttl) == ("10.0.0.1", "10.0.0.5", 64)
    assert (packet[UDP].sport, packet[UDP].dport) == (67, 68)
    bootp = packet[BOOTP]
    assert (bootp.op, bootp.xid, bootp.flags, bootp.ciaddr, bootp.yiaddr) == (
        2,
        XID,
        0,
        "0.0.0.0",
        "10.0.0.5",
    )
    assert (bootp.siaddr, bootp.giaddr, bootp.chaddr[:6]) == (
        "0.0.0.0",
        "0.0.0.0",
        bytes.fromhex("020000000001"),
    )
    assert _options(packet) == {
        KIND: 2,
        "server_id": "10.0.0.1",
        "lease_time": 7200,
        "renewal_time": 3600,
        "rebinding_time": 6300,
        "subnet_mask": "255.255.255.0",
        "interface-mtu": 1450,
        "router": "10.0.0.1",
        "classless_static_routes": [
            "169.254.169.254/32:10.0.0.1",
            "192.0.2.0/25:10.0.0.9",
            "0.0.0.0/0:10.0.0.1",
        ],
        "name_server": "10.0.0.2",
        "hostname": b"vm-1",
        "domain": b"a.example",
        119: b"\x01a\x07example\0\x01b\x07example\0",
    }


def test_who_does_not_say_what_it_wants_gets_all() -> None:
    assert _options(_told(dhcp4((KIND, "discover")))) == _options(_told(dhcp4((KIND, "discover"), WANTED)))


def test_mask_and_mtu_are_told_unasked_and_nothing_else_is() -> None:
    options = _options(_told(dhcp4((KIND, "discover"), ("param_req_list", [6]))))
    leased = {KIND, "server_id", "lease_time", "renewal_time", "rebinding_time"}
    assert set(options) == leased | {"subnet_mask", "interface-mtu", "name_server"}


def test_the_broadcast_flag_is_heeded() -> None:
    packet = _told(dhcp4((KIND, "discover"), flags="B"))
    assert (packet.dst, packet[IP].dst, packet[BOOTP].yiaddr) == (EVERYBODY, "255.255.255.255", "10.0.0.5")
    assert packet[BOOTP].flags == "B"


def test_a_client_identifier_comes_back() -> None:
    assert _options(_told(dhcp4((KIND, "discover"), ("client_id", b"\x01who"))))["client_id"] == b"\x01who"


def test_rapid_commit_saves_two_messages() -> None:
    options = _options(_told(dhcp4((KIND, "discover"), ("rapid_commit", b""))))
    assert options[KIND] == 5
    assert "rapid_commit" in options


@pytest.mark.parametrize(("asked", "offered"), [("10.0.0.6", "10.0.0.6"), ("10.0.0.7", "10.0.0.5")])
def test_an_offer_is_of_the_address_wished_for_if_it_is_the_ports(asked: str, offered: str) -> None:
    assert _told(dhcp4((KIND, "discover"), ("requested_addr", asked)))[BOOTP].yiaddr == offered


# RFC 2131 section 4.3.2 and its table 4: what each state fills in.
STATES = {
    "selecting": lambda address: dhcp4(
        (KIND, "request"), ("server_id", "10.0.0.1"), ("requested_addr", address)
    ),
    "init-reboot": lambda address: dhcp4((KIND, "request"), ("requested_addr", address)),
    "renewing": lambda address: dhcp4((KIND, "request"), source="10.0.0.5", to="10.0.0.1", ciaddr=address),
    "rebinding": lambda address: dhcp4((KIND, "request"), source="10.0.0.5", ciaddr=address),
}


@pytest.mark.parametrize("state", STATES)
def test_a_request_for_its_own_address_is_acknowledged(state: str) -> None:
    packet = _told(STATES[state]("10.0.0.6"))
    assert (packet[BOOTP].yiaddr, packet[IP].dst, packet.dst) == ("10.0.0.6", "10.0.0.6", MAC)
    assert packet[BOOTP].ciaddr == ("10.0.0.6" if state.startswith("re") else "0.0.0.0")
    options = _options(packet)
    assert (options[KIND], options["lease_time"], options["router"]) == (5, 7200, "10.0.0.1")


@pytest.mark.parametrize("client", [CLIENT, BARE], ids=["wrong", "none"])
@pytest.mark.parametrize("state", STATES)
def test_a_request_for_another_address_is_denied_to_all(state: str, client: Client) -> None:
    asked = STATES[state]("10.0.0.7")
    if client is BARE:
        asked = asked.replace(bytes((10, 0, 0, 5)), bytes(4), 1)  # it has no address to send from
        asked = bytes(_mended(asked))
    denied = answer(asked, client)
    assert denied.outcome is Outcome.DENIED
    assert denied.frame is not None
    packet = Ether(denied.frame)
    assert (packet.dst, packet[IP].dst) == (EVERYBODY, "255.255.255.255")
    assert (packet[BOOTP].yiaddr, packet[BOOTP].ciaddr) == ("0.0.0.0", "0.0.0.0")
    options = _options(packet)
    assert set(options) == {KIND, "server_id", "error_message"}
    assert options[KIND] == 6


def test_who_renews_what_is_no_longer_its_own_is_denied() -> None:
    """Its port was given another address meanwhile."""
    for to in ("10.0.0.1", "255.255.255.255"):
        asked = dhcp4((KIND, "request"), source="10.0.0.77", to=to, ciaddr="10.0.0.77")
        assert answer(asked, CLIENT).outcome is Outcome.DENIED


def _mended(frame: bytes) -> Packet:
    packet = Ether(frame)
    del packet[IP].chksum
    del packet[UDP].chksum
    return packet


def test_who_has_its_address_gets_the_rest_and_no_lease() -> None:
    packet = _told(dhcp4((KIND, "inform"), WANTED, source="10.0.0.5", ciaddr="10.0.0.5"))
    assert (packet[BOOTP].yiaddr, packet[BOOTP].ciaddr, packet[IP].dst) == ("0.0.0.0", "10.0.0.5", "10.0.0.5")
    options = _options(packet)
    assert options[KIND] == 5
    assert not {"lease_time", "renewal_time", "rebinding_time"} & set(options)
    assert options["name_server"] == "10.0.0.2"


NAMED = ("server_id", "10.0.0.1")
SILENT = {
    "declined": (dhcp4((KIND, "decline"), NAMED, ("requested_addr", "10.0.0.5")), Outcome.DECLINED),
    "released": (dhcp4((KIND, "release"), NAMED, source="10.0.0.5", ciaddr="10.0.0.5"), Outcome.RELEASED),
    "bootp": (dhcp4(), Outcome.BOOTP),
    "an offer": (dhcp4((KIND, "offer")), Outcome.SERVER),
    "an answer": (dhcp4((KIND, "discover"), op=2), Outcome.SERVER),
    "from a server's port": (dhcp4((KIND, "discover"), ports=(67, 67)), Outcome.SERVER),
    "from elsewhere": (dhcp4((KIND, "discover"), ports=(6868, 67)), Outcome.UNKNOWN),
    "relayed": (dhcp4((KIND, "discover"), giaddr="10.0.0.9"), Outcome.RELAYED),
    "hopped": (dhcp4((KIND, "discover"), hops=1), Outcome.RELAYED),
    "relay option": (dhcp4((KIND, "discover"), (82, b"\x01\x01a")), Outcome.RELAYED),
    "another's MAC in it": (dhcp4((KIND, "discover"), chaddr=bytes.fromhex("020000000002")), Outcome.FOREIGN),
    "another hardware": (dhcp4((KIND, "discover"), htype=32), Outcome.FOREIGN),
    "another's MAC": (dhcp4((KIND, "discover"), mac=OTHER), Outcome.FOREIGN),
    "another's address": (dhcp4((KIND, "discover"), source="10.0.0.7"), Outcome.FOREIGN),
    "informs of another's": (dhcp4((KIND, "inform"), ciaddr="10.0.0.7"), Outcome.FOREIGN),
    "to another": (dhcp4((KIND, "discover"), to="10.0.0.9"), Outcome.ELSEWHERE),
    "for another": (
        dhcp4((KIND, "request"), ("server_id", "10.0.0.9"), ("requested_addr", "10.0.0.5")),
        Outcome.ELSEWHERE,
    ),
    "no address": (dhcp4((KIND, "request")), Outcome.MALFORMED),
    "two addresses": (
        dhcp4((KIND, "request"), ("requested_addr", "10.0.0.5"), ciaddr="10.0.0.6", source="10.0.0.6"),
        Outcome.MALFORMED,
    ),
    "half a number": (dhcp4((KIND, "discover"), (57, b"\x05")), Outcome.MALFORMED),
    "a very long identifier": (
        dhcp4((KIND, "discover"), (61, b"a" * 200), (61, b"b" * 200)),
        Outcome.MALFORMED,
    ),
    "a forced renewal": (dhcp4((KIND, 9)), Outcome.UNKNOWN),
}


@pytest.mark.parametrize("case", SILENT)
def test_gets_no_answer(case: str) -> None:
    frame, outcome = SILENT[case]
    assert answer(frame, CLIENT) == (answered := answer(frame, CLIENT))
    assert (answered.outcome, answered.frame) == (outcome, None)


def test_a_port_without_an_address_is_offered_none() -> None:
    asked = dhcp4((KIND, "discover"))
    assert answer(asked, BARE).outcome is Outcome.ADDRESSLESS
    only6 = make_client(network("fd00::/64"), port("fd00::5"), GUIDANCE)
    assert answer(asked, only6).outcome is Outcome.ADDRESSLESS


def test_a_network_that_answers_nobody_does_not() -> None:
    silent = make_client(network("10.0.0.0/24"), port("10.0.0.5"), Guidance(answers=False))
    assert answer(dhcp4((KIND, "discover")), silent).outcome is Outcome.OFF


def test_a_network_without_a_gateway_names_no_router_and_a_server_that_no_port_can_be() -> None:
    client = make_client(network("10.0.0.0/24", routed=False), port("10.0.0.1"))
    packet = _told(dhcp4((KIND, "discover"), WANTED), client)
    options = _options(packet)
    assert (packet[IP].src, options["server_id"], packet[BOOTP].yiaddr) == (
        "169.254.169.254",
        "169.254.169.254",
        "10.0.0.1",
    )
    assert "router" not in options
    assert options["classless_static_routes"] == ["169.254.169.254/32:0.0.0.0"]


def test_split_and_overloaded_options_are_read_as_one() -> None:
    """RFC 3396; scapy makes neither by itself."""
    split = dhcp4((KIND, "discover"), (55, b"\x06"), ("pad"), (55, b"\x0f"))
    assert {"name_server", "domain"} <= set(_options(_told(split)))
    overloaded = dhcp4((52, b"\x01"), file=b"\x35\x01\x01\x37\x01\x0f\xff")
    options = _options(_told(overloaded))
    assert (options[KIND], options["domain"]) == (2, b"a.example")
    assert "name_server" not in options


def test_what_does_not_fit_is_left_out_from_the_least_needed_on() -> None:
    """576 octets are all that each client takes; who says that it takes more gets more."""
    long = Guidance(
        resolvers=GUIDANCE.resolvers,
        domain="a.example",
        search=tuple(f"{letter * 60}.{letter * 60}.example" for letter in "bcdefg"),
    )
    client = make_client(network("10.0.0.0/24"), port("10.0.0.5"), long)
    short = _told(dhcp4((KIND, "discover")), client)
    assert short[IP].len <= 576
    assert {"router", "classless_static_routes", "domain"} <= set(_options(short))
    assert 119 not in _options(short)
    longer = answer(dhcp4((KIND, "discover"), ("max_dhcp_size", 9000)), client)
    assert longer.frame is not None
    assert 576 < Ether(longer.frame)[IP].len <= 1450
    assert longer.frame.count(b"example\0") == 7


def test_a_lease_of_the_shortest_kind_has_its_times_in_order() -> None:
    client = make_client(network("10.0.0.0/24"), port("10.0.0.5"), Guidance(lease=600))
    options = _options(_told(dhcp4((KIND, "discover")), client))
    assert options["renewal_time"] < options["rebinding_time"] < options["lease_time"] == 600
