"""A peer that flaps: 10,000 routes said, withdrawn and said again, then a reset, seven times; and 100,000 at
once.

It sits at the address of one of two reflectors. Real ExaBGP and Open vSwitch; numbered datagrams throughout,
of which none may be lost, and no flow may change. What agent, relay and ExaBGP take of memory is the same
after the last storm as after the third.
"""

from __future__ import annotations

import json
import socket
import struct
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest

from bgp.codec import communities, nlri, update
from model.ids import Mac, Vni
from model.route import Attributes, Distinguisher, MacRoute, Route
from tests.integration.evpn.rogue import UPDATE, message
from tests.integration.product.test_bad_input import children, converse, crashes, processes
from tests.integration.product.test_reflectors import await_sessions, learned, undisturbed
from tests.integration.product.test_restarts import Monitor
from tests.integration.product.witness import vni
from topologies import faults
from topologies.deadline import until
from topologies.fabrics import ASN, Plan
from topologies.lab import Lab, say_on_stderr
from topologies.nodes.frr import FrrNode
from topologies.nodes.hypervisor import Hypervisor
from topologies.scenarios import two_tenants
from topologies.scenarios.two_tenants import TwoTenants
from topologies.traffic.endpoint import open_socket

pytestmark = [pytest.mark.integration, pytest.mark.long, pytest.mark.timeout(400)]

HOSTS = ("hv1", "hv2")
DEAD = "rr2/"
COUNT, STORMS, SETTLED = 10_000, 7, 3
FLOOD = 100_000
PACKED = 40
"""Routes in an UPDATE."""
_PROCESSED = 120.0
_IN_FLIGHT = 16 << 10
"""Octets on their way at a time: the switch's queue from the underlay has the streams' datagrams in it, too,
and a megabyte at once would push them out."""
_ON_RESET = struct.pack("ii", 1, 0)
"""SO_LINGER: closing resets the connection."""
MARGIN = 8 << 20
"""Bytes by which a process may differ after four more storms, of new routes each: of 40,000 routes not a
fifth could hide in it."""
ROOM = 64 << 20
"""Bytes by which a process may grow by 100,000 routes."""


@dataclass(frozen=True, slots=True)
class Evil:
    """The peer at the address of `reflector`, which is dead."""

    scenario: TwoTenants
    reflector: FrrNode
    server: socket.socket

    @contextmanager
    def sessions(self) -> Iterator[dict[str, socket.socket]]:
        """One with each host, by the book, under the name of the other: routes are said to be there. At the
        end all are reset."""
        others = dict(zip(self.vteps().values(), reversed(HOSTS), strict=True))
        with ExitStack() as stack:
            links = {}
            for _ in HOSTS:
                link, (address, _) = self.server.accept()
                stack.enter_context(link)
                link.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _ON_RESET)
                link.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _IN_FLIGHT)
                converse(link, socket.inet_aton(self.reflector.address), [])
                link.settimeout(_PROCESSED)
                links[others[address]] = link
            yield links

    def vteps(self) -> dict[str, str]:
        return {str(h.name): h.vtep_address for h in self.scenario.lab.hypervisors}

    def routes(self, there: str, first: int, count: int) -> list[tuple[bytes, ...]]:
        """NLRIs of MACs in red's network that no port has, PACKED at a time."""
        code = Vni(vni(self.scenario, "red"))
        rd = nlri.distinguisher(Distinguisher(int(ip_address(self.vteps()[there])), 900))
        made = [nlri.encode(MacRoute(rd, Mac(0x02EE00000000 + first + n), None, code)) for n in range(count)]
        return [tuple(made[at : at + PACKED]) for at in range(0, count, PACKED)]

    def said(self, there: str, groups: list[tuple[bytes, ...]], sequence: int) -> list[bytes]:
        """UPDATEs that announce them with the VTEP of a host."""
        hop, code = ip_address(self.vteps()[there]), Vni(vni(self.scenario, "red"))
        target = (communities.route_target(ASN, code),)
        hung = Attributes(hop, target, sequence=sequence, encapsulations=(communities.VXLAN,))
        rest = update.split(update.encode(Route(MacRoute(bytes(8), Mac(0), None, code), hung))).rest
        return [update.join(update.Parts(group, hop.packed, (), rest)) for group in groups]

    def neighbour(self, name: str) -> dict[str, Any]:
        """What a host says of the session with it."""
        done = self.scenario.control.run("evpn", "neighbors", "--host", name, "-o", "json")
        assert done.ok, done.stderr
        return next(i for i in json.loads(done.stdout)["items"] if i["peer"] == self.reflector.address)

    def await_heard(self, announced: int, withdrawn: int) -> None:
        """Each host has heard so many routes in this session, and its end."""

        def heard(name: str) -> bool:
            said = self.neighbour(name)
            return (said["state"], said["received"], said["withdrawn"], said["replayed"]) == (
                "established",
                announced,
                withdrawn,
                "yes",
            )

        for name in HOSTS:
            until(f"{name} has heard all of it", lambda n=name: heard(n), _PROCESSED)


