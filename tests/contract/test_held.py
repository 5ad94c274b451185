"""Fragments that Open vSwitch held of one port and hands out with another's packet: they end there, whoever
sent them. The switch is real, and both ports are under policy, in networks that never meet."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import pytest
from scapy.layers.inet import IP, UDP, fragment
from scapy.layers.l2 import Ether
from scapy.packet import Packet

from controller.southbound import unixctl
from controller.southbound.openflow.channel import Channel
from controller.southbound.openflow.encoder import Encoder
from model.addresses import format_mac
from model.policy import Endpoint
from pipelines import tables as t
from pipelines.compile import compile, install
from pipelines.groups import GROUPS
from tests.contract.ovs import PrivateOvs
from tests.fakes.governed import OPEN
from tests.fakes.policies import APP, LONER, WEB, port
from tests.fakes.under_policy import BARE, mac, ruled
from topologies.deadline import until

BATCH = 32
"""Packets that Open vSwitch handles at once; of the parts of a datagram more wait for another batch."""
LONG = 60_000
NOBODY = port(99, "10.0.0.99")


class Laid:
    """The pipeline in a real switch, everybody under policy, and nothing forbidden."""

    def __init__(self, ovs: PrivateOvs, channel: Channel) -> None:
        self.ovs = ovs
        snapshot, _ = ruled(BARE, [], {"acme": OPEN})
        assert channel.send(install(compile(snapshot))).refused == ()

    def send(self, packets: list[Packet], end: Endpoint) -> None:
        file = self.ovs.rundir / "packets"
        words = f"packet-out in_port={end.key},packet={{}},actions=resubmit(,0)\n"
        file.write_text("".join(words.format(bytes(packet).hex()) for packet in packets))
        self.ovs.ofctl("bundle", str(file))
        unixctl.revalidate_purge(self.ovs.rundir)

    def met(self, table: t.Table, verb: str) -> int:
        """The packets that flows of a table that do this have seen."""
        lines = self.ovs.ofctl("dump-flows", f"table={table.number}").splitlines()
        flows = (line for line in lines if verb in line.partition("actions=")[2] and "n_packets=" in line)
        return sum(int(line.partition("n_packets=")[2].partition(",")[0]) for line in flows)

    def strays(self) -> int:
        return self.met(t.LEAVING_OWN, "drop")

    def delivered(self) -> int:
        return self.met(t.LIMIT, "output:")


@pytest.fixture
def laid(holding_ovs: PrivateOvs) -> Iterator[Laid]:
    holding_ovs.ofctl("del-flows")
    channel = Channel(holding_ovs.management, Encoder(), standing=GROUPS)
    yield Laid(holding_ovs, channel)
    channel.close()


def datagram(one: Endpoint, other: Endpoint, size: int, ident: int = 1) -> list[Packet]:
    head = Ether(src=format_mac(mac(one)), dst=format_mac(mac(other)))
    ends = {"src": str(one.addresses[0]), "dst": str(other.addresses[0])}
    whole = head / IP(id=ident, **ends) / UDP(sport=4000, dport=53) / bytes(size)
    return fragment(whole, 1400) if size > 1400 else [whole]


def test_parts_that_did_not_fit_their_batch_do_not_leave_as_another_ports(laid: Laid) -> None:
    """To nobody, so that no other look-up follows by itself."""
    gone = partial(laid.met, t.LEFT_PARTS, "")
    laid.send(datagram(LONER, NOBODY, 100), LONER)
    laid.send(datagram(WEB, NOBODY, 100), WEB)
    assert (gone(), laid.strays()) == (2, 0), "these connections are known now: nobody waits for a judge"
    parts = datagram(WEB, NOBODY, LONG)
    laid.send(parts, WEB)
    left = len(parts) - (gone() - 2)
    assert left in (0, len(parts) - BATCH), "all of them, or what Open vSwitch handles at once"
    laid.send(datagram(LONER, NOBODY, 100), LONER)
    assert laid.strays() == left, "they came with the other port's packet, and ended"
    assert gone() == 2 + len(parts) - left + 1


@pytest.mark.long
def test_parts_whose_time_is_over_do_not_leave_as_another_ports(laid: Laid) -> None:
    laid.send(datagram(WEB, APP, 3000)[1:], WEB)
    (other,) = datagram(LONER, NOBODY, 100)

    def came() -> bool:
        laid.send([other], LONER)
        return laid.strays() == 2

    until("what waited in vain comes with somebody else's packet", came, 60)
    assert laid.delivered() == 0
