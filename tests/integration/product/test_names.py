"""Ports ask for names with dig, and for metadata; `ringfenced services` answers them.

Two tenants with the same addresses and the same names of ports. What asks is real, and what it sends is
looked for wherever it must not come.
"""

from __future__ import annotations

import http.client
import json
import socket
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path

import dns.message
import pytest
from scapy.layers.inet import IP, UDP
from scapy.layers.l2 import Ether
from scapy.packet import Raw

from pipelines.tables import number
from tests.integration.product.witness import drops, risen
from topologies.deadline import until
from topologies.faults import restart_switch
from topologies.nodes.hypervisor import Hypervisor
from topologies.process import Daemon
from topologies.scenarios.two_tenants import TwoTenants, Workload
from topologies.traffic.capture import Capture, contains, incoming
from topologies.traffic.endpoint import family_of, open_socket
from topologies.traffic.frames import inject

pytestmark = [pytest.mark.integration, pytest.mark.long, pytest.mark.datapaths]

NAMES = ("169.254.169.253", "fd00:ec2::253")
METADATA = ("169.254.169.254", "fd00:ec2::254")
GATEWAY_MAC = "0a:00:52:f1:00:01"
WIRE = "rf-services"
ALIASED = number("aliased")


@dataclass(frozen=True, slots=True)
class Stage:
    scenario: TwoTenants

    @property
    def host(self) -> Hypervisor:
        return self.scenario.lab.hypervisors[0]

    @property
    def services(self) -> Daemon:
        """What answers on `host`."""
        return self.scenario.control.services[self.host.name]

    def here(self, tenant: str) -> Workload:
        return self.scenario.at(tenant, str(self.host.name))

    def there(self, tenant: str) -> Workload:
        return self.scenario.at(tenant, str(self.scenario.lab.hypervisors[1].name))


@pytest.fixture(scope="module")
def stage(two_tenants_lab) -> Iterator[Stage]:
    scenario: TwoTenants = two_tenants_lab()
    scenario.await_reachability()
    for host in scenario.lab.hypervisors:
        scenario.control.serve(host)
    for workload in scenario.workloads:
        # As DHCP would say it: on the link; and all else by the gateway.
        on_link = "; ".join(f"ip route replace {at}/32 dev eth0" for at in (NAMES[0], METADATA[0]))
        workload.vm.run(f"{on_link}; ip -6 route replace default via fd00:10::1")
    for workload in scenario.workloads:
        until("names are served", lambda w=workload: told(w, f"vm1.{w.tenant}.internal"), 30)
    yield Stage(scenario)
    for host in scenario.lab.hypervisors:
        scenario.control.unserve(host)


def dig(workload: Workload, *words: str, server: str = NAMES[0]) -> str:
    """What dig prints of an answer, without what it says of itself."""
    command = ["dig", f"@{server}", "+tries=1", "+time=2", "+noall", "+comments", "+answer", *words]
    return workload.vm.attempt(command, 20).stdout


def told(workload: Workload, *words: str, server: str = NAMES[0]) -> list[str]:
    """The data of the answer's records."""
    command = ["dig", f"@{server}", "+tries=1", "+time=2", "+short", *words]
    found = workload.vm.attempt(command, 20)
    return found.stdout.split() if found.ok else []


@pytest.mark.parametrize("way", ["+notcp", "+tcp"])
@pytest.mark.parametrize("server", NAMES)
def test_equal_addresses_of_two_tenants_lead_to_each_ones_own_names(
    stage: Stage, server: str, way: str
) -> None:
    for tenant, other in (("red", "blue"), ("blue", "red")):
        asker, far = stage.here(tenant), stage.there(tenant)
        assert far.addresses == stage.there(other).addresses, "the scenario is about equal addresses"
        assert told(asker, f"{far.port}.{tenant}.internal", way, server=server) == [far.ipv4]
        own = told(asker, f"{far.port}.net.{tenant}.internal", "AAAA", way, server=server)
        assert own == [far.ipv6]
        for address in far.addresses:
            names = told(asker, "-x", address, way, server=server)
            assert names == [f"{far.port}.net.{tenant}.internal."]
        theirs = dig(asker, f"{far.port}.{other}.internal", way, server=server)
        nobodys = dig(asker, f"{far.port}.nobody.internal", way, server=server)
        assert "status: NXDOMAIN" in theirs and "status: NXDOMAIN" in nobodys
        assert far.ipv4 not in theirs


