"""A real guest boots with nothing: it gets its address by our DHCP, finds its neighbours by our names,
reaches them, and reads of itself what our metadata say.

QEMU emulates the machine; kernel, resolver (glibc's, in busybox) and DHCP client in it are Debian's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest

from tests.integration.product.witness import document
from topologies.deadline import until
from topologies.nodes.machine import Identity, Machine
from topologies.process import Outcome
from topologies.scenarios.two_tenants import NETWORK, TwoTenants, Workload
from topologies.traffic.ping import ping

# Emulation is slow, and the machine that runs this may be busy.
pytestmark = [pytest.mark.integration, pytest.mark.long, pytest.mark.timeout(600)]

NAME, ADDRESS, PATIENCE = "booted", "10.0.0.78", 120
NAMES = "169.254.169.253"


@dataclass(frozen=True)
class Stage:
    """`guest` is on the first host, of red; nobody told it anything."""

    base: TwoTenants
    guest: Machine

    @property
    def here(self) -> Workload:
        return self.base.at("red", str(self.guest.hypervisor.name))

    @property
    def there(self) -> Workload:
        return next(w for w in self.base.of("red") if w is not self.here)


@pytest.fixture(scope="module")
def stage(two_tenants_lab: Callable[..., TwoTenants]) -> Iterator[Stage]:
    """Nothing is declared but a port, and names are served before the guest asks for the first time."""
    base = two_tenants_lab(2)
    first = base.lab.hypervisors[0]
    spec = {"network": NETWORK, "addresses": [ADDRESS], "hosts": [str(first.name)]}
    base.control.apply([document("Port", {"name": NAME, "tenant": "red"}, spec)])
    (port,) = base.control.get("port", NAME, "--tenant", "red")
    guest = Machine(first, Identity(NAME, port["metadata"]["uid"], port["spec"]["mac"], ()), "vnet0")
    made = Stage(base, guest)
    base.control.serve(first)
    made.here.vm.run(f"ip route replace {NAMES}/32 dev eth0")
    question = ["dig", f"@{NAMES}", "+short", "+tries=1", "+time=1", f"{NAME}.red.internal"]
    until(
        "names are served", lambda: made.here.vm.attempt(question, 20).stdout.split() == [ADDRESS], PATIENCE
    )
    guest.boot()
    yield made
    guest.end()
    base.control.unserve(first)


def heard(guest: Machine) -> bool:
    """Whether it was answered, and did what the answer says."""
    return guest.run("test -s /etc/resolv.conf").ok


def test_it_gets_its_address_its_name_and_its_way_out(stage: Stage) -> None:
    guest = stage.guest
    until("it was answered", lambda: heard(guest), PATIENCE)
    assert f"inet {ADDRESS}/24 " in guest.run("ip address show dev eth0").stdout
    assert "default via 10.0.0.1 " in guest.run("ip route show").stdout
    assert guest.run("hostname").stdout.split() == [NAME]
    assert guest.run("cat /etc/resolv.conf").stdout.split() == ["nameserver", NAMES, "search", "red.internal"]


def test_it_reaches_its_neighbours_by_name_and_nobody_of_another_tenant(stage: Stage) -> None:
    guest = stage.guest
    until("it was answered", lambda: heard(guest), PATIENCE)
    for neighbour in (stage.here, stage.there):
        for name in (neighbour.port, f"{neighbour.port}.red.internal"):

            def reached(name: str = name) -> Outcome | None:
                said = guest.run(f"ping -4 -c 1 -W 2 {name}")
                return said if said.ok else None

            said = until(f"it reaches {name}", reached, PATIENCE)
            assert f"PING {name} ({neighbour.ipv4})" in said.stdout
    for name in (f"{stage.there.port}.blue.internal", "nobody.red.internal"):
        said = guest.run(f"ping -4 -c 1 -W 2 {name}")
        assert not said.ok and "bad address" in said.stdout, said.stdout
    assert guest.run(f"ping -4 -c 1 -W 2 {stage.there.port}").ok, "names are answered, still"
    until("a neighbour reaches it", lambda: ping(stage.there.vm, ADDRESS, 1).reached, PATIENCE)


def test_it_reads_who_it_is(stage: Stage) -> None:
    guest = stage.guest
    until("it was answered", lambda: heard(guest), PATIENCE)

    def told(path: str) -> str:
        return guest.run(f"wget -q -O - http://169.254.169.254/latest/meta-data/{path}").stdout.strip()

    until("metadata", lambda: told("instance-id") == guest.identity.uid, PATIENCE)
    assert told("local-ipv4") == ADDRESS
    assert told("local-hostname") == f"{NAME}.red.internal"
