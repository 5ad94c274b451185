"""The protocol between agent and speaker: JSON objects, one a line, over a unix stream socket.

Place: shared by `bgp.client` and `bgp.speaker.relay`, so that neither imports the other. Must not interpret
routes: bytes travel as hex.

Agent to speaker, `op`: begin (all my routes follow: what I don't repeat before `eor` is withdrawn; tell me
what the peers said; want: which routes concern me, see `bgp.interest`, or null for all), want (the same want,
changed), announce (id, routes: [NLRI, next hop, attributes] each), withdraw (id, routes: NLRI each), eor (the
routes are complete), refresh (ask the peers for everything, RFC 2918), replay (tell me again what the peers
said and concerns me; targets: only routes with these route targets, or null). Speaker to agent, `ev`: hello
(version, peers: {address: up | down}), peer (peer, state, reason), update (peer, raw: the body of an UPDATE,
less what does not concern the agent), synced (a replay ended), ack (id: ExaBGP has the routes), error (id,
text), refused (text: another agent is attached).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

VERSION: Final = 2
BATCH: Final = 200
"""Routes in one line at most."""
LINE: Final = 1 << 20
"""Octets in one line at most; a longer one ends the connection."""


class Broken(Exception):
    """The other end does not speak this protocol."""


@dataclass(slots=True)
class Lines:
    """Cuts a stream into lines; holds the unfinished one."""

    rest: bytes = b""

    def feed(self, data: bytes) -> list[bytes]:
        """The complete lines after `data`, without their ends; Broken if one grows too long."""
        *whole, self.rest = (self.rest + data).split(b"\n")
        if len(self.rest) > LINE:
            raise Broken(f"a line of more than {LINE} octets")
        return [line for line in whole if line]


def pack(**fields: Any) -> bytes:
    """One message as a line."""
    return json.dumps(fields, separators=(",", ":")).encode() + b"\n"


def unpack(line: bytes) -> Mapping[str, Any]:
    """The message in a line; Broken if it is none."""
    try:
        message = json.loads(line)
    except (ValueError, RecursionError) as fault:
        raise Broken(f"a line that is not JSON: {fault}") from None
    if not isinstance(message, dict):
        raise Broken("a line that is not a JSON object")
    return message


def octets(value: Any) -> bytes:
    """Bytes from hex; Broken for anything else."""
    if not isinstance(value, str):
        raise Broken(f"{type(value).__name__} where hex was expected")
    try:
        return bytes.fromhex(value)
    except ValueError:
        raise Broken("text that is not hex") from None
