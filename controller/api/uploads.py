"""Uploads: what agents on other hosts may ask over TLS, which is POST /v1/usage, and for themselves alone.

Place: an application of its own behind `controller.api.door`; nothing of the operators' API can be reached in
it. The answers are those of the unix socket, and 403 for a host that the certificate does not name. Must not
believe anything of a request but its certificate.
"""

from __future__ import annotations

from collections.abc import Callable, Set
from typing import Final

from fastapi import FastAPI, Request
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse
from starlette.types import ASGIApp

from accounting.ledger import Ledger
from controller.api import replies
from controller.api.entrance import printable
from controller.api.limits import MIB, Bounds, Limits
from controller.api.usage import Batch, ReceiptBody, keep
from controller.tls.names import URI
from model.errors import Fault
from model.ids import HostName

BOUNDS: Final = Bounds(body=4 * MIB, arrival=20.0, answer=50.0)
"""Room for ten batches of an agent's. All of it within the life of a connection, see `door.LIFE`."""
CERTIFIED: Final = "certified"
"""Key of the connection's state: the hosts that its certificate names."""
_SHOWN: Final = 10


def uploads(ledger: Ledger, complain: Callable[[str], None], bounds: Bounds = BOUNDS) -> ASGIApp:
    """The application. `complain`: says a refusal in the log."""
    app = FastAPI(openapi_url=None, docs_url=None, redoc_url=None, redirect_slashes=False)
    replies.install(app)
    app.add_exception_handler(HTTPException, _elsewhere)

    @app.post("/v1/usage", response_model=ReceiptBody)
    def post(batch: Batch, request: Request) -> JSONResponse:
        """As on the unix socket, if the certificate is the host's."""
        certified: Set[HostName] = getattr(request.state, CERTIFIED)
        if batch.host in certified:
            return keep(ledger, batch)
        fault = _fault(batch.host, certified)
        complain(f"{fault.object}: {fault.message}")
        return replies.refuse(403, [fault])

    return Limits(app, bounds)


def _elsewhere(_request: Request, error: Exception) -> JSONResponse:
    status = error.status_code if isinstance(error, HTTPException) else 500
    message, remedy = (
        "POST /v1/usage is all that is answered here",
        "Ask the API on its host, by its unix socket.",
    )
    return replies.refuse(status, [Fault("request", "not-here", message, remedy)])


def _fault(host: str, certified: Set[HostName]) -> Fault:
    names = [printable(name) for name in sorted(certified)]
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    held = f"{', '.join(names[:_SHOWN])}{more}" if names else "no host"
    return Fault(
        f"host {printable(host)}",
        "host-not-certified",
        f"the certificate that this came with names {held}",
        f"Give the host a certificate whose subjectAltName has DNS:NAME or URI:{URI}NAME; a host that was"
        " renamed needs both names until all that it counted before is uploaded.",
        "host",
    )
