"""Rig: a lab of two hypervisors with the whole product, filled with ports, for benchmarks of the way from
API to switch.

Place: made by `ports`, which measures on it. Everything runs as for a user: store, API, speakers and agents
are processes of their own, routes pass a FRR reflector. Only the ports' interfaces are cheap ones: OVS patch
ports without a peer, which have a number and an iface-id but no kernel device.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)  # Mininet still imports distutils.
    from topologies.control import Control
    from topologies.fabrics import Plan, two_hypervisors
    from topologies.lab import Lab
    from topologies.nodes.hypervisor import OVERLAY_BRIDGE, Hypervisor, plug
    from topologies.nodes.vm import Vm
    from topologies.scenarios.two_tenants import API_VERSION, hypervisors
    from topologies.traffic.udp import UdpStream

from controller.cli.client import Api
from controller.southbound import rpc
from controller.southbound.openflow.channel import Channel
from controller.southbound.openflow.encoder import Encoder
from model.ids import PortKey
from tests.singular import RUN

TENANTS, NETWORKS = 10, 50
"""Each tenant has as many of the networks."""
PATIENCE = 300.0
_FEW = 5
"""Ports in one deletion: the brake asks nobody about so few."""
_AT_ONCE = 1000
"""Documents in one request."""
_POLL = 0.001


def await_that(true: Callable[[], object], what: str, patience: float = PATIENCE) -> float:
    """Poll till it holds; the time at which it did, on the clock of `time.perf_counter`."""
    end = time.perf_counter() + patience
    while not true():
        if time.perf_counter() > end:
            raise TimeoutError(f"{what}: not within {patience:g} s")
        time.sleep(_POLL)
    return time.perf_counter()


__all__ = ["Rig", "UdpStream", "address_in", "await_that", "build", "port"]


@dataclass(slots=True)
class Rig:
    """`uids`: of all ports made here, by name. A context manager: leaving it removes everything."""

    lab: Lab
    control: Control
    api: Api
    uids: dict[str, str] = field(default_factory=dict)
    vms: tuple[tuple[Vm, str], ...] = ()
    plugged: int = 0

    def host(self, number: int) -> Hypervisor:
        """hv1 or hv2."""
        return self.lab.hypervisors[number - 1]

    def write(self, documents: Sequence[dict[str, Any]]) -> dict[str, Any]:
        """POST /v1/apply, a thousand at a time; the last answer, with the uids noted."""
        answer: dict[str, Any] = {}
        for start in range(0, len(documents), _AT_ONCE):
            some = list(documents[start : start + _AT_ONCE])
            answer = self.api.post("/v1/apply", body={"documents": some})
            for change in answer["changes"]:
                if change["kind"] == "Port" and change.get("uid"):
                    self.uids[change["name"]] = change["uid"]
        return answer

    def wait(self, answer: dict[str, Any]) -> None:
        """As `ringfence apply --wait`."""
        query = {"generation": answer["generation"], "host": answer["concerned"], "timeout": "30"}
        state = self.api.get("/v1/wait", query)
        if not state["reached"]:
            raise TimeoutError(f"not programmed: {state['pending']}")

    def plug(self, number: int, names: Sequence[str]) -> None:
        """Give ports an interface on hv1 or hv2, all in one transaction; returns when it is written."""
        self.plugged += len(names)
        operations: list[dict[str, Any]] = []
        for i, name in enumerate(names):
            interface = {
                "name": name,
                "type": "patch",
                "options": ["map", [["peer", "none"]]],
                "external_ids": ["map", [["iface-id", self.uids[name]]]],
            }
            port = {"name": name, "interfaces": ["named-uuid", f"i{i}"]}
            operations += [
                {"op": "insert", "table": "Interface", "row": interface, "uuid-name": f"i{i}"},
                {"op": "insert", "table": "Port", "row": port, "uuid-name": f"p{i}"},
            ]
        added = ["set", [["named-uuid", f"p{i}"] for i in range(len(names))]]
        operations += [
            {
                "op": "mutate",
                "table": "Bridge",
                "where": [["name", "==", OVERLAY_BRIDGE]],
                "mutations": [["ports", "insert", added]],
            },
            # as ovs-vsctl does: without it ovs-vswitchd does not look
            {"op": "mutate", "table": "Open_vSwitch", "where": [], "mutations": [["next_cfg", "+=", 1]]},
        ]
        self._transact(number, operations)

    def remove(self, number: int, names: Sequence[str]) -> None:
        """Take interfaces away, wait until their ports are given back, delete the ports."""
        select = {"op": "select", "table": "Port", "columns": ["_uuid"]}
        found = self._transact(number, [{**select, "where": [["name", "==", name]]} for name in names])
        gone = ["set", [result["rows"][0]["_uuid"] for result in found]]
        self._transact(
            number,
            [
                {
                    "op": "mutate",
                    "table": "Bridge",
                    "where": [["name", "==", OVERLAY_BRIDGE]],
                    "mutations": [["ports", "delete", gone]],
                },
                {"op": "mutate", "table": "Open_vSwitch", "where": [], "mutations": [["next_cfg", "+=", 1]]},
            ],
        )
        self.plugged -= len(names)
        # in the store, not only in the host's report: a port that is deleted while bound is a mass delete
        await_that(lambda: self.api.get("/v1/status")["counts"]["bound"] <= self.plugged, "ports given back")
        for start in range(0, len(names), _FEW):
            some = [port(name, number) for name in names[start : start + _FEW]]
            self.wait(self.api.post("/v1/delete", body={"documents": some}))
        for name in names:
            del self.uids[name]
        self.await_settled()

    def _transact(self, number: int, operations: list[dict[str, Any]]) -> list[dict[str, Any]]:
        done: Any = rpc.call(
            self.host(number).rundir / "db.sock", "transact", ["Open_vSwitch", *operations], PATIENCE
        )
        faults = [r for r in done if r and "error" in r]
        if faults:
            raise RuntimeError(f"Open vSwitch refuses: {faults[0]}")
        return list(done)

    def _active(self) -> int:
        """How many ports their hosts report as active."""
        hosts = self.api.get("/v1/status")["hosts"]
        return sum(host.get("ports", {}).get("active", 0) for host in hosts)

    def plug_vm(self, number: int, name: str) -> tuple[Vm, str]:
        """A real VM on hv1 or hv2 for a port, instead of an interface without a device; and its address."""
        found = self.api.get(f"/v1/ports/{name}", {"tenant": tenant_of(name)})
        spec, vm = found["spec"], self.lab.vm(f"vm{name}")
        addresses = [f"{a}/{64 if ':' in a else 16}" for a in spec["addresses"]]
        self.plugged += 1
        plug(self.host(number), vm, name, self.uids[name], spec["mac"], addresses)
        return vm, next(a for a in spec["addresses"] if ":" not in a)

    def await_bound(self, names: Sequence[str]) -> None:
        """Until the hosts report everything that was plugged as active; `names` only for the message."""
        end = time.perf_counter() + PATIENCE
        while self._active() < self.plugged:
            if time.perf_counter() > end:
                raise TimeoutError(f"not all of {len(names)} ports are bound within {PATIENCE:g} s")
            time.sleep(0.5)

    def await_settled(self) -> None:
        """Until every host has programmed all that the store holds and misses no route."""
        end = time.perf_counter() + PATIENCE
        while True:
            generation = self.write([port("p0", 1)])["generation"]
            state = self.api.get("/v1/wait", {"generation": generation, "timeout": "30"})
            if state["reached"]:
                return
            if time.perf_counter() > end:
                raise TimeoutError(f"not in sync: {state['pending']}")

    def switch(self, number: int) -> Channel:
        """A connection of our own to br-int of hv1 or hv2, to look at its flows."""
        return Channel(self.host(number).rundir / f"{OVERLAY_BRIDGE}.mgmt", Encoder())

    def key(self, name: str) -> PortKey:
        """The number of a port in cookies."""
        found = self.api.get(f"/v1/ports/{name}", {"tenant": tenant_of(name)})
        return PortKey(int(found["status"]["key"]))

    def __enter__(self) -> Rig:
        return self

    def __exit__(self, *_: object) -> None:
        self.api.close()
        self.lab.close()


def port(name: str, host: int, **spec: Any) -> dict[str, Any]:
    """A Port document for hv1 or hv2; addresses and MAC are allocated."""
    metadata = {"name": name, "tenant": tenant_of(name)}
    return _document("Port", metadata, {"network": f"n{network_of(name)}", "hosts": [f"hv{host}"], **spec})


def network_of(name: str) -> int:
    """The ports' numbers go round the networks."""
    return int(name[1:]) % NETWORKS


