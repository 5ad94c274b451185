"""Route of pools: GET of how full everything is that gangs get, and when it will be used up.

Place: thin: contents -> `ipam.gangs.levels` -> JSON. What it remembers for forecasts is this process's own
and begins with it. Must not decide anything.
"""

from __future__ import annotations

import threading
from datetime import UTC, datetime
from typing import Any

from fastapi import APIRouter
from starlette.responses import JSONResponse

from controller.api.entrance import printable
from controller.api.objects import REFUSALS
from controller.api.service import Service
from controller.store.records import Contents
from ipam.gangs.levels import Key, Level, levels
from ipam.spaces.history import History
from ipam.spaces.outlook import Sample, forecast
from model.errors import Fault, NotFound


class Memory:
    """How full pools were, for all threads of the API."""

    def __init__(self) -> None:
        self._history: History[Key] = History()
        self._lock = threading.Lock()

    def note(self, contents: Contents, now: int) -> None:
        """Remember how full all pools are at `now` (Unix ms), if that is due: else it costs nothing."""
        with self._lock:
            if self._history.due(now):
                self._history.note(now, {level.key: _used(level) for level in levels(contents)})

    def exhausted(self, level: Level, now: int) -> int | None:
        """When it is used up if it goes on as it did, with how it is now."""
        with self._lock:
            past = self._history.samples(level.key)
        samples = [*(sample for sample in past if sample.at < now), Sample(now, _used(level))]
        return forecast(samples, level.size) if level.size else None


def pools(service: Service, memory: Memory) -> APIRouter:
    """GET /v1/pools."""
    routes = APIRouter(prefix="/v1", tags=["gangs"], responses=REFUSALS)

    @routes.get("/pools", response_model=None)
    def find(fabric: str = "") -> JSONResponse:
        """Size, held, cooling, free of each pool, of one fabric if given; how torn; when used up."""
        contents, now = service.store.contents(), service.clock()
        if fabric and fabric not in contents.fabrics:
            name, advice = printable(fabric), "See those that exist: ringfence get fabric"
            raise NotFound(Fault(f"Fabric {name}", "not-found", "it does not exist", advice))
        memory.note(contents, now)
        found = [_document(level, memory.exhausted(level, now)) for level in levels(contents, fabric)]
        return JSONResponse({"pools": found})

    return routes


def _document(level: Level, exhausted: int | None) -> dict[str, Any]:
    torn = level.fragmentation
    return {
        "fabric": level.fabric,
        "what": level.what.value,
        "rail": level.rail,
        "size": level.size,
        "held": level.held,
        "cooling": level.cooling,
        "free": level.free,
        "fragmentation": None if torn is None else round(torn, 4),
        "exhausted": None if exhausted is None else _moment(exhausted),
    }


def _used(level: Level) -> int:
    return level.held + level.cooling


def _moment(at: int) -> str | None:
    """None for what is behind all calendars."""
    try:
        return datetime.fromtimestamp(at // 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    except (OverflowError, ValueError, OSError):
        return None
