"""Replies: errors of ours, of FastAPI and of nobody, as `{"faults": [...]}` with the right status.

Place: installed by `controller.api.app`. A traceback goes to the log, never to the client. Must not retry.
"""

from __future__ import annotations

import logging
import uuid
from collections.abc import Iterable
from dataclasses import asdict
from typing import Any, Final

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse

from model.errors import Conflict, Exhausted, Fault, Invalid, NotFound, RingfenceError, Unavailable

_LOG: Final = logging.getLogger(__name__)
STATUS: Final[tuple[tuple[type[RingfenceError], int], ...]] = (
    (Invalid, 422),
    (NotFound, 404),
    (Conflict, 409),
    (Exhausted, 409),
    (Unavailable, 503),
)
_PLAIN: Final = {
    404: ("not-found", "there is no such address", "See /openapi.json for those that exist."),
    405: ("method-not-allowed", "that method does not fit this address", "See /openapi.json."),
    413: ("too-large", "the request is too large", "Split it."),
    408: ("too-slow", "the request did not arrive in time", "Send it again, without pauses."),
    504: ("too-slow", "the answer took too long", "Ask `ringfence status`; a write may still land: send it "
          "again with the same Idempotency-Key."),
}  # fmt: skip


def install(app: FastAPI) -> None:
    """Handle every kind of error."""
    app.add_exception_handler(RingfenceError, _ours)
    app.add_exception_handler(RequestValidationError, _malformed)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(Exception, _unknown)


def refuse(status: int, faults: Iterable[Fault]) -> JSONResponse:
    """The answer that carries faults."""
    return JSONResponse({"faults": [asdict(f) for f in faults]}, status_code=status)


def plain(status: int) -> JSONResponse:
    """The answer to a request that never reached a route, or left it too late."""
    rule, message, remedy = _PLAIN.get(status, ("http", f"HTTP status {status}", "See /openapi.json."))
    return refuse(status, [Fault("request", rule, message, remedy)])


def _ours(_request: Request, error: Exception) -> JSONResponse:
    if not isinstance(error, RingfenceError):
        return _unknown(_request, error)
    status = next((code for kind, code in STATUS if isinstance(error, kind)), 500)
    return refuse(status, error.faults)


def _http(_request: Request, error: Exception) -> JSONResponse:
    return plain(error.status_code if isinstance(error, HTTPException) else 500)


def _malformed(_request: Request, error: Exception) -> JSONResponse:
    problems: Iterable[Any] = error.errors() if isinstance(error, RequestValidationError) else ()
    faults = [
        Fault(
            "request",
            "malformed-request",
            str(problem.get("msg", "it does not fit")),
            "See /openapi.json for the form of this request.",
            ".".join(str(part) for part in problem.get("loc", ()))[:200],
        )
        for problem in problems
    ]
    return refuse(
        422, faults[:100] or [Fault("request", "malformed-request", "it does not fit", "See /openapi.json.")]
    )


def _unknown(request: Request, error: Exception) -> JSONResponse:
    mark = uuid.uuid4().hex[:12]
    _LOG.error("request failed mark=%s path=%s", mark, request.url.path, exc_info=error)
    return refuse(
        500,
        [
            Fault(
                "request", "internal", f"an error of ours, logged as {mark}", "Tell your operator that mark."
            )
        ],
    )
