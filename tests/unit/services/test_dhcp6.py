"""DHCPv6: each message of RFC 8415 and what comes back, read by scapy."""

from __future__ import annotations

from uuid import UUID

import pytest
from scapy.layers.dhcp6 import (
    DUID_UUID,
    DHCP6_Advertise,
    DHCP6_Confirm,
    DHCP6_Decline,
    DHCP6_InfoRequest,
    DHCP6_Rebind,
    DHCP6_RelayForward,
    DHCP6_Release,
    DHCP6_Renew,
    DHCP6_Reply,
    DHCP6_Request,
    DHCP6_Solicit,
    DHCP6OptClientId,
    DHCP6OptDNSDomains,
    DHCP6OptDNSServers,
    DHCP6OptIA_NA,
    DHCP6OptIA_PD,
    DHCP6OptIA_TA,
    DHCP6OptInfoRefreshTime,
    DHCP6OptOptReq,
    DHCP6OptPref,
    DHCP6OptRapidCommit,
    DHCP6OptServerId,
    DHCP6OptStatusCode,
)
from scapy.layers.inet import UDP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import Ether
from scapy.packet import Packet, Raw

from services.answering import answer
from services.client import make_client
from services.outcome import Outcome
from tests.fakes.askers import (
    GATEWAY,
    GATEWAY_LINK,
    GUIDANCE,
    LINK,
    MAC,
    NETWORK_UID,
    OTHER,
    XID,
    association,
    dhcp6,
    network,
    own_id,
    port,
)

CLIENT = make_client(network("fd00::/64"), port("fd00::5", "fd00::6"), GUIDANCE)
BARE = make_client(network("fd00::/64"), port(), GUIDANCE)
TRANSACTION = XID & 0xFFFFFF
US = DHCP6OptServerId(duid=DUID_UUID(uuid=UUID(NETWORK_UID)))
THEM = DHCP6OptServerId(duid=DUID_UUID(uuid=UUID(int=1)))
OWN = [("fd00::5", 7200, 7200), ("fd00::6", 7200, 7200)]


def _told(frame: bytes, outcome: Outcome = Outcome.ANSWERED, client: object = CLIENT) -> Packet:
    answered = answer(frame, client)  # type: ignore[arg-type]
    assert answered.outcome is outcome
    assert answered.frame is not None
    packet = Ether(answered.frame)
    assert (packet.src, packet.dst) == (GATEWAY, MAC)
    assert (packet[IPv6].src, packet[IPv6].dst, packet[UDP].sport, packet[UDP].dport) == (
        GATEWAY_LINK,
        LINK,
        547,
        546,
    )
    rebuilt = packet.copy()
    del rebuilt[UDP].chksum
    assert Ether(bytes(rebuilt))[UDP].chksum == packet[UDP].chksum
    assert bytes(packet[DHCP6OptServerId].duid) == bytes(US.duid)
    return packet


def _held(packet: Packet, number: int = 1) -> tuple[list[tuple[str, int, int]], int | None]:
    """Addresses with their lives, and the status, of the association of that place."""
    held = packet.getlayer(DHCP6OptIA_NA, nb=number)
    given = [(a.addr, a.preflft, a.validlft) for a in held.ianaopts if a.optcode == 5]
    return given, next((s.statuscode for s in held.ianaopts if s.optcode == 13), None)


def test_a_solicitation_is_answered_with_all_addresses_and_what_it_wants() -> None:
    wanted = DHCP6OptOptReq(reqopts=[23, 24])
    packet = _told(dhcp6(DHCP6_Solicit(trid=TRANSACTION), own_id(), association(), wanted))
    assert packet[DHCP6_Advertise].trid == TRANSACTION
    assert bytes(packet[DHCP6OptClientId].duid) == bytes(own_id().duid)
    assert _held(packet) == (OWN, None)
    held = packet[DHCP6OptIA_NA]
    assert (held.iaid, held.T1, held.T2) == (1, 3600, 5760)
    assert packet[DHCP6OptPref].prefval == 255
    assert packet[DHCP6OptDNSServers].dnsservers == ["fd00::2"]
    assert packet[DHCP6OptDNSDomains].dnsdomains == ["a.example.", "b.example."]


