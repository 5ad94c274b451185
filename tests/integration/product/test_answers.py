"""DHCP and router advertisements with the clients of real guests, on real switches: a guest that has nothing
is given all that it needs by the agent of its host, nobody else hears of it, and a flood harms its own port.

The network replicates broadcast and multicast, so that whatever is not held back would be heard.
"""

from __future__ import annotations

import json
import os
import re
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from pipelines.limits import Kind, meter_id
from tests.fakes.askers import dhcp4, solicitation
from tests.integration.product.witness import Guest, seat
from topologies.cell import Streams
from topologies.deadline import until
from topologies.nodes.hypervisor import Hypervisor
from topologies.scenarios.two_tenants import TwoTenants, Workload
from topologies.traffic.capture import Capture, Frame, contains, incoming
from topologies.traffic.frames import inject
from topologies.traffic.ping import ping

pytestmark = pytest.mark.integration

TENANT, WAIT = "green", 40.0
SERVERS = (b"\x00\x43\x00\x44", b"\x00\x44\x00\x43", b"\x02\x22\x02\x23", b"\x02\x23\x02\x22")
"""UDP ports of DHCP and DHCPv6, both ways."""
# What a client's script is called with, one JSON text a call.
SCRIPT = """#!{python} -S
import json, os, sys
with open({path!r}, "a", encoding="utf-8") as file:
    file.write(json.dumps([sys.argv[1:], dict(os.environ)]) + chr(10))
"""


@dataclass(frozen=True)
class Stage:
    """`fresh` asks; `loud`, which floods, and `near` are on its host, `far` on the other."""

    base: TwoTenants
    fresh: Workload
    loud: Workload
    near: Workload
    far: Workload

    def host(self, who: Workload) -> Hypervisor:
        return next(h for h in self.base.lab.hypervisors if str(h.name) == who.host)


@pytest.fixture(scope="module")
def stage(two_tenants_lab: Callable[..., TwoTenants]) -> Stage:
    base = two_tenants_lab()
    first, second = (str(h.name) for h in base.lab.hypervisors[:2])
    places = {"fresh": first, "loud": first, "near": first, "far": second}
    guests = [Guest(TENANT, "all", name, 60 + n, (places[name],)) for n, name in enumerate(places)]
    seated = {guest.port: guest for guest in seat(base, guests)}
    (network,) = base.control.get("network", "all", "--tenant", TENANT)
    network.pop("status", None)
    base.control.apply([network | {"spec": network["spec"] | {"replicate": True}}])
    return Stage(base, **seated)


@contextmanager
def bare(who: Workload) -> Iterator[None]:
    """A guest that has just booted: no address but a link-local one that does not follow from its MAC."""
    secret = ":".join(os.urandom(2).hex() for _ in range(8))
    who.vm.run(
        "ip address flush dev eth0 scope global\nip link set eth0 down\n"
        f"sysctl -qw net.ipv6.conf.eth0.stable_secret={secret} net.ipv6.conf.eth0.addr_gen_mode=2"
        " net.ipv6.conf.eth0.accept_ra=1 net.ipv6.conf.eth0.router_solicitation_delay=0\n"
        "ip link set eth0 up"
    )
    try:
        yield
    finally:
        who.vm.run(
            "ip link set eth0 down\nsysctl -qw net.ipv6.conf.eth0.addr_gen_mode=0"
            " net.ipv6.conf.eth0.accept_ra=0 net.ipv6.conf.eth0.mtu=1450\nip link set eth0 up\n"
            "ip address flush dev eth0 scope global\nip -6 route flush dev eth0 proto ra"
        )
        who.vm.configure(who.mac, who.cidrs)


class Told:
    """A script for clients, and what they called it with."""

    def __init__(self, folder: Path) -> None:
        self._calls = folder / "calls"
        self.script = folder / "script"
        self.script.write_text(SCRIPT.format(python=sys.executable, path=str(self._calls)), encoding="utf-8")
        self.script.chmod(0o755)

    def of(self, event: str) -> dict[str, str] | None:
        """The environment of the last call for this event."""
        text = self._calls.read_text(encoding="utf-8") if self._calls.exists() else ""
        for line in reversed([line for line in text.splitlines(keepends=True) if line.endswith("\n")]):
            words, environment = json.loads(line)
            if event in (*words, environment.get("reason")):
                return dict(environment)
        return None


