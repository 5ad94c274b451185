"""Rates for eyes: what `ringfence egress top` and `watch` print of an answer.

Place: between /v1/usage/live and the terminal. Must not show as zero what is not known.
"""

from __future__ import annotations

import argparse
from typing import Any, Final

from controller.cli.client import Wrong
from controller.cli.egress_times import RELATIVE, iso_ms

Value = dict[str, Any]
GROUPINGS: Final = ("tenant", "network", "port", "class", "host")
UNKNOWN: Final = "?"
_UNITS: Final = ("bit/s", "kbit/s", "Mbit/s", "Gbit/s", "Tbit/s", "Pbit/s")
_SECONDS: Final = {"s": 1, "m": 60, "h": 3_600}
_AGES: Final = ((2 * 86_400, 86_400, "d"), (2 * 3_600, 3_600, "h"), (2 * 60, 60, "min"))
_LONGEST: Final = 3_600
_SILENT_LISTED: Final = 10
_GAPS_LISTED: Final = 5


def declare(parser: argparse.ArgumentParser) -> None:
    """What both actions ask."""
    parser.add_argument("--tenant", metavar="T", help="only of this tenant, by name or uid")
    parser.add_argument(
        "--by",
        metavar="WHAT",
        help=f"one row per ...: {', '.join(GROUPINGS)}, or several with commas between "
        "(default: tenant; with --tenant: port)",
    )
    parser.add_argument(
        "--direction", choices=("out", "in"), default="out", help="what ports sent, or got (default: out)"
    )
    parser.add_argument(
        "--over",
        metavar="TIME",
        default="10s",
        help="rates of the last TIME that each host told of: 1s to 1h (default: 10s)",
    )
    parser.add_argument(
        "-n", "--limit", metavar="N", type=int, default=20, help="rows, the fastest first (default: 20)"
    )


def question(arguments: argparse.Namespace) -> Value:
    """What the API is asked. Wrong: it can't be asked so."""
    relative = RELATIVE.fullmatch(arguments.over)
    seconds = int(relative[1]) * _SECONDS.get(relative[2], 0) if relative else 0
    if not 1 <= seconds <= _LONGEST:
        raise Wrong(f"--over {arguments.over!a} is no time from 1s to 1h: write 10s, 5m or 1h")
    if not 1 <= arguments.limit <= 10_000:
        raise Wrong("-n is a number of rows from 1 to 10000")
    query = {
        "by": grouping(arguments),
        "direction": arguments.direction,
        "over": seconds,
        "limit": arguments.limit,
    }
    return query | ({"tenant": arguments.tenant} if arguments.tenant is not None else {})


def grouping(arguments: argparse.Namespace) -> str:
    """The rows that are asked for; Wrong for others. Names of several tenants stand beside their tenant's."""
    text = arguments.by or ("tenant" if arguments.tenant is None else "port")
    words = text.split(",")
    for word in words:
        if word not in GROUPINGS:
            raise Wrong(f"--by {word!a}: there are rows by {', '.join(GROUPINGS)}")
    if arguments.tenant is None and "tenant" not in words and {"port", "network"} & set(words):
        words = ["tenant", *words]
    return ",".join(words)


def title(found: Value) -> str:
    """What the rows are."""
    whose = "of all tenants" if found["tenant"] is None else f"of tenant {found['tenant']}"
    way = "Sent" if found["direction"] == "out" else "Received"
    over = found["overMs"] // 1000
    return f"{way} now {whose}, {iso_ms(found['atMs'])}: rates of the last {over} s that each host told of"


def heads(found: Value) -> list[str]:
    """Columns of the rows."""
    return [*found["by"].split(","), "rate", "packets/s", "share", "age", "not known"]


def rows(found: Value) -> list[list[str]]:
    """A row for each line, then one for the lines that are left out, and the total."""
    whole = found["total"]["bitsPerSecond"]
    width = len(found["by"].split(","))
    silent = {host["host"]: host for host in found["hosts"] if host["standing"] != "fresh"}
    made = [[*_names(line), *_numbers(line["now"], whole), *_doubt(line, silent)] for line in found["lines"]]
    if found["omitted"]:
        words = f"{found['omitted']} others"
        made.append([words, *[""] * (width - 1), *_numbers(found["omittedNow"], whole), "", ""])
    lost = found["last"]["bitsPerSecond"]
    then = f"{bits(lost)} when last heard of" if lost else ""
    made.append(["total", *[""] * (width - 1), *_numbers(found["total"], whole), "", then])
    return _aligned(heads(found), made, width)


