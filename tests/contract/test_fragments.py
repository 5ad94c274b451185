"""Datagrams in fragments under policy, in a real switch: the first one is judged, the others go with it or
nowhere, and what was decided is counted once."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from scapy.layers.inet import IP, UDP, fragment
from scapy.layers.inet6 import IPv6, IPv6ExtHdrFragment, fragment6
from scapy.layers.l2 import Ether
from scapy.packet import Packet

from controller.southbound import connections, unixctl
from controller.southbound.openflow.channel import Channel
from controller.southbound.openflow.encoder import Encoder
from model.addresses import format_mac
from model.labels import matching
from model.policy import (
    Action,
    Direction,
    Endpoint,
    Policy,
    PortRange,
    Protocol,
    Rule,
    Selection,
    Service,
    State,
)
from pipelines import tables as t
from pipelines.compile import compile, install
from pipelines.groups import GROUPS
from pipelines.policy.clauses import mark
from tests.contract.ovs import PrivateOvs
from tests.fakes.governed import OPEN
from tests.fakes.policies import APP, WEB
from tests.fakes.under_policy import BARE, mac, ruled

ALLOWED, DENIED, COUNTED, WIDE = 53, 54, 55, 56
SUBJECTS = {Direction.OUT: WEB, Direction.IN: APP}
"""The port that is judged: of what WEB sends to APP."""
ZONES = {end.key: 100 + end.key for end in (WEB, APP)}
ENDS = {
    Direction.OUT: (t.LEFT, t.LEFT_HITS, t.LEFT_PARTS),
    Direction.IN: (t.ENTERED, t.ENTERED_HITS, t.ENTERED_PARTS),
}


def said(direction: Direction) -> Policy:
    def rule(port: int, action: Action, state: State = State.ENFORCE) -> Rule:
        return Rule(direction, action, (), (Service(Protocol.UDP, PortRange(port, port)),), state)

    rules = (
        rule(ALLOWED, Action.ALLOW),
        rule(DENIED, Action.DENY),
        rule(COUNTED, Action.DENY, State.COUNT),
        rule(COUNTED, Action.ALLOW),
        Rule(direction, Action.DENY, (), (Service(Protocol.UDP, PortRange(1, WIDE - 1)),)),
    )
    subject = dict(SUBJECTS[direction].labels)["app"]
    return Policy("parts", "acme", subject=Selection(matching([("app", subject)])), rules=rules)


class Laid:
    """The pipeline under that policy in a real switch."""

    def __init__(self, ovs: PrivateOvs, channel: Channel, direction: Direction) -> None:
        self.ovs, self.direction = ovs, direction
        snapshot, _ = ruled(BARE, [said(direction)], {"acme": OPEN})
        assert channel.send(install(compile(snapshot))).refused == ()

    def send(self, packets: list[Packet], end: Endpoint = WEB) -> int:
        """How many of them come out at the other end."""
        before, file = self.met(t.LIMIT, verb="output:"), self.ovs.rundir / "packets"
        words = f"packet-out in_port={end.key},packet={{}},actions=resubmit(,0)\n"
        file.write_text("".join(words.format(bytes(packet).hex()) for packet in packets))
        self.ovs.ofctl("bundle", str(file))
        unixctl.revalidate_purge(self.ovs.rundir)
        return self.met(t.LIMIT, verb="output:") - before

    def counted(self) -> tuple[int, int, int, int]:
        """Packets of what is allowed, of what is counted, as allowed and as hits, and those that waited."""
        decided, hits, parts = ENDS[self.direction]
        allowed, counted = (self.met(decided, mark(n, State.ENFORCE)) for n in (1, 4))
        waited = self.met(parts, verb="ct(")
        return allowed, counted, self.met(hits, mark(3, State.COUNT)), waited

    def met(self, table: t.Table, number: int | None = None, verb: str = "") -> int:
        """The packets that flows of a table have seen: of those of a rule, or that do something."""
        lines = self.ovs.ofctl("dump-flows", f"table={table.number}").splitlines()
        mine = (line.partition("priority=")[::2] for line in lines)
        named = "" if number is None else f"={number:#x}"
        seen = (head for head, rest in mine if f"{named}," in rest.replace(" ", ",") and verb in rest)
        return sum(int(found) for head in seen for found in re.findall(r"n_packets=(\d+)", head))

    def known(self) -> tuple[connections.Connection, ...]:
        """Connections of the port that is judged, with their labels."""
        return connections.labelled(self.ovs.rundir, ZONES[SUBJECTS[self.direction].key])


@pytest.fixture(scope="module", params=Direction, ids=lambda direction: direction.value)
def prepared(request: pytest.FixtureRequest, holding_ovs: PrivateOvs) -> Iterator[Laid]:
    holding_ovs.ofctl("del-flows")
    channel = Channel(holding_ovs.management, Encoder(), standing=GROUPS)
    yield Laid(holding_ovs, channel, request.param)
    channel.close()
    holding_ovs.ofctl("del-flows")


@pytest.fixture
def laid(prepared: Laid) -> Laid:
    """Without connections, with counters that count on."""
    for zone in ZONES.values():
        connections.flush(prepared.ovs.rundir, zone)
    return prepared


def datagram(family: int, port: int, ident: int, size: int = 3000, back: bool = False) -> list[Packet]:
    """In parts, if it is long; `ident` is its own."""
    source, target = (APP, WEB) if back else (WEB, APP)
    ports = {"sport": port, "dport": 4000} if back else {"sport": 4000, "dport": port}
    ends = {"src": str(source.addresses[family // 6]), "dst": str(target.addresses[family // 6])}
    head = Ether(src=format_mac(mac(source)), dst=format_mac(mac(target)))
    body = UDP(**ports) / bytes(size)
    if family == 4:
        whole = head / IP(id=ident, **ends) / body
        return fragment(whole, 1400) if size > 1400 else [whole]
    if size <= 1400:
        return [head / IPv6(**ends) / body]
    return fragment6(head / IPv6(**ends) / IPv6ExtHdrFragment(id=ident) / body, 1450)


def since(laid: Laid, before: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(now - was for now, was in zip(laid.counted(), before, strict=True))


@pytest.mark.parametrize("family", [4, 6])
def test_a_datagram_in_parts_passes_whole_or_not_at_all(laid: Laid, family: int) -> None:
    before = laid.counted()
    assert len(datagram(family, ALLOWED, 1)) == 3
    assert laid.send(datagram(family, DENIED, 1)) == 0
    assert laid.known() == () and since(laid, before) == (0, 0, 0, 2), "the others wait in vain"
    before = laid.counted()
    for ident in (2, 3):
        assert laid.send(datagram(family, ALLOWED, ident)) == 3
    assert since(laid, before) == (2, 0, 0, 6), "each is judged, and counted once"
    before = laid.counted()
    assert laid.send(datagram(family, COUNTED, 4)) == 3
    assert since(laid, before) == (0, 1, 1, 3)
    before = laid.counted()
    assert laid.send(datagram(family, ALLOWED, 5, 100)) == 1
    assert laid.send(datagram(family, ALLOWED, 6)) == 3
    assert since(laid, before) == (4, 0, 0, 0), "where a whole one was judged, nobody waits"
    assert laid.send(datagram(family, DENIED, 7)) == 0


@pytest.mark.parametrize("family", [4, pytest.param(6, marks=pytest.mark.long)])
def test_an_answer_in_parts_is_one(laid: Laid, family: int) -> None:
    assert laid.send(datagram(family, ALLOWED, 11)) == 3
    assert laid.send(datagram(family, ALLOWED, 12, back=True), APP) == 3
    assert laid.send(datagram(family, ALLOWED, 13, 100)) == 1
    assert laid.send(datagram(family, ALLOWED, 14, back=True), APP) == 3


def test_parts_pass_in_whatever_order(laid: Laid) -> None:
    first, second, last = datagram(4, ALLOWED, 21)
    assert laid.send([last, first]) == 0
    assert laid.send([second]) == 3
    first, second, last = datagram(4, DENIED, 22)
    assert laid.send([last, second, first]) == 0


def test_a_part_that_is_too_small_belongs_to_nothing(laid: Laid) -> None:
    """It could hide the ports."""
    (whole,) = datagram(4, ALLOWED, 31, 1000)
    assert laid.send(fragment(whole, 600)) == 0
