"""Peers: FRR and GoBGP as receivers of what Ringfence received, for ratios within one run.

Place: part of `evpn`. A figure ends when the receiver says that it has all routes, or, for FRR as a VTEP,
when the kernel's FDB has all MACs. Who does not come to an end in time is shown with how far it came.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from tests.bench.arena import ASN, FRR, FRR_VTEP, GOBGP, SOURCE, Arena, progress
from tests.bench.figures import family
from tests.bench.gauge import Gauge
from topologies.errors import LabError
from topologies.nodes.frr import FrrHost, FrrNode, Timers, host_configuration
from topologies.nodes.gobgp import GobgpNode

_PATIENCE = 60.0
_POLL = 0.2
_TIMERS = Timers(30, 90)
_HOWS = (("packed", "packed"), ("single", "one in an UPDATE"))
_PATHS = re.compile(r"Destination: (\d+)")


@dataclass(frozen=True, slots=True)
class Heard:
    """`like`: our row with the same routes; `complete`: it came to an end in time."""

    what: str
    like: str
    seconds: float
    processor: float
    peak: float
    complete: bool


def received(node: FrrNode, peer: str) -> int:
    """Prefixes that FRR has of a peer."""
    found = node.show("show bgp l2vpn evpn summary").get("peers", {}).get(peer, {})
    return int(found.get("pfxRcd", 0))


def hear(arena: Arena, size: int) -> list[Heard]:
    """Each in turn, each started for it and ended after it."""
    made = []
    for words, node, address, count in (
        ("FRR, table alone", arena.frr, FRR, lambda: received(arena.frr, SOURCE)),
        (
            f"FRR, VTEP with {len(arena.places)} networks",
            arena.vtep,
            FRR_VTEP,
            lambda: _installed(arena.vtep),
        ),
        ("GoBGP", arena.gobgp, GOBGP, lambda: _paths(arena.gobgp)),
    ):
        for how, said in _HOWS:
            like = f"{size:,} received, {said}"
            progress(f"{words}: {like}")
            _start(arena, node)
            try:
                arena.await_session(address)
                made.append(
                    _heard(arena, f"{words}: {like}", like, node, address, f"{how}-{size}", count, size)
                )
            finally:
                for daemon in reversed(list(node.daemons.values())):
                    daemon.stop()
    return made


def _start(arena: Arena, node: FrrHost | GobgpNode) -> None:
    if isinstance(node, GobgpNode):
        node.start(ASN, [SOURCE])
        return
    if node is arena.vtep and not arena.laid:
        for place in arena.places:
            node.add_network(place.vni)
        arena.laid = True
    node.start(host_configuration(node.address, ASN, [SOURCE], _TIMERS))


def _heard(
    arena: Arena,
    what: str,
    like: str,
    node: FrrHost | GobgpNode,
    address: str,
    file: str,
    count: Callable[[], int],
    size: int,
) -> Heard:
    gauge = Gauge({"all": tuple(pid for d in node.daemons.values() for pid in family(d.pid))})
    limit, found = time.monotonic() + _PATIENCE, 0
    with ThreadPoolExecutor(1) as pool:
        saying = pool.submit(arena.say, address, file)
        while found < size and time.monotonic() < limit:
            time.sleep(_POLL)
            found = count()
        end = time.monotonic()
        if found < size:
            what = f"{what} (only {found:,} in time)"
            arena.sender.ask("drop", peer=address)
            arena.sender.ask("hear", peer=address)
        began = saying.result()[0] if found >= size else end - _PATIENCE
    used = gauge.read(end - began)
    progress(f"  {used.seconds:.2f} s, {used.processor['all']:.2f} s of processor, {used.peak['all']:.0f} MB")
    return Heard(what, like, used.seconds, used.processor["all"], used.peak["all"], found >= size)


def _installed(node: FrrNode) -> int:
    """MACs behind a tunnel in the kernel's FDB, of the VXLAN devices."""
    return int(node.run("bridge fdb show | grep -c ' dst .* self.*extern_learn' || :", timeout=_PATIENCE))


def _paths(node: GobgpNode) -> int:
    try:
        found = _PATHS.search(node.run(["gobgp", "global", "rib", "summary", "-a", "evpn"]))
    except LabError:
        return 0  # too busy to answer
    return int(found.group(1)) if found else 0
