"""Whatever a port sends: an outcome, nothing raised, and an answer only ever to the port itself."""

from __future__ import annotations

from collections import Counter
from uuid import UUID

from hypothesis import given, settings
from hypothesis import strategies as st
from scapy.layers.dhcp import BOOTP
from scapy.layers.dhcp6 import (
    DUID_UUID,
    DHCP6_Confirm,
    DHCP6_InfoRequest,
    DHCP6_Release,
    DHCP6_Renew,
    DHCP6_Solicit,
    DHCP6OptIA_NA,
    DHCP6OptIA_PD,
    DHCP6OptOptReq,
    DHCP6OptServerId,
)
from scapy.layers.inet import IP
from scapy.layers.inet6 import ICMPv6ND_RA, IPv6
from scapy.layers.l2 import Ether

from services.answering import answer
from services.client import make_client
from services.outcome import Answer, Outcome
from tests.fakes.askers import (
    EVERYBODY,
    GATEWAY,
    GUIDANCE,
    MAC,
    NETWORK_UID,
    association,
    dhcp4,
    dhcp6,
    network,
    own_id,
    port,
    solicitation,
)

CLIENT = make_client(network("10.0.0.0/24", "fd00::/64"), port("10.0.0.5", "fd00::5"), GUIDANCE)
BARE = make_client(network("10.0.0.0/24", "fd00::/64"), port(), GUIDANCE)
KIND = "message-type"
US = DHCP6OptServerId(duid=DUID_UUID(uuid=UUID(NETWORK_UID)))
HONEST = (
    dhcp4((KIND, "discover"), ("client_id", b"\x01abcdef"), ("param_req_list", [1, 3, 6, 121])),
    dhcp4(
        (KIND, "request"), ("requested_addr", "10.0.0.5"), ("server_id", "10.0.0.1"), ("max_dhcp_size", 1500)
    ),
    dhcp4((KIND, "inform"), source="10.0.0.5", ciaddr="10.0.0.5"),
    dhcp4((52, b"\x03"), file=b"\x35\x01\x01\xff", sname=b"\x37\x02\x01\x03\xff"),
    dhcp6(
        DHCP6_Solicit(), own_id(), association("fd00::5"), DHCP6OptIA_PD(), DHCP6OptOptReq(reqopts=[23, 24])
    ),
    dhcp6(DHCP6_Confirm(), own_id(), association("fd00::5")),
    dhcp6(DHCP6_Renew(), own_id(), US, association("fd00::5", "fd00::6")),
    dhcp6(DHCP6_Release(), own_id(), US, association("fd00::5")),
    dhcp6(DHCP6_InfoRequest(), own_id()),
    solicitation(),
    solicitation(source="::"),
)
# Where what a question is about begins: behind Ethernet, IP and UDP.
INSIDE4, INSIDE6 = 14 + 20 + 8, 14 + 40 + 8


def _judge(frame: bytes) -> Answer:
    """Asked twice, and of a port without addresses."""
    first, again, bare = answer(frame, CLIENT), answer(frame, CLIENT), answer(frame, BARE)
    assert first == again
    for answered in (first, bare):
        if answered.frame is not None:
            _to_the_port_alone(answered.frame)
    return first


def _to_the_port_alone(frame: bytes) -> None:
    packet = Ether(frame)
    assert packet.src == GATEWAY
    assert packet.dst in (MAC, EVERYBODY, "33:33:00:00:00:01")
    assert len(frame) <= 14 + 1450
    if IP in packet:
        assert (packet[IP].src, packet[BOOTP].op) == ("10.0.0.1", 2)
        assert packet[BOOTP].yiaddr in ("0.0.0.0", "10.0.0.5")
        assert packet[IP].dst in ("10.0.0.5", "255.255.255.255")
    else:
        assert packet[IPv6].dst != "ff02::1" or ICMPv6ND_RA in packet
        held = packet[DHCP6OptIA_NA].ianaopts if DHCP6OptIA_NA in packet else []
        assert {a.addr for a in held if a.optcode == 5 and a.validlft} <= {"fd00::5"}


@given(st.binary(max_size=700))
def test_noise(frame: bytes) -> None:
    assert _judge(frame).frame is None


@given(st.sampled_from(HONEST), st.binary(max_size=400))
def test_noise_inside(honest: bytes, noise: bytes) -> None:
    """Where lengths and sums are right, and nothing else is."""
    _judge(_mended(honest[: INSIDE4 if honest[12:14] == b"\x08\0" else INSIDE6] + noise))


@settings(max_examples=200)
@given(st.sampled_from(HONEST), st.data())
def test_honest_questions_with_mistakes(honest: bytes, data: st.DataObject) -> None:
    frame = bytearray(honest)
    for _ in range(data.draw(st.integers(0, 6))):
        frame[data.draw(st.integers(14, len(frame) - 1))] = data.draw(st.integers(0, 255))
    end = data.draw(st.integers(14, len(frame)) | st.just(len(frame)))
    kept = bytes(frame[:end]) + data.draw(st.binary(max_size=40))
    _judge(kept)
    _judge(_mended(kept))


@given(st.lists(st.tuples(st.integers(0, 255), st.binary(max_size=60)), max_size=12), st.binary(max_size=3))
def test_options_of_dhcpv4(options: list[tuple[int, bytes]], rest: bytes) -> None:
    """Well-formed, of any number and length, over and over again."""
    made = b"".join(bytes((code, len(value))) + value for code, value in options)
    whole = dhcp4((KIND, "discover"))
    _judge(_mended(whole[:-1] + made + rest))


@given(
    st.integers(0, 15),
    st.lists(st.tuples(st.sampled_from([*range(45), 65535]), st.binary(max_size=50)), max_size=10),
)
def test_options_of_dhcpv6(kind: int, options: list[tuple[int, bytes]]) -> None:
    made = b"".join(
        code.to_bytes(2, "big") + len(value).to_bytes(2, "big") + value for code, value in options
    )
    _judge(_mended(HONEST[-3][:INSIDE6] + bytes((kind, 1, 2, 3)) + made))


def test_the_honest_ones_are_answered() -> None:
    """The mutations above would show nothing if all of them were refused at the door."""
    outcomes = Counter(_judge(_mended(frame)).outcome for frame in HONEST)
    assert outcomes == {Outcome.ANSWERED: 10, Outcome.RELEASED: 1}


def _mended(frame: bytes) -> bytes:
    """With the lengths and sums of what it has become."""
    packet = Ether(frame)
    if IP in packet:
        inner = bytes(frame[14 + 20 :])
        head = IP(src=packet[IP].src, dst=packet[IP].dst, proto=packet[IP].proto)
        udp = inner[:4] + len(inner).to_bytes(2, "big") + bytes(2) + inner[8:]
        return frame[:14] + bytes(head / udp)
    if IPv6 in packet and len(frame) > 14 + 40:
        inner = bytes(frame[14 + 40 :])
        if packet[IPv6].nh == 17:
            inner = inner[:4] + len(inner).to_bytes(2, "big") + bytes(2) + inner[8:]
        else:
            layer = packet[IPv6].payload.copy()
            if hasattr(layer, "cksum"):
                layer.cksum = None
            ends = IPv6(src=packet[IPv6].src, dst=packet[IPv6].dst, hlim=packet[IPv6].hlim)
            return frame[:14] + bytes(ends / layer)
        return frame[:18] + len(inner).to_bytes(2, "big") + frame[20:54] + inner
    return frame