@pytest.fixture
def told(tmp_path: Path) -> Told:
    tmp_path.chmod(0o755)
    return Told(tmp_path)


def udhcpc(who: Workload, told: Told) -> dict[str, str]:
    """Ask until there is an answer, and no longer."""
    asked = [f"-O{name}" for name in ("staticroutes", "mtu", "hostname", "search", "domain", "dns")]
    words = ["udhcpc", "-i", "eth0", "-f", "-n", "-q", "-t", "8", "-T", "1", "-s", str(told.script), *asked]
    who.vm.run(words, timeout=WAIT)
    bound = told.of("bound")
    assert bound is not None
    return bound


def routes(who: Workload, family: str) -> dict[str, dict[str, object]]:
    return {route["dst"]: route for route in json.loads(who.vm.run(f"ip -j {family} route show"))}


def is_dhcp(frame: Frame) -> bool:
    """UDP of DHCP, whichever way."""
    raw = frame.raw
    four = raw[12:14] == b"\x08\x00" and raw[23] == 17 and raw[34:38] in SERVERS
    return four or (raw[12:14] == b"\x86\xdd" and raw[20] == 17 and raw[54:58] in SERVERS)


def is_router_talk(frame: Frame) -> bool:
    """Router solicitations and advertisements."""
    raw = frame.raw
    return raw[12:14] == b"\x86\xdd" and raw[20] == 58 and raw[54] in (133, 134)


def test_a_guest_that_has_nothing_gets_all_and_nobody_else_hears(stage: Stage, told: Told) -> None:
    fresh, near, far = stage.fresh, stage.near, stage.far
    with Capture(near.vm) as beside, Capture(far.vm) as away, bare(fresh), Capture(fresh.vm) as own:
        bound = udhcpc(fresh, told)
        wanted = {
            "ip": fresh.ipv4,
            "subnet": "255.255.255.0",
            "router": "10.0.0.1",
            "serverid": "10.0.0.1",
            "mtu": "1450",
            "hostname": fresh.port,
            "staticroutes": "169.254.169.254/32 10.0.0.1 0.0.0.0/0 10.0.0.1",
        }
        assert {name: bound.get(name) for name in wanted} == wanted
        until("its router", lambda: "default" in routes(fresh, "-6"), WAIT)
        default = routes(fresh, "-6")["default"]
        assert (default["gateway"], default["protocol"]) == ("fe80::800:52ff:fef1:1", "ra")
        assert "fd00:10::/64" in routes(fresh, "-6")
        assert len(own.matching(is_dhcp)) >= 4, "the control: its own link carries the exchange"
        inject(fresh.vm, "eth0", [solicitation(mac=fresh.mac)])
        own.await_frame(incoming(is_router_talk))
        # what it was given works, and what it now says to everybody is heard: the captures see group frames
        fresh.vm.run(f"ip address add {bound['ip']}/24 dev eth0\nip route add default via 10.0.0.1")
        for capture, other in ((beside, near), (away, far)):
            until("a ping", lambda o=other: ping(fresh.vm, o.ipv4, 1, wait=0.5).reached, WAIT)
            for _ in ("before", "after"):
                mark = os.urandom(16)
                capture.confirm(shout(fresh, mark), incoming(contains(mark)))
            assert capture.leaks(incoming(is_dhcp)) == ()
            assert capture.leaks(incoming(is_router_talk)) == ()


def shout(who: Workload, mark: bytes) -> Callable[[], None]:
    """A broadcast like DHCP's, but to a port that nobody answers at."""
    frame = dhcp4(("message-type", "discover"), mac=who.mac, source=who.ipv4, ports=(9, 9))

    def send() -> None:
        inject(who.vm, "eth0", [frame + mark])

    return send


def test_a_flood_harms_its_own_port_alone(stage: Stage, told: Told) -> None:
    """A thousand questions a second of `loud`; `fresh`, behind the same switch and agent, is answered each
    time it asks, and `loud` itself at least a little."""
    fresh, loud = stage.fresh, stage.loud
    frame = dhcp4(("message-type", "discover"), mac=loud.mac, chaddr=bytes.fromhex(loud.mac.replace(":", "")))
    over, sent = threading.Event(), []

    def flood() -> None:
        while not over.is_set():
            sent.append(inject(loud.vm, "eth0", [frame] * 100))

    before = held_back(stage.host(loud))
    with bare(fresh), Capture(loud.vm) as own:
        flooding = threading.Thread(target=flood)
        flooding.start()
        try:
            until("a flood", lambda: sum(sent) > 500, WAIT)
            for _ in range(3):
                assert udhcpc(fresh, told)["ip"] == fresh.ipv4
        finally:
            over.set()
            flooding.join()
        answered = len(own.matching(incoming(is_dhcp)))
    assert 0 < answered < sum(sent) / 4, (answered, sum(sent))
    assert held_back(stage.host(loud)) - before > sum(sent) / 2