def test_what_is_not_wanted_is_not_told() -> None:
    packet = _told(dhcp6(DHCP6_Solicit(), own_id(), association(), DHCP6OptOptReq(reqopts=[23])))
    assert DHCP6OptDNSServers in packet
    assert DHCP6OptDNSDomains not in packet


def test_rapid_commit_saves_two_messages() -> None:
    packet = _told(dhcp6(DHCP6_Solicit(trid=TRANSACTION), own_id(), DHCP6OptRapidCommit(), association()))
    assert packet[DHCP6_Reply].trid == TRANSACTION
    assert DHCP6OptRapidCommit in packet
    assert _held(packet) == (OWN, None)


@pytest.mark.parametrize(
    ("message", "ids"),
    [(DHCP6_Request, (US,)), (DHCP6_Renew, (US,)), (DHCP6_Rebind, ())],
    ids=["request", "renew", "rebind"],
)
def test_what_it_holds_wrongly_has_no_life_left(message: type[Packet], ids: tuple[Packet, ...]) -> None:
    held = association("fd00::5", "fd00::7")
    packet = _told(dhcp6(message(trid=TRANSACTION), own_id(), *ids, held))
    assert packet[DHCP6_Reply].trid == TRANSACTION
    assert _held(packet) == ([*OWN, ("fd00::7", 0, 0)], None)
    assert packet[DHCP6OptDNSServers].dnsservers == ["fd00::2"]


def test_a_second_association_stays_empty() -> None:
    packet = _told(dhcp6(DHCP6_Request(), own_id(), US, association(), association("fd00::6", number=2)))
    assert _held(packet) == (OWN, None)
    assert _held(packet, 2) == ([], 2)


def test_prefixes_and_temporary_addresses_are_had_by_nobody() -> None:
    asked = (own_id(), association(), DHCP6OptIA_PD(iaid=7), DHCP6OptIA_TA(iaid=8))
    packet = _told(dhcp6(DHCP6_Solicit(), *asked))
    assert _held(packet) == (OWN, None)
    assert (packet[DHCP6OptIA_PD].iaid, [s.statuscode for s in packet[DHCP6OptIA_PD].iapdopt]) == (7, [6])
    assert (packet[DHCP6OptIA_TA].iaid, [s.statuscode for s in packet[DHCP6OptIA_TA].iataopts]) == (8, [2])


def test_a_port_without_an_address_is_told_so() -> None:
    packet = _told(dhcp6(DHCP6_Solicit(), own_id(), association()), Outcome.DENIED, BARE)
    assert _held(packet) == ([], 2)
    renewed = _told(dhcp6(DHCP6_Renew(), own_id(), US, association("fd00::7")), Outcome.DENIED, BARE)
    assert _held(renewed) == ([("fd00::7", 0, 0)], None)
    only4 = make_client(network("10.0.0.0/24"), port("10.0.0.5"), GUIDANCE)
    assert answer(dhcp6(DHCP6_Solicit(), own_id(), association()), only4).outcome is Outcome.ADDRESSLESS


@pytest.mark.parametrize(
    ("held", "outcome", "status"),
    [
        (("fd00::5",), Outcome.ANSWERED, 0),
        (("fd00::5", "fd00::7"), Outcome.DENIED, 4),
        (("fd01::5",), Outcome.DENIED, 4),
    ],
)
def test_what_it_believes_to_have_is_confirmed_or_not(
    held: tuple[str, ...], outcome: Outcome, status: int
) -> None:
    packet = _told(dhcp6(DHCP6_Confirm(), own_id(), association(*held)), outcome)
    assert packet[DHCP6OptStatusCode].statuscode == status


@pytest.mark.parametrize(
    ("message", "outcome"), [(DHCP6_Release, Outcome.RELEASED), (DHCP6_Decline, Outcome.DECLINED)]
)
def test_what_is_given_back_is_the_ports_all_the_same(message: type[Packet], outcome: Outcome) -> None:
    packet = _told(dhcp6(message(trid=TRANSACTION), own_id(), US, association("fd00::5")), outcome)
    assert (packet[DHCP6_Reply].trid, packet[DHCP6OptStatusCode].statuscode) == (TRANSACTION, 0)


