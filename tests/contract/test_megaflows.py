"""The data path's flows of a real Open vSwitch: counted, held back, and let go again by nobody."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from controller.agent.standstill import Stillness, still
from controller.southbound import megaflows
from tests.contract.ovs import PrivateOvs, eventually

MANY = 5_000


@pytest.fixture
def alone(ovs: PrivateOvs) -> Iterator[PrivateOvs]:
    """With the limit as a busy host may have it."""
    known = megaflows.population(ovs.rundir).limit
    megaflows.limit(ovs.rundir, MANY)
    yield ovs
    megaflows.limit(ovs.rundir, known)


def test_what_holds_flows_back_ends_by_itself(alone: PrivateOvs) -> None:
    """So an agent that dies within leaves nothing behind."""
    megaflows.limit(alone.rundir, 0)
    eventually(lambda: megaflows.population(alone.rundir).limit >= 1_000, "flows are still held back")


def test_every_change_of_flows_is_a_reason_to_look_anew(alone: PrivateOvs) -> None:
    known = megaflows.revalidations(alone.rundir)
    alone.ofctl("add-flow", "table=0,ip,actions=drop")
    eventually(lambda: megaflows.revalidations(alone.rundir) == known + 1, "the change was not counted")


def test_a_standstill_is_proven_and_gives_the_limit_back(alone: PrivateOvs) -> None:
    seen: list[megaflows.Population] = []

    def proven() -> bool:
        """Not, if the machine did something else for so long that a look may have come between."""
        work = lambda: seen.append(megaflows.population(alone.rundir))  # noqa: E731
        return still(alone.rundir, work) is Stillness.PROVEN

    eventually(proven, "no standstill is proven")
    assert (seen[-1].limit, seen[-1].flows) == (0, 0)
    eventually(lambda: megaflows.population(alone.rundir).limit >= MANY, "the limit is lower than before")


def test_two_changes_in_one_standstill_are_doubtful(alone: PrivateOvs) -> None:
    known = megaflows.revalidations(alone.rundir)

    def work() -> None:
        for number in (1, 2):
            alone.ofctl("add-flow", f"table={number},ip,actions=drop")
            reasons = known + number
            eventually(lambda n=reasons: megaflows.revalidations(alone.rundir) >= n, "no look")

    assert still(alone.rundir, work) is Stillness.DOUBTFUL


def test_the_rhythm_of_looks_is_what_somebody_set_it_to(alone: PrivateOvs) -> None:
    assert megaflows.rhythm(alone.rundir) == 0.5
    alone.vsctl("set", "Open_vSwitch", ".", "other_config:max-revalidator=200")
    try:
        assert megaflows.rhythm(alone.rundir) == 0.2
    finally:
        alone.vsctl("remove", "Open_vSwitch", ".", "other_config", "max-revalidator")
