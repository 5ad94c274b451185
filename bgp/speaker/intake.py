"""Intake: how ExaBGP reads and hands on UPDATEs when thousands wait: several in one turn of its reactor, each
as one short line.

Place: put into ExaBGP by `bgp.speaker.engine`, in front of `Protocol.read_message` and `Processes.packets`,
which go on doing the work: framing, timers' events, counters. Must not read what an UPDATE says.

Why: a turn of the reactor polls the helper, the signals and every socket, and costs as much as an UPDATE; the
line that ExaBGP makes of one is mostly about itself, and the relay has to parse it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from exabgp.bgp.message import Message
from exabgp.reactor.api.processes import Processes
from exabgp.reactor.protocol import Protocol

AT_ONCE: Final = 64
"""UPDATEs of a peer in one turn: some milliseconds, for which other peers, timers and commands wait."""
SEAMS: Final = ((Protocol, ("read_message",)), (Processes, ("packets", "write", "_notify")))
"""What has to be there."""

_read_one = Protocol.read_message
_packets = Processes.packets


def read_message(protocol: Any) -> Iterator[Any]:
    """As ExaBGP's: it ends with a message; before that, NOPs while there is nothing to read. UPDATEs behind
    which another message waits are not told: they have been handed on."""
    for left in reversed(range(AT_ONCE)):
        message = None
        for message in _read_one(protocol):
            if message.ID == Message.CODE.NOP:
                yield message
        if message is None or message.ID == Message.CODE.NOP:
            return
        if not left or message.ID != Message.CODE.UPDATE or not protocol.connection.reading():
            yield message
            return


def packets(
    processes: Any, neighbor: Any, direction: str, category: int, negotiated: Any, header: bytes, body: bytes
) -> None:
    """An UPDATE as the line that the relay reads; anything else as ExaBGP says it."""
    if category != Message.CODE.UPDATE or direction != "receive":
        _packets(processes, neighbor, direction, category, negotiated, header, body)
    elif not processes.silence:
        line = f'{{"type":"update","peer":"{neighbor["peer-address"]}","raw":"{body.hex()}"}}'
        for process in processes._notify(neighbor, "receive-packets"):
            processes.write(process, line, neighbor)


def install() -> None:
    """Put both in place."""
    Protocol.read_message = read_message
    Processes.packets = packets
