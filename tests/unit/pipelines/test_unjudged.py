"""What is for a gateway itself is not judged, and never leaves it; what a gateway forwards is judged."""

from __future__ import annotations

from collections.abc import Callable
from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.addresses import GATEWAY_MAC, link_local
from model.flow import Flow
from model.policy import Defaults
from model.snapshot import Snapshot
from pipelines import fields as f
from pipelines import tables as t
from pipelines.compile import compile
from tests.fakes import outward as out
from tests.fakes import packets, peering, world
from tests.fakes.governed import DENY, governed
from tests.fakes.packets import Packet
from tests.fakes.switch import Switch, Verdict
from tests.unit.pipelines.test_routing import GW, four, mac, six, to4, to6

CLOSED = Defaults(DENY, DENY)
LINK = int(link_local(GATEWAY_MAC))
GATEWAYS4 = tuple(int(ip_address(f"10.0.{n}.1")) for n in (1, 2, 3))
GATEWAYS6 = (*(int(ip_address(f"fd00:0:0:{n}::1")) for n in (1, 2, 3)), LINK)
CLOSED_SWITCH = Switch.of(compile(governed(world.routed(), CLOSED)).flows())


def judged(verdict: Verdict) -> bool:
    return any(flow is not None and flow.shape.name.startswith("leaving-") for _, flow in verdict.path)


@pytest.mark.parametrize("packet", [*(to4(11, ip) for ip in GATEWAYS4), *(to6(11, ip) for ip in GATEWAYS6)])
def test_a_gateway_answers_whom_policy_lets_say_nothing(packet: Packet) -> None:
    answered = CLOSED_SWITCH.receive(packets.echo(packet))
    assert answered.ports == (11,) and not judged(answered)
    refused = CLOSED_SWITCH.receive(packets.udp(packet, 4000, 53))
    assert refused.ports == () and refused.path[-1][0] == t.GATEWAY.number


@pytest.mark.parametrize(
    "packet",
    [
        *(make(11, of(key), to) for make, of in ((to4, four), (to6, six)) for key in (12, 21, 32)
          for to in (GW, mac(key))),
        to4(11, GATEWAYS4[0], mac(21)),  # a gateway's address, but another's MAC
        to4(11, int(ip_address("198.51.100.1"))),
        to6(11, int(ip_address("2001:db8::1"))),
    ],
)  # fmt: skip
def test_what_is_forwarded_is_judged(packet: Packet) -> None:
    for sent in (packets.echo(packet), packets.udp(packet, 4000, 53)):
        verdict = CLOSED_SWITCH.receive(sent)
        assert judged(verdict) and verdict.ports == ()


@given(
    st.sampled_from((11, 12, 21)),
    st.sampled_from((*GATEWAYS4, *(four(key) for key in (11, 12, 21, 31, 32)))),
    st.sampled_from((GW, mac(12), mac(21))),
    st.sampled_from((f.ICMP, f.UDP, f.TCP)),
    st.integers(0, 255),
)
def test_nothing_gets_anywhere_without_a_judge(
    sender: int, target: int, to: int, proto: int, kind: int
) -> None:
    packet = to4(sender, target, to) | {"ip_proto": proto}
    packet |= {"icmp_type": kind} if proto == f.ICMP else {}
    verdict = CLOSED_SWITCH.receive(packet)
    assert judged(verdict) or set(verdict.ports) <= {sender}


@pytest.mark.parametrize("made", [world.routed, world.hopped, peering.peered, out.leaving])
def test_what_is_let_past_the_judge_ends_at_the_gateway(made: Callable[[], Snapshot]) -> None:
    flows = tuple(compile(governed(made())).flows())
    past = {_terms(flow) for flow in flows if flow.shape.name.startswith("watch-own")}
    ends = {_terms(flow) for flow in flows if flow.shape.table == t.GATEWAY.number and _drops(flow)}
    assert past and past <= ends


def _terms(flow: Flow) -> object:
    """Priority and match."""
    return flow.key()[1:]


def _drops(flow: Flow) -> bool:
    return not flow.shape.actions and flow.shape.goto is None
