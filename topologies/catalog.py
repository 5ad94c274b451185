"""The catalogue: what `python -m topologies up NAME` can build.

Place: an explicit, ordered tuple that the command line shows. Must not build anything by being imported.
"""

from __future__ import annotations

from dataclasses import dataclass

from topologies.errors import LabError
from topologies.fabrics import leaf_spine, over_ipv6, two_hypervisors
from topologies.scenarios.two_tenants import Fabric


@dataclass(frozen=True, slots=True)
class Entry:
    """`hypervisors`: how many unless the user says otherwise; `frr_hosts` likewise."""

    name: str
    meaning: str
    fabric: Fabric
    hypervisors: int
    frr_hosts: int


ENTRIES = (
    Entry("two-hypervisors", "two tenants on two hypervisors, on one bridged segment", two_hypervisors, 2, 0),
    Entry("leaf-spine", "two tenants on four hypervisors behind two leaves and two spines", leaf_spine, 4, 0),
    Entry("over-ipv6", "like two-hypervisors, where the underlay is IPv6", over_ipv6, 2, 0),
    Entry("with-frr-host", "like two-hypervisors, and a host with FRR and no agent", two_hypervisors, 2, 1),
)


def find(name: str) -> Entry:
    """The entry of a name (dashes or underscores); LabError with the names there are."""
    for entry in ENTRIES:
        if entry.name == name.replace("_", "-"):
            return entry
    raise LabError(f"no topology {name!r}; there are: {', '.join(e.name for e in ENTRIES)}")
