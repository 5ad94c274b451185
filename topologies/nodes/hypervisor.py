"""Hypervisor: a namespace with an Open vSwitch of its own and a VTEP.

Place: the edge of a fabric. Makes what a host's installation makes: Open vSwitch with its system-id and the
VTEP's address. With the userspace data path that address is on the bridge br-phy, which has the uplink; with
the kernel's, tunnels are the kernel's own and the address is on the uplink. Must not create br-int or the
tunnel port: the agent does.

The layout is Debian's: run directory /var/run/openvswitch, pid files and control sockets by usual names.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from pathlib import Path

from topologies.cell import Cell
from topologies.datapath import Datapath
from topologies.deadline import until
from topologies.directory import LabDirectory
from topologies.errors import CommandFailed, LabError
from topologies.nodes.link import UNDERLAY_MTU, VM_MTU, End, addressed, link, offloads_off, router_id
from topologies.nodes.node import LabNode
from topologies.nodes.room import keep_room
from topologies.nodes.vm import INTERFACE, Vm
from topologies.process import listens

OVS_RUN_DIRECTORY = "/var/run/openvswitch"
"""As built into Debian's Open vSwitch: it accepts controllers' sockets below this very path only."""
UPLINK = "up0"
UNDERLAY_BRIDGE = "br-phy"
OVERLAY_BRIDGE = "br-int"
SCHEMA = "/usr/share/openvswitch/vswitch.ovsschema"
_TOOL_TIMEOUT = 60
_DEVICE_TIMEOUT = 60.0
# The userspace data path reads copies of frames (AF_PACKET); the host's own kernel would take the originals,
# answer ARP for the VTEP with the uplink's MAC and refuse VXLAN. As with the kernel data path, which takes
# the frame itself, the host hears br-phy only. (These hooks come after AF_PACKET has its copy.)
_DEAF = f"""
table inet deaf {{
 chain in {{
  type filter hook prerouting priority -300
  iifname != {{ "lo", "{UNDERLAY_BRIDGE}" }} drop
 }}
}}
table arp deaf {{
 chain in {{
  type filter hook input priority 0
  iifname != "{UNDERLAY_BRIDGE}" drop
 }}
}}
"""
_INTERFACE_NAME_LIMIT = 15
# All daemons of all hosts of a lab share this machine's processors, and a switch that waits for one loses
# what its sockets have no room for (`room` gives them more), though nothing of it was touched. So it runs
# before all else; with autogroups (sched(7)) a nice value counts within its session only, and the session has
# its own.
_FIRST = '{ echo -15 >/proc/self/autogroup; } 2>/dev/null || :; exec nice -n -15 "$@"'


class Hypervisor(LabNode):
    """`vtep` with prefix length, `mac` of its interface; `routes`: (prefix, gateway); `rundir`: real path."""

    def __init__(
        self, name: str, cell: Cell, lab: LabDirectory, datapath: Datapath, vtep: str, mac: str
    ) -> None:
        super().__init__(name, cell, lab, private=(OVS_RUN_DIRECTORY,))
        self.rundir: Path = self.mounts[OVS_RUN_DIRECTORY]
        self.datapath, self.vtep, self.mac = datapath, vtep, mac
        self.routes: list[tuple[str, str]] = []
        if datapath is Datapath.USERSPACE:
            self.run(["nft", "-f", "-"], stdin=_DEAF.encode())
        self._declare()

    @property
    def vtep_address(self) -> str:
        """The VTEP's address without prefix length."""
        return self.vtep.partition("/")[0]

    @property
    def router_id(self) -> str:
        """Its BGP identifier."""
        return router_id(self.vtep_address)

    @property
    def underlay(self) -> str:
        """The VTEP."""
        return self.vtep_address

    @property
    def underlay_interface(self) -> str:
        """The interface that has the VTEP's address."""
        return UNDERLAY_BRIDGE if self.datapath is Datapath.USERSPACE else UPLINK

    @property
    def database(self) -> str:
        """OVSDB remote, good from any namespace."""
        return f"unix:{self.rundir}/db.sock"

    @property
    def management(self) -> str:
        """OpenFlow management socket of br-int, good from any namespace."""
        return f"unix:{self.rundir}/{OVERLAY_BRIDGE}.mgmt"

    def _declare(self) -> None:
        logs = [f"--log-file={self.directory}/%s.log", "-vconsole:off", "--no-chdir"]

        def words(program: str, *arguments: str) -> list[str]:
            pid_file = f"--pidfile={OVS_RUN_DIRECTORY}/{program}.pid"
            return [program, *arguments, pid_file, logs[0] % program, *logs[1:]]

        self.daemon(
            "ovsdb-server",
            words("ovsdb-server", f"{self.directory}/conf.db", f"--remote=punix:{OVS_RUN_DIRECTORY}/db.sock"),
            ready=lambda: listens(self.rundir / "db.sock"),
            before=self._create_database,
        )
        self.daemon(
            "ovs-vswitchd",
            ["sh", "-c", _FIRST, "first", *words("ovs-vswitchd", f"unix:{OVS_RUN_DIRECTORY}/db.sock")],
            ready=lambda: self.attempt_tool(["ovs-appctl", "-t", str(self.control_socket()), "version"]),
            begun=keep_room if self.datapath is Datapath.USERSPACE else None,
        )

    def launch(self) -> None:
        """Start both OVS daemons; first part of a start-up, so that many hosts can start at once."""
        self.daemons["ovsdb-server"].start()
        self.vsctl("--no-wait", "init", "--", "set", "Open_vSwitch", ".",
                   f"external_ids:system-id={self.name}",
                   "other_config:n-handler-threads=1", "other_config:n-revalidator-threads=1")  # fmt: skip
        self.daemons["ovs-vswitchd"].launch()

    def finish(self) -> None:
        """Wait for vswitchd, then give the host the VTEP's address (userspace: on br-phy, made here)."""
        self.daemons["ovs-vswitchd"].await_ready()
        if self.datapath is Datapath.USERSPACE:
            self._make_underlay_bridge()
        self.apply_address()

    def _make_underlay_bridge(self) -> None:
        self.vsctl("--may-exist", "add-br", UNDERLAY_BRIDGE, "--", "set", "Bridge", UNDERLAY_BRIDGE,
                   "datapath_type=netdev", f'other_config:hwaddr="{self.mac}"', "fail_mode=standalone",
                   "--", "--may-exist", "add-port", UNDERLAY_BRIDGE, UPLINK)  # fmt: skip
        # After a restart the database holds it already; then ovs-vsctl has nothing to wait for.
        device = f"/sys/class/net/{UNDERLAY_BRIDGE}"
        until(f"{self.name}: {device}", lambda: self.attempt(["test", "-e", device]).ok, _DEVICE_TIMEOUT)

    def apply_address(self) -> None:
        """(Re)apply the VTEP's address and the underlay routes; needed after vswitchd was killed."""
        interface = self.underlay_interface
        lines = [
            offloads_off(interface),
            f"ip link set {interface} up mtu {UNDERLAY_MTU}",
            addressed(interface, self.vtep),
            *(f"ip route replace {prefix} via {gateway}" for prefix, gateway in self.routes),
        ]
        self.run("\n".join(lines))

    def control_socket(self) -> Path:
        """vswitchd's unixctl socket (real path); a path that does not exist while it does not run."""
        try:
            pid = (self.rundir / "ovs-vswitchd.pid").read_text().strip()
        except FileNotFoundError:
            pid = "none"
        return self.rundir / f"ovs-vswitchd.{pid}.ctl"

    def vsctl(self, *arguments: str, timeout: int = _TOOL_TIMEOUT) -> str:
        """ovs-vsctl on this host's database; CommandFailed with its message."""
        return self._tool(["ovs-vsctl", f"--timeout={timeout}", self._db(), *arguments])

    def ofctl(self, *arguments: str, stdin: str = "") -> str:
        """ovs-ofctl (OpenFlow 1.4); name the bridge by `management`, or by `unix:{rundir}/BR.mgmt`."""
        return self._tool(["ovs-ofctl", "-O", "OpenFlow14", *arguments], stdin)

    def appctl(self, *arguments: str) -> str:
        """ovs-appctl on this host's vswitchd."""
        return self._tool(["ovs-appctl", "-t", str(self.control_socket()), *arguments])

    def settle(self) -> None:
        """Wait until the data path has caught up with the flow tables, and has told them all that it counted.

        The purge forgets what is cached and tells its counts; as it passes over what a revalidator is at just
        then, the end of that one's round is waited for. That alone would not do: a round that is under way
        has been at many flows before.
        """
        self.appctl("revalidator/purge")
        self.appctl("revalidator/wait")

    def await_bridge(self, bridge: str, timeout: float) -> None:
        """Wait until a bridge exists and vswitchd serves it."""
        until(f"{self.name}: bridge {bridge}", (self.rundir / f"{bridge}.mgmt").exists, timeout)

    def attempt_tool(self, words: Sequence[str]) -> bool:
        """Whether a short OVS tool call succeeds."""
        try:
            self._tool(words)
        except CommandFailed:
            return False
        return True

    def _tool(self, words: Sequence[str], stdin: str = "") -> str:
        # Unix sockets do not care about network namespaces: no need to enter the node.
        try:
            done = subprocess.run(
                words, input=stdin, capture_output=True, text=True, timeout=_TOOL_TIMEOUT + 5, check=False
            )
        except subprocess.TimeoutExpired as error:
            raise CommandFailed(f"{self.name}: {' '.join(words)} late: {error.timeout:g} s") from error
        if done.returncode:
            raise CommandFailed(f"{self.name}: {' '.join(words)}\n{done.stdout}{done.stderr}")
        return done.stdout

    def _db(self) -> str:
        return f"--db={self.database}"

    def _create_database(self) -> None:
        path = self.directory / "conf.db"
        if not path.exists():
            self._tool(["ovsdb-tool", "create", str(path), SCHEMA])

    def forget_devices(self) -> None:
        """What a reboot leaves: the database, but no bridge devices, sockets or pid files."""
        for name in ("ovsdb-server", "ovs-vswitchd"):
            if self.daemons[name].running:
                raise LabError(f"{self.daemons[name].name} still runs")
        for left in self.rundir.iterdir():
            left.unlink()
        if self.datapath is Datapath.KERNEL:
            self.run(["ovs-dpctl", "del-dp", "system@ovs-system"])
        for device in (OVERLAY_BRIDGE, UNDERLAY_BRIDGE, "ovs-netdev", "vxlan_sys_4789"):
            self.attempt(f"ip link delete {device}")


