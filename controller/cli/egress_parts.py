"""Parts for eyes: what `ringfence egress explain` prints of an answer.

Place: between /v1/usage/explain and the terminal. Must not add up: the API has.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

from accounting.sizes import human
from controller.cli.egress_times import iso_ms

if TYPE_CHECKING:
    from controller.cli.session import Session

Value = dict[str, Any]
_LISTED: Final = 10
_PAST_THE_SWITCH: Final = ("vf", "infiniband")
"""Data paths whose bytes are those on the wire."""
_HOUR: Final = 3_600_000


def show(found: Value, session: Session) -> None:
    """The figure and its parts, as tables."""
    _figure(found, session)
    _hosts(found, session)
    _flows(found, session)
    _corrections(found, session)
    _summed(found, session)
    _gaps(found, session)
    _conflicts(found, session)
    _sources(found, session)


def show_intervals(page: Value, session: Session) -> None:
    """Single intervals, in order of their ends."""
    heads = ("from", "to", "host", "port", "class", "epoch", "number", "packets", "bytes", "counter")
    rows = [
        [
            iso_ms(row["fromMs"]),
            iso_ms(row["toMs"]),
            row["host"],
            row["portName"],
            row["className"],
            str(row["epoch"]),
            str(row["sequence"]),
            f"{row['packets']:,}",
            f"{row['bytes']:,}",
            f"{row['counterBytes']:,}",
        ]
        for row in page["items"]
    ]
    session.table("Intervals", heads, right(heads, rows, 5))
    session.line("and more: see -o json\n" if page["after"] is not None else "")


def judge(found: Value, session: Session) -> None:
    """The last line: whether it adds up."""
    figure, parts = found["figure"], found["parts"]["together"]
    if found["exact"]:
        session.line(
            f"The parts add up to the figure exactly: {figure['bytes']:,} bytes, "
            f"{figure['packets']:,} packets, {figure['intervals']:,} intervals."
        )
        return
    session.line(
        f"THE PARTS ARE NOT THE FIGURE: they are {parts['bytes']:,} bytes, {parts['packets']:,} packets, "
        f"{parts['intervals']:,} intervals; the figure is {figure['bytes']:,}, {figure['packets']:,}, "
        f"{figure['intervals']:,}."
    )
    session.note("Compare the ledger's sums with its intervals: ringfence egress sums check")


def right(
    heads: Sequence[str], rows: Sequence[Sequence[str]], first: int, end: int | None = None
) -> list[list[str]]:
    """Cells from column `first` on, and before `end`, end at the same place."""
    widths = [max(len(row[place]) for row in (heads, *rows)) for place in range(len(heads))]
    return [
        [
            cell.rjust(widths[place]) if first <= place < (end or len(row)) else cell
            for place, cell in enumerate(row)
        ]
        for row in rows
    ]


def _figure(found: Value, session: Session) -> None:
    figure = found["figure"]
    tenant = "all tenants" if figure["tenant"] is None else f"tenant {figure['tenant']}"
    names = "".join(f", {by} {name or '(unknown)'}" for by, name in figure["names"].items())
    way = "sent" if figure["direction"] == "out" else "received"
    session.line(f"{way} by {tenant}{names}, {iso_ms(figure['fromMs'])} to {iso_ms(figure['toMs'])} (UTC)")
    session.line(
        f"{figure['bytes']:,} bytes (about {human(figure['bytes'])}), {figure['packets']:,} packets, "
        f"{figure['intervals']:,} intervals\n"
    )
    if not found["known"]:
        session.note(f"The ledger holds nothing of tenant {figure['tenant']!a}: see `ringfence get tenants`.")


def _hosts(found: Value, session: Session) -> None:
    heads = ("host", "switch lives", "bindings", "flows", "intervals", "packets", "bytes", "in sums only")
    rows = [
        [
            each["host"],
            str(each["runs"]),
            str(each["epochs"]),
            str(each["flows"]),
            f"{each['counted']['intervals']:,}",
            f"{each['counted']['packets']:,}",
            f"{each['counted']['bytes']:,}",
            f"{each['summedOnly']['bytes']:,}",
        ]
        for each in found["hosts"]
    ]
    if rows:
        session.table("Hosts", heads, right(heads, rows, 1))
        session.line("")


def _flows(found: Value, session: Session) -> None:
    heads = (
        "host",
        "port",
        "class",
        "epoch",
        "cookie",
        "intervals",
        "packets",
        "bytes",
        "counter",
        "complete",
    )
    rows = [
        [
            flow["host"],
            flow["portName"] or "(unknown)",
            flow["className"],
            str(flow["epoch"]),
            flow["cookie"] or "-",
            f"{flow['intervals']:,}",
            f"{flow['packets']:,}",
            f"{flow['bytes']:,}",
            f"{flow['counterBegins']['bytes']:,} to {flow['counterEnds']['bytes']:,}",
            _complete(flow),
        ]
        for flow in found["flows"]
    ]
    if not rows:
        return
    session.table("Flows, as the hosts' switches counted them", heads, right(heads, rows, 5, 8))
    rest = found["flowsOmitted"]
    if rest["count"]:
        session.line(f"and {rest['count']:,} flows more with {rest['bytes']:,} bytes: see -n, -o json")
    for flow in found["flows"][:_LISTED]:
        if flow["match"]:
            session.line(f"{flow['cookie']}: {flow['words']}: table={flow['table']}, {flow['match']}")
        else:
            session.line(f"{flow['host']}: {flow['words']}")
    session.line("")


def _complete(flow: Value) -> str:
    """Whether the counter rose by what its intervals say."""
    if flow["beyond"] is None:
        return "its counter began anew in between: see gaps"
    if flow["beyond"]:
        where = "of another owner, refused, not billed (see gaps), or not here yet"
        return f"{flow['beyond']:,} more are elsewhere: {where}"
    return "yes"


def _corrections(found: Value, session: Session) -> None:
    for each in found["corrections"]:
        if each["datapath"] in _PAST_THE_SWITCH:
            size = f"{each['bytes']:,} bytes with layer 2"
            session.line(f"Devices ({each['datapath']}): {size}; how many headers there were is not known")
            continue
        session.line(
            f"Data path {each['datapath']}: {each['layer2Bytes']:,} bytes as the switch counts "
            f"- {each['headerBytes']} x {each['packets']:,} packets = {each['bytes']:,} bytes of layer 3"
        )
    if found["corrections"]:
        session.line("")


def _summed(found: Value, session: Session) -> None:
    if not found["summedOnly"]:
        return
    heads = ("host", "port", "class", "data path", "from", "to", "hours", "intervals", "packets", "bytes")
    rows = [
        [
            each["host"],
            each["portName"] or "(unknown)",
            each["className"],
            each["datapath"],
            iso_ms(each["firstHourMs"]),
            iso_ms(each["lastHourMs"] + _HOUR),
            f"{each['hours']:,}",
            f"{each['intervals']:,}",
            f"{each['packets']:,}",
            f"{each['bytes']:,}",
        ]
        for each in found["summedOnly"]
    ]
    session.table("In sums only: the single intervals are no longer kept", heads, right(heads, rows, 6))
    rest = found["summedOnlyOmitted"]
    if rest["count"]:
        session.line(f"and {rest['count']:,} sums more with {rest['bytes']:,} bytes: see -n, -o json")
    session.line("")


def _gaps(found: Value, session: Session) -> None:
    for gap in found["gaps"][:_LISTED]:
        bound = "nobody knows how much" if gap["bound"] is None else f"at most {gap['bound']:,} bytes more"
        when = f"{iso_ms(gap['fromMs'])} to {iso_ms(gap['toMs'])}"
        where = f"port {gap['portName']} on {gap['host']}, {when}"
        session.line(f"Gap of {where}: {bound} ({gap['cause']}): {gap['words']}.")
    if found["gapCount"] > _LISTED:
        session.line(f"and {found['gapCount'] - _LISTED} gaps more: see -o json")
    if not found["gapCount"]:
        session.line("No gap touches this time.")


def _conflicts(found: Value, session: Session) -> None:
    """What came more than once."""
    for each in found["conflicts"][:_LISTED]:
        held = "in a sum" if each["heldBytes"] is None else f"{each['heldBytes']:,} bytes"
        times = "once" if each["times"] == 1 else f"{each['times']} times"
        session.line(
            f"Refused {times}: {each['host']} posted {each['refusedBytes']:,} bytes of port "
            f"{each['portName']}, {iso_ms(each['toMs'])}, where the ledger holds {held} under that number."
        )
    if found["conflictCount"] > _LISTED:
        session.line(f"and {found['conflictCount'] - _LISTED} refused records more: see -o json")
    words = "Each interval is kept under its number once: an upload that comes again changes nothing."
    known = found["knownByNumberOnly"]
    more = f" Of these hosts {known:,} intervals are known by their numbers only." if known else ""
    session.line(words + more)


def _sources(found: Value, session: Session) -> None:
    """How the report came to the figure, and what may change it yet."""
    carried = found["straddling"]
    if carried["intervals"]:
        session.line(
            f"{carried['bytes']:,} bytes are of {carried['intervals']:,} intervals that began before --from "
            "and ended after it: at most these belong before."
        )
    read = found["readFrom"]
    spans = ", ".join(
        f"{words} {_duration(read[name])}"
        for name, words in (("days", "sums of days:"), ("hours", "of hours:"), ("intervals", "intervals:"))
        if read[name]
    )
    session.line(f"The report read the figure from {spans}.")
    if found["notSummedHours"]:
        session.line(
            f"{found['notSummedHours']:,} hours of hosts are not summed up yet: read from intervals."
        )
    if not found["behind"]:
        session.line("All hosts that sent for this tenant have told up to --to.")
    for each in found["behind"][:_LISTED]:
        session.line(
            f"May still come: {each['host']} sent for this tenant, and nothing of it later than "
            f"{iso_ms(each['newestMs'])} is here: it sent nothing since, or has not told yet."
        )
    if len(found["behind"]) > _LISTED:
        session.line(f"and {len(found['behind']) - _LISTED} hosts more: see -o json")
    session.line("")


def _duration(spans: Sequence[Value]) -> str:
    hours, rest = divmod(sum(span["toMs"] - span["fromMs"] for span in spans), _HOUR)
    days, hours = divmod(hours, 24)
    words = [
        f"{days} d" if days else "",
        f"{hours} h" if hours else "",
        f"{rest / 60_000:.1f} min" if rest else "",
    ]
    return " ".join(word for word in words if word)
