"""Autopsy: what is known of a way that did not come up, for the log of a test that failed.

Place: asked by the arena before the lab is closed. Must not change anything, nor hide the failure by its own.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from topologies.errors import LabError

if TYPE_CHECKING:
    from tests.torture.arena import Arena

_CACHED = "dpctl/dump-flows", "dpctl/dump-conntrack", "tnl/neigh/show", "ovs/route/show", "coverage/show"
_OUTSIDE = "ip route", "ip -6 route", "ip neighbour", "ip -6 neighbour", "bridge fdb"
_ROUTES = "show bgp l2vpn evpn route type prefix", "show evpn rmac vni all", "show evpn next-hops vni all"


def examine(arena: Arena, name: str, address: str) -> str:
    """Of the way from port `name` ("tenant/port"): the product's own trace, what its host's switch has cached
    and learnt, and what the border knows."""
    source, border = arena.member(name), arena.outside.border
    host = arena.host(source.host)
    pairs: list[tuple[str, Callable[[], object]]] = [
        ("trace", lambda: arena.control.run("trace", "--from", name, "--to", address)),
        *((f"{host.name}: {words}", lambda words=words: host.appctl(words)) for words in _CACHED),
        *((f"{source.name}: {words}", lambda words=words: source.vm.run(words)) for words in _OUTSIDE[:4]),
        *((f"{border.name}: {words}", lambda words=words: border.run(words)) for words in _OUTSIDE),
        *((f"{border.name}: {words}", lambda words=words: border.vtysh(words)) for words in _ROUTES),
    ]
    return "\n".join(f"--- {title} ---\n{_said(ask)}" for title, ask in pairs)


def _said(ask: Callable[[], object]) -> str:
    try:
        return str(ask())
    except LabError as error:
        return f"not known: {error}"
