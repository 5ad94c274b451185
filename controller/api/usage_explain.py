"""Usage explain: what a figure of a report is made of.

Place: below /v1/usage, for `ringfence egress explain`. Gives the parts the names of the pipeline: cookies and
matches of flows. Must not add up: `accounting.explain` does, and integers stay exact.
"""

from __future__ import annotations

import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, Query
from starlette.responses import JSONResponse

from accounting.classes import INBOUND, UNCLASSIFIED, class_of
from accounting.explain import Amount, Correction, Flow, HostPart, Life, Piece, Summed, total, words_of
from accounting.ledger import Ledger
from accounting.ledger.parts import Choice, Conflict, Place, Row
from accounting.ledger.spans import Span
from accounting.report import Direction, Grouping
from accounting.report.explained import Explanation, Figure, chosen, explain, page
from controller.api.usage_live import Words
from controller.api.usage_report import LAST_MS, camel
from model.errors import Fault, Invalid
from model.ids import ClassId, PortKey
from pipelines import cookies
from pipelines import fields as f
from pipelines.tables import ACCOUNT, RECEIVED

MOST_FLOWS: Final = 5_000
MOST_ROWS: Final = 10_000
"""Single intervals in one answer."""
_EQUALS: Final = frozenset({"port_uid", "network_uid", "host", "class", "class_name"})
_Name = Annotated[str | None, Query(min_length=1, max_length=255)]
Value = dict[str, Any]


def figure(
    from_ms: Annotated[int, Query(alias="from", ge=0, lt=LAST_MS)],
    to_ms: Annotated[int, Query(alias="to", ge=0, lt=LAST_MS)],
    tenant: _Name = None,
    network: _Name = None,
    port: _Name = None,
    class_: Annotated[str | None, Query(alias="class", min_length=1, max_length=255)] = None,
    host: _Name = None,
    direction: Direction = Direction.OUT,
) -> Figure:
    """The row that a request means; Invalid if its time is none."""
    if from_ms >= to_ms:
        raise Invalid(Fault("figure", "time-order", "`from` is not before `to`", "Exchange them.", "from"))
    named = (
        (Grouping.NETWORK, network),
        (Grouping.PORT, port),
        (Grouping.CLASS, class_),
        (Grouping.HOST, host),
    )
    only = tuple((grouping, value) for grouping, value in named if value is not None)
    return Figure(tenant, from_ms, to_ms, direction, only)


def usage_explain(ledger: Ledger, words: Words) -> APIRouter:
    """All routes of this file."""
    routes = APIRouter(prefix="/v1/usage/explain", tags=["usage"])

    @routes.get("", response_model=None)
    def ask(
        wanted: Annotated[Figure, Depends(figure)], limit: Annotated[int, Query(ge=1, le=MOST_FLOWS)] = 100
    ) -> JSONResponse:
        """A row of a report (the names of network, port, class and host pick it) and its parts.

        `exact` says whether they add up to it. `limit`: flows and sums that are listed, those with most bytes
        first; of the others the total is told.
        """
        return JSONResponse(_plain(explain(ledger, wanted), words() or {}, limit))

    @routes.get("/intervals", response_model=None)
    def intervals(
        wanted: Annotated[Figure, Depends(figure)],
        limit: Annotated[int, Query(ge=1, le=MOST_ROWS)] = 1_000,
        after: Annotated[str, Query(max_length=4_000)] = "",
    ) -> JSONResponse:
        """The single intervals behind a figure, in order of their ends. `after`: as the last page said."""
        choice, place = _opened(after) if after else (chosen(ledger, wanted), None)
        found = page(ledger, choice, place, limit)
        following = None if found.after is None else _sealed(choice, found.after)
        return JSONResponse({"items": [_row(row) for row in found.intervals], "after": following})

    return routes


