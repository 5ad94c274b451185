"""Real clients of DHCP and router advertisements, answered by `services.answer` across a link.

Each test has a network namespace of its own, with both ends of one link in it: the client has one, and
`responder.py` the other, which has no address and no IPv6, so that nobody else answers.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from topologies.deadline import until

ROOT = Path(__file__).parents[2]
WAIT = 40.0
PREPARE = """
mount -t tmpfs none /run
mount -t tmpfs none /var/lib
ip link set lo up
ip link add c0 address 02:00:00:00:00:01 type veth peer name s0
sysctl -qw net.ipv6.conf.s0.disable_ipv6=1
ip link set s0 up
mkdir -p /var/lib/dhcpcd
exec sleep infinity
"""
# What a client's script is called with, one JSON text a call.
SCRIPT = """#!{python} -S
import json, os, sys
with open({path!r}, "a", encoding="utf-8") as file:
    file.write(json.dumps([sys.argv[1:], dict(os.environ)]) + chr(10))
"""


class Wire:
    """The link, who answers at one end of it, and what clients at the other end were told."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._started: list[subprocess.Popen[str]] = []
        self._told = folder / "told"
        self.script = folder / "script"
        self.script.write_text(SCRIPT.format(python=sys.executable, path=str(self._told)), encoding="utf-8")
        self.script.chmod(0o755)
        self._environment = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "PYTHONPATH": str(ROOT)}
        self._holder = self._start("holder", ["unshare", "--net", "--mount", "sh", "-ec", PREPARE])

    def lay(self, kind: str) -> None:
        """`kind`: of the network, see `responder.CLIENTS`."""
        until("the link", lambda: self._says("ip", "-o", "link", "show", "s0").find("UP") > 0, WAIT)
        responder = str(ROOT / "tests/contract/responder.py")
        self.start("responder", sys.executable, responder, "s0", kind)
        until("the responder", self.outcomes, WAIT)
        self.run("ip", "link", "set", "c0", "up")

    def end(self) -> None:
        """All that is in the namespace, too: dhcpcd's helpers outlive it where it is ended."""
        own = _namespace(self._holder.pid)
        while own is not None and (inside := _members(own)):
            for pid in inside:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            for process in self._started:
                process.poll()
        for process in self._started:
            process.kill()
            process.wait(WAIT)

    def start(self, name: str, *words: str) -> subprocess.Popen[str]:
        """A program in the namespace; what it prints is kept as its log."""
        return self._start(name, [*self._inside(), *words])

    def run(self, *words: str) -> str:
        done = self._run(*words)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def outcomes(self) -> list[str]:
        """In order, "ready" first."""
        return (self._folder / "responder.log").read_text(encoding="utf-8").split()

    def told(self, event: str) -> dict[str, str] | None:
        """The environment of the last call of the script for this event."""
        calls = (
            self._told.read_text(encoding="utf-8").splitlines(keepends=True) if self._told.exists() else []
        )
        for line in reversed(calls):
            if not line.endswith("\n"):
                continue  # still being written
            words, environment = json.loads(line)
            if event in (*words, environment.get("reason")):
                return {str(name): str(value) for name, value in environment.items()}
        return None

    def wait(self, event: str) -> dict[str, str]:
        return until(f"the client's event {event}", lambda: self.told(event), WAIT)

    def wait_for(self, outcome: str) -> None:
        until(f"the outcome {outcome}", lambda: outcome in self.outcomes(), WAIT)

    def _start(self, name: str, words: list[str]) -> subprocess.Popen[str]:
        with (self._folder / f"{name}.log").open("w", encoding="utf-8") as log:
            process = subprocess.Popen(
                words,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                text=True,
                env=self._environment,
            )
        self._started.append(process)
        return process

    def _inside(self) -> list[str]:
        return ["nsenter", f"--target={self._holder.pid}", "--net", "--mount"]

    def _says(self, *words: str) -> str:
        return self._run(*words).stdout

    def _run(self, *words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*self._inside(), *words],
            check=False,
            capture_output=True,
            text=True,
            env=self._environment,
            timeout=WAIT,
        )


def _namespace(pid: int | str) -> str | None:
    """Of the network; None if there is no such process, or it is none of ours yet."""
    try:
        found = os.readlink(f"/proc/{pid}/ns/net")
    except OSError:
        return None
    return None if found == os.readlink("/proc/self/ns/net") else found


