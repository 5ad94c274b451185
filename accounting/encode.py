"""Encode: records, steps and states as JSON, for the journal and for the upload.

Place: between `accounting.count` and the bytes on disk or on the wire. Must not trust a number: all integers
are checked to fit 63 bits, so that no ledger can be made to fail by one. Must not do I/O.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any, Final

from accounting.balance import Tally
from accounting.bounds import Sighting, Wire
from accounting.records import (
    Balance,
    Billable,
    Cause,
    Closed,
    Ended,
    Gap,
    Interval,
    Owner,
    Record,
    Run,
    Series,
)
from accounting.state import Baseline, Standing, State, Step
from accounting.turns import Turns, whole
from accounting.wording import Words, listed, quoted
from model.ids import ClassId, HostName, PortKey

Plain = dict[str, Any]

FORMAT: Final = 2
"""Version of the journal's bodies; a newer one is refused at start. 2 knows of balances and tallies."""
_READABLE: Final = (1, FORMAT)
_LIMIT: Final = 1 << 63
HEAD: Final = 4_096
_RECORDS: Final = '"records":['
"""Nowhere else in a step: in a text the quotes would be escaped, and behind one stands no letter."""
_DECODER: Final = json.JSONDecoder()
_AT: Final = re.compile(rb'"at_ms":(\d{1,18}),')


def plain(record: Billable) -> Plain:
    """The upload form, without the host (a batch says it once). `kind`: `interval`, `gap` or `balance`."""
    out: Plain = {
        "boot_id": record.run.boot_id,
        "vswitchd_start": record.run.vswitchd_start,
        "sequence": record.sequence,
        "from_ms": record.from_ms,
        "to_ms": record.to_ms,
        "owner": _plain_owner(record.owner),
    }
    if isinstance(record, Gap):
        return out | {
            "kind": "gap",
            "port": record.port,
            "cause": record.cause.value,
            "bound": record.bound,
        }
    if isinstance(record, Balance):
        return out | {
            "kind": "balance",
            "port": record.port,
            "wire_bytes": record.wire_bytes,
            "counted_bytes": record.counted_bytes,
        }
    return out | {
        "kind": "interval",
        "port": record.series[0],
        "class": record.series[1],
        "epoch": record.series[2],
        "class_name": record.class_name,
        "packets": record.packets,
        "bytes": record.bytes,
        "datapath": record.datapath,
        "header_bytes": record.header_bytes,
        "counter_packets": record.counter[0],
        "counter_bytes": record.counter[1],
    }


def billable(host: HostName, raw: Mapping[str, Any]) -> Billable:
    """The inverse of `plain`; ValueError for anything that does not fit."""
    record = _record(host, raw)
    if isinstance(record, (Interval, Gap, Balance)):
        return record
    raise ValueError(f"a record of kind {raw['kind']!r} is not uploaded")


def step_bytes(step: Step) -> bytes:
    """A journal body."""
    return whole(step_turns(step))


def step_turns(step: Step) -> Turns[bytes]:
    """`step_bytes`, in turns."""
    words = Words()

    def record(one: Record) -> str:
        return words.interval(one) if isinstance(one, Interval) else _text_of(_plain_record(one))

    run = _text_of(_plain_run(step.run))
    records = yield from listed(step.records, record)
    wires = yield from listed(
        sorted(step.wires.items()), lambda one: f"[{one[0]},{quoted(one[1].identity)},{one[1].bytes}]"
    )
    blind = _text_of(sorted(step.blind))
    begun = yield from _worded_tallies(step.begun, words)
    head = f'{{"format":{FORMAT},"run":{run},"at_ms":{step.at_ms},"records":'
    middle = f',"blind":{blind},"begun":'
    end = f',"unsure":{_text_of(sorted(step.unsure))}}}'
    return b"".join([head.encode(), *records, b',"wires":', *wires, middle.encode(), *begun, end.encode()])


def parse_step(body: bytes) -> Step:
    """The inverse of `step_bytes`; ValueError for anything else.

    Record by record: `json.loads` of megabytes lets no other thread do anything meanwhile.
    """
    text = body.decode()
    head, found, _ = text.partition(_RECORDS)
    try:
        if not found:  # with spaces, for example
            return _step(rest := _load(text), [_record(_run(rest["run"]).host, r) for r in rest["records"]])
        host = _run(_load(f"{head}{found}]}}")["run"]).host
        end = at = len(head) + len(found)
        records, separator = [], "]" if text.startswith("]", at) else ","
        while separator == ",":
            raw, end = _DECODER.raw_decode(text, at)
            records.append(_record(host, raw))
            separator, at = text[end : end + 1], end + 1
        return _step(_load(head + found + text[end:]), records)
    except (KeyError, TypeError) as error:
        raise ValueError(f"not a step of the journal: {error!r}") from error


