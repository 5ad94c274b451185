"""The bulk channel: our own connection to the bridge's management socket, for changes, audits and counters.

Place: used by the agent's effects beside the os-ken session, so that neither waits for the other. Every
bundle is acknowledged before success is reported. Reads never reset a counter. One per thread, not shared.
"""

from __future__ import annotations

import logging
import struct
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Final, TypeVar

from controller.southbound.openflow import groups, meters
from controller.southbound.openflow.audit import Findings, compare
from controller.southbound.openflow.bundles import BUNDLE_FLOWS, Judging, nothing
from controller.southbound.openflow.conversation import Conversation, Step
from controller.southbound.openflow.dump import Counters, Dump, Observed, joined, parse
from controller.southbound.openflow.encoder import Encoder
from controller.southbound.openflow.reference import Command
from controller.southbound.openflow.sending import Outcome, Sending
from controller.southbound.openflow.stream import HEADER, VERSION, Stream, unavailable
from controller.southbound.openflow.templates import ATOMIC_ORDERED, BUNDLE_ADD, BUNDLE_ADD_TYPE
from model.change import Patch
from model.errors import Fault, Invalid
from model.flow import Flow, Group, Meter

TIMEOUT: Final = 10.0
"""Seconds without progress after which the switch counts as gone."""
SLICE: Final = 6_000
"""Flows listed in one go, more or less. Measured: Open vSwitch takes about 1.2 us a flow."""
COUNTED_SHIFT: Final = 20
"""Where the port's key begins in the cookie of a counter."""
FLOW_STATS: Final = 1
_TABLE_STATS: Final = 3
_FLOW_REQUEST: Final = struct.Struct("!B3xII4xQQHH4x")
_TABLE_ENTRY: Final = struct.Struct("!B3xIQQ")
_ANY: Final = 0xFFFFFFFF
_EMPTY_MATCH: Final = (1, 4)  # type OXM, length of the header alone (section 7.2.3.1)
_WHOLE_COOKIE: Final = (1 << 64) - 1
_FLOW_MOD: Final = struct.Struct("!QQBBHHHIIIHH")
_FLOW_MOD_TYPE: Final = 14
_log = logging.getLogger(__name__)


T = TypeVar("T")


