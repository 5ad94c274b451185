"""Witnesses: captures of many VMs at once with their controls, guests beyond the scenario's, drop counters.

Place: shared by the tests of isolation and of compromised hosts. Must not judge; it refuses to testify
(LabError) when a capture has not seen its controls.
"""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from types import TracebackType
from typing import Any

from pipelines.tables import number
from topologies.deadline import PATIENCE, within
from topologies.nodes.hypervisor import Hypervisor, plug
from topologies.scenarios.two_tenants import API_VERSION, NETWORK, SUBNETS, TwoTenants, Workload
from topologies.traffic.capture import Capture, beacon, contains, incoming

_FLOW = re.compile(r"table=(\d+), n_packets=(\d+),.* actions=drop")


class Witness:
    """A capture at each guest; `senders`: for each guest's name a guest of its network that can reach it."""

    def __init__(self, guests: Sequence[Workload], senders: dict[str, Workload]) -> None:
        self._guests, self._senders = guests, senders
        self._stack = ExitStack()
        self._captures: dict[str, Capture] = {}

    def __enter__(self) -> Witness:
        for guest in self._guests:
            self._captures[guest.name] = self._stack.enter_context(Capture(guest.vm))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def control(self) -> None:
        """Each capture must see a packet now that a neighbour sends to it through the overlay."""
        for guest in self._guests:
            marker = os.urandom(16)
            send = beacon(self._senders[guest.name].vm, guest.ipv4, marker)
            self._captures[guest.name].confirm(send, incoming(contains(marker)))

    def places(self, sign: bytes) -> Counter[str]:
        """How many frames with these bytes came out at which guest; needs a control before and after."""
        found = {n: len(c.leaks(incoming(contains(sign)))) for n, c in self._captures.items()}
        return Counter({name: count for name, count in found.items() if count})


def drops(host: Hypervisor) -> Counter[int]:
    """Packets that flows without actions have counted so far, by table."""
    host.appctl("revalidator/purge")  # brings the counters up to date at once; `wait` takes a second
    found: Counter[int] = Counter()
    for line in host.ofctl("dump-flows", host.management).splitlines():
        match = _FLOW.search(line)
        if match:
            found[int(match[1])] += int(match[2])
    found[number("resolve")] += found.pop(number("output"), 0)  # for nobody: ends only behind its counter
    return found


def risen(host: Hypervisor, before: Counter[int], table: int, least: int, timeout: float = PATIENCE) -> int:
    """By how much a table's drops rose; waits until it is `least` or the time is over."""
    rise = 0

    def enough() -> bool:
        nonlocal rise
        rise = drops(host)[table] - before[table]
        return rise >= least

    within(enough, timeout)
    return rise


@dataclass(frozen=True, slots=True)
class Guest:
    """A VM to add: `addresses` within the scenario's subnets, `hosts` allowed; plugged into the first."""

    tenant: str
    network: str
    port: str
    number: int
    hosts: tuple[str, ...]


def document(kind: str, metadata: dict[str, str], spec: dict[str, Any]) -> dict[str, Any]:
    """A manifest."""
    made: dict[str, Any] = {"apiVersion": API_VERSION, "kind": kind, "metadata": metadata}
    return made | ({"spec": spec} if spec else {})


def port_document(guest: Guest) -> dict[str, Any]:
    """The guest's Port."""
    addresses = [f"10.0.0.{guest.number}", f"fd00:10::{guest.number}"]
    spec = {"network": guest.network, "addresses": addresses, "hosts": list(guest.hosts)}
    return document("Port", {"name": guest.port, "tenant": guest.tenant}, spec)


def seat(scenario: TwoTenants, guests: Iterable[Guest]) -> list[Workload]:
    """Apply the guests' tenants, networks and ports, plug their VMs, and wait until they are bound."""
    wanted = tuple(guests)
    documents = []
    for tenant, network in sorted({(g.tenant, g.network) for g in wanted}):
        documents.append(document("Tenant", {"name": tenant}, {}))
        spec = {"subnets": list(SUBNETS)}
        documents.append(document("Network", {"name": network, "tenant": tenant}, spec))
    scenario.control.apply([*documents, *map(port_document, wanted)])
    ports = {(p["metadata"]["tenant"], p["metadata"]["name"]): p for p in scenario.control.get("ports")}
    made = []
    for guest in wanted:
        port = ports[guest.tenant, guest.port]
        vm = scenario.lab.vm(f"{guest.tenant}{guest.number}")
        host = scenario.lab.node(guest.hosts[0])
        assert isinstance(host, Hypervisor)
        cidrs = (f"10.0.0.{guest.number}/24", f"fd00:10::{guest.number}/64")
        uid, mac, ifname = port["metadata"]["uid"], port["spec"]["mac"], f"tap-{vm.name}"
        plug(host, vm, ifname, uid, mac, cidrs)
        made.append(Workload(guest.tenant, guest.port, uid, mac, cidrs, str(host.name), vm, ifname))
    scenario.control.await_bound()
    return made


def vni(scenario: TwoTenants, tenant: str) -> int:
    """The VNI of a tenant's network `net`."""
    (network,) = scenario.control.get("network", NETWORK, "--tenant", tenant)
    return int(network["spec"]["vni"])


def holds(condition: Callable[[], object]) -> Callable[[], bool]:
    """The condition as a bool; an AssertionError within counts as not yet."""

    def checked() -> bool:
        try:
            return bool(condition())
        except AssertionError:
            return False

    return checked