def test_edns_and_what_is_outside(stage: Stage) -> None:
    asker = stage.here("red")
    said = dig(asker, "vm2.red.internal", "+bufsize=4096", "+dnssec")
    assert "status: NOERROR" in said and "udp: 1232" in said
    assert "status: REFUSED" in dig(asker, "www.example.com")
    assert "status: REFUSED" in dig(asker, "red.internal", "AXFR", "+tcp") or "Transfer failed" in dig(
        asker, "red.internal", "AXFR", "+tcp"
    )


def test_a_new_port_has_its_name_at_once_on_every_host(stage: Stage) -> None:
    control = stage.scenario.control
    made = {
        "apiVersion": "ringfence/v1",
        "kind": "Port",
        "metadata": {"name": "late", "tenant": "red"},
        "spec": {"network": "net", "addresses": ["10.0.0.77"], "hosts": [str(stage.host.name)]},
    }
    assert told(stage.there("red"), "late.red.internal") == []
    control.apply([made])
    try:
        for asker in (stage.here("red"), stage.there("red")):
            until("the new name", lambda w=asker: told(w, "late.red.internal") == ["10.0.0.77"], 30)
        assert "status: NXDOMAIN" in dig(stage.here("blue"), "late.red.internal")
    finally:
        control.run("delete", "port", "late", "--tenant", "red")
    until("it is gone", lambda: "NXDOMAIN" in dig(stage.there("red"), "late.red.internal"), 30)


def document(kind: str, name: str, spec: dict[str, object]) -> dict[str, object]:
    return {"apiVersion": "ringfence/v1", "kind": kind, "metadata": {"name": name}, "spec": spec}


def test_a_gang_has_names_where_its_tenant_has_ports_and_its_nodes_are_not(
    stage: Stage, tmp_path: Path
) -> None:
    """Its nodes are declared, and nowhere: names come of what is reserved."""
    control, nodes = stage.scenario.control, ("far1", "far2")
    pf = {"name": "rail0", "pci": "0000:18:00.0", "kind": "roce", "rail": 0, "vfs": 4}
    rail = {"name": "rail0", "ipv4": "10.144.0.0/16", "ipv6": "fd00:144::/48", "leaf": "leaf0"}
    fabric = document("Fabric", "lab", {"kind": "roce", "addressing": "link", "block4": 27, "rails": [rail]})
    hosts = [document("Hypervisor", name, {"vtep": f"192.0.2.{200 + n}"}) for n, name in enumerate(nodes)]
    servers = [document("Node", name, {"sku": "lab", "fabric": "lab", "host": name}) for name in nodes]
    everything = [document("Sku", "lab", {"gpus": [], "pfs": [pf]}), fabric, *hosts, *servers]
    written, path, name = tmp_path / "all.yaml", tmp_path / "job.json", "rank-1.job.gang.red.internal"
    written.write_text("".join(f"---\n{json.dumps(one)}\n" for one in everything))
    path.write_text(json.dumps({"tenant": "red", "name": "job", "fabric": "lab", "count": 2}))
    control.apply(everything)
    done = control.run("gang", "request", "-f", str(path))
    assert done.ok, done.stderr
    try:
        for asker in (stage.here("red"), stage.there("red")):
            (four,) = until("its second node", lambda w=asker: told(w, name), 30)
            (six,) = told(asker, name, "AAAA")
            for address in (four, six):
                assert told(asker, "-x", address) == [f"rail-0.{name}."]
        near = stage.here("blue")
        assert "status: NXDOMAIN" in dig(near, name) and "NXDOMAIN" in dig(near, name.replace("red", "blue"))
        assert told(near, "-x", four) == []
    finally:
        assert control.run("gang", "release", "job", "--tenant", "red").ok
        done = control.run("delete", "-f", str(written))
    assert done.ok, done.stderr
    until("it is gone", lambda: "NXDOMAIN" in dig(stage.there("red"), name), 30)


def fetch(workload: Workload, path: str, at: str, method: str = "GET", **headers: str) -> tuple[int, str]:
    """Status and body of a request for metadata."""
    with open_socket(workload.vm, family_of(at), socket.SOCK_STREAM) as made:
        made.settimeout(20)
        made.connect((at, 80))
        client = http.client.HTTPConnection(at, 80)
        client.sock = made
        client.request(method, path, headers={name.replace("_", "-"): text for name, text in headers.items()})
        said = client.getresponse()
        return said.status, said.read().decode()


