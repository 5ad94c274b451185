"""Slow senders, slow answers, errors that nobody foresaw: an answer in our form, and the server goes on."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from fastapi import FastAPI

from controller.api import replies
from controller.api.limits import Bounds, Limits

Messages = list[dict[str, Any]]


def serve(app: Any, received: Messages, bounds: Bounds) -> Messages:
    """What one request's messages bring about; after them the client says nothing more."""
    sent: Messages = []
    pending = list(received)

    async def receive() -> dict[str, Any]:
        if pending:
            return pending.pop(0)
        await asyncio.Event().wait()
        raise AssertionError

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    scope = {"type": "http", "method": "POST", "path": "/", "query_string": b"", "headers": []}
    asyncio.run(Limits(app, bounds)(scope, receive, send))
    return sent


async def echo(scope: Any, receive: Any, send: Any) -> None:
    message = await receive()
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": message["body"]})


async def hang(scope: Any, receive: Any, send: Any) -> None:
    await asyncio.Event().wait()


def part(body: bytes, *, more: bool) -> dict[str, Any]:
    return {"type": "http.request", "body": body, "more_body": more}


def test_a_body_in_parts_arrives_whole() -> None:
    sent = serve(echo, [part(b"ab", more=True), part(b"cd", more=False)], Bounds(body=4))
    assert [m.get("status", m.get("body")) for m in sent] == [200, b"abcd"]


@pytest.mark.parametrize(
    ("app", "received", "bounds", "status"),
    [
        (echo, [part(b"abcde", more=False)], Bounds(body=4), 413),
        (echo, [part(b"a", more=True)], Bounds(arrival=0.05), 408),
        (hang, [part(b"a", more=False)], Bounds(answer=0.05), 504),
    ],
)
def test_what_is_too_much_or_too_slow_is_refused(
    app: Any, received: Messages, bounds: Bounds, status: int
) -> None:
    sent = serve(app, received, bounds)
    assert sent[0]["status"] == status and b'"faults"' in sent[1]["body"]


def test_an_unforeseen_error_shows_a_mark_and_no_traceback(caplog: pytest.LogCaptureFixture) -> None:
    app = FastAPI()
    replies.install(app)

    @app.post("/")
    def broken() -> None:
        raise ZeroDivisionError("secret detail")

    sent: Messages = []

    async def receive() -> dict[str, Any]:
        return part(b"", more=False)

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "method": "POST",
        "path": "/",
        "raw_path": b"/",
        "root_path": "",
        "scheme": "http",
        "query_string": b"",
        "headers": [],
        "server": None,
        "client": None,
        "http_version": "1.1",
    }
    # Starlette answers first, then lets the server see the error, which logs it and goes on.
    with pytest.raises(ZeroDivisionError):
        asyncio.run(app(scope, receive, send))
    assert sent[0]["status"] == 500
    body = sent[1]["body"]
    assert b"internal" in body and b"secret detail" not in body and b"Traceback" not in body
    assert "mark=" in caplog.text