@pytest.mark.long
@pytest.mark.datapaths
def test_what_is_declared_is_told_by_dhclient_over_both_families(
    stage: Stage, told: Told, tmp_path: Path
) -> None:
    """With what it remembers from elsewhere: denied, and then given its own."""
    fresh = stage.fresh
    leases = tmp_path / "leases"
    leases.write_text(
        'lease {\n  interface "eth0";\n  fixed-address 10.0.0.77;\n  option subnet-mask 255.255.255.0;\n'
        "  option dhcp-server-identifier 10.0.0.1;\n  expire never;\n}\n",
        encoding="utf-8",
    )
    with guided(stage), bare(fresh):
        with dhclient(fresh, told, tmp_path, "-4"):
            bound = until("an address", lambda: told.of("BOUND"), WAIT)
        four = {
            "new_ip_address": fresh.ipv4,
            "new_routers": "10.0.0.1",
            "new_rfc3442_classless_static_routes": "32 169 254 169 254 10 0 0 1 24 192 0 2 10 0 0 61"
            " 0 10 0 0 1",
            "new_domain_name_servers": "10.0.0.53",
            "new_domain_name": "a.example",
            "new_domain_search": "a.example. b.example.",
            "new_host_name": fresh.port,
            "new_interface_mtu": "1450",
            "new_dhcp_lease_time": "7200",
        }
        assert {name: bound.get(name) for name in four} == four
        until("a link-local address", lambda: settled(fresh), WAIT)
        with dhclient(fresh, told, tmp_path, "-6"):
            bound = until("an address", lambda: told.of("BOUND6"), WAIT)
        six = {
            "new_ip6_address": fresh.ipv6,
            "new_dhcp6_name_servers": "fd00:10::53",
            "new_dhcp6_domain_search": "a.example. b.example.",
            "new_max_life": "7200",
        }
        assert {name: bound.get(name) for name in six} == six
    (port,) = until("it is told", lambda: [p for p in seen(stage) if p["status"].get("asked")], WAIT)
    assert {"answered", "denied"} <= port["status"]["asked"].keys()


@pytest.mark.long
@pytest.mark.datapaths
def test_dhcpcd_sets_a_guest_up_and_the_kernel_hears_what_changes(
    stage: Stage, told: Told, tmp_path: Path
) -> None:
    fresh = stage.fresh
    settings = tmp_path / "dhcpcd.conf"
    settings.write_text(
        "noarp\nslaac private\noption interface_mtu, classless_static_routes, domain_search\n",
        encoding="utf-8",
    )
    script = "mount -t tmpfs none /run\nmount -t tmpfs none /var/lib\nmkdir -p /var/lib/dhcpcd\nexec "
    words = f"dhcpcd -B -d -f {settings} --script {told.script} eth0"
    with guided(stage), bare(fresh):
        client = fresh.vm.spawn(["unshare", "--mount", "sh", "-ec", script + words], Streams())
        try:
            wanted = {f"{fresh.ipv4}/24", f"{fresh.ipv6}/128"}
            until("both addresses", lambda: addresses(fresh) == wanted, WAIT)
            ways = {"10.0.0.0/24", "169.254.169.254", "192.0.2.0/24", "default"}
            until("its routes", lambda: {*routes(fresh, "-4")} == ways, WAIT)
            until("its router", lambda: "default" in routes(fresh, "-6"), WAIT)
            far = stage.far.addresses
            until("pings", lambda: all(ping(fresh.vm, a, 1, wait=0.5).reached for a in far), WAIT)
        finally:
            client.kill()
            client.wait(WAIT)
    with bare(fresh):
        until("its router", lambda: "default" in routes(fresh, "-6"), WAIT)
        declare(stage, mtu=1400)
        until("the other MTU", lambda: mtu(fresh) == "1400", WAIT)
        declare(stage, mtu=1450)
        until("the first MTU", lambda: mtu(fresh) == "1450", WAIT)