def tenant_of(name: str) -> str:
    """The networks' numbers go round the tenants."""
    return f"t{network_of(name) % TENANTS}"


def address_in(name: str, rank: int) -> str:
    """An IPv4 address of the port's network that is not handed out by itself in a benchmark of this size."""
    return f"10.{network_of(name)}.255.{1 + rank % 250}"


def build() -> Rig:
    """Two hypervisors on one segment, a reflector, the product; ten tenants with fifty empty networks."""
    lab = two_hypervisors(f"bench-{RUN}", Plan(2))
    try:
        control = Control(lab)
        control.start_center()
        rig = Rig(lab, control, Api(f"unix:{control.api_socket}"))
        rig.write(hypervisors(lab))
        control.start_edges()
        rig.write([_document("Tenant", {"name": f"t{n}"}, {}) for n in range(TENANTS)])
        rig.write([_network(n) for n in range(NETWORKS)])
    except BaseException:
        lab.close()
        raise
    return rig


def _network(number: int) -> dict[str, Any]:
    metadata = {"name": f"n{number}", "tenant": f"t{number % TENANTS}"}
    return _document("Network", metadata, {"subnets": [f"10.{number}.0.0/16", f"fd00:{number:x}::/64"]})


def _document(kind: str, metadata: dict[str, Any], spec: dict[str, Any]) -> dict[str, Any]:
    return {"apiVersion": API_VERSION, "kind": kind, "metadata": metadata, "spec": spec}
