"""Commands: what the core wants done, in order, as values.

Place: made by `controller.agent.core` (pure), carried out by `controller.agent.loop`. Must not hold
behaviour.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from bgp.interest import Interest
from model.addresses import Address
from model.change import Patch
from model.ids import PortKey, Uid
from model.route import Route


class Sweep(Enum):
    """Whether an audit may delete flows of ours that nobody wants: only when all sides are in sync."""

    KEEP = "keep"
    ORPHANS = "orphans"


@dataclass(frozen=True, slots=True)
class Program:
    """Send the patch to the switch and wait for its acknowledgement."""

    patch: Patch


@dataclass(frozen=True, slots=True)
class CloseAccounts:
    """Stop the traffic of `links` (down), then purge, read and journal the counters, before the flows go."""

    ports: tuple[PortKey, ...]
    links: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class CloseCounters:
    """Purge, read and journal counters that nothing reaches any more, before their flows go."""

    cookies: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Shift:
    """Send the patch, one bundle, while nothing waits to be counted: it moves the pass of the data path in
    which these ports are counted, the class as which, or whether they are."""

    ports: tuple[PortKey, ...]
    patch: Patch


@dataclass(frozen=True, slots=True)
class Zones:
    """Forget all connections of the zones `flush`; then let each of `limits` (zone, connections) have no more
    than that, 0 = as many as it likes."""

    flush: tuple[int, ...]
    limits: tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True)
class OpenLinks:
    """Set these interfaces up: their ports live here now, flows included."""

    links: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class CloseLinks:
    """Set these interfaces down: this host may not serve their ports now."""

    links: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Tell:
    """Send these frames to workloads: (OpenFlow port, frame)."""

    frames: tuple[tuple[int, bytes], ...]


@dataclass(frozen=True, slots=True)
class Announce:
    routes: tuple[Route, ...]


@dataclass(frozen=True, slots=True)
class Withdraw:
    routes: tuple[Route, ...]


@dataclass(frozen=True, slots=True)
class Bind:
    """Claim the port in the store for this host, with mobility sequence `least` at least."""

    port: PortKey
    uid: Uid
    least: int = 0


@dataclass(frozen=True, slots=True)
class Release:
    """Give the port back in the store."""

    port: PortKey
    uid: Uid


@dataclass(frozen=True, slots=True)
class EnsureBridge:
    """Make the bridge and its tunnel port be there, with this VTEP as local address."""

    vtep: Address


@dataclass(frozen=True, slots=True)
class Relearn:
    """Say which received routes concern this host, and ask the speaker for those with one of these route
    targets again, or for all of them (None)."""

    targets: tuple[bytes, ...] | None
    interest: Interest


@dataclass(frozen=True, slots=True)
class Audit:
    """Compare the switch with the program; put what is missing or wrong, and sweep orphans if told so."""

    sweep: Sweep


@dataclass(frozen=True, slots=True)
class Save:
    """Write the snapshot to disk soon."""


Command = (
    Program
    | CloseAccounts
    | CloseCounters
    | Shift
    | Zones
    | OpenLinks
    | CloseLinks
    | Tell
    | Announce
    | Withdraw
    | Bind
    | Release
    | EnsureBridge
    | Relearn
    | Audit
    | Save
)
