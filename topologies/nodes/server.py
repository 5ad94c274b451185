"""Server: a workload that is plugged into two hypervisors at once, as a server with two DPUs is.

Place: beside Vm. Both links are ports of a hub inside, that sends every frame out of both: of two DPUs that
forward at once, each datagram arrives twice. Must not choose a link.
"""

from __future__ import annotations

from collections.abc import Sequence

from topologies.nodes.hypervisor import OVERLAY_BRIDGE, Hypervisor, attach
from topologies.nodes.link import VM_MTU, End, link, offloads_off
from topologies.nodes.vm import Vm

HUB = "br0"
_TIMEOUT = 20.0


def plug_twice(
    hypervisors: Sequence[Hypervisor], vm: Vm, ifname: str, iface_id: str, mac: str, addresses: Sequence[str]
) -> None:
    """Give `vm` a hub with an interface to each of the hypervisors; there it is `ifname`, with the
    iface-id."""
    # Nothing is learned, so that all is flooded; isolated links send to the hub's own end only.
    lines = [
        f"ip link add {HUB} address {mac} mtu {VM_MTU} type bridge ageing_time 0 stp_state 0"
        " mcast_snooping 0",
        offloads_off(HUB),
        f"ip link set {HUB} up",
        *(f"ip address add {a} dev {HUB}{' nodad' if ':' in a else ''}" for a in addresses),
    ]
    vm.run("\n".join(lines))
    for number, hypervisor in enumerate(hypervisors):
        hypervisor.await_bridge(OVERLAY_BRIDGE, _TIMEOUT)
        link(End(hypervisor, ifname), End(vm, f"eth{number}"), VM_MTU)
        vm.run(f"ip link set eth{number} master {HUB}\nbridge link set dev eth{number} isolated on")
        attach(hypervisor, ifname, iface_id, mac)
