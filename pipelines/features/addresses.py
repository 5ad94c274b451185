"""Addresses of allowed pairs: answered, bridged and routed like those of the port that has them now.

Place: whatever the features of ports and remotes do with an address, for one that moves without its port
(docs/decisions/0017). Must not have flows of its own kind.
"""

from __future__ import annotations

from model.flow import Flow
from pipelines.features import arrival, delivery, resolve, route, services
from pipelines.views import AddressView


def address(view: AddressView) -> tuple[Flow, ...]:
    """All that leads to it."""
    made: tuple[Flow, ...] = ()
    if view.port is not None:
        for feature in (services, resolve, delivery, route, arrival):
            made += feature.port(view.port)
    if view.remote is not None:
        made += services.remote(view.remote) + resolve.remote(view.remote)
    if view.route is not None:
        made += route.route(view.route)
    return made