def plug(
    hypervisor: Hypervisor,
    vm: Vm,
    ifname: str,
    iface_id: str,
    mac: str,
    addresses: Sequence[str],
    timeout: float = 20.0,
) -> None:
    """Give `vm` its eth0 and put the other end, `ifname`, into br-int with `external_ids:iface-id`.

    `addresses` carry a prefix length. Waits up to `timeout` s for br-int, which the agent makes.
    """
    if len(ifname) > _INTERFACE_NAME_LIMIT:
        raise LabError(f"{ifname}: interface names have {_INTERFACE_NAME_LIMIT} bytes at most")
    hypervisor.await_bridge(OVERLAY_BRIDGE, timeout)
    link(End(hypervisor, ifname), End(vm, INTERFACE, mac), VM_MTU)
    vm.configure(mac, addresses)
    attach(hypervisor, ifname, iface_id, mac)


def attach(hypervisor: Hypervisor, ifname: str, iface_id: str, mac: str) -> None:
    """Put an existing interface into br-int, as libvirt does: iface-id and attached-mac."""
    hypervisor.vsctl("--may-exist", "add-port", OVERLAY_BRIDGE, ifname, "--", "set", "Interface", ifname,
                     f"external_ids:iface-id={iface_id}", f'external_ids:attached-mac="{mac}"')  # fmt: skip


def detach(hypervisor: Hypervisor, ifname: str) -> None:
    """Take an interface out of br-int, leaving the VM's link as it is."""
    hypervisor.vsctl("--if-exists", "del-port", OVERLAY_BRIDGE, ifname)


def unplug(hypervisor: Hypervisor, ifname: str) -> None:
    """Take the interface out of br-int and destroy the link; the VM can be plugged again elsewhere."""
    detach(hypervisor, ifname)
    hypervisor.run(f"ip link delete {ifname}")


def processes(hypervisor: Hypervisor) -> dict[str, int]:
    """Resident memory of the host's OVS daemons in kB, by name."""
    found = {}
    for name, daemon in hypervisor.daemons.items():
        with open(f"/proc/{daemon.pid}/statm") as stream:
            found[name] = int(stream.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") // 1024
    return found
