"""The language of ofproto/trace, both ways: a packet as the command takes it, its verdict as values.

Place: `ringfence trace` asks the real switch with it; the contract tests compare it with the walk. Reads only
the translation part of the answer: the data path actions say nothing of tunnels without routes. Must not know
the pipeline's tables.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address
from typing import Final

from model.addresses import parse_mac
from model.flow import Field
from pipelines import fields as f
from pipelines.render import value
from pipelines.tracking import beginning
from pipelines.walk import CONTROLLER, HASH, SIZE, Packet

_UNSEEN: Final = (Field(HASH, 32),)
"""No flow of ours looks at it, but a packet may have it."""
FIELDS: Final = (*f.FIELDS, *_UNSEEN)
_BY_NAME: Final = {field.name: field for field in FIELDS}
_ORDER: Final = tuple(_BY_NAME)
_LAYER4: Final = frozenset(
    {
        "udp_src",
        "udp_dst",
        "tcp_src",
        "tcp_dst",
        "sctp_src",
        "sctp_dst",
        "icmp_type",
        "icmp_code",
        "icmpv6_type",
        "icmpv6_code",
    }
    | {"nd_target", "nd_sll", "nd_tll"}
)
_UNSPOKEN: Final = frozenset({"nd_reserved", "nd_options_type", SIZE})
"""What ofproto/trace has no words for."""
_ALWAYS: Final = frozenset({"eth_type", "in_port", "eth_src", "eth_dst"})
_FRAGMENTS: Final = {0: "no", 1: "first", 3: "later"}

_STEP: Final = re.compile(r"^ *(\d+)\. (?:(.*), )?priority (\d+)(?:, cookie (0x[0-9a-f]+))?$")
_MISS: Final = re.compile(r"^ *(\d+)\. No match\.$")
_SET: Final = re.compile(r"^ +set_field:(.+)->(\w+)$")
_OUTPUT: Final = re.compile(r"^ +output:(\d+)$")
_CONTROLLER: Final = re.compile(r"^ +(?:CONTROLLER:\d+|controller\([^)]*\))$")
_TO_FIELD: Final = re.compile(r"^ +-> output port is (\d+)$")
_SKIPPED: Final = ">> skipping output to input port"
_BRIDGE: Final = re.compile(r'^( *)bridge\("(.*)"\)$')
_RULE: Final = re.compile(r"^ *-*$")
_TROUBLE: Final = ("native tunnel routing failed", "neighbor cache miss")


@dataclass(frozen=True, slots=True)
class Met:
    """A flow on the way. `priority` None: no flow matched in this table. `match`: in the switch's words."""

    table: int
    priority: int | None
    cookie: int = 0
    match: str = ""


@dataclass(frozen=True, slots=True)
class Traced:
    """`sent`: (port, fields written till then); `final`: the packet's fields at the end, in OVS's names.

    `trouble`: why what went into a tunnel does not come out, in the switch's words.
    """

    path: tuple[Met, ...]
    sent: tuple[tuple[int, dict[str, int]], ...]
    final: dict[str, int]
    trouble: tuple[str, ...] = ()


def question(packet: Packet) -> str:
    """The packet as `ofproto/trace BRIDGE` takes it, prerequisites first.

    Where the answer goes on behind connection tracking, the packet has the tuple that it has here: that of a
    connection which it begins, unless it says another.
    """
    shown = []
    if f.CT_STATE.name not in packet and packet.get("eth_type") in (f.IPV4, f.IPV6):
        packet = {**packet, **beginning(packet), f.CT_STATE.name: f.CT_TRACKED | f.CT_NEW}
    later = packet.get("ip_frag") == 3
    for name in sorted(packet.keys() - _UNSPOKEN, key=_ORDER.index):
        if later and name in _LAYER4:
            continue  # there is nothing behind a first fragment
        if name == "ip_frag":
            shown.append(f"ip_frag={_FRAGMENTS[packet[name]]}")
        elif packet[name] or name in _ALWAYS:
            shown.append(f"{name}={value(_BY_NAME[name], packet[name])}")
    return ",".join(shown)


def number(text: str) -> int:
    """A value as OVS prints it: integer, MAC or IP address."""
    if re.fullmatch(r"[0-9a-f]{2}(:[0-9a-f]{2}){5}", text):
        return parse_mac(text)
    if ":" in text:
        return int(IPv6Address(text))
    return int(IPv4Address(text)) if text.count(".") == 3 else int(text, 0)


def parse(text: str, came: int) -> Traced:
    """Of the answer for a packet that came through port `came`; ValueError if there is no verdict in it.

    Where connection tracking lets the packet begin again, the answer goes on behind its first verdict.
    """
    path: list[Met] = []
    sent: list[tuple[int, dict[str, int]]] = []
    written: dict[str, int] = {}
    trouble: list[str] = []
    final: dict[str, int] | None = None
    for line in _own(text):
        if found := _STEP.match(line):
            path.append(Met(int(found[1]), int(found[3]), int(found[4] or "0", 16), found[2] or ""))
        elif found := _MISS.match(line):
            path.append(Met(int(found[1]), None))
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
        elif any(words in line for words in _TROUBLE):
            trouble.append(line.strip(" ->"))
        elif line.startswith("Final flow: "):
            final = _final(line.removeprefix("Final flow: "))
    if final is None:
        raise ValueError(f"no verdict in {text!r}")
    return Traced(tuple(path), tuple(sent), final, tuple(trouble))


def _own(text: str) -> Iterator[str]:
    """The lines about the bridge that was asked: what a tunnel does in the bridge below is left out.

    That bridge's part is indented below its headline, or comes last and is not.
    """
    ours, foreign = "", -1
    for line in text.splitlines():
        if found := _BRIDGE.match(line):
            ours = ours or found[2]
            foreign = -1 if found[2] == ours else len(found[1])
            continue
        if foreign >= 0:
            inside = len(line) - len(line.lstrip()) > foreign or _RULE.match(line)
            if inside or _STEP.match(line) or _MISS.match(line):
                continue
            foreign = -1
        yield line


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