def flow_of(life: Life, names: Piece) -> Value:
    """Where its counter is, in the words of the pipeline."""
    port = f"what port {names.port_name or '(unknown)'} (key {life.port})"
    got = life.number & INBOUND
    if life.number & UNCLASSIFIED:
        way = "got" if got else "sent"
        return {"cookie": None, "table": None, "match": None, "words": f"{port} {way} past the switch"}
    class_id = ClassId(life.number & ~INBOUND)
    named = f"class {names.class_name} ({class_id})"
    make, table, register, words = (
        (cookies.account_in, RECEIVED, f.RECEIVER, f"{port} got from outside, from {named}")
        if got
        else (cookies.account, ACCOUNT, f.SOURCE, f"{port} sent to {named}")
    )
    match = f"{register.field.name}={_hex(life.port)},{f.CLASS.field.name}={_hex(class_id)}"
    cookie = make(PortKey(life.port), class_id, life.epoch)
    return {"cookie": f"{cookie:#x}", "table": table.name, "match": match, "words": words}


def _hex(number: int) -> str:
    """As Open vSwitch prints it."""
    return f"{number:#x}" if number else "0"


def _plain(found: Explanation, words: Mapping[str, int | None], most: int) -> Value:
    asked = found.figure
    names = dict(zip((by.value for by, _ in asked.only), found.row.names if found.row else (), strict=True))
    keys = dict(zip((by.value for by, _ in asked.only), found.row.keys if found.row else (), strict=True))
    balance = found.balance
    return {
        "figure": {
            "tenant": asked.tenant,
            "fromMs": asked.from_ms,
            "toMs": asked.to_ms,
            "direction": asked.direction.value,
            "names": names,
            "keys": keys,
            **_amount(balance.figure),
        },
        "known": found.known,
        "exact": balance.exact,
        "parts": {
            "intervals": _amount(balance.intervals),
            "summedOnly": _amount(balance.summed),
            "together": _amount(balance.parts),
        },
        "straddling": _amount(found.straddling),
        "hosts": [_host(host) for host in found.hosts],
        "flows": [_flow(flow) for flow in found.flows[:most]],
        "flowsOmitted": _rest([flow.amount for flow in found.flows[most:]]),
        "summedOnly": [_summed(each) for each in found.summed[:most]],
        "summedOnlyOmitted": _rest([each.amount for each in found.summed[most:]]),
        "corrections": [_correction(each) for each in found.corrections],
        "gaps": [camel(asdict(gap)) | {"words": words_of(gap.cause)} for gap in found.gaps[:most]],
        "gapCount": len(found.gaps),
        "conflicts": [_conflict(each) for each in found.conflicts[:most]],
        "conflictCount": len(found.conflicts),
        "behind": [
            {"host": host, "newestMs": at}
            for host, at in found.behind
            if (words.get(host) or 0) < asked.to_ms  # who says that this is all sent nothing since
        ],
        "notSummedHours": found.stale,
        "knownByNumberOnly": found.dropped,
        "readFrom": {
            "days": _spans(found.spans.days),
            "hours": _spans(found.spans.hours),
            "intervals": _spans(sorted((*found.spans.edges, *found.spans.stale))),
        },
    }


def _amount(amount: Amount) -> Value:
    return {"packets": amount.packets, "bytes": amount.bytes, "intervals": amount.intervals}


def _rest(amounts: Sequence[Amount]) -> Value:
    return {"count": len(amounts), **_amount(total(amounts))}


def _host(host: HostPart) -> Value:
    return {
        "host": host.host,
        "runs": host.runs,
        "epochs": host.epochs,
        "flows": host.flows,
        "counted": _amount(host.amount),
        "summedOnly": _amount(host.summed),
    }


