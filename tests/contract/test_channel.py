"""The bulk channel on a real switch: acknowledged, atomic, isolating, adopting, and back after a crash."""

from __future__ import annotations

import random
import threading
from pathlib import Path

import pytest

from controller.southbound.openflow import channel as channel_module
from controller.southbound.openflow.bundles import BUNDLE_FLOWS
from controller.southbound.openflow.channel import SLICE, Channel
from controller.southbound.openflow.dump import Dump
from controller.southbound.openflow.encoder import Encoder
from model.change import Patch
from model.errors import Unavailable
from model.flow import Field, Flow, Match, Output, SetField, Shape, Slot
from model.ids import COOKIE_MARK, ClassId, PortKey
from pipelines import cookies
from pipelines.compile import compile, install, recompile
from tests.contract.ovs import WAIT, PrivateOvs, accepts, eventually
from tests.fakes import world

OURS = COOKIE_MARK << 48
REG = Field("reg0", 32)
NUMBER = Slot("number", 32)
PORT = Slot("port", 32)
PLAIN = Shape("plain", 3, 9, (Match(REG, NUMBER),), (Output(PORT),), None, (NUMBER, PORT))
OTHER = Shape("other", 3, 9, (Match(REG, NUMBER),), (SetField(REG, 7),), 4, (NUMBER,))
LACKING = Shape("lacks-eth-type", 3, 9, (Match(Field("ip_src", 32), NUMBER),), (), None, (NUMBER,))
ALL = Shape("all", 0, 1, (), (Output(2),))


def plain(number: int, port: int = 1) -> Flow:
    return Flow(PLAIN, OURS | number, (number, port))


def put(*flows: Flow) -> Patch:
    """A group for each flow."""
    return Patch(tuple(((flow,), ()) for flow in flows))


def numbers(channel: Channel) -> list[int]:
    """The numbers of the plain flows that are there."""
    cookies = channel.counters(PLAIN.table).cookie.tolist()
    return sorted(cookie & 0xFFFFFFFF for cookie in cookies)


def test_refused_flow_is_named_and_its_group_left_out_whole(channel: Channel) -> None:
    channel.send(put(plain(100)))
    good = tuple(((plain(n),), ()) for n in range(5))
    # of the middle group nothing may come: neither its good flow, nor its delete
    bad = ((plain(50), Flow(LACKING, OURS, (7,)), plain(51)), (plain(100),))
    outcome = channel.send(Patch((*good[:3], bad, *good[3:])))
    assert outcome.flows == 5 and numbers(channel) == [0, 1, 2, 3, 4, 100]
    (refused,) = outcome.refused
    assert refused.flow.shape is LACKING
    assert "lacks-eth-type" in refused.fault.object and "ip_src=0x7" in refused.fault.object
    assert "prerequisite" in refused.fault.message


def test_value_too_wide_is_named_and_stops_no_other(channel: Channel) -> None:
    wide = Flow(PLAIN, OURS, (1 << 32, 1))
    outcome = channel.send(put(plain(1), wide, plain(2)))
    assert numbers(channel) == [1, 2] and [r.flow for r in outcome.refused] == [wide]
    many = [Flow(PLAIN, OURS | n, (n, 1)) for n in range(100)]
    outcome = channel.send(put(*many[:70], Flow(PLAIN, OURS, (-1, 1)), *many[70:]))
    assert numbers(channel) == list(range(100)) and len(outcome.refused) == 1


def test_more_errors_than_the_switch_sends_unread(channel: Channel) -> None:
    """With 100 replies unread OVS stops reading: both sides would wait for ever."""
    bad = [Flow(LACKING, OURS, (n,)) for n in range(1500)]
    outcome = channel.send(put(*bad, plain(1)))
    assert len(outcome.refused) == 1500 and numbers(channel) == [1]


