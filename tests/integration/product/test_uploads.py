"""Agents on other hosts upload over TLS: exact with a host's own certificate, nothing with another one."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from controller.tls.papers import Papers
from tests.fakes.authority import Authority
from tests.integration.product.bill import at_rest, billed
from topologies.deadline import until
from topologies.fabrics import BRIDGE, UNDERLAY_MTU
from topologies.nodes.hypervisor import UPLINK, Hypervisor
from topologies.nodes.link import End, addressed, link
from topologies.nodes.node import LabNode
from topologies.nodes.router import Bridge
from topologies.scenarios.two_tenants import TwoTenants, Workload
from topologies.traffic.udp import UdpStream

pytestmark = [pytest.mark.integration, pytest.mark.long]

PORT = 6650
ADDRESS = "172.16.0.150"
LISTENING = "0A"
"""State of a socket in /proc/net/tcp."""
KNOCK = """
import socket, ssl, sys
context = ssl.create_default_context(cafile=sys.argv[2])
if sys.argv[4:]:
    context.load_cert_chain(*sys.argv[4:])
raw = socket.create_connection((sys.argv[1], int(sys.argv[3])), 10)
with context.wrap_socket(raw, server_hostname=sys.argv[1]) as sock:
    try:
        sock.sendall(b"POST /v1/usage HTTP/1.1\\r\\nHost: x\\r\\nContent-Length: 2\\r\\n\\r\\n{}")
        print("answered" if sock.recv(100) else "turned away")
    except OSError:
        print("turned away")
"""
"""A caller that believes the server, and shows the certificate that it is given, or none."""


@dataclass(frozen=True)
class Site:
    """Two hypervisors, and two authorities, of which the API believes `centre`."""

    scenario: TwoTenants
    centre: Authority
    stranger: Authority

    @property
    def ours(self) -> tuple[Hypervisor, ...]:
        return self.scenario.lab.hypervisors

    def connect(self) -> None:
        """The API's node gets a place in the hosts' underlay."""
        node, segment = self.scenario.control.node, self.scenario.lab.node(BRIDGE)
        assert isinstance(segment, Bridge)
        link(End(node, UPLINK), End(segment, "api"), UNDERLAY_MTU)
        segment.attach("api")
        node.run(addressed(UPLINK, f"{ADDRESS}/24"))

    def open(self) -> None:
        """From here on the API has a door."""
        papers = self.centre.server(ADDRESS)
        flags = ("--uploads", f"tls:0.0.0.0:{PORT}", *_flags("--uploads", papers))
        self.scenario.control.set_api(*flags)

    def certify(self, host: Hypervisor, papers: Papers) -> None:
        """Restart a host's agent as one that uploads over TLS with these papers, and no other way."""
        place = f"tls:{ADDRESS}:{PORT}"
        self.scenario.control.set_agent(host, "--api", place, *_flags("--api", papers))

    def log(self) -> str:
        return self.scenario.control.api.log.read_text()


def _flags(flag: str, papers: Papers) -> tuple[str, ...]:
    files = (("cert", papers.certificate), ("key", papers.key), ("ca", papers.authorities))
    return tuple(word for name, path in files for word in (f"{flag}-{name}", str(path)))


@pytest.fixture
def site(two_tenants_lab: Callable[..., TwoTenants], tmp_path: Path) -> Site:
    scenario = two_tenants_lab(2)
    scenario.await_reachability()
    for workload in scenario.workloads:  # else neighbour discovery is in the bill as well, whenever it likes
        workload.vm.run("sysctl -qw net.ipv6.conf.eth0.disable_ipv6=1")
    made = Site(scenario, Authority(tmp_path / "ca"), Authority(tmp_path / "other", "stranger"))
    made.connect()
    return made


def listening(node: LabNode) -> set[int]:
    """TCP ports, of all addresses."""
    lines = node.run("cat /proc/net/tcp /proc/net/tcp6").splitlines()
    fields = [line.split() for line in lines if ":" in line.split()[0]]
    return {int(f[1].rpartition(":")[2], 16) for f in fields if f[3] == LISTENING}


def send(here: Workload, there: Workload, count: int) -> int:
    """Layer-3 bytes; none is lost."""
    with UdpStream(here.vm, there.vm, there.ipv4, rate=1000, size=300, limit=count) as stream:
        result = stream.finish()
    assert result.sent == count and result.lost == 0, result
    return result.layer3_bytes


def test_a_host_uploads_over_tls_by_its_own_certificate_and_by_no_other(site: Site) -> None:
    scenario = site.scenario
    near, far = scenario.of("red")
    hv1, hv2 = site.ours
    assert [str(hv1.name), str(hv2.name)] == [near.host, far.host]
    # By the socket still: what a journal holds when its agent is cut off from there would come later.
    first = at_rest(scenario, (near, far))
    assert listening(scenario.control.node) == set()
    site.open()
    until("the door is open, and nothing else", lambda: listening(scenario.control.node) == {PORT}, 20)
    good, foreign = site.centre.host(near.host), site.stranger.host(far.host, trust=site.centre.file)
    site.certify(hv1, good)
    site.certify(hv2, foreign)

    # Its own name of the right authority: every byte. The right name of a foreign authority: none.
    sent = send(near, far, 700)
    kept = send(far, near, 500)
    until("hv1's bytes are in the ledger", lambda: billed(scenario, (near,))[0] >= first[0] + sent, 30)
    until("the foreign certificate is refused", lambda: "unable to get local issuer" in site.log(), 30)
    assert at_rest(scenario, (near, far)) == (first[0] + sent, first[1])

    # A good certificate of another host: nothing under either name.
    site.certify(hv2, good)
    until(
        "another host's certificate is refused", lambda: f"host {far.host}: the certificate" in site.log(), 60
    )
    kept += send(far, near, 300)
    assert at_rest(scenario, (near, far)) == (first[0] + sent, first[1])

    # None at all.
    words = [sys.executable, "-c", KNOCK, ADDRESS, str(site.centre.file), str(PORT)]
    with_good = hv1.attempt([*words, str(good.certificate), str(good.key)])
    assert (with_good.code, with_good.stdout) == (0, "answered\n"), with_good
    without = hv1.attempt(words)
    assert (without.code, without.stdout) == (0, "turned away\n"), without

    # What waited all the time is there to the byte, once the host has its own.
    site.certify(hv2, site.centre.host(far.host))
    until("all is there", lambda: billed(scenario, (far,))[0] >= first[1] + kept, 60)
    assert at_rest(scenario, (near, far)) == (first[0] + sent, first[1] + kept)
