"""`ringfence reflector`: the configuration of a FRR route reflector for this cluster, from what is declared.

Place: a command. It reads the store's objects through the API and hands them to `bgp.reflector`. Must not
write any file or speak to FRR: the operator reviews and loads it.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Collection
from ipaddress import IPv4Address, ip_address
from pathlib import Path
from typing import Any

from bgp.reflector import Client, Terms, configuration
from controller.cli.commands import OK, USAGE
from controller.cli.session import Session
from model.addresses import parse_mac
from model.ids import Mac, Vni
from model.targets import DERIVED, parse_member

Value = dict[str, Any]


def declare(parser: argparse.ArgumentParser) -> None:
    """Arguments, help and examples."""
    parser.description = (
        "bgpd.conf of a FRR reflector: a client's routes pass only with its own next hop. Its name is the "
        "Hypervisor's, its address the VTEP's. With --macs or --imports it follows ports and networks: make "
        "and load it again when they change (frr-reload.py loads the difference, sessions stay)."
    )
    parser.epilog = (
        "examples:\n  ringfence reflector --source 192.0.2.1 > /etc/frr/bgpd.conf\n"
        "  ringfence reflector --source 192.0.2.1 --macs --hops 2 --md5-file /etc/ringfence/md5"
    )
    parser.add_argument("--source", required=True, metavar="ADDRESS", help="the reflector's own address")
    parser.add_argument(
        "--router-id", metavar="ID", help="its BGP identifier, as 192.0.2.1; needed if --source is IPv6"
    )
    parser.add_argument("--macs", action="store_true", help="RT-2 only with MACs of ports that may be there")
    parser.add_argument(
        "--imports", action="store_true", help="send a host only routes of tenants that have ports there"
    )
    parser.add_argument("--keepalive", type=int, default=30, metavar="S", help="seconds (default 30)")
    parser.add_argument("--hold", type=int, default=90, metavar="S", help="seconds (default 90)")
    parser.add_argument("--hops", type=int, metavar="N", help="TTL security: clients are at most N hops away")
    parser.add_argument("--md5-file", metavar="FILE", help="file with the sessions' password; it is printed")


def run(arguments: argparse.Namespace, session: Session) -> int:
    """0; 2 if an argument is no address, a number is out of range or the file can't be read."""
    try:
        terms = Terms(
            asn=int(session.api.get("/v1/status")["cluster"]["asn"]),
            source=ip_address(arguments.source),
            keepalive=_within("--keepalive", arguments.keepalive, range(1, 1 << 16)),
            hold=_within("--hold", arguments.hold, range(3, 1 << 16)),
            hops=None if arguments.hops is None else _within("--hops", arguments.hops, range(1, 255)),
            router_id=_router_id(arguments),
            password=None if arguments.md5_file is None else _password(Path(arguments.md5_file)),
        )
    except (OSError, ValueError) as fault:
        sys.stderr.write(f"ringfence reflector: {fault}\n")
        return USAGE
    text = configuration(terms, _clients(session, arguments))
    session.show(
        {"kind": "ReflectorConfiguration", "text": text}, lambda each: session.out.write(each["text"])
    )
    return OK


def _within(name: str, number: int, allowed: range) -> int:
    if number not in allowed:
        raise ValueError(f"{name} {number} is out of range; give {allowed.start} to {allowed.stop - 1}")
    return number


def _router_id(arguments: argparse.Namespace) -> IPv4Address | None:
    """Without one, FRR on a machine that has no IPv4 address begins no session."""
    if arguments.router_id is not None:
        return IPv4Address(arguments.router_id)
    if ip_address(arguments.source).version == 6:
        raise ValueError("--source is IPv6: give the reflector's BGP identifier with --router-id")
    return None


def _password(path: Path) -> str:
    """As FRR takes it: one word of printable ASCII."""
    text = path.read_text(encoding="ascii").rstrip("\r\n")
    if not text or not text.isprintable() or " " in text:
        raise ValueError(f"{path} does not hold one word of printable ASCII, as FRR needs it; choose another")
    return text


def _clients(session: Session, arguments: argparse.Namespace) -> list[Client]:
    hosts = session.api.get("/v1/hypervisors")["items"]
    ports = session.api.get("/v1/ports")["items"] if arguments.macs or arguments.imports else []
    there: dict[str, list[Value]] = {host["metadata"]["name"]: [] for host in hosts}
    for port in ports:
        for name in {*port["spec"].get("hosts", ()), port["status"].get("movingTo", "")} & there.keys():
            there[name].append(port)
    targets = _Targets(session) if arguments.imports else None
    return [
        Client(
            name := host["metadata"]["name"],
            ip_address(host["spec"]["vtep"]),
            macs=tuple(sorted(_macs(there[name]))) if arguments.macs else None,
            imports=None
            if targets is None
            else targets.of(host, {p["metadata"]["tenant"] for p in there[name]}),
            targets=()
            if targets is None
            else targets.written({p["metadata"]["tenant"] for p in there[name]}),
            segments=len(host["spec"].get("segments", ())),
        )
        for host in hosts
    ]


def _macs(ports: list[Value]) -> set[Mac]:
    """Their own, and those of allowed pairs (VRRP)."""
    pairs = [pair for port in ports for pair in port["spec"].get("allowedAddresses", ())]
    return {parse_mac(one["mac"]) for one in (*(port["spec"] for port in ports), *pairs) if "mac" in one}


class _Targets:
    """VNIs by tenant; those of external networks go to all, peerings' to both sides."""

    def __init__(self, session: Session) -> None:
        self._by_tenant: dict[str, set[int]] = {}
        self._written: dict[str, set[bytes]] = {}
        for tenant in session.api.get("/v1/tenants")["items"]:
            self._add(tenant["metadata"]["name"], tenant["spec"].get("l3vni"))
            self._write(tenant["metadata"]["name"], tenant["spec"])
        for network in session.api.get("/v1/networks")["items"]:
            self._add(network["metadata"]["tenant"], network["spec"]["vni"])
            self._write(network["metadata"]["tenant"], network["spec"])
        for peering in session.api.get("/v1/peerings")["items"]:
            for tenant in (peering["metadata"]["tenant"], peering["spec"]["peer"]):
                self._add(tenant, peering["status"].get("vni"))
        self._outside = {int(one["spec"]["vni"]) for one in session.api.get("/v1/externals")["items"]}

    def _add(self, tenant: str, vni: int | None) -> None:
        if vni:
            self._by_tenant.setdefault(tenant, set()).add(int(vni))

    def _write(self, tenant: str, spec: Value) -> None:
        targets = (parse_member(text) for text in spec.get("importTargets", ()))
        self._written.setdefault(tenant, set()).update(one for one in targets if one != DERIVED)

    def written(self, tenants: Collection[str]) -> tuple[bytes, ...]:
        """Route targets that these tenants import and that are written out."""
        return tuple(sorted(set[bytes]().union(*(self._written.get(tenant, ()) for tenant in tenants))))

    def of(self, host: Value, tenants: Collection[str]) -> tuple[Vni, ...] | None:
        """None: no filter, for hosts that serve tenants without a port there."""
        if host["spec"]["external"] or host["spec"].get("gateway"):
            return None
        found = self._outside.union(*(self._by_tenant.get(tenant, set()) for tenant in tenants))
        return tuple(Vni(vni) for vni in sorted(found))
