"""The core of a host with a partner: silent and without ports until it holds the lease, and again after
it."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_address

from bgp.table import Limits
from controller.agent import binder, commands, core, state
from controller.agent.hush import Hush
from model.change import Part
from model.ids import PortKey, Uid
from model.intent import Binding, Hypervisor
from model.report import PortState
from tests.unit.agent.test_core import HOST, OTHER, items, kinds, port, running, seen

ONE = PortKey(1)
OURS = Hypervisor(HOST, ip_address("192.0.2.11"), 1, partner=OTHER)


def paired(now: core.Core) -> core.Result:
    return core.on_store(now, ((Part.HYPERVISOR, HOST, OURS),), (), state.Whole.NO)


def holding() -> core.Core:
    return core.on_lease(paired(running(1)).core, 3).core


def test_a_host_that_gets_a_partner_serves_nothing_until_it_holds_the_lease() -> None:
    result = paired(running(1))
    assert kinds(result)[:2] == [commands.Withdraw, commands.CloseAccounts]
    assert not result.core.routes.ordered()
    report = binder.port_report(result.core.effective, Uid("uid-1"), {})
    assert report is not None and report.state is PortState.STANDBY and OTHER in report.reason
    again = core.on_lease(result.core, 3)
    assert commands.Announce in kinds(again) and commands.OpenLinks in kinds(again)
    assert kinds(again).index(commands.Program) < kinds(again).index(commands.Announce)
    assert kinds(core.on_lease(again.core, 3)) == []


def test_who_loses_it_withdraws_before_it_closes_accounts_and_claims_nothing() -> None:
    lost = core.on_lease(holding(), 0)
    assert kinds(lost)[:2] == [commands.Withdraw, commands.CloseAccounts]
    assert not [c for c in lost.commands if isinstance(c, commands.Bind | commands.Announce)]
    told = core.on_store(lost.core, ((Part.BINDING, ONE, Binding(ONE, OTHER, 1, True)),), (), state.Whole.NO)
    assert not [c for c in told.commands if isinstance(c, commands.Bind | commands.Announce)]


def test_who_takes_it_claims_what_its_partner_had_and_says_it_with_the_next_sequence() -> None:
    now = core.on_inventory(core.on_session(core.start(HOST, None, Limits()), state.Map()).core, seen(1)).core
    both = replace(port(1), hosts=(HOST, OTHER))
    stored = (*items(both), (Part.HYPERVISOR, HOST, OURS), (Part.BINDING, ONE, Binding(ONE, OTHER, 4, True)))
    now = core.on_store(now, stored, (), state.Whole.YES).core
    taken = core.on_lease(now, 2)
    assert commands.Bind(ONE, Uid("uid-1")) in taken.commands
    answered = core.on_answer(taken.core, ONE, Binding(ONE, HOST, 5, True))
    (said,) = [c for c in answered.commands if isinstance(c, commands.Announce)]
    assert {route.attributes.sequence for route in said.routes if route.attributes.sequence} == {5}


def test_a_restarted_agent_is_silent_whatever_it_kept() -> None:
    kept = holding().effective
    assert not core.start(HOST, replace(kept, term=0), Limits()).routes.ordered()


class Voice:
    """Notes what is said."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def announce(self, routes) -> int:
        self.said += routes
        return len(routes)

    def withdraw(self, routes) -> int:
        self.said += [f"no {route}" for route in routes]
        return len(routes)


def test_a_word_is_kept_back_by_the_clock_and_a_withdrawal_is_not() -> None:
    voice, allowed = Voice(), [False]
    hush = Hush(voice, lambda: allowed[0])
    assert hush.announce(["a"]) == 0 and hush.withdraw(["b"]) == 1
    allowed[0] = True
    assert hush.announce(["c"]) == 1 and voice.said == ["no b", "c"]
