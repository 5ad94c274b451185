"""App: the whole API as one ASGI application.

Place: made by `controller.api.serve` and by tests. Must not listen or start anything.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from fastapi import APIRouter, FastAPI

from controller.api import replies
from controller.api.audits import audits
from controller.api.books import Books
from controller.api.exports import exports
from controller.api.gangs import QUEUE, gangs
from controller.api.glass import glass
from controller.api.hosts import hosts
from controller.api.leaves import leaves
from controller.api.limits import Bounds, Limits
from controller.api.metrics import metrics
from controller.api.nodes import nodes
from controller.api.objects import reads, writes
from controller.api.policies import policies
from controller.api.pools import Memory, pools
from controller.api.service import Service
from controller.api.sight import sight
from controller.api.turns import Turns

DEFAULT: Final = Bounds()


def create(
    service: Service,
    extra: Iterable[APIRouter] = (),
    bounds: Bounds = DEFAULT,
    books: Books | None = None,
) -> FastAPI:
    """The application. `extra`: routers of other rooms (usage), mounted before the catch-all addresses.

    `books`: what is known of the ledger, for metrics and status.
    """
    app = FastAPI(
        title="Ringfence",
        version="v1",
        description="Multi-tenant networks for GPU clouds. All errors are `{faults: [...]}`.",
        docs_url=None,
        redoc_url=None,
    )
    replies.install(app)
    app.include_router(writes(service))
    app.include_router(hosts(service, books))
    app.include_router(sight(service))
    app.include_router(glass(service))
    app.include_router(nodes(service))
    app.include_router(policies(service))
    memory = Memory()
    turns = Turns(QUEUE)
    app.include_router(gangs(service, memory, turns))
    app.include_router(pools(service, memory))
    app.include_router(exports(service))
    app.include_router(audits(service))
    app.include_router(metrics(service, memory, turns, books))
    app.include_router(leaves(service))
    for router in extra:
        app.include_router(router)
    app.include_router(reads(service))
    app.add_middleware(Limits, bounds=bounds)
    return app
