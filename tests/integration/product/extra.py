"""More networks, ports and VMs in a running lab of two tenants, with their gateways as default routes.

Place: used by tests of what lies beyond a network. Must use the product as a user does.
"""

from __future__ import annotations

import ipaddress
from typing import Any

from topologies.nodes.hypervisor import plug
from topologies.nodes.vm import INTERFACE
from topologies.scenarios.two_tenants import API_VERSION, TwoTenants, Workload

Document = dict[str, Any]


def document(kind: str, name: str, spec: Document, tenant: str = "") -> Document:
    """A manifest document."""
    metadata = {"name": name} | ({"tenant": tenant} if tenant else {})
    return {"apiVersion": API_VERSION, "kind": kind, "metadata": metadata, "spec": spec}


def network(tenant: str, name: str, subnets: tuple[str, str]) -> Document:
    return document("Network", name, {"subnets": list(subnets)}, tenant)


def port(tenant: str, name: str, home: Document, last: int, host: str) -> Document:
    """With the host part `last` (decimal, in IPv6 too) in both subnets of its network."""
    four, six = (ipaddress.ip_network(s).network_address for s in home["spec"]["subnets"])
    spec = {"network": home["metadata"]["name"], "addresses": [str(four + last), f"{six}{last}"]}
    return document("Port", name, spec | {"hosts": [host]}, tenant)


def seat(scenario: TwoTenants, tenant: str, name: str, vm: str) -> Workload:
    """Plug a VM into a port that was applied, and lead it out by its gateways."""
    (found,) = scenario.control.get("port", name, "--tenant", tenant)
    return plugged(scenario, found, vm)


def plugged(scenario: TwoTenants, found: Document, vm: str) -> Workload:
    """The same, of a port as `ringfence get` tells it: who has many asks once. Plugged already, where a file
    that had the lab before wanted it too."""
    spec, metadata = found["spec"], found["metadata"]
    tenant, name, uid = metadata["tenant"], metadata["name"], metadata["uid"]
    host = next(h for h in scenario.lab.hypervisors if h.name == spec["hosts"][0])
    there = vm in scenario.lab.nodes
    node, ifname = scenario.lab.node(vm) if there else scenario.lab.vm(vm), f"tap-{vm}"
    cidrs = tuple(f"{a}/{24 if ':' not in a else 64}" for a in spec["addresses"])
    if not there:
        plug(host, node, ifname, uid, spec["mac"], cidrs)
        for cidr in cidrs:
            lead_out(node, cidr)
    return Workload(tenant, name, uid, spec["mac"], cidrs, str(host.name), node, ifname)


def lead_out(node: Any, cidr: str) -> None:
    """A default route by the first address of the subnet."""
    gateway = ipaddress.ip_interface(cidr).network.network_address + 1
    node.run(f"ip -{gateway.version} route replace default via {gateway} dev {INTERFACE}")