@pytest.fixture(scope="module")
def scenario(_labs: Any) -> TwoTenants:
    def build(name: str) -> tuple[Lab, TwoTenants]:
        made = two_tenants.build_bridged(name, Plan(len(HOSTS), reflectors=2), say_on_stderr)
        return made.lab, made

    made: TwoTenants = _labs.once(("storms",), build)
    made.await_reachability()
    await_sessions(made, 2)
    return made


@pytest.fixture
def evil(scenario: TwoTenants) -> Iterator[Evil]:
    reflector = scenario.lab.reflectors[1]
    faults.kill_reflector(reflector)
    await_sessions(scenario, 1)
    with open_socket(reflector, socket.AF_INET, socket.SOCK_STREAM) as server:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        server.bind((reflector.address, 179))
        server.listen(4)
        server.settimeout(60)
        yield Evil(scenario, reflector, server)
    reflector.revive()
    await_sessions(scenario, 2)


@contextmanager
def untouched(scenario: TwoTenants, folder: Path) -> Iterator[None]:
    """No flow of any switch changes meanwhile; its monitor has seen one that did."""
    control = "table=200"
    with ExitStack() as stack:
        monitors = []
        for node in scenario.lab.hypervisors:
            monitors.append(monitor := Monitor(node, folder / f"monitor-{node.name}"))
            stack.callback(monitor.close)

            def seen(node: Hypervisor = node, monitor: Monitor = monitor) -> bool:
                node.ofctl("add-flow", node.management, f"cookie=0x1,{control},actions=drop")
                node.ofctl("del-flows", node.management, control)
                return any(control in change for change in monitor.changes())

            until("the monitor watches", seen, 10)
        yield
        assert [c for m in monitors for c in m.changes() if control not in c] == []


def resident(pid: int) -> int:
    """Bytes of memory (proc(5))."""
    status = Path(f"/proc/{pid}/status").read_text()
    return next(int(line.split()[1]) << 10 for line in status.splitlines() if line.startswith("VmRSS:"))


def memory(scenario: TwoTenants) -> dict[str, int]:
    """Of each agent, relay, ExaBGP and its helper."""
    found = {}
    for name in HOSTS:
        found[f"agent {name}"] = resident(scenario.control.agents[name].pid)
        relay = scenario.control.speakers[name].pid
        for kind, pid in zip(("relay", "exabgp", "helper"), (relay, *children(relay)), strict=True):
            found[f"{kind} {name}"] = resident(pid)
    return found


def storm(evil: Evil, number: int) -> None:
    """MACs of its own, said, withdrawn, said again; then the session is reset."""
    with evil.sessions() as links:
        for there, link in links.items():
            groups = evil.routes(there, number * COUNT, COUNT)
            said = evil.said(there, groups, number)
            gone = [update.join(update.Parts(unreach=group)) for group in groups]
            for body in (*said, *gone, *said, update.end_of_rib()):
                link.sendall(message(UPDATE, body))
        evil.await_heard(2 * COUNT, COUNT)
        assert [evil.neighbour(name)["refused"] for name in HOSTS] == [COUNT] * len(HOSTS)
    await_sessions(evil.scenario, 1)


def test_memory_is_the_same_after_the_third_storm_and_after_the_last(evil: Evil, tmp_path: Path) -> None:
    scenario = evil.scenario
    known, before, sizes = learned(scenario), processes(scenario, but=DEAD), [memory(scenario)]
    with untouched(scenario, tmp_path), undisturbed(scenario):
        for number in range(1, STORMS + 1):
            storm(evil, number)
            sizes.append(memory(scenario))
            print(
                f"after storm {number}:", {name: size >> 10 for name, size in sizes[-1].items()}, flush=True
            )
        assert learned(scenario) == known
    grown = {name: sizes[-1][name] - sizes[SETTLED][name] for name in sizes[0]}
    print("kB more since the third:", {name: size >> 10 for name, size in grown.items()})
    assert max(grown.values()) < MARGIN, grown
    assert processes(scenario, but=DEAD) == before and crashes(scenario) == []


def test_a_hundred_thousand_routes_at_once_take_bounded_memory(evil: Evil, tmp_path: Path) -> None:
    """The relay keeps them as bytes, up to `--max-routes`; the agent keeps 10,000 refused ones and counts
    the rest."""
    scenario = evil.scenario
    known, before, sizes = learned(scenario), processes(scenario, but=DEAD), memory(scenario)
    # Encoded beforehand: the streams of this process wait for it as well.
    floods = {there: evil.said(there, evil.routes(there, 1 << 24, FLOOD), 1) for there in HOSTS}
    with untouched(scenario, tmp_path), undisturbed(scenario), evil.sessions() as links:
        for there, link in links.items():
            for body in floods[there]:
                link.sendall(message(UPDATE, body))
            link.sendall(message(UPDATE, update.end_of_rib()))
        evil.await_heard(FLOOD, 0)
        now = memory(scenario)
        for name in HOSTS:
            assert evil.neighbour(name)["refused"] == 10_000
        until("the alarm", lambda: "not listed" in scenario.control.run("status", "-o", "json").stdout, 30)
        assert learned(scenario) == known
    grown = {name: now[name] - sizes[name] for name in sizes}
    print("kB more:", {name: size >> 10 for name, size in grown.items()})
    assert max(grown.values()) < ROOM, grown
    assert processes(scenario, but=DEAD) == before and crashes(scenario) == []
