"""The demonstration: `make demo`. Two tenants with the same addresses, shown with packets and read from
the product.

Place: the edge; drives a held lab through the CLI and the traffic tools, prints tables, and leaves the lab
running.
Must not print a result that it has not just measured or asked for.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from typing import Any, Final

from rich.console import Console
from rich.table import Table

from topologies import directory
from topologies.bringing import UNFIT, bring_up
from topologies.control import ringfence
from topologies.deadline import until
from topologies.errors import LabError
from topologies.matrix import Matrix, measure
from topologies.remote import Remote, RemoteNode
from topologies.traffic.udp import UdpStream

NAME: Final = "demo"
_TOPOLOGY: Final = "leaf-spine"
_HYPERVISORS: Final = 4
_TRANSFERS: Final = (("red", 1500, 500), ("blue", 700, 1200))
"""(tenant, datagrams, payload bytes) from its first VM to its second."""
_RATE: Final = 1000
_LEDGER_TIMEOUT: Final = 30.0
_CONVERGED_TIMEOUT: Final = 30.0
_QUIET: Final = 3.0


@dataclass(frozen=True, slots=True)
class _Vm:
    """A VM of the held lab, as the matrix wants it."""

    name: str
    tenant: str
    port: str
    mac: str
    addresses: tuple[str, ...]
    host: str
    vm: RemoteNode


def run() -> int:
    """Build if need be, measure, print; 0 if every cell is as it should be."""
    from topologies.lab import check_machine  # noqa: PLC0415

    out = Console(width=max(100, shutil.get_terminal_size().columns), highlight=False)
    began = time.monotonic()
    try:
        check_machine()
    except LabError as error:
        print(f"demo: {error}", file=sys.stderr)
        return UNFIT
    if directory.held(directory.place(NAME)):
        out.print(f"[dim]lab {NAME} runs already: measured again; make demo-down removes it[/]")
    else:
        out.print(f"[dim]building {_HYPERVISORS} hypervisors, 2 leaves, 2 spines, a route reflector[/]")
        bring_up(_TOPOLOGY, NAME, _HYPERVISORS)
    remote = Remote(NAME)
    status = remote.status()
    environment = {**os.environ, "RINGFENCE_API": status["api"]}
    vms = _vms(remote, status)
    _print_hosts(out, _converged(environment))
    _print_ports(out, _ask(environment, "get", "ports"))
    _print_routes(out, _ask(environment, "evpn", "routes"))
    matrix = measure(vms)
    good = _print_matrix(out, matrix, vms)
    good &= _print_egress(out, environment, vms)
    _print_next(out, status["api"], time.monotonic() - began)
    return 0 if good else 1


def down() -> int:
    """Remove the lab of the demonstration and nothing else."""
    if directory.held(directory.place(NAME)):
        Remote(NAME).down()
    directory.clear(NAME)
    print("the demonstration is removed")
    return 0


def _vms(remote: Remote, status: dict[str, Any]) -> list[_Vm]:
    nodes = remote.nodes()
    found = [
        _Vm(w["node"], w["tenant"], w["port"], w["mac"], tuple(w["addresses"]), w["host"], nodes[w["node"]])
        for w in status["workloads"]
    ]
    return sorted(found, key=lambda v: (v.tenant, v.name))


def _converged(environment: dict[str, str]) -> Any:
    """`ringfence status` once every host is in sync and has every route that the store lets it expect."""
    found = _ask(environment, "status")

    def done() -> bool:
        nonlocal found
        found = _ask(environment, "status")
        return all(h["state"] == "in-sync" and h["evpn"]["missing"] == 0 for h in found["hosts"])

    until("every hypervisor in sync with all routes", done, _CONVERGED_TIMEOUT)
    return found


def _ask(environment: dict[str, str], *words: str) -> Any:
    """What the CLI says, as JSON."""
    command = [*ringfence(*words), "-o", "json"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
    if done.returncode:
        raise LabError(f"ringfence {' '.join(words)} ended with {done.returncode}: {done.stderr.strip()}")
    return json.loads(done.stdout)


def _items(answer: Any) -> list[dict[str, Any]]:
    return list(answer["items"]) if isinstance(answer, dict) else list(answer)


def _print_hosts(out: Console, status: dict[str, Any]) -> None:
    table = Table(title="Hypervisors (ringfence status)", title_justify="left")
    for column in ("host", "VTEP", "state", "ports", "flows", "BGP sessions", "routes learned"):
        table.add_column(column)
    for host in status["hosts"]:
        evpn = host["evpn"]
        peers = " ".join(f"{p['address']} {p['state']}" for p in evpn["peers"])
        table.add_row(
            host["name"],
            host["vtep"],
            host["state"],
            str(host["boundPorts"]),
            str(host["flows"]),
            peers,
            str(evpn["learned"]),
        )
    out.print(table)


def _print_ports(out: Console, ports: Any) -> None:
    table = Table(
        title="Ports: both tenants use the same addresses (ringfence get ports)", title_justify="left"
    )
    for column in ("tenant", "port", "MAC", "addresses", "host"):
        table.add_column(column)
    for port in _items(ports):
        meta, spec = port["metadata"], port["spec"]
        table.add_row(
            meta["tenant"],
            meta["name"],
            spec["mac"],
            " ".join(spec["addresses"]),
            port["status"].get("host", ""),
        )
    out.print(table)


def _print_routes(out: Console, routes: Any) -> None:
    table = Table(
        title="EVPN routes that each hypervisor learned (ringfence evpn routes)", title_justify="left"
    )
    for column in ("host", "network", "RT-2: MAC", "addresses", "VTEP", "port"):
        table.add_column(column)
    floods: dict[str, int] = {}
    for route in _items(routes):
        if route["kind"] == "mac":
            table.add_row(
                route["host"],
                route["network"],
                route["mac"],
                " ".join(route["addresses"]),
                route["vtep"],
                route["port"],
            )
        else:
            floods[route["host"]] = floods.get(route["host"], 0) + 1
    out.print(table)
    out.print("RT-3 (inclusive multicast): " + ", ".join(f"{h} {n}" for h, n in sorted(floods.items())))


def _print_matrix(out: Console, matrix: Matrix, vms: list[_Vm]) -> bool:
    table = Table(title=f"Who reaches whom: {matrix.sent} packets sent", title_justify="left")
    table.caption = "46: came out by IPv4 and IPv6; -: nothing came out. Every VM's interface was captured."
    table.caption_justify = "left"
    table.add_column("from \\ to")
    for vm in vms:
        table.add_column(vm.name, justify="center")
    good = not matrix.leaks()
    for source in vms:
        row = [source.name]
        for target in vms:
            if source is target:
                row.append("")
                continue
            reached = matrix.reached(source.name, target.name)
            right = (reached == (4, 6)) if source.tenant == target.tenant else (reached == ())
            good &= right
            text = "".join(map(str, reached)) or "-"
            row.append(f"[green]{text}[/]" if right else f"[bold red]{text}[/]")
        table.add_row(*row)
    out.print(table)
    _print_verdict(out, matrix, vms, "green" if good else "red")
    return good


def _print_verdict(out: Console, matrix: Matrix, vms: list[_Vm], colour: str) -> None:
    tenants = {v.name: v.tenant for v in vms}
    within = sum(1 for source, target, _ in matrix.seen if tenants[source] == tenants[target])
    across, arrived, leaks = len(matrix.seen) - within, len(matrix.reach()), matrix.leaks()
    verdict = "ISOLATED" if not leaks else "NOT ISOLATED"
    out.print(
        f"[bold {colour}]{verdict}[/]: {arrived} of {within} packets within a tenant arrived. "
        f"Straight at MAC and address of the other tenant went {across}; {len(leaks)} of them came out there."
    )
    for cell, place in leaks:
        out.print(f"[bold red]LEAK[/]: a packet of {cell[0]} for {cell[1]} came out at {place}")


def _total(environment: dict[str, str], tenant: str) -> int:
    return int(_ask(environment, "egress", "report", "--tenant", tenant, "--by", "port")["bytes"])


def _settled(environment: dict[str, str]) -> dict[str, int]:
    """Totals once they have stood still for longer than agents take between readings."""
    tenants = [tenant for tenant, _, _ in _TRANSFERS]
    known, since = {t: _total(environment, t) for t in tenants}, time.monotonic()

    def still() -> bool:
        nonlocal known, since
        now = {t: _total(environment, t) for t in tenants}
        if now != known:
            known, since = now, time.monotonic()
        return time.monotonic() - since > _QUIET

    until("the ledger stands still", still, _LEDGER_TIMEOUT)
    return known


def _print_egress(out: Console, environment: dict[str, str], vms: list[_Vm]) -> bool:
    out.print("[dim]sending counted traffic and waiting for the ledger[/]")
    before = _settled(environment)
    streams = []
    for tenant, count, size in _TRANSFERS:
        source, target = [v for v in vms if v.tenant == tenant][:2]
        stream = UdpStream(source.vm, target.vm, target.addresses[0], _RATE, size, limit=count)
        streams.append((tenant, stream.__enter__()))
    results = {tenant: stream.finish() for tenant, stream in streams}
    expected = {t: r.layer3_bytes for t, r in results.items()}

    def counted() -> dict[str, int]:
        return {t: _total(environment, t) - before[t] for t in expected}

    try:
        until("the ledger has the transfer", lambda: counted() == expected, _LEDGER_TIMEOUT)
    except LabError:
        pass  # shown below as it is
    found = counted()
    table = Table(title="Egress of a counted transfer (ringfence egress report)", title_justify="left")
    for column in (
        "tenant",
        "datagrams",
        "arrived",
        "bytes sent (layer 3)",
        "bytes in the ledger",
        "difference",
    ):
        table.add_column(column, justify="left" if column == "tenant" else "right")
    for tenant, result in results.items():
        off = found[tenant] - expected[tenant]
        table.add_row(
            tenant,
            f"{result.sent:,}",
            f"{result.received:,}",
            f"{expected[tenant]:,}",
            f"{found[tenant]:,}",
            f"[green]{off}[/]" if off == 0 else f"[bold red]{off:+,}[/]",
        )
    out.print(table)
    return found == expected


def _print_next(out: Console, api: str, seconds: float) -> None:
    binary = os.path.relpath(shutil.which("ringfence", path=os.path.dirname(sys.executable)) or "ringfence")
    out.print(f"\nDone in {seconds:.0f} s. The lab runs on. Try:\n")
    for line in (
        f"export RINGFENCE_API={api}",
        f"{binary} status",
        f"{binary} evpn routes",
        f"{binary} egress report --tenant red --by class",
        f"{binary} lab exec --lab {NAME} red1 ping -c 3 10.0.0.12",
        f"{binary} lab exec --lab {NAME} hv1 ovs-ofctl -O OpenFlow14 dump-flows br-int",
        "make demo-down",
    ):
        out.print(f"  {line}", soft_wrap=True)
