"""Priority: the switches of a lab run before everything else on the machine.

Place: called where a test counts single datagrams while daemons are killed and started around it. All
daemons of all hosts share two processors here, and a switch that waits for one loses datagrams though nothing
of it was touched. Must not hide what the product does: only switches get it, none of our processes.
"""

from __future__ import annotations

import os
from typing import Final

from topologies.lab import Lab

_URGENT: Final = -15
"""A nice value: see setpriority(2)."""


def prefer_switches(lab: Lab) -> None:
    """For the present life of each ovs-vswitchd."""
    for node in lab.hypervisors:
        os.setpriority(os.PRIO_PROCESS, node.daemons["ovs-vswitchd"].pid, _URGENT)
