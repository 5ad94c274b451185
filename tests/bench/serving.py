"""`ringfenced services` without switch and wire, and with no bound on what a port may ask: `python -m
tests.bench.serving STATE`, in a network namespace that has our addresses on its own.

Place: started by `nameservers`. What answers is the product's own: roster, resolver, server.
"""

from __future__ import annotations

import asyncio
import secrets
import sys
import time
from pathlib import Path

from controller.services import door, roster
from controller.services.rates import Rate
from controller.services.resolver import Bounds, Resolver
from controller.services.server import Manners, Server
from controller.services.upstream import Patience, Upstream
from model.addresses import Address
from model.serving import RESOLVERS, port_of
from services.naming.answering import Terms
from services.naming.outcome import Asker

_UNBOUND = 1e9


async def _serve(state: Path) -> None:
    known = roster.load(state / roster.FILE, roster.empty("internal"))
    if known is None:
        raise SystemExit(f"{state}: no snapshot")
    askers = known.askers

    def identify(address: Address) -> Asker | None:
        key = port_of(address)
        return None if key is None else askers.get(key)

    upstream = Upstream((), secrets.randbits, Patience())
    bounds = Bounds(Rate(_UNBOUND, _UNBOUND))
    resolver = Resolver(known.directory, Terms(RESOLVERS, ()), upstream, time.monotonic, bounds)
    server = Server(resolver.ask, identify, Manners())
    sockets = door.open_sockets()
    await server.start(sockets.datagrams, sockets.streams)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(_serve(Path(sys.argv[1])))