def test_many_bundles_and_one_that_is_larger(channel: Channel) -> None:
    few = [((plain(n),), ()) for n in range(3 * BUNDLE_FLOWS // 2)]
    base = len(few)
    large = (tuple(plain(n) for n in range(base, base + BUNDLE_FLOWS + 500)), ())
    outcome = channel.send(Patch((*few, large)))
    assert outcome.refused == () and numbers(channel) == list(range(base + BUNDLE_FLOWS + 500))
    assert channel.send(Patch((((), large[0]), *(((), put) for put, _ in few)))).refused == ()
    assert numbers(channel) == []


def test_flow_that_moves_between_groups_stays(channel: Channel) -> None:
    """One object drops a key that another puts: whichever bundle each is in, the put wins."""
    moving, filler = plain(1), [((plain(n),), ()) for n in range(1000, 1000 + BUNDLE_FLOWS)]
    channel.send(put(moving))
    taken = Flow(PLAIN, OURS | 1, (1, 9))
    outcome = channel.send(Patch((((taken,), ()), *filler, ((), (moving,)))))
    assert outcome.refused == ()
    assert not channel.audit([taken, *(f for group, _ in filler for f in group)])


def test_audit_names_each_kind_of_drift(ovs: PrivateOvs, channel: Channel) -> None:
    flows = [plain(n) for n in range(10)]
    channel.send(put(*flows, plain(77)))
    table = f"table={PLAIN.table}"
    ovs.ofctl("del-flows", f"{table},priority=9,reg0=3", "--strict")
    ovs.ofctl("mod-flows", f"{table},priority=9,reg0=4,actions=output:44", "--strict")
    idle = f"{table},priority=9,reg0=5,idle_timeout=900,cookie={flows[5].cookie:#x},actions=output:1"
    ovs.ofctl("add-flow", idle)
    ovs.ofctl("add-flow", "table=200,priority=5,cookie=0x1234,actions=normal")
    findings = channel.audit(flows)
    assert findings.missing == (flows[3],)
    assert sorted(f.values[0] for f in findings.wrong) == [4, 5]
    assert [o.cookie for o in findings.orphans] == [OURS | 77]
    assert (findings.alien, findings.right) == (1, 7)
    channel.send(put(*findings.missing, *findings.wrong))
    assert channel.delete_observed(findings.orphans) == 1
    mended = channel.audit(flows)
    assert not mended and (mended.alien, mended.right) == (1, 10)
    assert "table=200" in ovs.ofctl("dump-flows", "cookie=0x1234/-1")


def test_observed_flow_that_changed_since_is_not_deleted(channel: Channel) -> None:
    channel.send(put(plain(1), plain(2)))
    seen = [channel.dump(PLAIN.table).entry(n) for n in range(2)]
    channel.send(put(Flow(PLAIN, OURS | 9, (1, 1))))
    channel.delete_observed(seen)
    assert numbers(channel) == [9]


def send_packets(ovs: PrivateOvs, count: int) -> None:
    frame = "ffffffffffff0200000000010800" + "00" * 46
    for _ in range(count):
        ovs.ofctl("packet-out", f"in_port=LOCAL,packet={frame},actions=table")


def packets_of(channel: Channel, flow: Flow) -> int:
    dump = channel.dump(flow.shape.table)
    return sum(e.packets for e in map(dump.entry, range(len(dump))) if e.cookie == flow.cookie)


def test_restart_adopts_and_changes_nothing_that_is_right(ovs: PrivateOvs, channel: Channel) -> None:
    """A new encoder and channel, as after a crash: durations and counters go on, a monitor sees nothing."""
    program = compile(world.two_tenants())
    counted = Flow(ALL, OURS | 1)
    whole = install(program)
    channel.send(Patch((*whole.groups, ((counted,), ())), whole.meters))
    wanted = [*program.flows(), counted]
    send_packets(ovs, 3)
    eventually(lambda: packets_of(channel, counted) == 3, "packets are not counted")
    dump = channel.dump(counted.shape.table)
    before = {dump.entry(n).cookie: dump.entry(n).seconds for n in range(len(dump))}
    monitor = ovs.watch()
    lines: list[str] = []
    reader = threading.Thread(target=lambda: lines.extend(monitor.stdout or ()), daemon=True)
    reader.start()
    try:
        # the control: the monitor sees a change
        eventually(lambda: _touched(channel, lines, 999), "the monitor sees no change at all")
        again = Channel(ovs.management, Encoder())
        findings = again.audit(wanted)
        assert not findings and findings.right == len(wanted)
        again.send(put(*findings.missing, *findings.wrong))
        lost = wanted[5]
        ovs.ofctl("del-flows", f"table={lost.shape.table},cookie={lost.cookie:#x}/-1")
        findings = again.audit(wanted)
        assert lost in findings.missing and not findings.wrong
        again.send(put(*findings.missing))
        assert not again.audit(wanted)
        # events come in order: who hears of a later change has heard of all before it
        eventually(lambda: _touched(channel, lines, 998), "the monitor sees no change any more")
        seen = [line for line in lines if not _is_marker(line)]
        assert sum("event=ADDED" in line for line in seen) == len(findings.missing), lines
        assert not any("event=MODIFIED" in line for line in seen), lines
        after = again.dump(counted.shape.table)
        entry = next(e for e in map(after.entry, range(len(after))) if e.cookie == counted.cookie)
        assert entry.packets == 3 and entry.seconds >= before[counted.cookie]
        again.close()
    finally:
        monitor.kill()
        monitor.wait(WAIT)
        reader.join(WAIT)


def _touched(channel: Channel, lines: list[str], number: int) -> bool:
    marker = Flow(PLAIN, OURS | number, (number, 1))
    channel.send(put(marker))
    channel.send(Patch((((), (marker,)),)))
    return any("event=DELETED" in line and f"reg0={number:#x}" in line for line in lines)


def _is_marker(line: str) -> bool:
    return any(f"reg0={number:#x} " in line for number in (998, 999))


def test_put_of_the_same_flow_keeps_its_counters(ovs: PrivateOvs, channel: Channel) -> None:
    counted = Flow(ALL, OURS | 1)
    channel.send(put(counted))
    send_packets(ovs, 2)
    eventually(lambda: packets_of(channel, counted) == 2, "packets are not counted")
    channel.send(put(counted))
    assert packets_of(channel, counted) == 2


def test_a_patch_of_the_compiler_brings_the_switch_there(channel: Channel) -> None:
    old = world.two_tenants()
    new = world.added(old, world.remote(2, 0x02000000AAAA, "192.0.2.4", ["10.0.0.77", "fd00::77"]))
    changes = [world.Step(*world.keyed(value), value).change() for value in new.remotes.values()]
    program = compile(old)
    channel.send(install(program))
    following, patch = recompile(program, old, new, changes)
    assert patch and channel.send(patch).refused == ()
    assert not channel.audit(following.flows())
    back, undo = recompile(following, new, old, changes)
    channel.send(undo)
    assert not channel.audit(back.flows())


def test_counters_of_flows_of_many_lengths(channel: Channel) -> None:
    mixed = [plain(1), Flow(OTHER, OURS | 2, (2,)), Flow(Shape("none", 3, 1, ()), OURS | 3)]
    channel.send(put(*mixed))
    counters = channel.counters(3)
    assert sorted(counters.cookie.tolist()) == [OURS | n for n in (1, 2, 3)]
    assert counters.packets.tolist() == counters.octets.tolist() == [0, 0, 0]
    assert channel.counters(99).cookie.tolist() == []


def test_between_slices_of_counters_changes_are_sent_and_no_flow_is_listed_twice(
    channel: Channel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(channel_module, "SLICE", 4)
    flows = [plain(number) for number in range(40)]
    channel.send(put(*flows))
    assert numbers(channel) == list(range(40)), "now it knows how many there are"
    found = []
    for part in channel.counter_slices(PLAIN.table):
        found.append([cookie & 0xFFFFFFFF for cookie in part.cookie.tolist()])
        assert channel.send(put(plain(100 + len(found)))).refused == ()
    listed = [number for part in found for number in part]
    assert len(found) > 5 and len(listed) == len(set(listed)) and set(range(40)) <= set(listed)
    half = channel.counter_slices(PLAIN.table)
    next(half)
    channel.close()  # as when the switch went away
    channel.send(put(plain(999)))
    with pytest.raises(Unavailable, match="began anew"):
        next(half)


def test_comes_back_after_a_crash_of_vswitchd(own_ovs: PrivateOvs) -> None:
    own_ovs.lay_bridge()
    channel = Channel(own_ovs.management, Encoder(), timeout=WAIT)
    channel.send(put(plain(1)))
    own_ovs.kill("vswitchd")
    with pytest.raises(Unavailable, match="switch"):
        channel.send(put(plain(2)))
    own_ovs.start_vswitchd()
    eventually(lambda: _answers(channel), "the switch does not come back")
    findings = channel.audit([plain(1), plain(2)])
    assert len(findings.missing) == 2, "a userspace switch forgets its flows"
    channel.send(put(*findings.missing))
    assert numbers(channel) == [1, 2]
    channel.close()


def _answers(channel: Channel) -> bool:
    try:
        channel.active_tables()
    except Unavailable:
        return False
    return True


def test_no_switch_is_an_error_that_says_so(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="cannot connect"):
        Channel(tmp_path / "br-int.mgmt", Encoder()).send(put(plain(1)))


def test_ten_thousand_drawn_changes_end_as_the_model_says(channel: Channel) -> None:
    """Random puts and drops, with replaced actions: the switch holds what a dict would."""
    draw, held = random.Random(5), dict[int, Flow]()
    for _ in range(25):
        groups = []
        for number in draw.sample(range(3000), 400):
            other = Flow(OTHER, OURS | number, (number,))
            flow = plain(number, draw.randrange(1, 9)) if draw.random() < 0.7 else other
            if number in held and draw.random() < 0.4:
                groups.append(((), (held.pop(number),)))
            else:
                held[number] = flow
                groups.append(((flow,), ()))
        assert channel.send(Patch(tuple(groups))).refused == ()
    findings = channel.audit(held.values())
    assert not findings and findings.right == len(held)


def test_a_large_table_is_read_in_slices_that_leave_nothing_out(ovs: PrivateOvs, channel: Channel) -> None:
    """Whose cookie says what does not matter: alien flows are read with the others."""
    many = 3 * SLICE
    flows = [Flow(PLAIN, OURS | n, (n, 1)) for n in range(many)]
    channel.send(Patch(tuple(((flow,), ()) for flow in flows)))
    ovs.ofctl("add-flow", f"table={PLAIN.table},priority=5,cookie=0x1234,actions=normal")
    dumps = list(channel.dumps())
    assert max(len(dump) for dump in dumps) <= SLICE and sum(len(dump) for dump in dumps) == many + 1
    assert len({dump.entry(n).cookie for dump in dumps for n in range(len(dump))}) == many + 1
    found = channel.audit(flows)
    assert not found and (found.right, found.alien) == (many, 1)


def test_a_table_of_counters_is_sliced_by_port(ovs: PrivateOvs, monkeypatch: pytest.MonkeyPatch) -> None:
    channel = Channel(ovs.management, Encoder(), counted=frozenset({PLAIN.table}))
    try:
        flows = [Flow(PLAIN, cookies.account(PortKey(n), ClassId(1), 1), (n, 1)) for n in range(2 * SLICE)]
        channel.send(Patch(tuple(((flow,), ()) for flow in flows)))
        assert max(len(dump) for dump in channel.dumps()) <= SLICE
        assert channel.audit(flows).right == len(flows)
        whole = sorted(channel.counters(PLAIN.table).cookie.tolist())
        read, asked = channel.dump, list[int]()
        monkeypatch.setattr(channel, "dump", lambda *slice_: (asked.append(slice_[1]), read(*slice_))[1])
        assert sorted(channel.counters(PLAIN.table).cookie.tolist()) == whole and len(whole) == len(flows)
        assert len(set(asked)) == len(asked) > 1
    finally:
        channel.close()


def test_counters_of_two_lives_of_the_switch_are_none(
    own_ovs: PrivateOvs, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the first slices say is of a life whose other counters nobody will ever tell."""
    own_ovs.lay_bridge()
    channel = Channel(own_ovs.management, Encoder())
    monkeypatch.setattr("controller.southbound.openflow.channel.SLICE", 2)
    flows = put(*(plain(n) for n in range(5)))
    channel.send(flows)
    assert len(channel.counters(PLAIN.table).cookie) == 5
    read, asked = channel.dump, list[int]()

    def dump(*slice_: int) -> Dump:
        if asked:
            own_ovs.kill("vswitchd")
            own_ovs.start_vswitchd()
            eventually(lambda: accepts(own_ovs.management), "the switch does not come back")
        asked.append(slice_[1])
        return read(*slice_)

    with monkeypatch.context() as patched:
        patched.setattr(channel, "dump", dump)
        with pytest.raises(Unavailable):
            channel.counters(PLAIN.table)
    assert asked and len(channel.counters(PLAIN.table).cookie) == 0
    channel.close()
