"""Resolve: where does the destination MAC live? Every MAC is known; a frame for another goes nowhere.

Place: table resolve. Group frames pass only in networks that replicate. Whether somebody gets a frame must
not decide whether it is counted (docs/decisions/0051).
"""

from __future__ import annotations

from model.flow import Flow
from pipelines import cookies
from pipelines.shapes.paths import (
    RESOLVE_GROUP,
    RESOLVE_LOCAL,
    RESOLVE_REFUSED,
    RESOLVE_REMOTE4,
    RESOLVE_REMOTE6,
    RESOLVE_SELF,
)
from pipelines.views import HostView, NetworkView, PortView, RemoteView


def host(_: HostView) -> tuple[Flow, ...]:
    """Group frames of networks that do not replicate."""
    return (Flow(RESOLVE_REFUSED, cookies.host()),)


def network(view: NetworkView) -> tuple[Flow, ...]:
    """Group frames of a network that does."""
    if not view.network.replicate:
        return ()
    return (Flow(RESOLVE_GROUP, cookies.network(view.network.key), (view.network.key,)),)


def port(view: PortView) -> tuple[Flow, ...]:
    """A local destination, and none for what a port sends to itself."""
    cookie = cookies.port(view.key)
    return (
        Flow(RESOLVE_SELF, cookie, (view.key, view.mac)),
        Flow(RESOLVE_LOCAL, cookie, (view.network, view.mac, view.ofport)),
    )


def remote(view: RemoteView) -> tuple[Flow, ...]:
    """A destination behind a tunnel."""
    shape = RESOLVE_REMOTE4 if view.vtep.version == 4 else RESOLVE_REMOTE6
    values = (view.network, view.mac, view.vni, int(view.vtep), view.tunnel)
    return (Flow(shape, cookies.remote(view.network, view.mac), values),)