@pytest.mark.parametrize("at", METADATA)
def test_each_port_is_told_of_its_own_instance(stage: Stage, at: str) -> None:
    for workload in stage.scenario.workloads:
        own = f"{workload.port}.{workload.tenant}.internal"
        assert fetch(workload, "/latest/meta-data/instance-id", at) == (200, workload.uid)
        assert fetch(workload, "/latest/meta-data/local-hostname", at) == (200, own)
        macs = fetch(workload, "/latest/meta-data/network/interfaces/macs/", at)
        assert macs == (200, f"{workload.mac}/")


def test_user_data_are_told_to_the_port_that_has_them(stage: Stage) -> None:
    control, red = stage.scenario.control, stage.here("red")
    (declared,) = control.get("port", red.port, "--tenant", "red")
    declared.pop("status", None)
    data, path = "#cloud-config\npackages: [nginx]\n", "/latest/user-data"
    control.apply([declared | {"spec": declared["spec"] | {"userData": data}}])
    try:
        until("its user data", lambda: fetch(red, path, METADATA[0]) == (200, data), 30)
        assert fetch(red, "/nocloud/user-data", METADATA[1]) == (200, data)
        for other in (stage.here("blue"), stage.there("red")):
            assert fetch(other, path, METADATA[0])[0] == 404
    finally:
        control.apply([declared | {"spec": declared["spec"] | {"userData": ""}}])
    until("they are gone", lambda: fetch(red, path, METADATA[0])[0] == 404, 30)


def test_a_token_of_another_tenants_equal_port_is_worthless(stage: Stage) -> None:
    red, blue, at = stage.here("red"), stage.here("blue"), METADATA[0]
    status, token = fetch(blue, "/latest/api/token", at, "PUT", X_aws_ec2_metadata_token_ttl_seconds="60")
    assert status == 200
    for workload, expected in ((blue, 200), (red, 401)):
        said = fetch(workload, "/latest/meta-data/instance-id", at, X_aws_ec2_metadata_token=token)
        assert said[0] == expected
    assert fetch(red, "/latest/meta-data/", at, X_Forwarded_For="10.0.0.11")[0] == 403
    assert fetch(red, "/latest/meta-data/", at, Host="rebound.example")[0] == 400


def asked(workload: Workload, name: str, *, source: str = "", mac: str = "", to: str = GATEWAY_MAC) -> bytes:
    """A question as a frame, by whomever it claims to be."""
    head = Ether(src=mac or workload.mac, dst=to) / IP(src=source or workload.ipv4, dst=NAMES[0])
    wire = dns.message.make_query(name, "A").to_wire()
    return bytes(head / UDP(sport=40053, dport=53) / Raw(wire))


def test_who_asks_is_who_sent_it_whatever_it_says(stage: Stage) -> None:
    """On the wire each port is its key, in 10.0.0.0/8; what is forged never gets there."""
    red, blue = stage.here("red"), stage.here("blue")
    assert red.addresses == blue.addresses
    with Capture(stage.host, WIRE) as wire:
        before = {}
        for who in (red, blue):
            name = f"honest-{who.tenant}.internal"
            wire.confirm(
                lambda w=who, n=name: inject(w.vm, "eth0", [asked(w, n)]), contains(name[:-9].encode())
            )
            (first, *_) = wire.matching(contains(name[:-9].encode()))
            before[who.tenant] = IP(first.raw[14:]).src
        assert before["red"] != before["blue"]
        assert not {*before.values()} & {red.ipv4, blue.ipv4}
        forged = [
            asked(blue, "forged-mac.internal", mac=red.mac),
            asked(blue, "forged-neighbour.internal", source=stage.there("blue").ipv4),
            asked(blue, "forged-alias.internal", source=before["red"]),
            asked(blue, "forged-server.internal", source=NAMES[0]),
        ]
        inject(blue.vm, "eth0", forged)
        wire.confirm(lambda: inject(blue.vm, "eth0", [asked(blue, "control")]), contains(b"control"))
        assert wire.leaks(contains(b"forged-")) == ()


