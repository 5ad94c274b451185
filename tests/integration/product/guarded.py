"""The stage of the tests of security policy: who is there, policies that come and go, and connections.

Place: shared by the tests of one lab (test_policy). Must not judge.

Two hypervisors; of red, `here`, `near` (hv1) and `there` (hv2) in the network `net`, `side` (hv1) and `far`
(hv2) in `far`, `apart` (hv1) and `friend` (hv2) in `apart`, which is not routed, and `shared` (hv1) in a
network that it shares with blue's `close` (hv1) and `peered` (hv2). `blue1` and `blue2` have the addresses of
`here` and `there`, on the same hosts.
"""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from tests.integration.product.extra import document, lead_out, network, plugged, port
from tests.integration.product.verdicts import CONTROL
from topologies import datapath
from topologies.datapath import Datapath
from topologies.deadline import until
from topologies.errors import CommandFailed
from topologies.nodes.hypervisor import Hypervisor
from topologies.scenarios.two_tenants import NETWORK, SUBNETS, TwoTenants, Workload
from topologies.traffic.capture import Capture, beacon, contains, incoming
from topologies.traffic.endpoint import family_of, open_socket
from topologies.traffic.ping import ping

Document = dict[str, Any]
Spec = dict[str, Any]

FAR, APART = ("10.1.0.0/24", "fd00:11::/64"), ("10.2.0.0/24", "fd00:12::/64")
RED, BLUE = ("10.31.0.0/24", "fd00:31::/64"), ("10.32.0.0/24", "fd00:32::/64")
_CONTROLS = [
    {"name": f"control-{way}", "direction": way, "action": "allow",
     "services": [{"protocol": "udp", "port": CONTROL}]}
    for way in ("in", "out")
]  # fmt: skip
_PATIENCE = 10.0


@dataclass(frozen=True, slots=True)
class Guarded:
    """`cast`: all workloads by the names above."""

    base: TwoTenants
    cast: dict[str, Workload]

    def __getitem__(self, name: str) -> Workload:
        return self.cast[name]

    def of(self, *names: str) -> list[Workload]:
        return [self.cast[name] for name in names]

    def host(self, who: Workload) -> Hypervisor:
        return next(h for h in self.base.lab.hypervisors if str(h.name) == who.host)

    def apply(self, *documents: Document) -> None:
        """Written, and every host that it concerns goes by it: cached flows hold nothing of before
        (docs/decisions/0069)."""
        self._told("apply", documents)

    def delete(self, *documents: Document) -> None:
        self._told("delete", documents)

    def settle(self) -> None:
        """After what nobody could wait for: the caches of flows hold nothing of before.

        Of two that overlap, Open vSwitch 3.1.0 may change the wrong one (docs/decisions/0066).
        """
        for host in self.base.lab.hypervisors:
            host.settle()
            host.appctl("revalidator/wait")  # of a round that began when the tables were as they are
            host.appctl("revalidator/purge")

    @contextmanager
    def policed(self, *documents: Document) -> Iterator[None]:
        """With these policies, and afterwards without."""
        self.apply(*documents)
        try:
            yield
        finally:
            self.delete(*documents)

    def _told(self, verb: str, documents: Sequence[Document]) -> None:
        """Done, and waited for. On the kernel's data path the caches are emptied besides: that `--wait` alone
        does there has not been tried often enough."""
        text = "".join(f"---\n{json.dumps(d)}\n" for d in documents)
        done = self.base.control.run(verb, "-f", "-", "--wait", stdin=text)
        if not done.ok:
            raise CommandFailed(f"ringfence {verb} ended with code {done.code}\n{done.stdout}{done.stderr}")
        if datapath.chosen() is Datapath.KERNEL:
            self.settle()


