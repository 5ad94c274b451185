"""Which data path the Open vSwitches of a lab use: the kernel's, or the one in ovs-vswitchd.

Place: chosen once for each lab, when it is opened. Must not be guessed from the machine: a run that means to
test the kernel's must fail where there is none.
"""

from __future__ import annotations

import os
from enum import Enum

from topologies.errors import LabError

VARIABLE = "RINGFENCE_LAB_DATAPATH"


class Datapath(Enum):
    """As Bridge.datapath_type names them."""

    USERSPACE = "netdev"
    """In ovs-vswitchd: needs no module, ends with the daemon, reads copies of frames (AF_PACKET)."""
    KERNEL = "system"
    """openvswitch.ko: tunnels are the kernel's, and forwarding outlives the daemons."""


def chosen() -> Datapath:
    """What the environment asks for; without a word, userspace, which works on every machine."""
    word = os.environ.get(VARIABLE, Datapath.USERSPACE.value)
    try:
        return Datapath(word)
    except ValueError:
        known = " or ".join(d.value for d in Datapath)
        raise LabError(f"{VARIABLE}={word}: must be {known}") from None
