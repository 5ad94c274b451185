"""For which VTEPs Open vSwitch is made to ask, when its cache is purged, and what it prints of neighbours."""

from __future__ import annotations

from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.agent import resolving
from controller.agent.neighbours import CALM, LONGEST, Neighbours, Steps
from controller.agent.resolving import Resolving
from controller.southbound import megaflows, neighbours
from model.addresses import Address
from model.errors import Fault, Unavailable
from topologies.deadline import until

A, B, GATEWAY = ip_address("192.0.2.2"), ip_address("2001:db8::3"), ip_address("192.0.2.254")
PRINTED = """\
IP                                            MAC                 Bridge
==========================================================================
192.0.2.2                                     02:aa:00:00:00:02   br-phy
2001:db8::3                                   02:aa:00:00:00:03   br-phy
192.0.2.9                                     02:aa:00:00:00:09   br-phy STALE
"""


def itself(vtep: Address) -> Address:
    return vtep


def test_one_that_is_known_costs_nothing() -> None:
    def never(_: Address) -> None:
        raise AssertionError("looked up though it is known")

    assert Neighbours().look(frozenset({A}), frozenset({A}), never, 0.0) == Steps()


def test_the_cache_is_purged_only_if_asking_did_not_help_and_ever_more_seldom() -> None:
    kept = Neighbours()
    steps = [(now, kept.look(frozenset({A}), frozenset(), itself, float(now))) for now in range(400)]
    asked = [now for now, step in steps if step.asked]
    assert asked[:5] == [0, 1, 3, 7, 15] and asked[-1] - asked[-2] == LONGEST
    assert [now for now, step in steps if step.purge] == asked[1:]


def test_one_that_was_known_meanwhile_is_asked_for_at_once() -> None:
    kept = Neighbours()
    for now in range(100):
        kept.look(frozenset({A}), frozenset(), itself, float(now))
    kept.look(frozenset({A}), frozenset({A}), itself, 100.0)
    assert kept.look(frozenset({A}), frozenset(), itself, 101.0) == Steps((A,))


def test_behind_a_gateway_its_mac_is_what_counts() -> None:
    kept, looked = Neighbours(), []

    def behind(vtep: Address) -> Address:
        looked.append(vtep)
        return GATEWAY

    for now in range(2 * int(CALM)):
        assert kept.look(frozenset({A}), frozenset({GATEWAY}), behind, float(now)) == Steps()
    assert len(looked) == 2
    assert kept.look(frozenset({A}), frozenset(), behind, 2 * CALM) == Steps((A,))


def test_without_a_route_nobody_is_asked() -> None:
    assert Neighbours().look(frozenset({A, B}), frozenset(), lambda _: None, 0.0) == Steps()


@given(st.lists(st.tuples(st.booleans(), st.booleans(), st.integers(0, 30)), max_size=60))
def test_who_is_missing_is_asked_for_in_time_and_nobody_else(course: list[tuple[bool, bool, int]]) -> None:
    """By the longest wait at most, whatever went before."""
    kept, now, since = Neighbours(), 0.0, None
    for wanted, known, pause in course:
        now += pause
        step = kept.look(frozenset({A} if wanted else ()), frozenset({A} if known else ()), itself, now)
        assert set(step.purge) <= set(step.asked) <= ({A} if wanted and not known else set())
        since = None if step.asked or not wanted or known else since if since is not None else now
        assert since is None or now - since < LONGEST


def test_what_open_vswitch_prints_is_read_but_for_what_is_stale() -> None:
    assert neighbours.read(PRINTED) == {A, B}


def test_an_ovs_vswitchd_that_is_gone_is_no_end(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    looks: list[Path] = []

    def gone(rundir: Path) -> int:
        looks.append(rundir)
        raise Unavailable(Fault("socket", "gone", "no answer", "wait"))

    launcher: Any = None
    monkeypatch.setattr(resolving, "RHYTHM", 0.001)
    monkeypatch.setattr(megaflows, "stirs", gone)
    made = Resolving(tmp_path, "netdev", launcher, frozenset, lambda: None)
    made.start()
    until("it goes on", lambda: len(looks) > 2, 10)
    made.stop()
    none = Resolving(tmp_path, "system", launcher, frozenset, lambda: None)
    looks.clear()
    none.start()
    none.stop()
    assert not looks
