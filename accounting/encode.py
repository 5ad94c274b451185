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
from accounting.count import Baseline, Standing, State, Step
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
from model.ids import ClassId, HostName, PortKey

Plain = dict[str, Any]

FORMAT: Final = 2
"""Version of the journal's bodies; a newer one is refused at start. 2 knows of balances and tallies."""
_READABLE: Final = (1, FORMAT)
_LIMIT: Final = 1 << 63
HEAD: Final = 4_096
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
    return _dump(
        {
            "format": FORMAT,
            "run": _plain_run(step.run),
            "at_ms": step.at_ms,
            "records": [_plain_record(r) for r in step.records],
            "wires": [[port, wire.identity, wire.bytes] for port, wire in sorted(step.wires.items())],
            "blind": sorted(step.blind),
            "begun": _plain_tallies(step.begun),
            "unsure": sorted(step.unsure),
        }
    )


def parse_step(body: bytes) -> Step:
    """The inverse of `step_bytes`; ValueError for anything else."""
    raw = _load(body)
    try:
        run = _run(raw["run"])
        return Step(
            run,
            _number(raw, "at_ms"),
            tuple(_record(run.host, r) for r in raw["records"]),
            {PortKey(port): Wire(identity, count) for port, identity, count in raw["wires"]},
            frozenset(PortKey(port) for port in raw.get("blind", ())),
            _tallies(raw.get("begun", ())),
            frozenset(PortKey(port) for port in raw.get("unsure", ())),
        )
    except (KeyError, TypeError) as error:
        raise ValueError(f"not a step of the journal: {error!r}") from error


def step_time(begin: bytes) -> int | None:
    """When a step was read, in Unix ms, from the first HEAD bytes of its body; None if it does not say."""
    found = _AT.search(begin)
    return None if found is None else int(found[1])


def state_bytes(state: State) -> bytes:
    """A checkpoint body."""
    return _dump(
        {
            "format": FORMAT,
            "next_sequence": state.next_sequence,
            "run": None if state.run is None else _plain_run(state.run),
            "read_ms": state.read_ms,
            "baselines": [
                [*series, *b.counter, b.standing.value, _plain_owner(b.owner)]
                for series, b in sorted(state.baselines.items(), key=lambda item: item[0])
            ],
            "sightings": [
                [
                    port,
                    s.older.identity,
                    s.older.bytes,
                    s.newer.identity,
                    s.newer.bytes,
                    s.newer_ms,
                    s.counted,
                ]
                for port, s in sorted(state.sightings.items(), key=lambda item: item[0])
            ],
            "tallies": _plain_tallies(state.tallies),
            "unsure": sorted(state.unsure),
        }
    )


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


def _dump(raw: Plain) -> bytes:
    return json.dumps(raw, separators=(",", ":")).encode()


def _load(body: bytes) -> Plain:
    raw = json.loads(body)
    if not isinstance(raw, dict) or raw.get("format") not in _READABLE:
        raise ValueError(f"not of journal format {FORMAT} or before")
    return raw


def _plain_tallies(tallies: Mapping[PortKey, Tally]) -> list[list[Any]]:
    return [
        [
            port,
            t.from_ms,
            t.counted,
            _plain_owner(t.owner),
            *([t.wire.identity, t.wire.bytes] if t.wire else []),
        ]
        for port, t in sorted(tallies.items(), key=lambda item: item[0])
    ]


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
