"""Web: HTTP/1.1 of ports to requests for metadata, and responses back to whoever asked.

Place: beside `controller.services.server`, on sockets that the process hands in; h11 reads and writes HTTP,
`services.metadata` says what is answered. Each port is bounded by itself: its connections, its requests, the
room that one may take and the time; all are answered in turns. Must not decide what a port may know.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final

import h11

from controller.services.accepting import WHOLE, Accepting, Identify
from controller.services.rates import Rate, Rates
from controller.services.turnstile import Lane, Turnstile
from model.ids import PortKey
from services.metadata.answering import Asking, Kind, Request, Response, answer
from services.naming.outcome import Asker

Know = Callable[[Asker], "Asking | None"]
"""What may be said to who asks now; None: nothing is known of it."""

_CHUNK: Final = 4096
_USUAL: Final = Rate(50.0, 200.0)


@dataclass(frozen=True, slots=True)
class Limits:
    """`connections` of a port at once, of all `whole`; `head`: octets of a request's head, `body`: of what it
    sends besides. `idle`: seconds for a whole request, and for a response to be taken. `requests`: on one
    connection."""

    connections: int = 8
    head: int = 8192
    body: int = 1024
    idle: float = 10.0
    requests: int = 100
    rate: Rate = _USUAL
    whole: int = WHOLE


class Web:
    """Serves from `start` until `close`. `tally`: requests by port and kind. `clock`: seconds that never go
    back."""

    def __init__(
        self,
        know: Know,
        identify: Identify,
        clock: Callable[[], float],
        limits: Limits = Limits(),
        turnstile: Turnstile | None = None,
    ) -> None:
        self.tally: Counter[tuple[PortKey, Kind]] = Counter()
        self._know = know
        self._clock = clock
        self._limits = limits
        self._rates = Rates(limits.rate)
        self._turnstile = turnstile or Turnstile()
        self._accepting = Accepting(
            self._turnstile, identify, self._serve, self._refuse, limits.connections, limits.whole
        )

    async def start(self, streams: Iterable[socket.socket]) -> None:
        """On sockets that listen already; they are the server's from now on."""
        for sock in streams:
            self._accepting.start(sock)

    async def close(self) -> None:
        """Answer nobody any more."""
        await self._accepting.close()

    def forget(self, port: PortKey) -> None:
        """Of a port that is gone, or is another one: its connections and its counts."""
        self._accepting.drop(port)
        self._rates.forget(port)
        for key in [key for key in self.tally if key[0] == port]:
            del self.tally[key]

    def open_of(self, port: PortKey) -> int:
        """How many connections a port has."""
        return self._accepting.open_of(port)

    def _refuse(self, asker: Asker) -> None:
        self.tally[asker.port, Kind.CROWDED] += 1

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, asker: Asker) -> None:
        with contextlib.suppress(TimeoutError, OSError, h11.LocalProtocolError):
            await self._converse(reader, writer, asker)

    async def _converse(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, asker: Asker
    ) -> None:
        """Requests one after the other, until one end has enough."""
        talk = h11.Connection(h11.SERVER, max_incomplete_event_size=self._limits.head)
        for _ in range(self._limits.requests):
            head = None
            try:
                async with asyncio.timeout(self._limits.idle):
                    head = await self._read(reader, talk, asker)
            except TimeoutError:
                if talk.their_state is not h11.IDLE or talk.trailing_data[0]:
                    self.tally[asker.port, Kind.SLOW] += 1
                return
            except h11.RemoteProtocolError:
                await self._reply(writer, talk, None, self._count(asker, Response(Kind.GARBLED, 400)))
                return
            if head is None:
                return
            if not await self._turnstile.turn(asker.port, Lane.WEB):
                self._refuse(asker)
                return
            await self._reply(writer, talk, head, self._judge(head, asker))
            if talk.our_state is not h11.DONE or talk.their_state is not h11.DONE:
                return
            talk.start_next_cycle()

    async def _read(
        self, reader: asyncio.StreamReader, talk: h11.Connection, asker: Asker
    ) -> h11.Request | None:
        """The next request, read to its end; None: there is none any more, or it sends too much."""
        head, size = None, 0
        while True:
            event = talk.next_event()
            if event is h11.NEED_DATA:
                talk.receive_data(await reader.read(_CHUNK))
            elif isinstance(event, h11.Request):
                head = event
            elif isinstance(event, h11.Data):
                size += len(event.data)
                if size > self._limits.body:
                    self.tally[asker.port, Kind.GARBLED] += 1
                    return None
            elif isinstance(event, h11.EndOfMessage):
                return head
            else:
                return None

    def _judge(self, head: h11.Request, asker: Asker) -> Response:
        if not self._rates.take(asker.port, self._clock()):
            return self._count(asker, Response(Kind.CROWDED, 429))
        asking = self._know(asker)
        if asking is None:
            return self._count(asker, Response(Kind.ABSENT, 404))
        headers = tuple((bytes(name), bytes(value)) for name, value in head.headers)
        return self._count(asker, answer(Request(bytes(head.method), bytes(head.target), headers), asking))

    async def _reply(
        self, writer: asyncio.StreamWriter, talk: h11.Connection, head: h11.Request | None, said: Response
    ) -> None:
        headers = [("Content-Length", str(len(said.body))), ("Content-Type", "text/plain")]
        if said.life is not None:
            headers.append(("X-aws-ec2-metadata-token-ttl-seconds", str(said.life)))
        if said.kind is not Kind.ANSWERED and said.kind is not Kind.ABSENT and said.kind is not Kind.TOKEN:
            headers.append(("Connection", "close"))
        out = talk.send(h11.Response(status_code=said.status, headers=headers)) or b""
        if head is None or head.method != b"HEAD":
            out += talk.send(h11.Data(data=said.body)) or b""
        writer.write(out + (talk.send(h11.EndOfMessage()) or b""))
        async with asyncio.timeout(self._limits.idle):
            await writer.drain()

    def _count(self, asker: Asker, said: Response) -> Response:
        self.tally[asker.port, said.kind] += 1
        return said