def _step(raw: Plain, records: Iterable[Record]) -> Step:
    return Step(
        _run(raw["run"]),
        _number(raw, "at_ms"),
        tuple(records),
        {PortKey(port): Wire(identity, count) for port, identity, count in raw["wires"]},
        frozenset(PortKey(port) for port in raw.get("blind", ())),
        _tallies(raw.get("begun", ())),
        frozenset(PortKey(port) for port in raw.get("unsure", ())),
    )


def step_time(begin: bytes) -> int | None:
    """When a step was read, in Unix ms, from the first HEAD bytes of its body; None if it does not say."""
    found = _AT.search(begin)
    return None if found is None else int(found[1])


def state_bytes(state: State) -> bytes:
    """A checkpoint body."""
    return whole(state_turns(state))


def state_turns(state: State) -> Turns[bytes]:
    """`state_bytes`, in turns."""
    words = Words()

    def baseline(series: Series) -> str:
        (port, class_id, epoch), of = series, state.baselines[series]
        packets, octets = of.counter
        standing = of.standing.value
        return f'[{port},{class_id},{epoch},{packets},{octets},"{standing}",{words.owner(of.owner)}]'

    def sighting(one: tuple[PortKey, Sighting]) -> str:
        older, newer = one[1].older, one[1].newer
        return (
            f"[{one[0]},{words.name(older.identity)},{older.bytes},{words.name(newer.identity)},"
            f"{newer.bytes},{one[1].newer_ms},{one[1].counted}]"
        )

    run = "null" if state.run is None else _text_of(_plain_run(state.run))
    baselines = yield from listed(sorted(state.baselines), baseline)
    sightings = yield from listed(sorted(state.sightings.items(), key=_key), sighting)
    tallies = yield from _worded_tallies(state.tallies, words)
    head = f'{{"format":{FORMAT},"next_sequence":{state.next_sequence},"run":{run},"read_ms":{state.read_ms}'
    lists = [b',"baselines":', *baselines, b',"sightings":', *sightings, b',"tallies":', *tallies]
    end = f',"unsure":{_text_of(sorted(state.unsure))}}}'
    return b"".join([head.encode(), *lists, end.encode()])


def parse_state(body: bytes) -> State:
    """The inverse of `state_bytes`; ValueError for anything else."""
    raw = _load(body)
    try:
        return State(
            next_sequence=_number(raw, "next_sequence"),
            run=None if raw["run"] is None else _run(raw["run"]),
            read_ms=_number(raw, "read_ms"),
            baselines={
                (PortKey(port), ClassId(class_id), epoch): Baseline(
                    (packets, count), _owner(owner), Standing(standing)
                )
                for port, class_id, epoch, packets, count, standing, owner in raw["baselines"]
            },
            sightings={
                PortKey(port): Sighting(Wire(older, a), Wire(newer, b), at, *counted)
                for port, older, a, newer, b, at, *counted in raw["sightings"]
            },
            tallies=_tallies(raw.get("tallies", ())),
            unsure=frozenset(PortKey(port) for port in raw.get("unsure", ())),
        )
    except (KeyError, TypeError) as error:
        raise ValueError(f"not a checkpoint of the journal: {error!r}") from error


def _text_of(raw: Any) -> str:
    return json.dumps(raw, separators=(",", ":"))


def _key(item: tuple[Any, object]) -> Any:
    return item[0]


def _load(body: bytes | str) -> Plain:
    raw = json.loads(body)
    if not isinstance(raw, dict) or raw.get("format") not in _READABLE:
        raise ValueError(f"not of journal format {FORMAT} or before")
    return raw


def _worded_tallies(tallies: Mapping[PortKey, Tally], words: Words) -> Turns[list[bytes]]:
    def tally(one: tuple[PortKey, Tally]) -> str:
        port, t = one
        wire = f",{quoted(t.wire.identity)},{t.wire.bytes}" if t.wire else ""
        return f"[{port},{t.from_ms},{t.counted},{words.owner(t.owner)}{wire}]"

    return listed(sorted(tallies.items(), key=_key), tally)


