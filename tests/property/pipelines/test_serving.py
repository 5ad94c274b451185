"""Whoever asks for names or metadata is known by its port, and nobody else ever gets the question."""

from __future__ import annotations

from ipaddress import ip_address

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from model.ids import PORT_KEYS, PortKey
from model.serving import PLACES, SERVED, SERVICES_MAC, alias, aliases, port_of
from model.snapshot import Snapshot
from pipelines import fields as f
from pipelines.compile import compile
from tests.fakes import packets as p
from tests.fakes import world
from tests.fakes.isolation import _local
from tests.fakes.packets import Packet
from tests.fakes.strategies import clusters, packets
from tests.fakes.switch import Switch

HIDDEN = list(HealthCheck)


@st.composite
def samples(draw: st.DrawFn) -> tuple[Snapshot, list[Packet]]:
    """Hostile packets, half of them for an address where names or metadata are served, of all protocols."""
    snapshot = world.served(draw(clusters()))
    made = []
    for packet in draw(st.lists(packets(snapshot), min_size=4, max_size=16)):
        at = draw(st.sampled_from((None, *SERVED)))
        wanted = None if at is None else "ip_dst" if at.version == 4 else "ipv6_dst"
        if wanted in packet and at is not None:
            packet = packet | {wanted: int(at)}
            kind = draw(st.sampled_from(["udp", "tcp", ""]))
            if kind:
                port = draw(st.sampled_from([53, 80, 81]))
                proto = f.UDP if kind == "udp" else f.TCP
                packet = packet | {"ip_proto": proto, f"{kind}_src": 40000, f"{kind}_dst": port}
        made.append(packet)
    return snapshot, made


@given(samples())
@settings(max_examples=15, suppress_health_check=HIDDEN)
def test_a_question_goes_to_who_answers_under_the_alias_of_its_port_and_nowhere_else(
    sample: tuple[Snapshot, list[Packet]],
) -> None:
    snapshot, frames = sample
    switch = Switch.of(compile(snapshot).flows())
    for frame in frames:
        sender = _local(snapshot, frame["in_port"])
        ours = frame.get("ip_dst", 0) or frame.get("ipv6_dst", 0)
        for sent in switch.receive(frame).sent:
            if sent.port != world.SERVICES:
                meant = sender is not None and ours in set(map(int, SERVED))
                assert not meant or sent.has("icmpv6_type") or sent.has("arp_op")
                continue
            assert sender is not None and ours in set(map(int, SERVED))
            assert sent.has("eth_dst") == SERVICES_MAC
            known = {int(own): int(other) for own, other in aliases(sender.key, sender.addresses)}
            for name in ("ip_src", "ipv6_src"):
                if name in frame:
                    assert sent.has(name) == known[frame[name]]


@given(clusters(), st.data())
@settings(max_examples=15, suppress_health_check=HIDDEN)
def test_an_answer_gets_to_the_port_whose_alias_it_is_for_and_to_no_other(
    snapshot: Snapshot, data: st.DataObject
) -> None:
    snapshot = world.served(snapshot)
    switch = Switch.of(compile(snapshot).flows())
    keys = sorted({*snapshot.ports, PortKey(999)})
    key = data.draw(st.sampled_from(keys))
    other = alias(key, data.draw(st.integers(0, 2)), data.draw(st.sampled_from([4, 6])))
    at = data.draw(st.sampled_from([each for each in SERVED if each.version == other.version]))
    make = p.ipv4 if other.version == 4 else p.ipv6
    port = data.draw(st.sampled_from([53, 80]))
    answer = p.udp(make(SERVICES_MAC, 2, int(at), int(other)), port, 40000) | {"in_port": world.SERVICES}
    if data.draw(st.booleans()):
        answer = make(SERVICES_MAC, 2, int(at), int(other)) | {
            "in_port": world.SERVICES,
            "tcp_src": port,
            "tcp_dst": 40000,
        }
    for sent in switch.receive(answer).sent:
        receiver = _local(snapshot, sent.port)
        assert receiver is not None and receiver.key == key
        got = sent.has("ip_dst") or sent.has("ipv6_dst")
        assert dict(aliases(key, receiver.addresses))[ip_address(got)] == other
        assert sent.has("eth_dst") == receiver.mac


@given(
    st.sampled_from([4, 6]),
    st.integers(PORT_KEYS.start, PORT_KEYS.stop - 1),
    st.integers(0, PLACES - 1),
    st.integers(PORT_KEYS.start, PORT_KEYS.stop - 1),
    st.integers(0, PLACES - 1),
)
def test_no_two_ports_share_an_alias(version: int, key: int, place: int, other: int, elsewhere: int) -> None:
    first, second = alias(PortKey(key), place, version), alias(PortKey(other), elsewhere, version)
    assert port_of(first) == key and port_of(second) == other
    assert (first == second) == ((key, place) == (other, elsewhere))
    assert not first.is_loopback and not first.is_multicast and not first.is_link_local


@given(st.one_of(st.ip_addresses(v=4), st.ip_addresses(v=6)))
def test_what_is_no_alias_is_nobodys(address) -> None:
    found = port_of(address)
    if found is not None:
        assert any(alias(found, place, address.version) == address for place in range(PLACES))
