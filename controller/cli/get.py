"""`ringfence get`: objects as a table, JSON or YAML.

Place: a command. Its JSON and YAML can be applied again. Must not compute what the API knows.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any, Final

from controller.cli import policy_words
from controller.cli.client import segment
from controller.cli.commands import OK
from controller.cli.session import Session

Value = dict[str, Any]
KINDS: Final = (
    "tenant",
    "network",
    "port",
    "egressclass",
    "hypervisor",
    "sku",
    "fabric",
    "node",
    "route",
    "external",
    "floatingip",
    "peering",
    "securitypolicy",
    "operatorpolicy",
)


def declare(parser: argparse.ArgumentParser) -> None:
    """Arguments, help and examples."""
    parser.description = "List the objects of a kind, or show one."
    parser.epilog = (
        "examples:\n  ringfence get ports\n  ringfence get port web-1 --tenant acme -o yaml\n"
        "  ringfence get hv -o json"
    )
    parser.add_argument("kind", metavar="KIND", help=f"{', '.join(KINDS)}; plural or short, in any case")
    parser.add_argument("name", metavar="NAME", nargs="?", help="one object; without it all are listed")
    parser.add_argument("-t", "--tenant", metavar="T", help="objects of this tenant only")


def run(arguments: argparse.Namespace, session: Session) -> int:
    """0; 1 if the kind or the object does not exist."""
    query = {"tenant": arguments.tenant} if arguments.tenant else None
    path = f"/v1/{segment(arguments.kind)}"
    if arguments.name is None:
        value = session.api.get(path, query)
    else:
        value = session.api.get(f"{path}/{segment(arguments.name)}", query)
    session.show(value, lambda each: _print(session, each))
    return OK


def _print(session: Session, value: Value) -> None:
    items = value.get("items", [value])
    if not items:
        session.note("none")
        return
    heads, row = TABLES[items[0]["kind"]]
    session.table("", heads, [row(item) for item in items])


def _tenant(item: Value) -> list[str]:
    spec, status = item.get("spec", {}), item["status"]
    way = [spec.get("egress", "none"), *status.get("egressAddresses", ()), *status.get("gateways", ())]
    return [
        item["metadata"]["name"],
        str(spec.get("l3vni", "-")),
        str(status["networks"]),
        " ".join(way),
        *(_of_quota(item, what) for what in ("gangs", "interfaces")),
        _labels(item),
    ]


def _of_quota(item: Value, what: str) -> str:
    """How many it has, and how many it may have."""
    most = item.get("spec", {}).get("quota", {}).get(what)
    return str(item["status"][what]) + ("" if most is None else f"/{most}")


def _network(item: Value) -> list[str]:
    metadata, spec = item["metadata"], item["spec"]
    return [
        metadata["tenant"],
        metadata["name"],
        str(spec["vni"]),
        _words(spec["subnets"]),
        str(spec["mtu"]),
        "yes" if spec["routed"] else "no",
        str(item["status"]["ports"]),
    ]


def _port(item: Value) -> list[str]:
    metadata, spec, status = item["metadata"], item["spec"], item["status"]
    return [
        metadata["tenant"],
        metadata["name"],
        spec["network"],
        spec["mac"],
        _words(spec["addresses"]),
        status["host"] or "-",
        ", ".join((status["state"], *_remarks(spec))),
        metadata["uid"],
    ]


def _remarks(spec: Value) -> list[str]:
    """What is unusual about a port."""
    unusual = (("disabled", not spec.get("enabled", True)), ("sticky", spec.get("sticky", False)))
    return [word for word, holds in unusual if holds]


def _class(item: Value) -> list[str]:
    status = item["status"]
    return [
        item["metadata"]["name"],
        str(status["id"]),
        str(status["version"]),
        _words([*item["spec"].get("relations", ()), *item["spec"]["prefixes"]]),
        item["spec"].get("effective", "at once"),
    ]


def _hypervisor(item: Value) -> list[str]:
    spec, status = item["spec"], item["status"]
    kind = "external" if spec["external"] else "frozen" if status["frozen"] else "agent"
    duties = "".join(f", {duty}" for duty in ("border", "gateway") if spec.get(duty))
    duties += f", partner {spec['partner']}" if spec.get("partner") else ""
    return [item["metadata"]["name"], spec["vtep"], spec["routerId"], kind + duties, str(status["ports"])]


def _sku(item: Value) -> list[str]:
    spec = item["spec"]
    vfs = sum(pf.get("vfs", 0) for pf in spec["pfs"])
    rails = {pf["rail"] for pf in spec["pfs"] if "rail" in pf}
    counts = (len(spec.get("gpus", ())), len(spec["pfs"]), len(rails), vfs, item["status"]["nodes"])
    return [item["metadata"]["name"], *map(str, counts)]


def _fabric(item: Value) -> list[str]:
    spec = item["spec"]
    return [
        item["metadata"]["name"],
        spec["kind"],
        str(len(spec["rails"])),
        spec.get("pkeys", "-"),
        _words(spec.get("guids", [])),
        spec["addressing"],
        str(item["status"]["nodes"]),
    ]


def _node(item: Value) -> list[str]:
    spec, status = item["spec"], item["status"]
    state = status["state"] + (f" ({status['differences']})" if status["differences"] else "")
    return [item["metadata"]["name"], spec["sku"], spec["fabric"], spec["host"], str(status["key"]), state]


def _route(item: Value) -> list[str]:
    metadata, spec = item["metadata"], item["spec"]
    return [metadata["tenant"], metadata["name"], spec["prefix"], _words(spec["nextHops"])]


def _external(item: Value) -> list[str]:
    spec, status = item["spec"], item["status"]
    return [item["metadata"]["name"], str(spec["vni"]), _words(spec["pools"]), str(status["users"])]


def _floating(item: Value) -> list[str]:
    metadata, spec, status = item["metadata"], item["spec"], item["status"]
    return [
        metadata["tenant"],
        metadata["name"],
        spec["external"],
        spec["address"],
        spec.get("port", "-"),
        status["target"] or "-",
        status["host"] or "-",
    ]


def _peering(item: Value) -> list[str]:
    metadata, spec, status = item["metadata"], item["spec"], item["status"]
    state = "complete" if status["state"] == "complete" else f"waits for {spec['peer']}"
    vni = str(status.get("vni", "-"))
    return [metadata["tenant"], metadata["name"], spec["peer"], _words(spec["prefixes"]), state, vni]


def _labels(item: Value) -> str:
    return ", ".join(f"{key}={value}" for key, value in item["metadata"].get("labels", {}).items()) or "-"


def _words(values: list[str]) -> str:
    return " ".join(values) or "-"


_OF_POLICY: Final = ("name", "order", "subject", "ports", "out", "in", "state")
TABLES: Final[dict[str, tuple[tuple[str, ...], Callable[[Value], list[str]]]]] = {
    "Tenant": (("name", "l3vni", "networks", "egress", "gangs", "interfaces", "labels"), _tenant),
    "Network": (("tenant", "name", "vni", "subnets", "mtu", "routed", "ports"), _network),
    "Port": (("tenant", "name", "network", "mac", "addresses", "host", "state", "uid"), _port),
    "EgressClass": (("name", "id", "version", "destinations", "effective"), _class),
    "Hypervisor": (("name", "vtep", "router id", "kind", "ports allowed"), _hypervisor),
    "Sku": (("name", "gpus", "pfs", "rails", "vfs", "nodes"), _sku),
    "Fabric": (("name", "kind", "rails", "pkeys", "guids", "addressing", "nodes"), _fabric),
    "Node": (("name", "sku", "fabric", "host", "key", "hardware"), _node),
    "External": (("name", "vni", "pools", "users"), _external),
    "FloatingIp": (("tenant", "name", "external", "address", "port", "target", "host"), _floating),
    "Peering": (("tenant", "name", "peer", "prefixes", "state", "vni"), _peering),
    "SecurityPolicy": (("tenant", *_OF_POLICY), policy_words.cells),
    "OperatorPolicy": (("tier", *_OF_POLICY), policy_words.cells),
    "Route": (("tenant", "name", "prefix", "next hops"), _route),
}
