"""Changes: which parts of a snapshot an event touched, so that cost follows the change and not the size.

Place: made by the agent with each next snapshot, read by the incremental compilers. Must not hold values:
old and new snapshot hold them.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from enum import Enum
from typing import Final

from model.flow import Flow, Meter


class Part(Enum):
    """The maps of a Snapshot; the key of a Change is the key in that map (None for CLUSTER and SWITCH)."""

    CLUSTER = "cluster"
    SWITCH = "switch"
    TENANT = "tenants"
    NETWORK = "networks"
    PORT = "ports"
    CLASS = "classes"
    HYPERVISOR = "hypervisors"
    BINDING = "bindings"
    INTERFACE = "interfaces"
    REMOTE = "remotes"
    FLOOD = "floods"
    EPOCH = "epochs"
    STATIC_ROUTE = "static_routes"
    PEERING = "peerings"
    EXTERNAL = "externals"
    FLOATING = "floating"
    POLICY = "policies"
    GANG = "gangs"
    SEED = "seeds"
    PREFIX = "prefixes"
    SIGHTING = "sightings"
    CLAIMED = "claimed"
    DOWN = "down"
    ZONE = "zones"


WHOLE: Final = 20_000
"""Up to so many flows all of policy in a patch goes to the switch at once; above, in parts, while nothing new
is let through (docs/decisions/0058). Measured: Open vSwitch does nothing else for 0.1 s while it changes so
many."""


@dataclass(frozen=True, slots=True)
class Change:
    """Something at `key` of `part` was added, replaced or removed."""

    part: Part
    key: Hashable


@dataclass(frozen=True, slots=True)
class Patch:
    """What to send to a switch: `put` adds or replaces, `drop` deletes strictly. Groups: one per object.

    A group (the flows of one port, network or remote MAC) never spans two bundles.
    """

    groups: tuple[tuple[tuple[Flow, ...], tuple[Flow, ...]], ...]
    """((put, drop), ...) in a fixed order."""
    meters: tuple[Meter, ...] = ()
    """Added or changed before any flow."""
    stale_meters: tuple[int, ...] = ()
    """Ids of those that go when all flows are done: a switch deletes the flows of a meter with it."""

    def __bool__(self) -> bool:
        return bool(self.groups or self.meters or self.stale_meters)