class Channel:
    """Connects when first used, and again after the switch went away. `path`: `<rundir>/<bridge>.mgmt`.

    `counted`: tables whose cookies begin with class and epoch, which differ little from flow to flow.
    `standing`: groups that are there before any flow is sent on a connection. `judging`: of which flows
    what changes together is one bundle (`controller.southbound.openflow.bundles`).
    """

    def __init__(
        self,
        path: Path,
        encoder: Encoder,
        timeout: float = TIMEOUT,
        clock: Callable[[], float] = time.monotonic,
        counted: frozenset[int] = frozenset(),
        standing: tuple[Group, ...] = (),
        judging: Judging = nothing,
    ) -> None:
        self._path = path
        self._counted = counted
        self._standing = standing
        self._judging = judging
        self._stands = False
        self._held: dict[int, int] = {}
        self._encoder = encoder
        self._timeout = timeout
        self._clock = clock
        self._stream: Stream | None = None
        self._conversation: Conversation | None = None

    def close(self) -> None:
        """Hang up; the next use connects again."""
        if self._stream is not None:
            self._stream.close()
        self._stream = self._conversation = None
        self._stands = False

    def send(self, patch: Patch) -> Outcome:
        """Apply a patch in ordered atomic bundles and wait for each acknowledgement.

        A group with a refused flow is left out whole, the others are applied. Meters are put before all
        flows and taken away after them; without its meter a flow is refused. Raises Unavailable when the
        connection breaks: what was under way is then unknown and an audit must follow.
        """
        conversation = self._ready()
        if not self._stands:
            self.ensure_groups()
        for number, refusal in sorted(meters.put(conversation, patch.meters).items()):
            _log.error("meter refused id=%d: %s", number, refusal)
        outcome = Sending(conversation, self._encoder, self._judging).run(patch)
        meters.delete(conversation, patch.stale_meters)
        return outcome

    def ensure_groups(self) -> tuple[groups.Righted, ...]:
        """Make the groups as declared; those that were not."""
        mended = self._parsed(self._grouped) if self._standing else ()
        self._stands = True
        return mended

    def _grouped(self) -> tuple[groups.Righted, ...]:
        """On a connection of its own: only OpenFlow 1.5 can say by what a group chooses."""
        stream = Stream(self._path, self._timeout, self._clock, groups.VERSION)
        try:
            return groups.ensure(Conversation(stream, self._timeout, self._clock), self._standing)
        finally:
            stream.close()

    def meters(self) -> dict[int, Meter | None]:
        """Our meters that the switch has, by id; None for one that is not as we make them."""
        return self._parsed(lambda: meters.read(self._ready()))

    def meter_room(self) -> int:
        """How many meters the switch has room for."""
        return self._parsed(lambda: meters.room(self._ready()))

    def meter_drops(self) -> tuple[meters.Dropped, ...]:
        """What our meters dropped since each was made or changed."""
        return self._parsed(lambda: meters.dropped(self._ready()))

    def dump(self, table: int, cookie: int = 0, mask: int = 0) -> Dump:
        """All flows of one table, or those whose cookie matches `cookie` under `mask`."""
        body = flow_request(table, cookie, mask)
        return self._parsed(lambda: parse(self._ready().multipart(FLOW_STATS, body)))

    def audit(self, desired: Iterable[Flow]) -> Findings:
        """Compare all tables, read one after the other, with what is wanted."""
        return compare(self._encoder, desired, self.dumps())

    def dumps(self) -> Iterator[Dump]:
        """Every flow of the switch, a slice at a time: it does nothing else while it lists one.

        A slice holds the flows of a table whose cookies agree in some of the bits that differ most from
        flow to flow (see `pipelines.cookies`): how many bits follows from the number of flows that the
        table holds.
        """
        for table, flows in self._population():
            for part in self._slices(table, flows):
                yield self.dump(table, *part)

    def counters(self, *tables: int) -> Counters:
        """Cookies, packets and octets of tables as arrays, one table after the other: a slice at a time, as
        `dumps`, by as many as each held last. All of one life of the switch, or Unavailable."""
        return joined(self.counter_slices(*tables))

    def counter_slices(self, *tables: int) -> Iterator[Counters]:
        """`counters`, slice by slice: changes may be sent in between."""
        return (part.counters() for part in self.dump_slices(*tables))

    def dump_slices(self, *tables: int) -> Iterator[Dump]:
        """All flows of tables in the same way."""
        conversation = self._ready()
        for table in tables:
            held = 0
            for part in self._slices(table, self._held.get(table, 0)):
                found = self.dump(table, *part)
                if self._conversation is not conversation:
                    raise unavailable(self._path, "the switch began anew while its counters were read")
                held += len(found)
                yield found
            self._held[table] = held

    def _slices(self, table: int, flows: int) -> Iterator[tuple[int, int]]:
        """(cookie, mask) of each slice of a table that holds so many flows."""
        bits = max((flows - 1) // SLICE, 0).bit_length()
        shift = COUNTED_SHIFT if table in self._counted else 0
        for part in range(1 << bits):
            yield part << shift, ((1 << bits) - 1) << shift

    def active_tables(self) -> tuple[int, ...]:
        """Numbers of the tables that hold flows, so that nobody need read all 254."""
        return tuple(table for table, _ in self._population())

    def _population(self) -> tuple[tuple[int, int], ...]:
        """(table, flows) of those that hold some."""
        entries = self._parsed(lambda: b"".join(self._ready().multipart(_TABLE_STATS, b"")))
        rows = _TABLE_ENTRY.iter_unpack(entries[: len(entries) // _TABLE_ENTRY.size * _TABLE_ENTRY.size])
        return tuple((table, active) for table, active, _, _ in rows if active)

    def delete_observed(self, flows: Iterable[Observed]) -> int:
        """Delete exactly these flows, by table, priority, raw match and cookie; the number sent.

        One whose cookie changed since the dump stays.
        """
        conversation, todo = self._ready(), list(flows)
        for start in range(0, len(todo), BUNDLE_FLOWS):
            self._delete(conversation, todo[start : start + BUNDLE_FLOWS])
        return len(todo)

    def _delete(self, conversation: Conversation, flows: Sequence[Observed]) -> None:
        first = conversation.take(len(flows))
        opened, opening = conversation.bundle(Step.OPEN, first)
        committed, committing = conversation.bundle(Step.COMMIT, first)
        messages = [_deletion(f, first, first + k) for k, f in enumerate(flows)]
        conversation.write(b"".join([opening, *messages, committing]))
        refusal = conversation.wait(opened) or conversation.wait(committed)
        errors = conversation.errors(first, len(flows))
        if refusal is not None or errors:
            reason = refusal or next(iter(errors.values()))
            raise Invalid(
                Fault(
                    f"{len(flows)} observed flows",
                    "switch-refuses-delete",
                    f"the switch refused to delete them: {reason}",
                    "audit again: they may have changed meanwhile",
                )
            )

    def _ready(self) -> Conversation:
        if self._stream is not None and not self._stream.alive():
            self.close()
        if self._conversation is None:
            self._stream = Stream(self._path, self._timeout, self._clock)
            self._conversation = Conversation(self._stream, self._timeout, self._clock)
        return self._conversation

    def _parsed(self, read: Callable[[], T]) -> T:
        try:
            return read()
        except ValueError as error:
            self.close()
            raise unavailable(self._path, f"unreadable answer: {error}") from error


def flow_request(table: int, cookie: int = 0, mask: int = 0) -> bytes:
    """The body of a multipart request FLOW_STATS for the flows of a table (section 7.3.5.2)."""
    return _FLOW_REQUEST.pack(table, _ANY, _ANY, cookie, mask, *_EMPTY_MATCH)


def _deletion(flow: Observed, bundle: int, xid: int) -> bytes:
    """A bundle-wrapped strict delete by the match as it was dumped."""
    size = HEADER.size + _FLOW_MOD.size + len(flow.match)
    return b"".join(
        [
            BUNDLE_ADD.pack(VERSION, BUNDLE_ADD_TYPE, BUNDLE_ADD.size + size, xid, bundle, 0, ATOMIC_ORDERED),
            HEADER.pack(VERSION, _FLOW_MOD_TYPE, size, xid),
            _FLOW_MOD.pack(
                flow.cookie,
                _WHOLE_COOKIE,
                flow.table,
                Command.DELETE_STRICT.value,
                0,
                0,
                flow.priority,
                _ANY,
                _ANY,
                _ANY,
                0,
                0,
            ),
            flow.match,
        ]
    )
