"""Limits: how large and how slow a request may be, and how long an answer may take.

Place: the outermost layer of the application, in plain ASGI. The body is read here, whole, and handed on, so
that no route ever sees a part of one. Must not look inside it.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from controller.api import replies

MIB: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class Bounds:
    """Bytes and seconds."""

    body: int = 16 * MIB
    arrival: float = 30.0
    answer: float = 120.0


class Limits:
    """ASGI middleware; the signature is Starlette's."""

    def __init__(self, app: ASGIApp, bounds: Bounds) -> None:
        self._app = app
        self._bounds = bounds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        try:
            async with asyncio.timeout(self._bounds.arrival):
                body = await self._read(scope, receive)
        except TimeoutError:
            await replies.plain(408)(scope, receive, send)
            return
        if body is None:
            await replies.plain(413)(scope, receive, send)
            return
        await self._answer(scope, _Replay(body, receive), send)

    async def _read(self, scope: Scope, receive: Receive) -> bytes | None:
        """The whole body; None if it is larger than allowed."""
        declared = dict(scope["headers"]).get(b"content-length", b"0")
        if declared.isdigit() and int(declared[:20]) > self._bounds.body:
            return None
        parts: list[bytes] = []
        size = 0
        while True:
            message = await receive()
            if message["type"] != "http.request":
                return b"".join(parts)
            part = message.get("body", b"")
            size += len(part)
            if size > self._bounds.body:
                return None
            parts.append(part)
            if not message.get("more_body"):
                return b"".join(parts)

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        started = asyncio.Event()

        async def watched(message: Message) -> None:
            started.set()
            await send(message)

        try:
            async with asyncio.timeout(self._bounds.answer):
                await self._app(scope, receive, watched)
        except TimeoutError:
            if not started.is_set():
                await replies.plain(504)(scope, receive, send)


class _Replay:
    """Hands the body out once, then passes on what the connection says (a disconnect)."""

    def __init__(self, body: bytes, receive: Receive) -> None:
        self._body: bytes | None = body
        self._receive = receive

    async def __call__(self) -> Message:
        if self._body is None:
            return await self._receive()
        body, self._body = self._body, None
        return {"type": "http.request", "body": body, "more_body": False}
