"""What `ofproto/trace` says, in the terms of the fake switch, so that the two can be compared.

Place: the contract test asks a real OVS with `packets.trace_text`, reads its answer here and compares with
`of_verdict` of the fake. Must not interpret: path and outputs only.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from tests.fakes.packets import Packet
from tests.fakes.switch import CONTROLLER, Verdict

IN_PORT = "IN_PORT"
_STEP = re.compile(r"\s*(\d+)\. (.*)")
_PRIORITY = re.compile(r"priority (\d+)")
_COOKIE = re.compile(r"cookie (0x[0-9a-f]+)")
_OUTPUT = re.compile(r"\s+(?:output:(\d+)|(IN_PORT)|(CONTROLLER)\S*)")
_REGISTER = re.compile(r"\s+-> output port is (\d+)")


@dataclass(frozen=True)
class Traced:
    """`path`: (table, (priority, cookie) or None for no flow) of each step. `ports`: outputs in order."""

    path: tuple[tuple[int, tuple[int, int] | None], ...]
    ports: tuple[str, ...]


def parse(text: str) -> Traced:
    """Read the answer of `ofproto/trace`. Native tunnelling that fails for want of a route counts as sent."""
    path: list[tuple[int, tuple[int, int] | None]] = []
    ports: list[str] = []
    for line in text.splitlines():
        if step := _STEP.fullmatch(line):
            path.append((int(step[1]), _rule(step[2])))
        elif output := _OUTPUT.fullmatch(line):
            ports.append(output[1] or output[2] or str(CONTROLLER))
        elif register := _REGISTER.fullmatch(line):
            ports.append(register[1])
        elif "skipping output to input port" in line:
            ports.pop()
    return Traced(tuple(path), tuple(ports))


def _rule(text: str) -> tuple[int, int] | None:
    if text.startswith("No match"):
        return None
    priority, cookie = _PRIORITY.search(text), _COOKIE.search(text)
    # ofproto/trace leaves out a cookie of 0 and the default priority
    return int(priority[1]) if priority else 1 << 15, int(cookie[1], 16) if cookie else 0


def of_verdict(packet: Packet, verdict: Verdict) -> Traced:
    """The fake switch's verdict in the same terms."""
    path = tuple(
        (table, None if flow is None else (flow.fill(flow.shape.priority), flow.cookie))
        for table, flow in verdict.path
    )
    ports = (IN_PORT if sent.port == packet.get("in_port") else str(sent.port) for sent in verdict.sent)
    return Traced(path, tuple(ports))
