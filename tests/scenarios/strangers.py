"""Strangers: a tenant that shares host, VTEPs and addresses with the states, and leaves again.

Place: used by the expanders that take a detour. Nothing of a state may notice them.
"""

from __future__ import annotations

from model.change import Part
from tests.fakes.world import HERE, egress_class, hypervisor, network, port, tenant
from tests.scenarios.facts import Step, bound, floods, no_row, plug, row, says, taken_back, unplug

_ROWS = (
    tenant(9),
    network(9, owner=9, replicate=True),
    hypervisor("hv9", "192.0.2.9"),
    egress_class(9, ["10.0.0.0/8", "203.0.113.0/24"]),
    port(91, 9, 0x020000009001, ["10.0.0.1", "fd00::1"], [HERE]),
    port(92, 9, 0x020000009002, ["10.0.0.3", "fd00::3"], ["hv9"]),
)
_ROUTES = (*says(9, 9, 0x020000009002, "10.0.0.3", "fd00::3"), *floods(9, 9))

COME = Step((*row(*_ROWS), bound(92, "hv9"), plug(91, 90), *_ROUTES))
GO = Step((*no_row(*_ROWS), unplug(91), *taken_back(*_ROUTES)))

STAY = ((Part.CLUSTER, None), (Part.HYPERVISOR, HERE))
"""Rows of a cluster in which nobody lives."""
