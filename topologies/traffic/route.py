"""Traceroute: which routers speak of packets whose time is over.

Place: tests of routing, from anything that has a network namespace. Must not judge who should.
"""

from __future__ import annotations

from topologies.deadline import PATIENCE
from topologies.errors import LabError
from topologies.traffic.endpoint import Endpoint

_WAIT = 10
"""Seconds for an answer."""
_LATE = 2 * PATIENCE


def traceroute(source: Endpoint, address: str, most: int = 6) -> tuple[str, ...]:
    """Who answered, hop by hop, to the end or `most` hops: the first of three answers, `*` if none came.

    LabError if the program fails.
    """
    family = "-6" if ":" in address else "-4"
    words = ["traceroute", family, "-n", "-w", str(_WAIT), "-m", str(most), address]
    outcome = source.attempt(words, _LATE)
    if not outcome.ok:
        told = f"ended with code {outcome.code}: {outcome.stderr}"
        raise LabError(f"{source.name}: traceroute {address} {told}")
    lines = [line.split()[1:] for line in outcome.stdout.splitlines()[1:]]
    return tuple(next((word for word in line if word != "*"), "*") for line in lines)
