"""FrrNode: zebra and bgpd in a node, as route reflector or as a hypervisor of kernel VXLAN and bridges.

Place: at the edge of a fabric, outside of our product. Must not be configured by anything of ours but the
text generated here.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from topologies.cell import Cell
from topologies.directory import LabDirectory
from topologies.nodes.link import VM_MTU, End, addressed, link, router_id
from topologies.nodes.node import LabNode
from topologies.nodes.vm import INTERFACE, Vm

PROGRAMS = Path("/usr/lib/frr")
_CONFIGURATION = "/etc/frr"
_RUN_DIRECTORY = "/var/run/frr"
_CRASH_LOGS = "/var/tmp"
_DAEMONS = ("zebra", "bgpd")
_TOOL_TIMEOUT = 60.0
UPLINK = "up0"


@dataclass(frozen=True, slots=True)
class Timers:
    """BGP keepalive and hold time in seconds (RFC 4271 section 4.4, 4.2)."""

    keepalive: int = 5
    hold: int = 15


def reflector_configuration(address: str, asn: int, clients: Sequence[str], timers: Timers) -> str:
    """bgpd.conf of an iBGP route reflector (RFC 4456) for l2vpn evpn; clients connect from `clients`."""
    ranges = "".join(f" bgp listen range {prefix} peer-group CLIENTS\n" for prefix in clients)
    return (
        f"router bgp {asn}\n bgp router-id {router_id(address)}\n no bgp default ipv4-unicast\n"
        # FRR 8.4 takes a route in which only the label is new for a duplicate of the old one
        " no bgp suppress-duplicates\n bgp listen limit 2000\n"
        f" neighbor CLIENTS peer-group\n neighbor CLIENTS remote-as {asn}\n"
        f" neighbor CLIENTS timers {timers.keepalive} {timers.hold}\n"
        f" neighbor CLIENTS update-source {address}\n{ranges}"
        " address-family l2vpn evpn\n  neighbor CLIENTS activate\n  neighbor CLIENTS route-reflector-client\n"
        " exit-address-family\nexit\n"
    )


def host_configuration(address: str, asn: int, reflectors: Sequence[str], timers: Timers) -> str:
    """bgpd.conf of a host that advertises the VNIs of its kernel VXLAN devices."""
    lines = [f"router bgp {asn}", f" bgp router-id {router_id(address)}", " no bgp default ipv4-unicast"]
    for peer in reflectors:
        lines += [
            f" neighbor {peer} remote-as {asn}",
            f" neighbor {peer} update-source {address}",
            f" neighbor {peer} timers {timers.keepalive} {timers.hold}",
            f" neighbor {peer} timers connect 1",
        ]
    lines += [" address-family l2vpn evpn"]
    lines += [f"  neighbor {peer} activate" for peer in reflectors]
    return "\n".join([*lines, "  advertise-all-vni", " exit-address-family", "exit", ""])


class FrrNode(LabNode):
    """`address` is its underlay address with prefix length, on the uplink `up0`."""

    def __init__(self, name: str, cell: Cell, lab: LabDirectory, address: str) -> None:
        super().__init__(name, cell, lab, private=(_CONFIGURATION, _RUN_DIRECTORY, _CRASH_LOGS))
        self.cidr = address
        self.routes: list[tuple[str, str]] = []
        for own in self.mounts.values():
            shutil.chown(own, "frr", "frr")
        for program in _DAEMONS:
            self._declare(program)

    @property
    def address(self) -> str:
        """The underlay address without prefix length."""
        return self.cidr.partition("/")[0]

    @property
    def underlay(self) -> str:
        """As `address`."""
        return self.address

    def _declare(self, program: str) -> None:
        run = self.mounts[_RUN_DIRECTORY]
        log = f"file:{_RUN_DIRECTORY}/{program}.log"
        command = [str(PROGRAMS / program), "-A", "127.0.0.1", "--log", log]
        self.daemon(
            program,
            command,
            ready=lambda: (run / f"{program}.vty").exists(),
            before=lambda: (run / f"{program}.vty").unlink(missing_ok=True),
        )

    def start(self, bgp: str, zebra: str = "") -> None:
        """Address the uplink, write the configurations and start zebra, then bgpd."""
        routes = [f"ip route replace {prefix} via {gateway}" for prefix, gateway in self.routes]
        self.run("\n".join([addressed(UPLINK, self.cidr), *routes]))
        place = self.mounts[_CONFIGURATION]
        for name, text in (
            ("zebra", zebra),
            ("bgpd", bgp),
            ("vtysh", "no service integrated-vtysh-config\n"),
        ):
            path = place / f"{name}.conf"
            path.write_text(text)
            shutil.chown(path, "frr", "frr")
        for program in _DAEMONS:
            self.daemons[program].start()

    def kill(self) -> None:
        """SIGKILL both daemons."""
        for program in reversed(_DAEMONS):
            self.daemons[program].kill()

    def revive(self) -> None:
        """Start both again with the same configuration."""
        for program in _DAEMONS:
            self.daemons[program].start()

    def vtysh(self, *commands: str) -> str:
        """Output of vtysh commands."""
        words = [w for c in commands for w in ("-c", c)]
        return self.run(["vtysh", *words], timeout=_TOOL_TIMEOUT)

    def show(self, command: str) -> Any:
        """A `show ... json` command, parsed; {} if FRR says nothing."""
        return json.loads(self.vtysh(f"{command} json") or "{}")

    def established(self) -> tuple[str, ...]:
        """Addresses of peers whose l2vpn evpn session is up, sorted."""
        peers = self.show("show bgp l2vpn evpn summary").get("peers", {})
        return tuple(sorted(name for name, peer in peers.items() if peer.get("state") == "Established"))


class FrrHost(FrrNode):
    """A host without our agent: per network a kernel bridge `brVNI` with the VXLAN device `vxVNI`."""

    def add_network(self, vni: int) -> None:
        """Bridge and VXLAN device; the FDB comes from EVPN alone, ARP and ND are answered from it."""
        self.run(
            f"ip link add br{vni} type bridge forward_delay 0 mcast_snooping 0\n"
            # FRR keeps IPv6 neighbours there; without an address of its own it stays quiet.
            f"ip link set br{vni} addrgenmode none\nsysctl -qw net.ipv6.conf.br{vni}.disable_ipv6=0\n"
            f"ip link set br{vni} up\n"
            f"ip link add vx{vni} type vxlan id {vni} dstport 4789 local {self.address} nolearning\n"
            f"ip link set vx{vni} master br{vni} up mtu {VM_MTU}\n"
            f"bridge link set dev vx{vni} neigh_suppress on learning off"
        )

    def route_for(self, l3vni: int) -> None:
        """A router interface under an L3VNI, in the default VRF (zebra must have `vni L3VNI`): a bridge,
        whose MAC is this host's as a router, and its VXLAN device."""
        self.run(
            "sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1 net.ipv4.conf.all.rp_filter=0\n"
            f"ip link add br{l3vni} type bridge forward_delay 0\n"
            f"ip link set br{l3vni} addrgenmode none mtu {VM_MTU}\n"
            f"sysctl -qw net.ipv6.conf.br{l3vni}.disable_ipv6=0\nip link set br{l3vni} up\n"
            f"ip link add vx{l3vni} type vxlan id {l3vni} dstport 4789 local {self.address} nolearning\n"
            f"ip link set vx{l3vni} master br{l3vni} up mtu {VM_MTU}\n"
            f"bridge link set dev vx{l3vni} learning off"
        )

    def add_vrf(self, vrf: str, l3vni: int, mac: str) -> None:
        """A VRF in the kernel with its L3VNI: a bridge whose `mac` is this host's as a router, and its VXLAN
        device. The table's number is the L3VNI's. zebra and bgpd must be told (see topologies.scenarios.irb).
        """
        self.run(
            f"ip link add {vrf} type vrf table {l3vni}\n"
            f"sysctl -qw net.ipv6.conf.{vrf}.disable_ipv6=0\nip link set {vrf} up\n"
            # unreachable, behind all else: without it a lookup goes on in the table of the underlay
            f"ip route add unreachable default metric 4278198272 vrf {vrf}\n"
            f"ip -6 route add unreachable default metric 4278198272 vrf {vrf}"
        )
        self.route_for(l3vni)
        # away from its VRF a bridge loses its IPv6 addresses, so it comes there before it has any
        self.run(f"ip link set br{l3vni} master {vrf} address {mac}")

    def gate(self, interface: str, vrf: str, cidrs: Sequence[str]) -> None:
        """A router interface in a VRF, with addresses (and prefix length)."""
        self.run(
            f"ip link set {interface} master {vrf}\n"
            f"sysctl -qw net.ipv6.conf.{interface}.disable_ipv6=0\nip link set {interface} up"
        )
        self.run("\n".join(f"ip address add {c} dev {interface}{' nodad' * (':' in c)}" for c in cidrs))

    def plug(self, vm: Vm, ifname: str, vni: int, mac: str, addresses: Sequence[str]) -> None:
        """Give `vm` its eth0 in the network of `vni` (made before by `add_network`).

        FRR takes a VM's IPs from the bridge's neighbour table, which fills itself only where the bridge has
        an address of its own to be asked for. Two tenants with one subnet can't both have that without VRFs,
        so the host says what it knows of its VM. Then FRR announces RT-2 with IP as well.
        """
        link(End(self, ifname), End(vm, INTERFACE, mac), VM_MTU)
        bare = [a.partition("/")[0] for a in addresses]
        known = [f"ip neigh replace {a} lladdr {mac} dev br{vni} nud permanent" for a in bare]
        self.run("\n".join([f"ip link set {ifname} master br{vni}", *known]))
        vm.configure(mac, addresses)