def notes(found: Value) -> list[str]:
    """What the rows leave open, in words."""
    said = []
    if not found["known"]:
        said.append(f"The ledger holds nothing of tenant {found['tenant']!a}: see `ringfence get tenants`.")
    if not found["hostsAsked"]:
        said.append("The store does not answer: a host that sends nothing can't be told from a silent one.")
    lost = _silent(found)
    for host in lost[:_SILENT_LISTED]:
        then = bits(host["rate"]["bitsPerSecond"])
        said.append(f"silent: {host['host']}, nothing known for {age(host['ageMs'])}; it sent {then} then")
    if len(lost) > _SILENT_LISTED:
        said.append(f"and {len(lost) - _SILENT_LISTED} silent hosts more: see -o json")
    unheard = [host["host"] for host in found["hosts"] if host["standing"] == "unheard"]
    if unheard:
        more = f" and {len(unheard) - _SILENT_LISTED} more" if len(unheard) > _SILENT_LISTED else ""
        said.append(f"nothing was ever heard of: {', '.join(unheard[:_SILENT_LISTED])}{more}")
    for host in found["hosts"]:
        if host["aheadMs"] is not None:
            ahead = age(host["aheadMs"] - found["atMs"])
            said.append(f"clock: {host['host']} told of a time that is {ahead} ahead; that is left aside")
    for gap in found["gaps"][:_GAPS_LISTED]:
        bound = "of unknown size" if gap["bound"] is None else f"at most {gap['bound']:,} bytes"
        where = f"port {gap['portName']} on {gap['host']}, up to {iso_ms(gap['toMs'])}"
        said.append(f"gap: {where}: {gap['cause']}, {bound}")
    return said


def brief(found: Value) -> str:
    """All in one line."""
    total = found["total"]
    parts = [iso_ms(found["atMs"]), f"total {bits(total['bitsPerSecond'])} {_count(total)} packets/s"]
    for line in found["lines"]:
        now = line["now"]
        rate = UNKNOWN if now is None else bits(now["bitsPerSecond"])
        more = " + ?" if now is not None and line["unknownHosts"] else ""
        parts.append(f"{'/'.join(_names(line))} {rate}{more}")
    if found["omitted"]:
        parts.append(f"{found['omitted']} others {bits(found['omittedNow']['bitsPerSecond'])}")
    parts += [f"silent {host['host']} {age(host['ageMs'])}" for host in _silent(found)]
    return "  ".join(parts)


def bits(rate: float) -> str:
    """Decimal units with three digits: 999 bit/s, 1.23 kbit/s."""
    value, unit = rate, 0
    while value >= 999.5 and unit < len(_UNITS) - 1:
        value, unit = value / 1000, unit + 1
    digits = 0 if unit == 0 or value >= 99.95 else 1 if value >= 9.995 else 2
    return f"{value:.{digits}f} {_UNITS[unit]}"


def age(milliseconds: int) -> str:
    """3 s, 14 min, 5 h, 2 d."""
    seconds = milliseconds / 1000
    for least, size, name in _AGES:
        if seconds >= least:
            return f"{seconds / size:.0f} {name}"
    return f"{seconds:.0f} s"


def _silent(found: Value) -> list[Value]:
    """Those that fell silent last come first."""
    lost = [host for host in found["hosts"] if host["standing"] == "silent"]
    return sorted(lost, key=lambda host: (host["ageMs"], host["host"]))


def _names(line: Value) -> list[str]:
    return [name or key or "(unattributed)" for name, key in zip(line["names"], line["keys"], strict=True)]


def _numbers(rate: Value | None, whole: float) -> list[str]:
    if rate is None:
        return [UNKNOWN, UNKNOWN, UNKNOWN]
    share = f"{100 * rate['bitsPerSecond'] / whole:.0f} %" if whole else "-"
    return [bits(rate["bitsPerSecond"]), _count(rate), share]


def _count(rate: Value) -> str:
    number = float(rate["packetsPerSecond"])
    return f"{number:,.0f}" if number >= 10 or number == 0 else f"{number:.1f}"


def _doubt(line: Value, silent: dict[str, Value]) -> list[str]:
    """How old the row is, and what of it is not known."""
    old = UNKNOWN if line["ageMs"] is None else age(line["ageMs"])
    if not line["unknownHosts"]:
        return [old, ""]
    hosts = ", ".join(
        f"{name} silent for {age(silent[name]['ageMs'])}" if name in silent else name
        for name in line["unknownHosts"]
    )
    return [old, f"{hosts}; {bits(line['last']['bitsPerSecond'])} then"]


def _aligned(heads: list[str], made: list[list[str]], width: int) -> list[list[str]]:
    """Numbers end at the same column."""
    columns = range(width, width + 4)
    widths = {column: max(len(row[column]) for row in (heads, *made)) for column in columns}
    return [
        [cell.rjust(widths[place]) if place in widths else cell for place, cell in enumerate(row)]
        for row in made
    ]