def test_who_needs_no_address_gets_the_rest() -> None:
    wanted = DHCP6OptOptReq(reqopts=[23, 24, 32])
    packet = _told(dhcp6(DHCP6_InfoRequest(trid=TRANSACTION), own_id(), wanted))
    assert packet[DHCP6OptDNSServers].dnsservers == ["fd00::2"]
    assert packet[DHCP6OptInfoRefreshTime].reftime == 7200
    nameless = _told(dhcp6(DHCP6_InfoRequest(trid=TRANSACTION)))
    assert (nameless[DHCP6_Reply].trid, DHCP6OptClientId in nameless) == (TRANSACTION, False)
    assert nameless[DHCP6OptDNSServers].dnsservers == ["fd00::2"]


def _raw(code: int, value: bytes) -> bytes:
    """A solicitation of just this option and, where it is not that itself, an identity."""
    identity = b"" if code == 1 else bytes(own_id())
    option = code.to_bytes(2, "big") + len(value).to_bytes(2, "big") + value
    return dhcp6(Raw(b"\x01\0\0\x01" + identity + option))


HELD = association("fd00::5")
SILENT = {
    "relayed": (dhcp6(DHCP6_RelayForward(linkaddr="::", peeraddr=LINK)), Outcome.RELAYED),
    "an advertisement": (dhcp6(DHCP6_Advertise(), own_id(), US), Outcome.SERVER),
    "a reply": (dhcp6(DHCP6_Reply(), own_id(), US), Outcome.SERVER),
    "another's MAC": (dhcp6(DHCP6_Solicit(), own_id(), HELD, mac=OTHER), Outcome.FOREIGN),
    "another's address": (dhcp6(DHCP6_Solicit(), own_id(), HELD, source="fd00::7"), Outcome.FOREIGN),
    "to one server": (dhcp6(DHCP6_Renew(), own_id(), US, HELD, to=GATEWAY_LINK), Outcome.ELSEWHERE),
    "for another": (dhcp6(DHCP6_Request(), own_id(), THEM, HELD), Outcome.ELSEWHERE),
    "nobody solicits": (dhcp6(DHCP6_Solicit(), HELD), Outcome.MALFORMED),
    "solicits a server": (dhcp6(DHCP6_Solicit(), own_id(), US, HELD), Outcome.MALFORMED),
    "requests of nobody": (dhcp6(DHCP6_Request(), own_id(), HELD), Outcome.MALFORMED),
    "renews at nobody": (dhcp6(DHCP6_Renew(), own_id(), HELD), Outcome.MALFORMED),
    "rebinds at one": (dhcp6(DHCP6_Rebind(), own_id(), US, HELD), Outcome.MALFORMED),
    "confirms nothing": (dhcp6(DHCP6_Confirm(), own_id(), association()), Outcome.MALFORMED),
    "asks for both": (dhcp6(DHCP6_InfoRequest(), own_id(), HELD), Outcome.MALFORMED),
    "two clients": (dhcp6(DHCP6_Solicit(), own_id(), own_id(OTHER), HELD), Outcome.MALFORMED),
    "a client of 2 octets": (_raw(1, b"ab"), Outcome.MALFORMED),
    "a client of 131 octets": (_raw(1, b"a" * 131), Outcome.MALFORMED),
    "half a wish": (_raw(6, b"\0\x17\0"), Outcome.MALFORMED),
    "an association of 3 octets": (_raw(3, b"abc"), Outcome.MALFORMED),
    "half an address": (_raw(3, bytes(12) + b"\0\x05\0\x14" + bytes(20)), Outcome.MALFORMED),
    "an option cut short": (_raw(8, b"")[:-1], Outcome.MALFORMED),
    "nothing": (dhcp6(Raw(b"")), Outcome.MALFORMED),
    "unheard of": (dhcp6(DHCP6_Solicit(msgtype=99), own_id(), HELD), Outcome.UNKNOWN),
}


@pytest.mark.parametrize("case", SILENT)
def test_gets_no_answer(case: str) -> None:
    frame, outcome = SILENT[case]
    answered = answer(frame, CLIENT)
    assert (answered.outcome, answered.frame) == (outcome, None)


def test_who_copied_a_disk_copied_its_identity_and_gets_its_own_address() -> None:
    packet = _told(dhcp6(DHCP6_Solicit(), own_id(OTHER), association()))
    assert _held(packet) == (OWN, None)
    assert bytes(packet[DHCP6OptClientId].duid) == bytes(own_id(OTHER).duid)