@pytest.mark.long
@pytest.mark.datapaths
def test_a_guest_is_told_of_names_where_they_are_served(stage: Stage, told: Told, tmp_path: Path) -> None:
    """Last of this file: nothing is declared, and names come and go."""
    fresh, host, control = stage.fresh, stage.host(stage.fresh), stage.base.control
    zone, near = f"{TENANT}.internal", stage.near
    with bare(fresh):
        control.serve(host)
        try:
            until("it is told of names", lambda: udhcpc(fresh, told).get("domain") == zone, WAIT)
            bound = udhcpc(fresh, told)
            assert (bound["dns"], bound["search"]) == ("169.254.169.253", zone)
            ways = bound["staticroutes"].split()
            fresh.vm.run(f"ip address add {bound['ip']}/24 dev eth0")
            for to, hop in zip(ways[::2], ways[1::2], strict=True):
                fresh.vm.run(f"ip route add {to} via {hop}")
            asked = ["dig", f"@{bound['dns']}", "+short", "+tries=1", "+time=2", f"{near.port}.{zone}"]
            until("its neighbour", lambda: fresh.vm.attempt(asked, 20).stdout.split() == [near.ipv4], WAIT)
            until("a link-local address", lambda: settled(fresh), WAIT)
            with dhclient(fresh, told, tmp_path, "-6"):
                over6 = until("an address", lambda: told.of("BOUND6"), WAIT)
            assert over6["new_dhcp6_name_servers"] == "fd00:ec2::253"
            assert over6["new_dhcp6_domain_search"] == f"{zone}."
        finally:
            control.unserve(host)
        until("nobody serves names", lambda: "dns" not in udhcpc(fresh, told), WAIT)


def network_of(stage: Stage) -> dict[str, Any]:
    (network,) = stage.base.control.get("network", "all", "--tenant", TENANT)
    return network


def declare(stage: Stage, **spec: object) -> None:
    network = network_of(stage)
    network.pop("status", None)
    stage.base.control.apply([network | {"spec": network["spec"] | spec}])


@contextmanager
def guided(stage: Stage) -> Iterator[None]:
    declare(
        stage,
        resolvers=["10.0.0.53", "fd00:10::53"],
        domain="a.example",
        search=["b.example"],
        guestRoutes=[{"prefix": "192.0.2.0/24", "nextHop": "10.0.0.61"}],
        lease=7200,
    )
    until("what is declared", lambda: "resolvers" in network_of(stage)["spec"], WAIT)
    try:
        yield
    finally:
        declare(stage, resolvers=[], domain="none", search=[], guestRoutes=[], lease=86400)


@contextmanager
def dhclient(who: Workload, told: Told, folder: Path, family: str) -> Iterator[None]:
    files = ["-lf", str(folder / "leases"), "-pf", str(folder / "pid")]
    words = ["dhclient", family, "-1", "-d", "-v", "-sf", str(told.script), *files, "eth0"]
    client = who.vm.spawn(words, Streams())
    try:
        yield
    finally:
        client.kill()
        client.wait(WAIT)


def seen(stage: Stage) -> list[dict[str, Any]]:
    return stage.base.control.get("port", stage.fresh.port, "--tenant", TENANT)


def settled(who: Workload) -> bool:
    """A link-local address that is past duplicate address detection."""
    shown = json.loads(who.vm.run("ip -j address show eth0"))
    return any(a["scope"] == "link" and not a.get("tentative") for a in shown[0]["addr_info"])


def addresses(who: Workload) -> set[str]:
    shown = json.loads(who.vm.run("ip -j address show eth0"))
    found = shown[0]["addr_info"]
    return {f"{a['local']}/{a['prefixlen']}" for a in found if a["scope"] == "global"}


def mtu(who: Workload) -> str:
    return who.vm.run("sysctl -n net.ipv6.conf.eth0.mtu").strip()


def held_back(host: Hypervisor) -> int:
    """Packets that the meters of questions dropped so far."""
    text = host.ofctl("meter-stats", host.management)
    found = re.findall(r"meter:(\d+) .*?\n\s*0: packet_count:(\d+)", text)
    ids = range(meter_id(Kind.ASKED, 0), meter_id(Kind.SERVED, 0))
    return sum(int(count) for number, count in found if int(number) in ids)
