"""A static overlay: br-int and flows by hand, so that a lab is proven before the product programs it.

Place: tests of the labs themselves, and benchmarks that need a switch without an agent. Must not be used
where the product's isolation is judged: it has none.
"""

from __future__ import annotations

from dataclasses import dataclass

from topologies.nodes.hypervisor import OVERLAY_BRIDGE, Hypervisor, plug
from topologies.nodes.vm import Vm

_TUNNEL_PORT = 100
_TAP = "tap0"


@dataclass(frozen=True, slots=True)
class Seat:
    """A VM on a hypervisor: one of two ends of a static overlay. `address` with prefix length."""

    hypervisor: Hypervisor
    vm: Vm
    mac: str
    address: str


def make_bridge(hypervisor: Hypervisor) -> None:
    """br-int with a VXLAN port whose far end and key come from the flows."""
    hypervisor.vsctl("--may-exist", "add-br", OVERLAY_BRIDGE, "--", "set", "Bridge", OVERLAY_BRIDGE,
                     f"datapath_type={hypervisor.datapath.value}", "fail_mode=secure",
                     "--", "--may-exist", "add-port", OVERLAY_BRIDGE, "vxlan0",
                     "--", "set", "Interface", "vxlan0", "type=vxlan", "options:remote_ip=flow",
                     "options:key=flow", f"options:local_ip={hypervisor.vtep_address}",
                     f"ofport_request={_TUNNEL_PORT}")  # fmt: skip


def connect(left: Seat, right: Seat, vni: int) -> None:
    """Plug both VMs and send everything between them: each frame of one VM goes to the other."""
    for here in (left, right):
        make_bridge(here.hypervisor)
        plug(here.hypervisor, here.vm, _TAP, f"static-{here.vm.name}", here.mac, [here.address])
    program(left, right, vni)


def program(left: Seat, right: Seat, vni: int) -> None:
    """The flows of `connect`; again after a switch lost them."""
    for here, there in ((left, right), (right, left)):
        hypervisor = here.hypervisor
        port = hypervisor.vsctl("get", "Interface", _TAP, "ofport").strip()
        away = f"set_field:{there.hypervisor.vtep_address}->tun_dst,set_field:{vni}->tun_id"
        flows = (
            f"in_port={port},actions={away},output:{_TUNNEL_PORT}\n"
            f"in_port={_TUNNEL_PORT},tun_id={vni},actions=output:{port}\n"
        )
        hypervisor.ofctl("add-flows", hypervisor.management, "-", stdin=flows)
        hypervisor.settle()
