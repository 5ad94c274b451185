"""Fixtures of all integration tests: labs with the product running, surely removed, with logs on failure.

Place: found by pytest for everything below. Must not hide a failure to build: a missing tool is a failure.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.kernel.suite import SHARED
from tests.singular import RUN

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)  # Mininet still imports distutils.
    from topologies.fabrics import Plan, leaf_spine, over_ipv6, two_hypervisors
    from topologies.lab import Lab, say_on_stderr
    from topologies.scenarios import outside as outside_scenario
    from topologies.scenarios import routed as routed_scenario
    from topologies.scenarios import two_tenants
    from topologies.scenarios.outside import Outside
    from topologies.scenarios.routed import Routed
    from topologies.scenarios.two_tenants import TwoTenants

_LABS: pytest.StashKey[list[Lab]] = pytest.StashKey()

ScenarioMaker = Callable[..., TwoTenants]
FabricMaker = Callable[..., Lab]


def pytest_configure(config: pytest.Config) -> None:
    config.stash[_LABS] = []


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[Any]:
    report = yield
    if report.failed:
        for lab in item.config.stash[_LABS]:
            report.sections.append((f"daemons of lab {lab.name}", lab.logs()))
    return report


def _scope(fixture_name: str, config: pytest.Config) -> str:
    return "session" if os.environ.get(SHARED) else "module"


class _Labs:
    """Labs opened by one scope; every one is closed when the scope ends, whatever happened.

    Of labs that files share, one runs at a time: it is closed when another is asked for.
    """

    def __init__(self, config: pytest.Config) -> None:
        self._open: list[Lab] = config.stash[_LABS]
        self._mine: dict[Any, tuple[Lab, Any]] = {}

    def once(self, key: Any, make: Callable[[str], tuple[Lab, Any]]) -> Any:
        """The lab of this key, made at first use under a name that no other test run has."""
        if key not in self._mine:
            if os.environ.get(SHARED):
                self.close()
            number = len(self._open)
            lab, value = make(f"t{RUN}-{number}-{len(self._mine)}")
            self._open.append(lab)
            self._mine[key] = (lab, value)
        return self._mine[key][1]

    def close(self) -> None:
        for lab, _ in self._mine.values():
            self._open.remove(lab)
            lab.close()
        self._mine.clear()


@pytest.fixture(scope=_scope)
def _labs(request: pytest.FixtureRequest) -> Iterator[_Labs]:
    labs = _Labs(request.config)
    yield labs
    labs.close()


@pytest.fixture(scope="module")
def two_tenants_lab(_labs: _Labs) -> ScenarioMaker:
    """`two_tenants_lab(n, frr_hosts=0, routed=False)`: the running scenario, one for each file."""

    def make(hypervisors: int = 2, frr_hosts: int = 0, routed: bool = False) -> TwoTenants:
        def build(name: str) -> tuple[Lab, TwoTenants]:
            builder = two_tenants.build_routed if routed else two_tenants.build_bridged
            scenario = builder(name, Plan(hypervisors, frr_hosts), say_on_stderr)
            return scenario.lab, scenario

        return _labs.once(("two-tenants", hypervisors, frr_hosts, routed), build)

    return make


@pytest.fixture(scope="module")
def routing_lab(_labs: _Labs) -> Routed:
    """Two hypervisors and a FRR host, three networks each tenant; reachable, routes learned."""

    def build(name: str) -> tuple[Lab, Routed]:
        scenario = routed_scenario.build(name, Plan(2, 1), say_on_stderr)
        return scenario.lab, scenario

    made: Routed = _labs.once(("routed",), build)
    made.base.await_reachability()
    made.await_routes()
    return made


@pytest.fixture(scope="module")
def outside_lab(_labs: _Labs) -> Outside:
    """Three hypervisors, a FRR border and a server behind it; floating IPs and a gateway work."""

    def build(name: str) -> tuple[Lab, Outside]:
        scenario = outside_scenario.build(name, say_on_stderr)
        return scenario.lab, scenario

    made: Outside = _labs.once(("outside",), build)
    made.await_ways_out()
    return made


@pytest.fixture(scope="module")
def ipv6_lab(_labs: _Labs) -> Routed:
    """Two hypervisors whose underlay is IPv6, three networks each tenant; reachable, routes learned."""

    def build(name: str) -> tuple[Lab, Routed]:
        scenario = routed_scenario.build(name, Plan(2), say_on_stderr, over_ipv6)
        return scenario.lab, scenario

    made: Routed = _labs.once(("ipv6",), build)
    made.base.await_reachability()
    made.await_routes()
    return made


@pytest.fixture(scope="module")
def routing_fabric(_labs: _Labs) -> Routed:
    """The same networks on eight hypervisors, leaves and spines."""

    def build(name: str) -> tuple[Lab, Routed]:
        scenario = routed_scenario.build(name, Plan(8), say_on_stderr, leaf_spine)
        return scenario.lab, scenario

    made: Routed = _labs.once(("routing-fabric",), build)
    made.base.await_reachability()
    made.await_routes()
    return made


@pytest.fixture(scope="module")
def fabric_lab(_labs: _Labs) -> FabricMaker:
    """`fabric_lab(n, frr_hosts=0, routed=False)`: Open vSwitch and FRR run, the product does not."""

    def make(hypervisors: int = 2, frr_hosts: int = 0, routed: bool = False) -> Lab:
        def build(name: str) -> tuple[Lab, Lab]:
            fabric = leaf_spine if routed else two_hypervisors
            lab = fabric(name, Plan(hypervisors, frr_hosts), say_on_stderr)
            return lab, lab

        return _labs.once(("fabric", hypervisors, frr_hosts, routed), build)

    return make