def build(base: TwoTenants) -> Guarded:
    """Add what the scenario lacks, and wait until everybody reaches everybody whom nothing keeps from it."""
    for one in base.workloads:
        for cidr in one.cidrs:
            lead_out(one.vm, cidr)
    far = network("red", "far", FAR)
    red, blue = network("red", "common", RED), network("blue", "common", BLUE)
    far["metadata"]["labels"] = {"zone": "outer"}
    apart, home = network("red", "apart", APART), network("red", NETWORK, SUBNETS)
    apart["spec"]["routed"] = False
    wanted = {
        "near": _labelled(port("red", "near", home, 21, "hv1"), role="web"),
        "side": _labelled(port("red", "side", far, 11, "hv1"), role="db"),
        "far": _labelled(port("red", "far", far, 12, "hv2"), role="web"),
        "apart": _labelled(port("red", "apart", apart, 11, "hv1"), role="db"),
        "friend": _labelled(port("red", "friend", apart, 12, "hv2"), role="web"),
        "shared": port("red", "shared", red, 11, "hv1"),
        "close": port("blue", "close", blue, 11, "hv1"),
        "peered": port("blue", "peered", blue, 12, "hv2"),
    }
    (db,) = base.control.get("port", base.at("red", "hv2").port, "--tenant", "red")
    db.pop("status", None)
    halves = (document("Peering", "to-blue", {"peer": "blue", "prefixes": list(RED)}, "red"),
              document("Peering", "to-red", {"peer": "red", "prefixes": list(BLUE)}, "blue"))  # fmt: skip
    base.control.apply([far, apart, red, blue, *halves, _labelled(db, role="db"), *wanted.values()])
    told = {one["metadata"]["name"]: one for one in base.control.get("ports")}
    cast = {name: plugged(base, told[name], f"g{name}") for name in wanted}
    for tenant, first, second in (("red", "here", "there"), ("blue", "blue1", "blue2")):
        cast |= {first: base.at(tenant, "hv1"), second: base.at(tenant, "hv2")}
    base.control.await_bound()
    made = Guarded(base, cast)
    for one, another in (
        ("here", "near"), ("here", "there"), ("here", "side"), ("here", "far"), ("there", "side"),
        ("apart", "friend"), ("shared", "close"), ("shared", "peered"), ("blue1", "blue2"),
    ):  # fmt: skip
        for address in cast[another].addresses:
            until(
                f"{one} reaches {another} at {address}",
                lambda one=one, address=address: ping(cast[one].vm, address, 1, wait=0.5).reached,
                30,
            )
    return made


def _labelled(one: Document, **labels: str) -> Document:
    return one | {"metadata": one["metadata"] | {"labels": labels}}


def policy(
    name: str, subject: Spec | None, rules: Sequence[Spec] = (), tenant: str = "red", **spec: Any
) -> Document:
    """A SecurityPolicy whose first rules let controls pass."""
    spec |= {"rules": [*_CONTROLS, *rules]} | ({} if subject is None else {"subject": subject})
    return document("SecurityPolicy", name, spec, tenant)


def operator(name: str, tier: str, subject: Spec, rules: Sequence[Spec] = (), **spec: Any) -> Document:
    spec |= {"tier": tier, "subject": subject, "rules": [*_CONTROLS, *rules]}
    return document("OperatorPolicy", name, spec)


def rule(direction: str, action: str, peers: Sequence[Spec] = (), *services: Spec, **more: Any) -> Spec:
    """A rule; without peers of anybody, without services of everything."""
    found: Spec = {"direction": direction, "action": action} | more
    if peers:
        found["to" if direction == "out" else "from"] = list(peers)
    if services:
        found["services"] = list(services)
    return found


def named(*names: str) -> Spec:
    """A selector of ports by their names in the cast; two of them had others before."""
    values = [{"here": "vm1", "there": "vm2"}.get(name, name) for name in names]
    return {"ports": {"matchExpressions": [
        {"key": "ringfence/name", "operator": "In", "values": values}]}}  # fmt: skip


def labelled(**labels: str) -> Spec:
    return {"ports": {"matchLabels": labels}}


def ports(protocol: str, *numbers: int | str) -> list[Spec]:
    """Services: one for each port, or range as text."""
    return [{"protocol": protocol, "port": number} for number in numbers]


class Talk:
    """A conversation in UDP that one side opened, with both sides' sockets; a context manager."""

    def __init__(self, here: Workload, there: Workload, family: int, number: int) -> None:
        self.ends = (here, there)
        self.addresses = (here.addresses[family // 6], there.addresses[family // 6])
        kind = family_of(self.addresses[0])
        self._sockets = [open_socket(end.vm, kind, socket.SOCK_DGRAM) for end in self.ends]
        self._goals: list[tuple[str, int]] = []
        for one, address, wanted in zip(self._sockets, self.addresses, (0, number), strict=True):
            one.bind((address, wanted))
            self._goals.insert(0, one.getsockname()[:2])

    def __enter__(self) -> Talk:
        return self

    def __exit__(self, *_: object) -> None:
        for one in self._sockets:
            one.close()

    def speak(self, side: int) -> bytes:
        """One datagram of the first side or the second; its mark."""
        mark = os.urandom(16)
        self._sockets[side].sendto(mark, self._goals[side])
        return mark

    def flows(self) -> bool:
        """Whether each side hears the other, the opener first."""
        for side in (0, 1):
            with Capture(self.ends[1 - side].vm) as capture:
                mark = self.speak(side)
                capture.await_frame(incoming(contains(mark)), _PATIENCE)
        return True

    def silent(self) -> list[str]:
        """Which sides are heard although they should not be; controls pass the same way."""
        found = []
        for side in (0, 1):
            here, there = self.ends[side], self.ends[1 - side]
            sign = os.urandom(16)
            control = beacon(here.vm, self.addresses[1 - side], sign, CONTROL), incoming(contains(sign))
            with Capture(there.vm) as capture:
                capture.confirm(*control)
                marks = [self.speak(side) for _ in range(3)]
                capture.confirm(*control)
                if any(capture.leaks(incoming(contains(mark))) for mark in marks):
                    found.append(f"{here.name} is heard by {there.name}")
        return found
