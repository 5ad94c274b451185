"""What would still the data path again too soon: it waits, holds nobody else up for long, and is not lost."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bgp.codec.update import Update
from controller.agent import brake, commands, core, state
from model.change import Part
from model.ids import PortKey
from tests.unit.agent.test_core import HOST, OTHER, items, port, running, seen

NO = state.Whole.NO


def stilled(*plugged: int) -> core.Core:
    """A host whose data path was stilled a moment ago."""
    return replace(running(*plugged), resting=True)


def limited(now: core.Core, n: int, rate: int, generation: int = 1) -> core.Result:
    """A limit that comes moves the pass in which the port is counted."""
    return core.on_store(now, items(replace(port(n), rate_out=rate), generation=generation), (), NO)


def shifts(result: core.Result) -> list[commands.Shift]:
    return [c for c in result.commands if isinstance(c, commands.Shift)]


def test_a_change_that_may_still_the_data_path_does_so_at_once() -> None:
    assert len(shifts(limited(running(1, 2), 1, 800))) == 1


def test_one_too_many_waits_and_nobody_is_told_that_it_was_done() -> None:
    first = limited(stilled(1, 2), 1, 800, generation=7)
    assert first.commands == () and first.core.late
    cluster = first.core.effective.cluster
    assert cluster is not None and cluster.generation == 1, "who waits for this generation goes on waiting"
    second = limited(first.core, 2, 900, generation=8)
    assert second.commands == ()
    done = core.on_rested(second.core)
    (shift,) = shifts(done)
    assert shift.ports == (PortKey(1), PortKey(2)), "one standstill for all that waited"
    assert not done.core.late and done.core.effective.ports[PortKey(2)].rate_out == 900
    assert done.core.effective == limited(limited(running(1, 2), 1, 800, 7).core, 2, 900, 8).core.effective
    assert core.on_rested(done.core).commands == ()


def test_what_is_taken_back_meanwhile_stills_nothing() -> None:
    waiting = limited(stilled(1, 2), 1, 800).core
    back = core.on_store(waiting, items(port(1)), (), NO)
    assert not back.core.late and not shifts(back)


def test_what_stills_nothing_does_not_wait() -> None:
    found = core.on_store(stilled(1, 2), items(port(3, OTHER)), (), NO)
    assert not found.core.late and PortKey(3) in found.core.effective.ports


def test_what_is_declared_behind_it_keeps_its_order_and_waits_no_longer() -> None:
    waiting = limited(stilled(1, 2), 1, 800).core
    behind = core.on_store(waiting, items(port(3, OTHER)), (), NO)
    assert behind.core.late and PortKey(3) not in behind.core.effective.ports
    assert PortKey(3) in core.on_rested(behind.core).core.effective.ports


def test_a_workload_that_is_plugged_in_does_not_wait_for_others_limits() -> None:
    waiting = limited(stilled(1), 1, 800).core
    plugged = core.on_inventory(waiting, seen(1, 2))
    assert any(isinstance(c, commands.Bind) for c in plugged.commands)
    assert plugged.core.late, "but the limit does"


def test_the_brake_judges_what_is_said_at_once_and_not_what_waits_together(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Else who changes his routes each second could have the deletions of others held."""
    monkeypatch.setattr(brake, "FLOOR", 1)
    gone = [((Part.BINDING, PortKey(n)), (Part.PORT, PortKey(n))) for n in (1, 2)]
    start = stilled(1, 2)
    start = core.on_store(start, items(port(3)), (), NO).core
    start = core.on_inventory(start, seen(1, 2, 3)).core
    start = core.on_answer(
        start, PortKey(3), replace(start.effective.bindings[PortKey(1)], port=PortKey(3))
    ).core
    now = limited(start, 3, 800).core
    for one in gone:
        now = core.on_store(now, (), one, NO).core
    assert now.stop is None and now.late
    done = core.on_rested(now).core
    assert done.stop is None and list(done.effective.ports) == [PortKey(3)]
    both = core.on_store(limited(start, 3, 800).core, (), (*gone[0], *gone[1]), NO).core
    assert both.stop is not None and not both.late, "the control"
    assert core.on_rested(both).core.stop == both.stop, "and that is no way out"


def test_a_frozen_host_stays_frozen_when_it_has_rested() -> None:
    waiting = limited(stilled(1, 2), 1, 800).core
    frozen = core.on_store(waiting, items(port(2), frozen=1), (), NO).core
    assert frozen.stop is not None and core.on_rested(frozen).commands == ()


def test_what_peers_say_waits_in_its_order(monkeypatch: pytest.MonkeyPatch) -> None:
    """Here all of it would still the data path; the scenarios have each state told so."""
    monkeypatch.setattr(core.Result, "stills", lambda _: True)
    now = core.on_peer_up(stilled(1), "192.0.2.9", 1.0).core
    now = core.on_updates(now, [("192.0.2.9", Update(end_of_rib=True))], 2.0).core
    assert "192.0.2.9" not in now.table.peers and len(now.late.said) == 4
    monkeypatch.undo()
    done = core.on_rested(now).core
    peer = done.table.peers["192.0.2.9"]
    assert not done.late and peer.ended and done.effective.host == HOST