def _flow(flow: Flow) -> Value:
    life, last = flow.life, flow.pieces[-1]
    return {
        **flow_of(life, last),
        "host": life.host,
        "bootId": life.boot_id,
        "vswitchdStart": life.vswitchd_start,
        "port": life.port,
        "portUid": last.port_uid,
        "portName": last.port_name,
        "networkName": last.network_name,
        "class": class_of(life.number),
        "className": last.class_name,
        "epoch": life.epoch,
        **_amount(flow.amount),
        "counterBegins": _counter(flow.begins),
        "counterEnds": _counter(flow.ends),
        "beyond": flow.beyond,
        "pieces": [_piece(piece) for piece in flow.pieces],
    }


def _piece(piece: Piece) -> Value:
    return {
        "portName": piece.port_name,
        "className": piece.class_name,
        "datapath": piece.datapath,
        "headerBytes": piece.header_bytes,
        "fromMs": piece.from_ms,
        "toMs": piece.to_ms,
        "firstSequence": piece.first_sequence,
        "lastSequence": piece.last_sequence,
        **_amount(piece.amount),
        "layer2Bytes": piece.layer2,
    }


def _counter(counter: tuple[int, int]) -> Value:
    return {"packets": counter[0], "bytes": counter[1]}


def _summed(each: Summed) -> Value:
    return {
        "host": each.host,
        "portUid": each.port_uid,
        "portName": each.port_name,
        "networkName": each.network_name,
        "class": class_of(each.number),
        "className": each.class_name,
        "datapath": each.datapath,
        "firstHourMs": each.first_hour_ms,
        "lastHourMs": each.last_hour_ms,
        "hours": each.hours,
        **_amount(each.amount),
    }


def _correction(each: Correction) -> Value:
    return {
        "datapath": each.datapath,
        "headerBytes": each.header_bytes,
        **_amount(each.amount),
        "layer2Bytes": each.layer2,
    }


def _conflict(each: Conflict) -> Value:
    content = each.content
    return {
        "key": each.key,
        "times": each.times,
        "host": content["host"],
        "portName": content["owner"]["port_name"],
        "toMs": content["to_ms"],
        "refusedBytes": content["bytes"],
        "heldBytes": each.held_bytes,
    }


def _spans(spans: Sequence[Span]) -> list[Value]:
    return [{"fromMs": begin, "toMs": end} for begin, end in spans]


def _row(row: Row) -> Value:
    return camel(row) | {"class": class_of(row["class"]), "layer2Bytes": _layer2(row)}


def _layer2(row: Row) -> int:
    return int(row["bytes"] + row["header_bytes"] * row["packets"])


def _sealed(choice: Choice, place: Place) -> str:
    """Where the next page begins, so that it need not be worked out again what the figure is of."""
    return urlsafe_b64encode(json.dumps([asdict(choice), place]).encode()).decode()


def _opened(text: str) -> tuple[Choice, Place]:
    """The inverse; Invalid for what no page said."""
    try:
        raw, place = json.loads(urlsafe_b64decode(text.encode("ascii")))
        equals = tuple((str(name), value) for name, value in raw["equals"])
        tenants = None if raw["tenants"] is None else [str(uid) for uid in raw["tenants"]]
        numbers = [int(raw[name]) for name in ("from_ms", "to_ms", "inbound_bit", "inbound")]
        at_ms, host, boot_id, started, *rest = place
        sequence, port, number, epoch = map(int, rest)
        if not {name for name, _ in equals} <= _EQUALS:
            raise ValueError("not a column that figures are picked by")
        if any(not 0 <= each < 1 << 63 for each in (*numbers, int(at_ms), sequence, port, number, epoch)):
            raise ValueError("a number out of range")
        if any(not isinstance(value, str | int) for _, value in equals):
            raise ValueError("not a value of a column")
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        message = "`after` is not what a page said"
        raise Invalid(Fault("figure", "malformed-page", message, "Begin without it.", "after")) from error
    begin, end, bit, inbound = numbers
    choice = Choice(tenants, begin, end, equals, bit, inbound)
    return choice, (int(at_ms), str(host), str(boot_id), str(started), sequence, port, number, epoch)
