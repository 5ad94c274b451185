"""`ringfence ipam`: what nodes should have, beside what their hosts see; how full the pools of rails are; the
audit.

Place: a command. Must not judge: the API compares.
"""

from __future__ import annotations

import argparse
from typing import Any, Final

from controller.cli import audit, leaves
from controller.cli.client import Wrong, segment
from controller.cli.commands import OK
from controller.cli.pools import print_pools
from controller.cli.session import Session

Value = dict[str, Any]
_HEADS: Final = ("node", "pf", "rail", "expected", "found", "difference")


def declare(parser: argparse.ArgumentParser) -> None:
    """Arguments, help and examples."""
    parser.description = (
        "Hardware of nodes: of each physical function what its SKU says, what the host's agent sees there,"
        " and how they differ, with what to do. Pools: how full everything is that gangs get. Audit: what"
        " store, hosts and fabrics say of each VF, and of tenants that must share nothing; exit code 1 if"
        " something is wrong. Leaf rules: what leaf switches are to drop on VF rails (UDP 4789, TCP 179)."
    )
    parser.epilog = (
        "examples:\n  ringfence ipam inventory\n  ringfence ipam inventory --node h200-1\n"
        "  ringfence ipam inventory -o json\n"
        "  ringfence ipam pools\n  ringfence ipam pools --fabric east\n"
        "  ringfence ipam audit                 only what is wrong; --all: everything\n"
        "  ringfence ipam audit --reclaim       take back what nobody bears\n"
        "  ringfence ipam leaf-rules --fabric west --leaf su1-leaf0 --format nft --port h200-1/rail0=swp1"
    )
    parser.add_argument("what", choices=("inventory", "pools", "audit", "leaf-rules"), help="what to show")
    parser.add_argument("-n", "--node", metavar="N", help="inventory: one node, with all its functions")
    parser.add_argument("-F", "--fabric", metavar="F", help="pools, leaf-rules: of one fabric")
    audit.declare(parser)
    leaves.declare(parser)


def run(arguments: argparse.Namespace, session: Session) -> int:
    """0 whenever the API answers; differences do not change it. 1 if the node or fabric does not exist, or
    the audit finds something."""
    if arguments.what == "audit":
        if arguments.node or arguments.fabric or leaves.wanted(arguments):
            raise Wrong("the audit is of everything: leave --node, --fabric and the like out")
        return audit.run(arguments, session)
    if arguments.all or arguments.reclaim or arguments.yes:
        raise Wrong("--all, --reclaim and --yes are of the audit: ringfence ipam audit")
    if arguments.what == "leaf-rules":
        return leaves.run(arguments, session)
    if leaves.wanted(arguments):
        raise Wrong("--leaf, --format and --port are of leaf-rules: ringfence ipam leaf-rules")
    if arguments.node and arguments.what == "pools":
        raise Wrong("pools are a fabric's, not a node's: write --fabric F")
    if arguments.fabric and arguments.what == "inventory":
        raise Wrong("the inventory is of nodes: write --node N")
    if arguments.what == "pools":
        query = {"fabric": arguments.fabric} if arguments.fabric else None
        session.show(session.api.get("/v1/pools", query), lambda each: print_pools(session, each))
        return OK
    path = "/v1/inventory" + (f"/{segment(arguments.node)}" if arguments.node else "")
    value = session.api.get(path)
    session.show(value, lambda each: _print(session, each, every=arguments.node is not None))
    return OK


def _print(session: Session, value: Value, *, every: bool) -> None:
    """Of all nodes only what differs; of one everything."""
    nodes = value["nodes"]
    if not nodes:
        session.note("no node is declared")
        return
    summary = [
        (n["node"], n["host"], n["sku"], n["fabric"], n["state"], str(n["differences"])) for n in nodes
    ]
    session.table("nodes", ("node", "host", "sku", "fabric", "state", "differences"), summary)
    rows = [row for node in nodes for row in _rows(node, every=every)]
    if rows:
        session.line("")
        session.table("functions", _HEADS, rows)
    for node in nodes:
        _advise(session, node)


def _rows(node: Value, *, every: bool) -> list[tuple[str, ...]]:
    rows: list[tuple[str, ...]] = []
    for pf in node["pfs"]:
        rail, pci = str(pf["expected"].get("rail", "-")), pf["expected"]["pci"]
        for one in pf["differences"]:
            rows.append((node["node"], pf["name"], rail, one["expected"], one["found"], one["rule"]))
        if not pf["differences"] and every:
            rows.append((node["node"], pf["name"], rail, pci, _words(pf["found"]), "-"))
    for one in node["gpus"]:
        rows.append((node["node"], "-", "-", one["expected"], one["found"], one["rule"]))
    if every:
        for other in node.get("strangers", ()):
            rows.append(
                (node["node"], "-", "-", "nothing", f"{other['pci']} {_words(other)}", "not in the SKU")
            )
    return rows


def _words(found: Value) -> str:
    """`mlx5_0 infiniband, NUMA node 0, 8 VFs`."""
    words = [found.get("rdma") or found.get("netdev") or found["pci"]]
    if found.get("link"):
        words[0] += f" {found['link']}"
    if "numa" in found:
        words.append(f"NUMA node {found['numa']}")
    words.append(f"{found.get('vfs', 0)} VFs")
    if found.get("pkeys") and found.get("link") == "infiniband":
        words.append(f"{found['pkeys']} PKeys")
    if found.get("eswitch"):
        words.append(found["eswitch"])
    return ", ".join(words)


def _advise(session: Session, node: Value) -> None:
    """What to do: each once, though eight PFs may need it."""
    name = node["node"]
    if node["state"] == "unseen":
        session.line(f"{name}: its host has not told what it has. {node['remedy']}")
        return
    if node["silent"]:
        session.line(f"{name}: {node['host']} was last heard of {node['ageMs'] // 1000} s ago")
    for pf in node["pfs"]:
        for one in pf["differences"]:
            session.line(f"{name} {pf['name']} [{one['rule']}]: {one['remedy']}")
    for one in node["gpus"]:
        session.line(f"{name} [{one['rule']}]: {one['remedy']}")
    for odd in node["oddities"]:
        session.line(f"{name} {odd['where']} [{odd['rule']}]: {odd['message']}")
