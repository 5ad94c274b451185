"""Pairs: a port may also speak with the addresses that its tenant allowed it (VRRP, containers in a VM).

Place: tables guard and neighbours, below the port's own identity. Who announces a single allowed address is
handed to the agent as well, which then tells everybody where the address is (docs/decisions/0017). Must not
let a pair's MAC or address through from any other port.
"""

from __future__ import annotations

from collections.abc import Iterator

from model.addresses import Prefix
from model.flow import Flow, Shape
from model.ids import Mac
from pipelines import cookies
from pipelines.shapes.pairs import (
    PAIR_ADVERTISE,
    PAIR_ANNOUNCED4,
    PAIR_ANNOUNCED6,
    PAIR_ARP,
    PAIR_DAD,
    PAIR_IPV4,
    PAIR_IPV6,
    PAIR_PROBE,
    PAIR_SOLICIT,
)
from pipelines.views import PortView


def port(view: PortView) -> tuple[Flow, ...]:
    """All that its pairs let a port say."""
    made: dict[Flow, None] = {}
    for mac, prefix in view.pairs:
        of_one = prefix.prefixlen == prefix.max_prefixlen
        flows = _four(view, mac, prefix) if prefix.version == 4 else _six(view, mac, prefix)
        made.update(dict.fromkeys(flows))
        if of_one:
            made.update(dict.fromkeys(_single(view, mac, prefix)))
    return tuple(made)


def _four(view: PortView, mac: Mac, prefix: Prefix) -> Iterator[Flow]:
    cookie = cookies.port(view.key)
    for shapes in (PAIR_ARP, PAIR_IPV4):
        yield _scoped(shapes, cookie, (view.key, mac), prefix)


def _six(view: PortView, mac: Mac, prefix: Prefix) -> Iterator[Flow]:
    cookie = cookies.port(view.key)
    yield _scoped(PAIR_IPV6, cookie, (view.key, mac), prefix)
    for option in (0, mac):
        yield Flow(PAIR_SOLICIT, cookie, (view.key, option))
        yield _scoped(PAIR_ADVERTISE, cookie, (view.key, option), prefix)


def _single(view: PortView, mac: Mac, prefix: Prefix) -> Iterator[Flow]:
    """It may ask whether one address is free, and what it announces is heard."""
    cookie, announced = cookies.port(view.key), cookies.announced(view.key)
    values = (view.key, mac, int(prefix.network_address))
    if prefix.version == 4:
        yield Flow(PAIR_PROBE, cookie, values)
        yield Flow(PAIR_ANNOUNCED4, announced, values)
        return
    yield Flow(PAIR_DAD, cookie, values)
    yield Flow(PAIR_ANNOUNCED6, announced, values)


def _scoped(shapes: tuple[Shape, Shape], cookie: int, head: tuple[int, int], prefix: Prefix) -> Flow:
    exact, within = shapes
    if prefix.prefixlen == prefix.max_prefixlen:
        return Flow(exact, cookie, (*head, int(prefix.network_address)))
    return Flow(within, cookie, (*head, int(prefix.network_address), int(prefix.netmask)))
