"""Virtual routers: ports that share addresses hear each other's VRRP, also where nothing is replicated.

Place: tables resolve, output and delivery, for VRRP's own group MACs (RFC 5798 section 5.1). Only ports with
allowed pairs send and get it. Must not forward any other group frame.
"""

from __future__ import annotations

from model.flow import Flow
from pipelines import cookies
from pipelines.fields import VRRP_GROUPS
from pipelines.shapes.paths import RESOLVE_ROUTERS, delivery_group, for_routers, output_group
from pipelines.views import NetworkView


def network(view: NetworkView) -> tuple[Flow, ...]:
    """Nothing in a network that replicates everything, or without such a port here."""
    if view.network.replicate or not view.sharing:
        return ()
    return tuple(flow for mac in VRRP_GROUPS for flow in _group(view, mac))


def _group(view: NetworkView, mac: int) -> tuple[Flow, ...]:
    key, cookie = view.network.key, cookies.network(view.network.key)
    ports = tuple(p for p in view.ofports if p in view.sharing)
    limited = tuple(p for p in view.limited if p in view.sharing)
    judged = tuple(p for p in view.judged if p in view.sharing)
    delivered = Flow(
        for_routers(delivery_group(len(ports), len(limited), len(judged))),
        cookie,
        (key, mac, *ports, *limited, *judged),
    )
    if len(view.sharing) < 2 and not view.vteps:
        return (delivered,)  # nobody would get what is sent here: it must not be billed
    vteps = tuple(int(vtep) for vtep in view.vteps)
    version = view.vteps[0].version if view.vteps else 4
    ends = (view.network.vni, view.tunnel, *vteps) if vteps else ()
    shape = for_routers(output_group(len(ports), len(vteps), version, len(limited), len(judged)))
    return (
        Flow(RESOLVE_ROUTERS, cookie, (key, mac)),
        Flow(shape, cookie, (key, mac, *ports, *ends, *limited, *judged)),
        delivered,
    )
