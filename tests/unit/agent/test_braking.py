"""What of a change counts as flows lost, before which the operator is asked: not what is only said anew."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest

from controller.agent import brake
from model.change import Change, Part, Patch
from model.policy import Action, Default, Defaults, Direction, Policy, PortRange, Protocol, Rule, Service
from pipelines import turns
from pipelines.compile import recompile
from tests.fakes import world
from tests.fakes.policies import WORLD
from tests.fakes.under_policy import BARE, PLAIN, ruled


def allowing(*ports: int) -> Policy:
    services = (Service(Protocol.TCP, PortRange(port, port)) for port in ports)
    rules = tuple(Rule(Direction.IN, Action.ALLOW, services=(service,)) for service in services)
    return Policy("all", "acme", rules=rules, defaults=Defaults(inward=Default(Action.DENY)))


def dropped(patch: Patch) -> int:
    return sum(len(drop) for _, drop in patch.groups)


@pytest.mark.parametrize(
    ("before", "after", "least"),
    [
        ((80,), (80, 443), 4 * len(WORLD)),
        (range(1, 40), range(1, 41), 40 + 4 * len(WORLD)),
        ((80,), (443,), 4),
        ((80, 443), (80, 444), 4),
    ],
)
def test_a_policy_that_changes_loses_nothing(before: Sequence[int], after: Sequence[int], least: int) -> None:
    """Although flows of every port that it judges are said anew, with another epoch; with a rule more, all of
    the group that they are."""
    first, changes = ruled(BARE, [allowing(*before)], {})
    program, _ = recompile(PLAIN, BARE, first, changes)
    second, changes = ruled(first, [allowing(*after)], {})
    for one in WORLD:
        key = one.key
        second = world.with_part(second, Part.EPOCH, key, 2)
        changes.append(Change(Part.EPOCH, key))
    _, patch = recompile(program, first, second, changes)
    assert dropped(patch) >= least
    assert brake.count_lost(patch) == 0


def test_a_policy_that_goes_and_a_port_that_goes_are_losses() -> None:
    first, changes = ruled(BARE, [allowing(80)], {})
    program, _ = recompile(PLAIN, BARE, first, changes)
    _, patch = recompile(program, first, *ruled(first, [], {}))
    assert brake.count_lost(patch) > len(WORLD)
    key = WORLD[0].key
    gone = replace(first, ports=first.ports.delete(key))
    _, patch = recompile(program, first, gone, [Change(Part.PORT, key)])
    assert brake.count_lost(patch) > dropped(patch) * 0.9 > 10


@pytest.mark.parametrize("after", [[allowing(80, 443)], [allowing(443)], [], [allowing()]])
def test_a_change_in_parts_loses_as_much(monkeypatch: pytest.MonkeyPatch, after: list[Policy]) -> None:
    """What is closed until all of a policy is there comes again, and hides nothing that does not."""
    first, changes = ruled(BARE, [allowing(80)], {})
    program, _ = recompile(PLAIN, BARE, first, changes)
    second, changes = ruled(first, after, {})
    _, whole = recompile(program, first, second, changes)
    monkeypatch.setattr(turns, "WHOLE", 0)
    _, parts = recompile(program, first, second, changes)
    assert brake.count_lost(parts) == brake.count_lost(whole)
    puts = [flow for put, _ in parts.groups for flow in put]
    assert len(puts) >= sum(len(put) for put, _ in whole.groups)
    assert len(parts.groups) > len(whole.groups)


def test_half_of_what_is_said_anew_is_missing() -> None:
    """Two for four of one object, in one table; another object's are none for them."""
    first, changes = ruled(BARE, [allowing(80)], {})
    _, patch = recompile(PLAIN, BARE, first, changes)
    flows = next(put for put, _ in patch.groups if len({flow.shape.table for flow in put}) < len(put))
    table = next(t for t in (f.shape.table for f in flows) if sum(f.shape.table == t for f in flows) > 1)
    some = tuple(flow for flow in flows if flow.shape.table == table)
    assert brake.count_lost(Patch(((some[:1], some),))) == len(some) - 1
    assert brake.count_lost(Patch(((some, ()), ((), some)))) == len(some)
