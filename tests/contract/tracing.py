"""The verdict of ofproto/trace as values, comparable with those of the fake switch.

Place: used by test_packets. Reads only the translation part: the data path actions say nothing of tunnels
without routes. Must not know the pipeline.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address

from model.addresses import parse_mac
from tests.fakes.switch import CONTROLLER

_STEP = re.compile(r"^ *(\d+)\. (?:.*, )?priority (\d+)(?:, cookie (0x[0-9a-f]+))?$")
_MISS = re.compile(r"^ *(\d+)\. No match\.$")
_SET = re.compile(r"^ +set_field:(.+)->(\w+)$")
_OUTPUT = re.compile(r"^ +output:(\d+)$")
_CONTROLLER = re.compile(r"^ +CONTROLLER:\d+$")
_TO_FIELD = re.compile(r"^ +-> output port is (\d+)$")
_SKIPPED = ">> skipping output to input port"

Step = tuple[int, int | None, int]
"""(table, priority or None for no match, cookie)."""


@dataclass(frozen=True)
class Traced:
    """`sent`: (port, fields written till then); `final`: the packet's fields at the end, in OVS's names."""

    path: tuple[Step, ...]
    sent: tuple[tuple[int, dict[str, int]], ...]
    final: dict[str, int]


def number(text: str) -> int:
    """A value as OVS prints it: integer, MAC or IP address."""
    if re.fullmatch(r"[0-9a-f]{2}(:[0-9a-f]{2}){5}", text):
        return parse_mac(text)
    if ":" in text:
        return int(IPv6Address(text))
    return int(IPv4Address(text)) if text.count(".") == 3 else int(text, 0)


def parse(text: str, came: int) -> Traced:
    """Of the text of ofproto/trace for a packet that came through port `came`."""
    path: list[Step] = []
    sent: list[tuple[int, dict[str, int]]] = []
    written: dict[str, int] = {}
    for line in text.splitlines():
        if found := _STEP.match(line):
            path.append((int(found[1]), int(found[2]), int(found[3] or "0", 16)))
        elif found := _MISS.match(line):
            path.append((int(found[1]), None, 0))
        elif found := _SET.match(line):
            written[found[2]] = number(found[1])
        elif found := (_OUTPUT.match(line) or _TO_FIELD.match(line)):
            sent.append((int(found[1]), dict(written)))
        elif _CONTROLLER.match(line):
            sent.append((CONTROLLER, dict(written)))
        elif line.strip() == "IN_PORT":
            sent.append((came, dict(written)))
        elif _SKIPPED in line:
            sent.pop()
        elif line.startswith("Final flow: "):
            return Traced(tuple(path), tuple(sent), _final(line.removeprefix("Final flow: ")))
    raise ValueError(f"no verdict in {text!r}")


def _final(line: str) -> dict[str, int]:
    """The fields of the last line that have a plain number; `unchanged` gives none."""
    found = {}
    for term in line.split(","):
        name, _, value = term.partition("=")
        if value and "/" not in value:
            try:
                found[name] = number(value)
            except ValueError:
                continue
    return found