def _members(namespace: str) -> list[int]:
    return [int(path.name) for path in Path("/proc").glob("[0-9]*") if _namespace(path.name) == namespace]


@pytest.fixture
def wire(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Wire]:
    made = Wire(tmp_path)
    try:
        made.lay(getattr(request, "param", "routed"))
        yield made
    finally:
        made.end()


def _addresses(wire: Wire) -> set[str]:
    """Of the client's end, but link-local ones, and only those that are past duplicate address detection."""
    shown = json.loads(wire.run("ip", "-j", "address", "show", "c0"))
    return {
        f"{a['local']}/{a['prefixlen']}"
        for a in shown[0]["addr_info"]
        if a["scope"] == "global" and not a.get("tentative")
    }


def _routes(wire: Wire, family: str) -> dict[str, dict[str, object]]:
    return {route["dst"]: route for route in json.loads(wire.run("ip", "-j", family, "route"))}


def test_udhcpc_is_given_its_address_renews_and_releases(wire: Wire) -> None:
    asked = [f"-O{name}" for name in ("staticroutes", "mtu", "search", "hostname", "domain", "dns")]
    client = wire.start("udhcpc", "udhcpc", "-i", "c0", "-f", "-s", str(wire.script), *asked)
    bound = wire.wait("bound")
    told = {
        "ip": "10.0.0.5",
        "subnet": "255.255.255.0",
        "router": "10.0.0.1",
        "serverid": "10.0.0.1",
        "dns": "10.0.0.2",
        "domain": "a.example",
        "search": "a.example b.example",
        "hostname": "vm-1",
        "mtu": "1400",
        "lease": "7200",
        "staticroutes": "169.254.169.254/32 10.0.0.1 192.0.2.0/25 10.0.0.9 0.0.0.0/0 10.0.0.1",
    }
    assert {name: bound.get(name) for name in told} == told
    # What a renewal needs besides: its address, and who the server is (the pipeline answers ARP, not we).
    wire.run("ip", "address", "add", "10.0.0.5/24", "dev", "c0")
    wire.run("ip", "neighbour", "add", "10.0.0.1", "lladdr", "0a:00:52:f1:00:01", "dev", "c0")
    client.send_signal(signal.SIGUSR1)
    assert wire.wait("renew")["ip"] == "10.0.0.5"
    client.send_signal(signal.SIGUSR2)
    wire.wait_for("released")


def test_dhclient_is_denied_what_it_remembers_wrongly_and_given_its_own(wire: Wire, tmp_path: Path) -> None:
    leases = tmp_path / "leases"
    leases.write_text(
        'lease {\n  interface "c0";\n  fixed-address 10.0.0.77;\n  option subnet-mask 255.255.255.0;\n'
        "  option dhcp-server-identifier 10.0.0.1;\n  expire never;\n}\n",
        encoding="utf-8",
    )
    _dhclient(wire, tmp_path, "-4")
    bound = wire.wait("BOUND")
    told = {
        "new_ip_address": "10.0.0.5",
        "new_subnet_mask": "255.255.255.0",
        "new_routers": "10.0.0.1",
        "new_rfc3442_classless_static_routes": "32 169 254 169 254 10 0 0 1 25 192 0 2 0 10 0 0 9 0 10 0 0 1",
        "new_domain_name_servers": "10.0.0.2",
        "new_domain_name": "a.example",
        "new_domain_search": "a.example. b.example.",
        "new_host_name": "vm-1",
        "new_interface_mtu": "1400",
        "new_dhcp_lease_time": "7200",
        "new_dhcp_renewal_time": "3600",
        "new_dhcp_rebinding_time": "6300",
    }
    assert {name: bound.get(name) for name in told} == told
    outcomes = wire.outcomes()
    assert outcomes.index("denied") < outcomes.index("answered", outcomes.index("denied"))


def test_dhclient_is_given_its_address_by_dhcpv6(wire: Wire, tmp_path: Path) -> None:
    link = "fe80::ff:fe00:1"
    until("its link-local address", lambda: _settled(wire, link), WAIT)
    _dhclient(wire, tmp_path, "-6")
    bound = wire.wait("BOUND6")
    told = {
        "new_ip6_address": "fd00::5",
        "new_dhcp6_name_servers": "fd00::2",
        "new_dhcp6_domain_search": "a.example. b.example.",
        "new_renew": "3600",
        "new_rebind": "5760",
        "new_max_life": "7200",
    }
    assert {name: bound.get(name) for name in told} == told


