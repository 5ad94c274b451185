"""Inventory: what this host's Open vSwitch really has.

Place: observed by the southbound, input of the compilers. Must not hold intent.
"""

from __future__ import annotations

from dataclasses import dataclass

from model.ids import Uid


@dataclass(frozen=True, slots=True)
class Interface:
    """An OVS Interface with an iface-id. `ofport`: its OpenFlow port, 1..65279; 0 = OVS could not make it.

    `mtu`: of the device, in bytes of layer 3, 0 = not known. `up`: its administrative and link state.
    `suffix`: of the interface of `ringfenced services`: what zones of names end in there.
    """

    name: str
    iface_id: Uid
    ofport: int
    mtu: int = 0
    up: bool = True
    suffix: str = ""


@dataclass(frozen=True, slots=True)
class Switch:
    """The bridge. `tunnel` is the OpenFlow port of the VXLAN interface; `datapath` is `netdev` or `system`.

    `started`: an id of this run of ovs-vswitchd, so that a restart is seen (flows are gone after one).
    """

    datapath: str
    tunnel: int
    started: str