def test_no_pair_lets_a_port_answer_in_our_place(stage: Stage) -> None:
    red, near = stage.here("red"), stage.there("red")
    control = stage.scenario.control
    (document,) = control.get("port", red.port, "--tenant", "red")
    document.pop("status", None)
    wide = document | {"spec": document["spec"] | {"allowedAddresses": [{"prefix": "128.0.0.0/2"}]}}
    control.apply([wide])
    try:
        with Capture(near.vm) as capture:

            def answer(source: str, marker: bytes) -> bytes:
                head = Ether(src=red.mac, dst=near.mac) / IP(src=source, dst=near.ipv4)
                return bytes(head / UDP(sport=53, dport=40000) / Raw(marker))

            send = [answer("169.254.169.200", b"any-other-address")]
            capture.confirm(
                lambda: inject(red.vm, "eth0", send), incoming(contains(b"any-other-address")), 20
            )
            for source in (NAMES[0], "169.254.169.254"):
                inject(red.vm, "eth0", [answer(source, b"posing-as-names")] * 3)
            capture.confirm(
                lambda: inject(red.vm, "eth0", send), incoming(contains(b"any-other-address")), 20
            )
            assert capture.leaks(incoming(contains(b"posing-as-names"))) == ()
    finally:
        control.apply([document | {"spec": document["spec"] | {"allowedAddresses": []}}])


def test_while_nobody_answers_questions_end_and_are_counted(stage: Stage) -> None:
    red, near, services = stage.here("red"), stage.there("red"), stage.services
    services.kill()
    try:
        until("the agent sees it", lambda: not led(stage.host), 20)
        before = drops(stage.host)
        with Capture(near.vm) as capture:
            plain = Ether(src=red.mac, dst=near.mac) / IP(src=red.ipv4, dst=near.ipv4) / UDP(dport=53)
            sent = [bytes(plain / Raw(b"to-the-neighbour"))]
            arrived = incoming(contains(b"to-the-neighbour"))
            capture.confirm(lambda: inject(red.vm, "eth0", sent), arrived)
            for to in (GATEWAY_MAC, near.mac, "ff:ff:ff:ff:ff:ff"):
                inject(red.vm, "eth0", [asked(red, "nobody-answers", to=to)] * 3)
            assert risen(stage.host, before, ALIASED, 9) == 9
            capture.confirm(lambda: inject(red.vm, "eth0", sent), arrived)
            assert capture.leaks(contains(b"nobody-answers")) == ()
    finally:
        services.start()
    until("it is back", lambda: told(red, "vm2.red.internal"), 30)


def led(host: Hypervisor) -> list[str]:
    """Flows that lead questions to whoever answers."""
    listed = host.ofctl("dump-flows", host.management, f"table={ALIASED}").splitlines()
    return [line for line in listed if "output" in line]


def ask_on(connection: socket.socket, name: str) -> list[str]:
    wire = dns.message.make_query(name, "A").to_wire()
    connection.sendall(struct.pack("!H", len(wire)) + wire)
    head = connection.recv(2, socket.MSG_WAITALL)
    (length,) = struct.unpack("!H", head)
    said = dns.message.from_wire(connection.recv(length, socket.MSG_WAITALL))
    return [rdata.to_text() for rrset in said.answer for rdata in rrset]


def test_a_connection_outlives_the_agent_and_names_a_restart_without_it(stage: Stage) -> None:
    control, red, near = stage.scenario.control, stage.here("red"), stage.there("red")
    agent, services = control.agents[stage.host.name], stage.services
    with open_socket(red.vm, socket.AF_INET, socket.SOCK_STREAM) as connection:
        connection.settimeout(20)
        connection.connect((NAMES[0], 53))
        assert ask_on(connection, "vm2.red.internal") == [near.ipv4]
        agent.kill()
        control.api.kill()
        try:
            assert ask_on(connection, "vm2.red.internal") == [near.ipv4]
            assert told(red, "vm2.red.internal", "+tcp") == [near.ipv4]
            services.kill()
            services.start()
            until("without agent and API", lambda: told(red, "vm2.red.internal"), 20)
        finally:
            control.api.start()
            agent.start()
    until("with the agent", lambda: told(red, "vm2.red.internal", "+tcp"), 30)


def test_a_restart_of_open_vswitch_loses_no_name(stage: Stage) -> None:
    red = stage.here("red")
    assert ip_address(told(red, "vm1.red.internal")[0])
    restart_switch(stage.host)
    until("names again", lambda: told(red, "vm1.red.internal", "+tcp"), 60)