def _dhclient(wire: Wire, folder: Path, family: str) -> None:
    files = ("-lf", str(folder / "leases"), "-pf", str(folder / "pid"))
    wire.start("dhclient", "dhclient", family, "-1", "-d", "-v", "-sf", str(wire.script), *files, "c0")


def _settled(wire: Wire, address: str) -> bool:
    shown = json.loads(wire.run("ip", "-j", "address", "show", "c0"))
    return any(a["local"] == address and not a.get("tentative") for a in shown[0]["addr_info"])


def test_dhcpcd_sets_up_both_families(wire: Wire, tmp_path: Path) -> None:
    settings = tmp_path / "dhcpcd.conf"
    settings.write_text(
        "noarp\noption interface_mtu, classless_static_routes, domain_search\n", encoding="utf-8"
    )
    wire.start("dhcpcd", "dhcpcd", "-B", "-d", "-f", str(settings), "--script", str(wire.script), "c0")
    until("both addresses", lambda: _addresses(wire) == {"10.0.0.5/24", "fd00::5/128"}, WAIT)
    wanted4 = {"10.0.0.0/24", "169.254.169.254", "192.0.2.0/25", "default"}
    until("its routes", lambda: set(_routes(wire, "-4")) == wanted4, WAIT)
    assert _routes(wire, "-4")["default"]["gateway"] == "10.0.0.1"
    until("its router", lambda: "default" in _routes(wire, "-6"), WAIT)
    assert _routes(wire, "-6")["default"]["gateway"] == "fe80::800:52ff:fef1:1"
    advertised = wire.wait("ROUTERADVERT")
    told = {
        "nd1_flags": "MO",
        "nd1_mtu": "1400",
        "nd1_lifetime": "65535",
        "nd1_rdnss1_servers": "fd00::2",
        "nd1_dnssl1_search": "a.example b.example",
        "nd1_prefix_information1_prefix": "fd00::",
        "nd1_prefix_information1_flags": "L",
    }
    assert {name: advertised.get(name) for name in told} == told


def test_a_kernel_takes_the_router_and_the_mtu_and_makes_no_address_up(wire: Wire) -> None:
    until("its router", lambda: "default" in _routes(wire, "-6"), WAIT)
    routes = _routes(wire, "-6")
    assert routes["default"]["gateway"] == "fe80::800:52ff:fef1:1"
    assert routes["default"]["protocol"] == "ra"
    assert "fd00::/64" in routes
    assert wire.run("sysctl", "-n", "net.ipv6.conf.c0.mtu").strip() == "1400"
    assert _addresses(wire) == set()


@pytest.mark.parametrize("wire", ["alone"], indirect=True)
def test_without_a_gateway_guests_reach_what_serves_names_on_the_link(wire: Wire, tmp_path: Path) -> None:
    """By the kernel over IPv6, by dhcpcd over IPv4."""
    served = {"fd00:ec2::253", "fd00:ec2::254"}
    until("routes of IPv6", lambda: served <= _routes(wire, "-6").keys(), WAIT)
    six = _routes(wire, "-6")
    assert "default" not in six and {six[at].get("gateway") for at in served} == {None}
    settings = tmp_path / "dhcpcd.conf"
    wanted_of_it = "classless_static_routes, domain_search, domain_name_servers"
    settings.write_text(f"noarp\nipv4only\noption {wanted_of_it}\n", encoding="utf-8")
    wire.start("dhcpcd", "dhcpcd", "-B", "-d", "-f", str(settings), "--script", str(wire.script), "c0")
    wanted = {"10.0.0.0/24", "169.254.169.253", "169.254.169.254"}
    until("routes of IPv4", lambda: _routes(wire, "-4").keys() == wanted, WAIT)
    four = _routes(wire, "-4")
    assert {four[at].get("gateway") for at in wanted} == {None}
    bound = wire.wait("BOUND")
    told = ("169.254.169.253", "acme.internal")
    assert (bound["new_domain_name_servers"], bound["new_domain_search"]) == told
