"""`ringfence status`: cluster, hosts, pools, alarms.

Place: a command; from the hosts' own reports. Must not judge what is an alarm: the API does.
"""

from __future__ import annotations

import argparse
from typing import Any

from controller.cli.commands import OK
from controller.cli.session import Session

Value = dict[str, Any]
_SECOND = 1000


def declare(parser: argparse.ArgumentParser) -> None:
    """Arguments, help and examples."""
    parser.description = (
        "The cluster, every host (state, age of its last report, generation programmed of the one "
        "wanted, flows, ports, BGP), pools and how full they are, alarms and what to do."
    )
    parser.epilog = "examples:\n  ringfence status\n  ringfence status -o json"


def run(_arguments: argparse.Namespace, session: Session) -> int:
    """0 whenever the API answers; alarms do not change it."""
    session.show(session.api.get("/v1/status"), lambda value: _print(session, value))
    return OK


def _print(session: Session, value: Value) -> None:
    cluster, counts = value["cluster"], value["counts"]
    session.line(
        f"cluster {cluster['uid'] or '(none yet)'}  generation {cluster['generation']}  AS {cluster['asn']}  "
        f"reflectors {' '.join(cluster['reflectors']) or 'none'}"
    )
    session.line(
        f"{counts['tenants']} tenants, {counts['networks']} networks, {counts['ports']} ports "
        f"({counts['bound']} bound), {counts['hypervisors']} hypervisors\n"
    )
    if not value["hosts"]:
        session.line("no host is declared yet: apply a Hypervisor\n")
    heads = ("host", "vtep", "state", "seen", "generation", "flows", "ports", "bgp", "routes")
    if value["hosts"]:
        session.table("hosts", heads, [_host(host) for host in value["hosts"]])
        for host in value["hosts"]:
            if host.get("lease"):
                session.line(f"{host['name']}: {host['lease']}")
            if host["reason"]:
                session.line(f"{host['name']}: {host['reason']}")
        session.line("")
    session.table("pools", ("pool", "used", "of", "full"), [_pool(pool) for pool in value["pools"]])
    if value["alarms"]:
        session.line("")
        rows = [(alarm["object"], alarm["message"], alarm["remedy"]) for alarm in value["alarms"]]
        session.table("alarms", ("object", "alarm", "what to do"), rows)


def _host(host: Value) -> list[str]:
    age, evpn = host["heartbeatAgeMs"], host.get("evpn")
    peers = evpn["peers"] if evpn else []
    up = sum(1 for peer in peers if peer["state"] == "established")
    ports = host.get("ports") or {}
    return [
        host["name"],
        host["vtep"],
        host["state"],
        "-" if age is None else f"{age / _SECOND:.1f} s",
        "-" if host["generation"] is None else f"{host['generation']}/{host['wantedGeneration']}",
        str(host.get("flows", "-")),
        " ".join(f"{count} {state}" for state, count in ports.items()) or "-",
        f"{up}/{len(peers)} up" if peers else "-",
        str(evpn["learned"]) if evpn else "-",
    ]


def _pool(pool: Value) -> list[str]:
    share = 100 * pool["used"] / pool["size"] if pool["size"] else 100.0
    return [pool["name"], str(pool["used"]), str(pool["size"]), f"{share:.1f} %"]
