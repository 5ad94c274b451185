"""Gate: the flows of the fence, which Open vSwitch itself takes away when nobody renews them.

Place: used by the agent's lease, on a connection and a thread of its own. `arm` puts them closed, with a
hard timeout; `renew` modifies them to let pass, which begins the timeout anew. A modification finds nothing
once the flows are gone (OpenFlow 1.4.1 section 6.4), so that what comes late, from an agent that was
stopped for a while, opens nothing. Must not open by an addition. Not part of a program: audits leave table
fence alone.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from controller.southbound.openflow.channel import FLOW_STATS, flow_request
from controller.southbound.openflow.conversation import Conversation, Step
from controller.southbound.openflow.dump import parse, parse_row
from controller.southbound.openflow.encoder import Encoder
from controller.southbound.openflow.reference import Command
from controller.southbound.openflow.stream import Stream, unavailable
from controller.southbound.openflow.templates import BUNDLE_ADD_SIZE
from model.errors import Fault, Invalid
from model.flow import Flow, Shape
from pipelines import cookies
from pipelines.shapes.fence import CLOSED, PASSES
from pipelines.tables import FENCE

PATIENCE: Final = 1.0
"""Seconds for an answer of the switch: later it is of no use."""
_HARD_AT: Final = BUNDLE_ADD_SIZE + 28
"""Of the hard timeout in a wrapped flow_mod (OpenFlow 1.4.1 section 7.3.4.2)."""


class Gate:
    """`path`: the bridge's management socket. For one thread."""

    def __init__(self, path: Path, encoder: Encoder, clock: Callable[[], float] = time.monotonic) -> None:
        self._path = path
        self._encoder = encoder
        self._clock = clock
        self._stream: Stream | None = None
        self._conversation: Conversation | None = None

    def arm(self, seconds: int) -> None:
        """Put the flows, closed, for so long. Those that let pass are closed by it. Raises Unavailable."""
        self._send(_flows(CLOSED), Command.ADD, seconds)

    def renew(self) -> bool:
        """Let pass for as long again as `arm` said, if the flows are still there; whether they are."""
        self._send(_flows(PASSES), Command.MODIFY_STRICT, 0)
        return self.opened()

    def shut(self) -> None:
        """Let nothing pass from now on."""
        self._send(_flows(PASSES), Command.DELETE_STRICT, 0)

    def opened(self) -> bool:
        """Whether all of the flows are there and let pass."""
        try:
            dump = parse(self._ready().multipart(FLOW_STATS, flow_request(FENCE.number)))
            rows = [row.tobytes() for _, _, found in dump.matrices() for row in found]
        except ValueError as error:
            self.close()
            raise unavailable(self._path, f"unreadable answer: {error}") from error
        return sum(bool(parse_row(row)[4]) for row in rows) == len(PASSES)

    def close(self) -> None:
        """Hang up; the next use connects again."""
        if self._stream is not None:
            self._stream.close()
        self._stream = self._conversation = None

    def _send(self, flows: Sequence[Flow], command: Command, seconds: int) -> None:
        conversation = self._ready()
        first = conversation.take(len(flows))
        opened, opening = conversation.bundle(Step.OPEN, first)
        committed, committing = conversation.bundle(Step.COMMIT, first)
        messages = [
            _timed(self._encoder.encode(flow, command, first, first + k), seconds)
            for k, flow in enumerate(flows)
        ]
        conversation.write(b"".join([opening, *messages, committing]))
        refusal = conversation.wait(opened) or conversation.wait(committed)
        errors = conversation.errors(first, len(flows))
        if refusal is not None or errors:
            reason = refusal or next(iter(errors.values()))
            raise Invalid(
                Fault("table fence", "switch-refuses", f"the switch refused a flow: {reason}", "See its log.")
            )

    def _ready(self) -> Conversation:
        if self._stream is not None and not self._stream.alive():
            self.close()
        if self._conversation is None:
            self._stream = Stream(self._path, PATIENCE, self._clock)
            self._conversation = Conversation(self._stream, PATIENCE, self._clock)
        return self._conversation


def _flows(shapes: Sequence[Shape]) -> tuple[Flow, ...]:
    return tuple(Flow(shape, cookies.host(table=FENCE.number)) for shape in shapes)


def _timed(message: bytes, seconds: int) -> bytes:
    return message[:_HARD_AT] + seconds.to_bytes(2, "big") + message[_HARD_AT + 2 :]
