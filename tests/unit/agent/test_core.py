"""The core: events in, commands out, in the order that loses neither packets nor bytes."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_address, ip_network

from immutables import Map

from bgp.codec import communities
from bgp.interest import interest_of
from bgp.table import Limits
from controller.agent import commands, core, state
from model.change import Part
from model.ids import HostName, Mac, NetworkKey, PortKey, TenantKey, Uid, Vni
from model.intent import Binding, Cluster, Hypervisor, Network, Port, Tenant
from model.inventory import Interface, Switch
from pipelines import cookies

HOST = HostName("hv1")
OTHER = HostName("hv2")
NET = NetworkKey(1)


def port(n: int, host: HostName = HOST) -> Port:
    mac = Mac(0x020000000000 + n)
    return Port(Uid(f"uid-{n}"), NET, f"p{n}", PortKey(n), mac, (ip_address(f"10.0.0.{n + 1}"),), (host,))


def items(*ports: Port, generation: int = 1, frozen: int = 0, confirm: str = "") -> tuple[state.Item, ...]:
    network = Network(Uid("n1"), TenantKey(1), "net", NET, Vni(5001), (ip_network("10.0.0.0/24"),))
    own = Hypervisor(HOST, ip_address("192.0.2.11"), 1, False, bool(frozen), confirm)
    return (
        (Part.CLUSTER, None, Cluster(Uid("c1"), generation, 65000)),
        (Part.TENANT, TenantKey(1), Tenant(Uid("t1"), "acme", TenantKey(1))),
        (Part.NETWORK, NET, network),
        (Part.HYPERVISOR, HOST, own),
        (Part.HYPERVISOR, OTHER, Hypervisor(OTHER, ip_address("192.0.2.12"), 2)),
        *((Part.PORT, p.key, p) for p in ports),
    )


def seen(*ports: int) -> state.Seen:
    found = {Uid(f"uid-{n}"): Interface(f"tap{n}", Uid(f"uid-{n}"), 10 + n) for n in ports}
    return state.Seen(Switch("netdev", 1, "run-1"), found)


def fresh() -> core.Core:
    return core.start(HOST, None, Limits())


def running(*plugged: int) -> core.Core:
    """In session, with the ports bound and programmed."""
    now = core.on_session(fresh(), Map()).core
    now = core.on_inventory(now, seen(*plugged)).core
    now = core.on_store(now, items(*(port(n) for n in (1, 2))), (), state.Whole.YES).core
    for n in plugged:
        now = core.on_answer(now, PortKey(n), Binding(PortKey(n), HOST, 0, True)).core
    return now


def kinds(result: core.Result) -> list[type]:
    return [type(c) for c in result.commands]


def test_a_plugged_port_is_claimed_programmed_opened_and_announced_in_that_order() -> None:
    now = core.on_session(fresh(), Map()).core
    now = core.on_inventory(now, seen(1)).core
    claimed = core.on_store(now, items(port(1)), (), state.Whole.YES)
    assert commands.Bind(PortKey(1), Uid("uid-1")) in claimed.commands
    bound = core.on_answer(claimed.core, PortKey(1), Binding(PortKey(1), HOST, 0, True))
    assert kinds(bound) == [commands.Program, commands.OpenLinks, commands.Announce, commands.Save]
    assert bound.core.effective.epochs[PortKey(1)] == 1


def test_a_port_that_leaves_is_withdrawn_closed_and_only_then_deleted() -> None:
    result = core.on_store(running(1, 2), (), ((Part.PORT, PortKey(1)),), state.Whole.NO)
    assert kinds(result) == [
        commands.Withdraw,
        commands.CloseAccounts,
        commands.Program,
        commands.Save,
    ]
    closing = result.commands[1]
    assert closing == commands.CloseAccounts((PortKey(1),), ("tap1",))


def test_an_unplugged_port_has_no_link_to_stop_and_is_released() -> None:
    result = core.on_inventory(running(1, 2), seen(2))
    assert commands.CloseAccounts((PortKey(1),), ()) in result.commands
    assert commands.Release(PortKey(1), Uid("uid-1")) in result.commands


def test_the_same_word_twice_commands_nothing() -> None:
    now = running(1, 2)
    stored = (*items(port(1), port(2)), *((Part.BINDING, k, b) for k, b in now.effective.bindings.items()))
    assert core.on_store(now, stored, (), state.Whole.YES).commands == ()


def test_a_replaced_store_changes_nothing_and_confirm_lets_it_pass() -> None:
    now = running(1, 2)
    empty = ((Part.CLUSTER, None, Cluster(Uid("c2"), 1, 65000)),)
    held = core.on_store(now, empty, (), state.Whole.YES)
    assert held.commands == () and held.core.stop is not None and held.core.stop.rule == "other-cluster"
    assert held.core.effective == now.effective
    again = core.on_store(held.core, empty, (), state.Whole.YES)
    assert again.commands == () and again.core.stop is not None
    own = Hypervisor(HOST, ip_address("192.0.2.11"), 1, False, False, held.core.stop.token)
    passed = core.on_store(held.core, ((Part.HYPERVISOR, HOST, own),), (), state.Whole.NO)
    assert passed.core.stop is None and not passed.core.effective.ports
    assert commands.Program in kinds(passed)


def test_an_empty_store_changes_nothing() -> None:
    now = running(1, 2)
    held = core.on_store(now, (), (), state.Whole.YES)
    assert held.commands == () and held.core.stop is not None and held.core.stop.rule == "store-empty"
    assert held.core.effective == now.effective
    back = core.on_store(held.core, (*items(port(1), port(2)), *stored_bindings(now)), (), state.Whole.YES)
    assert back.core.stop is None and kinds(back) == [commands.Save]


def stored_bindings(now: core.Core) -> tuple[state.Item, ...]:
    return tuple((Part.BINDING, k, b) for k, b in now.effective.bindings.items())


def test_a_confirmation_of_another_stop_is_no_confirmation() -> None:
    now = running(1, 2)
    own = Hypervisor(HOST, ip_address("192.0.2.11"), 1, False, False, "cluster-c9")
    other = ((Part.CLUSTER, None, Cluster(Uid("c2"), 1, 65000)), (Part.HYPERVISOR, HOST, own))
    held = core.on_store(now, other, (), state.Whole.YES)
    assert held.core.stop is not None and held.commands == ()


def test_freeze_holds_and_thaw_lets_go() -> None:
    now = running(1, 2)
    frozen = core.on_store(now, items(port(1), port(2), frozen=1)[3:4], (), state.Whole.NO)
    assert frozen.core.stop is not None and frozen.core.stop.rule == "frozen"
    later = core.on_store(frozen.core, (), ((Part.PORT, PortKey(1)),), state.Whole.NO)
    assert later.commands == () and PortKey(1) in later.core.effective.ports
    thawed = core.on_store(later.core, items()[3:4], (), state.Whole.NO)
    assert thawed.core.stop is None and PortKey(1) not in thawed.core.effective.ports
    assert commands.CloseAccounts in kinds(thawed)


def test_a_switch_that_is_away_takes_nothing_with_it() -> None:
    now = running(1, 2)
    away = core.on_inventory(now, state.Seen(None, {}))
    assert away.commands == () and away.core.effective == now.effective
    back = core.on_inventory(away.core, state.Seen(Switch("netdev", 1, "run-2"), seen(1, 2).interfaces))
    assert not any(isinstance(c, commands.Withdraw | commands.CloseAccounts) for c in back.commands)


def many(generation: int, *ports: int, confirm: str = "") -> tuple[state.Item, ...]:
    chosen = [port(n) for n in ports]
    bindings = tuple((Part.BINDING, p.key, Binding(p.key, HOST, 0, True)) for p in chosen)
    return (*items(*chosen, generation=generation, confirm=confirm), *bindings)


def test_an_old_confirmation_does_not_pass_a_stop_alike() -> None:
    now = core.on_session(fresh(), Map()).core
    now = core.on_inventory(now, seen(*range(1, 21))).core
    now = core.on_store(now, many(1, *range(1, 21)), (), state.Whole.YES).core
    held = core.on_store(now, many(2), (), state.Whole.YES).core
    assert held.stop is not None and held.stop.rule == "mass-delete"
    token = held.stop.token
    passed = core.on_store(held, many(3, confirm=token), (), state.Whole.YES).core
    assert passed.stop is None and not passed.effective.ports
    refilled = core.on_store(passed, many(4, *range(1, 21), confirm=token), (), state.Whole.YES).core
    assert len(refilled.effective.ports) == 20
    again = core.on_store(refilled, many(5, confirm=token), (), state.Whole.YES).core
    assert again.stop is not None and again.stop.token != token and len(again.effective.ports) == 20


def test_counters_of_an_earlier_life_keep_their_epoch() -> None:
    now = core.on_session(fresh(), Map({PortKey(1): 7})).core
    now = core.on_inventory(now, seen(1)).core
    now = core.on_store(now, items(port(1)), (), state.Whole.YES).core
    now = core.on_answer(now, PortKey(1), Binding(PortKey(1), HOST, 0, True)).core
    assert now.effective.epochs[PortKey(1)] == 7


def test_a_port_that_comes_back_counts_under_a_new_epoch() -> None:
    away = core.on_inventory(running(1), seen()).core
    away = core.on_answer(away, PortKey(1), None).core
    back = core.on_inventory(away, seen(1)).core
    back = core.on_answer(back, PortKey(1), Binding(PortKey(1), HOST, 0, True)).core
    assert back.effective.epochs[PortKey(1)] == 2


def test_a_refused_claim_is_reported_and_asked_again_by_the_tick() -> None:
    now = core.on_session(fresh(), Map()).core
    now = core.on_inventory(now, seen(1)).core
    now = core.on_store(now, items(port(1)), (), state.Whole.YES).core
    refused = core.on_answer(now, PortKey(1), "bound on hv2").core
    assert refused.refusals[PortKey(1)] == "bound on hv2"
    retried = core.on_tick(refused, core.Synced.NO, 1.0)
    assert commands.Bind(PortKey(1), Uid("uid-1")) in retried.commands
    assert not any(
        isinstance(c, commands.Bind) for c in core.on_tick(retried.core, core.Synced.NO, 1.0).commands
    )


def test_orphans_are_swept_once_and_only_when_all_are_in_sync() -> None:
    now = running(1)
    assert core.on_tick(now, core.Synced.NO, 1.0).commands == ()
    swept = core.on_tick(now, core.Synced.YES, 1.0)
    assert swept.commands == (commands.Audit(commands.Sweep.ORPHANS),)
    assert core.on_tick(swept.core, core.Synced.YES, 1.0).commands == ()


def test_nothing_is_swept_before_the_inventory_is_there() -> None:
    """A restart whose store and speaker are quicker than the switch database: the program is still empty."""
    saved = running(1).effective
    now = core.start(HOST, replace(saved, switch=None), Limits())
    now = core.on_session(now, Map({PortKey(1): 1})).core
    stored = (*items(port(1), port(2)), *stored_bindings(running(1)))
    now = core.on_store(now, stored, (), state.Whole.YES).core
    early = core.on_tick(now, core.Synced.YES, 1.0)
    assert commands.Audit(commands.Sweep.ORPHANS) not in early.commands
    sight = core.on_inventory(early.core, seen(1))
    assert commands.Audit(commands.Sweep.KEEP) in sight.commands, "what is right must not be put again"
    assert commands.Program not in kinds(sight)
    later = core.on_tick(sight.core, core.Synced.YES, 2.0)
    assert commands.Audit(commands.Sweep.ORPHANS) in later.commands


def test_a_cold_agent_without_a_store_audits_nothing() -> None:
    assert kinds(core.on_session(fresh(), Map({PortKey(5): 1}))) == [commands.Save]


def test_an_interface_that_comes_back_before_the_release_is_answered_is_claimed_again() -> None:
    now = core.on_inventory(running(1), seen()).core
    now = core.on_inventory(now, seen(1)).core
    free = (Part.BINDING, PortKey(1), Binding(PortKey(1), HOST, 0, False))
    now = core.on_store(now, (free,), (), state.Whole.NO).core  # the watch is faster than the answer
    assert core.on_answer(now, PortKey(1), None).commands == (commands.Bind(PortKey(1), Uid("uid-1")),)


def test_an_interface_that_goes_before_the_claim_is_answered_is_given_back() -> None:
    now = core.on_inventory(core.on_session(fresh(), Map()).core, seen(1)).core
    now = core.on_store(now, items(port(1)), (), state.Whole.YES).core
    bound = Binding(PortKey(1), HOST, 0, True)
    now = core.on_store(now, ((Part.BINDING, PortKey(1), bound),), (), state.Whole.NO).core
    now = core.on_inventory(now, seen()).core
    assert core.on_answer(now, PortKey(1), bound).commands == (commands.Release(PortKey(1), Uid("uid-1")),)


def test_an_answer_on_a_frozen_host_asks_for_nothing_more() -> None:
    now = core.on_store(running(1), items(port(1), port(2), frozen=1), (), state.Whole.NO).core
    now = core.on_inventory(now, seen(1, 2)).core
    answered = core.on_answer(now, PortKey(2), Binding(PortKey(2), HOST, 0, True))
    assert answered.commands == ()
    assert not answered.core.asked


def test_a_network_of_a_tenant_elsewhere_is_asked_for_by_its_route_targets() -> None:
    """Not everything again: each new network of a tenant would cost as much as the whole cluster has."""
    now = running(1)
    tenant = Tenant(Uid("t1"), "acme", TenantKey(1), Vni(900))
    far = Network(Uid("n2"), TenantKey(1), "far", NetworkKey(2), Vni(5002))
    batch = ((Part.TENANT, TenantKey(1), tenant), (Part.NETWORK, NetworkKey(2), far))
    result = core.on_store(now, batch, (), state.Whole.NO)
    asked = [c for c in result.commands if isinstance(c, commands.Relearn)]
    targets = tuple(communities.route_target(65000, vni) for vni in (Vni(900), Vni(5002)))
    assert asked == [commands.Relearn(targets, interest_of(result.core.effective))]
    assert set(targets) <= asked[0].interest.targets
    assert core.on_store(result.core, batch, (), state.Whole.NO).commands == ()


def test_a_disabled_port_stops_as_if_it_left_and_comes_back() -> None:
    now = running(1)
    off = core.on_store(now, ((Part.PORT, PortKey(1), replace(port(1), enabled=False)),), (), state.Whole.NO)
    assert commands.CloseAccounts in kinds(off)
    assert commands.Withdraw in kinds(off)
    assert commands.Release not in kinds(off)
    assert not any(flow.cookie == cookies.port(PortKey(1)) for flow in off.core.program.flows())
    on = core.on_store(off.core, ((Part.PORT, PortKey(1), port(1)),), (), state.Whole.NO)
    assert commands.OpenLinks in kinds(on)
    assert commands.Announce in kinds(on)
