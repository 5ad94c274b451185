"""Questions: what ports ask comes up by a connection of its own, each port at most so fast, and answers go to
one port alone."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from controller.southbound.openflow.channel import Channel
from controller.southbound.openflow.questions import Line, Question
from model.change import Patch
from model.errors import Unavailable
from model.flow import Flow, Match, Meter, Metered, Shape, Special, Unit
from model.ids import COOKIE_MARK
from pipelines.fields import ETH_TYPE, IN_PORT
from tests.contract.ovs import PrivateOvs
from topologies.deadline import until

OURS = COOKIE_MARK << 48
KIND = 0x88B5
FRAME = bytes(12) + KIND.to_bytes(2, "big") + bytes(range(256))
ASKED = Flow(Shape("asked", 0, 7, (Match(ETH_TYPE, KIND),), (Special.CONTROLLER_ASKED,)), OURS | 5)
WAIT = 20.0


@pytest.fixture
def line(ovs: PrivateOvs, channel: Channel) -> Iterator[Line]:
    made = Line(ovs.management)
    yield made
    made.close()
    channel.send(Patch((((), (ASKED,)),)))


def send(ovs: PrivateOvs, port: int) -> None:
    ovs.ofctl("packet-out", f"in_port={port} packet={FRAME.hex()} actions=resubmit(,0)")


def heard(line: Line, least: int) -> list[Question]:
    found: list[Question] = []

    def enough() -> bool:
        found.extend(line.listen(0.1))
        return len(found) >= least

    until(f"{least} questions", enough, WAIT)
    return found


def test_a_question_comes_up_whole_with_its_cookie_and_port(
    ovs: PrivateOvs, channel: Channel, line: Line
) -> None:
    channel.send(Patch((((ASKED,), ()),)))
    send(ovs, 1)
    assert heard(line, 1) == [Question(OURS | 5, 1, FRAME)]


def test_what_is_asked_and_what_else_is_handed_up_do_not_meet(
    ovs: PrivateOvs, channel: Channel, line: Line
) -> None:
    """The other queues belong to the session, which has no connection here: nothing of them comes."""
    other = Flow(Shape("told", 0, 8, (Match(ETH_TYPE, KIND), Match(IN_PORT, 2)), (Special.CONTROLLER,)), OURS)
    channel.send(Patch((((ASKED, other), ()),)))
    send(ovs, 2)
    send(ovs, 1)
    assert [one.in_port for one in heard(line, 1)] == [1]


def test_two_lines_hear_what_one_would(ovs: PrivateOvs, channel: Channel, line: Line) -> None:
    """After a crash the switch may not have seen the end of the old one yet."""
    second = Line(ovs.management)
    try:
        channel.send(Patch((((ASKED,), ()),)))
        send(ovs, 3)
        assert heard(second, 1) == heard(line, 1)
    finally:
        second.close()


def test_a_port_that_floods_is_held_back_and_no_other(ovs: PrivateOvs, channel: Channel, line: Line) -> None:
    ovs.ofctl("del-meters")
    meters = tuple(Meter(number, 1, 5, Unit.PACKETS) for number in (7, 8))
    flows = tuple(
        Flow(
            Shape(f"asked-{port}", 0, 7, (Match(ETH_TYPE, KIND), Match(IN_PORT, port)),
                  (Metered(meter.id), Special.CONTROLLER_ASKED)),
            OURS | port,
        )
        for port, meter in enumerate(meters, 1)
    )  # fmt: skip
    channel.send(Patch(((flows, ()),), meters))
    assert channel.meters() == {meter.id: meter for meter in meters}
    line_of = "packet-out in_port={} packet=" + FRAME.hex() + " actions=resubmit(,0)\n"
    script = ovs.rundir / "asking"
    script.write_text(line_of.format(1) * 200 + line_of.format(2))
    ovs.ofctl("bundle", str(script))
    found: list[Question] = []

    def heard(port: int) -> int:
        found.extend(line.listen(0.1))
        return sum(question.in_port == port for question in found)

    def drops() -> dict[int, int]:
        return {drop.id: drop.packets for drop in channel.meter_drops()}

    until("the other's question", lambda: heard(2), WAIT)
    until("each of the flood is heard or dropped", lambda: heard(1) + drops()[7] >= 200, WAIT)
    assert 1 <= heard(1) < 100 and heard(2) == 1
    assert drops()[8] == 0
    channel.send(Patch((((), flows),), (), (7, 8)))


def test_an_answer_goes_out_of_one_port(ovs: PrivateOvs, line: Line) -> None:
    before = sent(ovs)
    line.answer(2, FRAME)
    until("the answer", lambda: sent(ovs) != before, WAIT)
    assert {port: now - before[port] for port, now in sent(ovs).items() if now != before[port]} == {2: 1}


def sent(ovs: PrivateOvs) -> dict[int, int]:
    """Packets given to each port: nobody has set the interfaces up, so that all are dropped there."""
    found = re.findall(r"port +(\d+): .*\n +tx pkts=(\d+), bytes=\d+, drop=(\d+)", ovs.ofctl("dump-ports"))
    return {int(port): int(out) + int(dropped) for port, out, dropped in found}


def test_a_switch_that_goes_ends_the_line(own_ovs: PrivateOvs) -> None:
    own_ovs.lay_bridge()
    line = Line(own_ovs.management)
    own_ovs.kill("vswitchd")
    with pytest.raises(Unavailable):
        until("the end", lambda: line.listen(0.1), WAIT)
