"""The catalogue: what `python -m topologies up NAME` can build.

Place: an explicit, ordered tuple that the command line shows. Must not build anything by being imported.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

from topologies.control import Control
from topologies.errors import LabError
from topologies.fabrics import Plan, leaf_spine, over_ipv6, two_hypervisors
from topologies.lab import Lab, Say
from topologies.scenarios import rails, two_tenants
from topologies.scenarios.two_tenants import Fabric


class Scenario(Protocol):
    """What runs in a lab that is not bare."""

    @property
    def lab(self) -> Lab: ...

    @property
    def control(self) -> Control: ...

    def settle(self) -> None:
        """Wait until it does what it is there to show."""

    def describe(self) -> list[dict[str, Any]]:
        """Its workloads, as plain data."""

    def advice(self) -> str:
        """What to try next, for people; may be empty."""


@dataclass(frozen=True, slots=True)
class Entry:
    """`fabric`: all of a bare lab, None = it can't be bare. `hypervisors`: how many unless the user says
    otherwise; `frr_hosts` likewise."""

    name: str
    meaning: str
    fabric: Fabric | None
    build: Callable[[str, Plan, Say], Scenario]
    hypervisors: int
    frr_hosts: int


def _tenants(name: str, meaning: str, fabric: Fabric, hypervisors: int, frr_hosts: int) -> Entry:
    return Entry(name, meaning, fabric, partial(_on, fabric), hypervisors, frr_hosts)


def _on(fabric: Fabric, name: str, plan: Plan, say: Say) -> Scenario:
    return two_tenants.build(name, plan, fabric, say)


ENTRIES = (
    _tenants(
        "two-hypervisors", "two tenants on two hypervisors, on one bridged segment", two_hypervisors, 2, 0
    ),
    _tenants(
        "leaf-spine", "two tenants on four hypervisors behind two leaves and two spines", leaf_spine, 4, 0
    ),
    _tenants("over-ipv6", "like two-hypervisors, where the underlay is IPv6", over_ipv6, 2, 0),
    _tenants(
        "with-frr-host", "like two-hypervisors, and a host with FRR and no agent", two_hypervisors, 2, 1
    ),
    Entry(
        "rails", "gangs of two tenants on simulated NICs and InfiniBand, with OpenSM", None, rails.build, 4, 0
    ),
)


def find(name: str) -> Entry:
    """The entry of a name (dashes or underscores); LabError with the names there are."""
    for entry in ENTRIES:
        if entry.name == name.replace("_", "-"):
            return entry
    raise LabError(f"no topology {name!r}; there are: {', '.join(e.name for e in ENTRIES)}")
