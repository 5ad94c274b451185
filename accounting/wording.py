"""Wording: steps and states as JSON text, quickly and in turns.

Place: under `accounting.encode`, which says the same in plain values, and parses it. Must not differ from
it by a byte: `json.dumps` of the plain form is what a journal holds. Texts are made once for each owner,
run and class, numbers for each record.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from json.encoder import encode_basestring_ascii
from typing import Final, TypeVar

from accounting.records import Interval, Owner, Run
from accounting.turns import ROWS, Turns

T = TypeVar("T")

quoted: Final[Callable[[str], str]] = encode_basestring_ascii
"""A text as JSON."""
_HEAD: Final = '{{"boot_id":{},"vswitchd_start":{},"sequence":'


class Words:
    """What is the same from record to record, as text; lives while one step or state is written."""

    def __init__(self) -> None:
        self.owner: Callable[[Owner], str] = cache(owner_text)
        self.head: Callable[[Run], str] = cache(_head)
        self.name: Callable[[str], str] = cache(quoted)

    def interval(self, one: Interval) -> str:
        """As `json.dumps(encode.plain(one))` without spaces."""
        port, class_id, epoch = one.series
        packets, octets = one.counter
        return (
            f'{self.head(one.run)}{one.sequence},"from_ms":{one.from_ms},"to_ms":{one.to_ms},'
            f'"owner":{self.owner(one.owner)},"kind":"interval","port":{port},"class":{class_id},'
            f'"epoch":{epoch},"class_name":{self.name(one.class_name)},"packets":{one.packets},'
            f'"bytes":{one.bytes},"datapath":{self.name(one.datapath)},"header_bytes":{one.header_bytes},'
            f'"counter_packets":{packets},"counter_bytes":{octets}}}'
        )


def owner_text(owner: Owner) -> str:
    """An owner's JSON."""
    return (
        f'{{"port_uid":{quoted(owner.port_uid)},"port_name":{quoted(owner.port_name)},'
        f'"tenant_uid":{quoted(owner.tenant_uid)},"tenant_name":{quoted(owner.tenant_name)},'
        f'"network_uid":{quoted(owner.network_uid)},"network_name":{quoted(owner.network_name)}}}'
    )


def listed(rows: Sequence[T], word: Callable[[T], str]) -> Turns[list[bytes]]:
    """A JSON array of `rows`, in pieces: megabytes are put together once."""
    pieces = [b"["]
    for start in range(0, len(rows), ROWS):
        piece = ",".join(map(word, rows[start : start + ROWS]))
        pieces.append((f",{piece}" if start else piece).encode())
        yield
    pieces.append(b"]")
    return pieces


def _head(run: Run) -> str:
    return _HEAD.format(quoted(run.boot_id), quoted(run.vswitchd_start))