def _tallies(raw: Iterable[list[Any]]) -> dict[PortKey, Tally]:
    return {
        PortKey(port): Tally(_owner(owner), from_ms, Wire(*wire) if wire else None, counted)
        for port, from_ms, counted, owner, *wire in raw
    }


def _plain_run(run: Run) -> list[str]:
    return [run.host, run.boot_id, run.vswitchd_start]


def _run(raw: list[str]) -> Run:
    host, boot_id, vswitchd_start = raw
    return Run(HostName(host), boot_id, vswitchd_start)


def _plain_owner(owner: Owner) -> Plain:
    return {
        "port_uid": owner.port_uid,
        "port_name": owner.port_name,
        "tenant_uid": owner.tenant_uid,
        "tenant_name": owner.tenant_name,
        "network_uid": owner.network_uid,
        "network_name": owner.network_name,
    }


def _owner(raw: Mapping[str, Any]) -> Owner:
    return Owner(
        port_uid=_text(raw, "port_uid"),
        port_name=_text(raw, "port_name"),
        tenant_uid=_text(raw, "tenant_uid"),
        tenant_name=_text(raw, "tenant_name"),
        network_uid=_text(raw, "network_uid"),
        network_name=_text(raw, "network_name"),
    )


def _plain_record(record: Record) -> Plain:
    match record:
        case Closed(series):
            return {"kind": "closed", "port": series[0], "class": series[1], "epoch": series[2]}
        case Ended(series):
            return {"kind": "ended", "port": series[0], "class": series[1], "epoch": series[2]}
        case Interval() | Gap() | Balance():
            return plain(record)


def _record(host: HostName, raw: Mapping[str, Any]) -> Record:
    try:
        match raw["kind"]:
            case "interval":
                return _interval(host, raw)
            case "gap":
                return _gap(host, raw)
            case "balance":
                return _balance(host, raw)
            case "closed":
                return Closed(_series(raw))
            case "ended":
                return Ended(_series(raw))
    except (KeyError, TypeError) as error:
        raise ValueError(f"a record lacks or misuses {error}") from error
    raise ValueError(f"unknown kind of record {raw['kind']!r}")


def _interval(host: HostName, raw: Mapping[str, Any]) -> Interval:
    return Interval(
        run=Run(host, _text(raw, "boot_id"), _text(raw, "vswitchd_start")),
        series=_series(raw),
        owner=_owner(raw["owner"]),
        class_name=_text(raw, "class_name"),
        sequence=_number(raw, "sequence"),
        from_ms=_number(raw, "from_ms"),
        to_ms=_number(raw, "to_ms"),
        packets=_number(raw, "packets"),
        bytes=_number(raw, "bytes"),
        datapath=_text(raw, "datapath"),
        header_bytes=_number(raw, "header_bytes"),
        counter=(_number(raw, "counter_packets"), _number(raw, "counter_bytes")),
    )


def _gap(host: HostName, raw: Mapping[str, Any]) -> Gap:
    return Gap(
        run=Run(host, _text(raw, "boot_id"), _text(raw, "vswitchd_start")),
        port=PortKey(_number(raw, "port")),
        owner=_owner(raw["owner"]),
        cause=Cause(raw["cause"]),
        sequence=_number(raw, "sequence"),
        from_ms=_number(raw, "from_ms"),
        to_ms=_number(raw, "to_ms"),
        bound=None if raw["bound"] is None else _number(raw, "bound"),
    )


def _balance(host: HostName, raw: Mapping[str, Any]) -> Balance:
    return Balance(
        run=Run(host, _text(raw, "boot_id"), _text(raw, "vswitchd_start")),
        port=PortKey(_number(raw, "port")),
        owner=_owner(raw["owner"]),
        sequence=_number(raw, "sequence"),
        from_ms=_number(raw, "from_ms"),
        to_ms=_number(raw, "to_ms"),
        wire_bytes=None if raw["wire_bytes"] is None else _number(raw, "wire_bytes"),
        counted_bytes=_number(raw, "counted_bytes"),
    )


def _series(raw: Mapping[str, Any]) -> Series:
    return (PortKey(_number(raw, "port")), ClassId(_number(raw, "class")), _number(raw, "epoch"))


def _text(raw: Mapping[str, Any], key: str) -> str:
    value = raw[key]
    if not isinstance(value, str):
        raise ValueError(f"{key} is no text")
    return value


def _number(raw: Mapping[str, Any], key: str) -> int:
    value = raw[key]
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < _LIMIT:
        raise ValueError(f"{key} is no whole number of 63 bits")
    return value
