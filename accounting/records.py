"""Records: what is known about bytes that left a port, and what could not be known.

Place: made by `accounting.count`, written to the journal, kept by `accounting.ledger`. Must not compute.
Times are Unix milliseconds (UTC). Bytes are layer-3 bytes unless a name says otherwise.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Final

from model.ids import ClassId, HostName, PortKey

Series = tuple[PortKey, ClassId, int]
"""(port key, class id, epoch): what one accounting flow stands for, as its cookie says."""
Counter = tuple[int, int]
"""(n_packets, n_bytes) of a flow as Open vSwitch tells them: cumulative; bytes with layer-2 headers."""

ETHERNET_HEADER: Final = 14
"""Bytes of an untagged Ethernet header, which OVS counts and the bill does not (IEEE 802.3 clause 3.1.1)."""
HOUR: Final = 3_600_000
DAY: Final = 24 * HOUR
"""Milliseconds. UTC knows neither daylight saving nor, in Unix time, leap seconds: all are equally long."""


@dataclass(frozen=True, slots=True)
class Run:
    """One life of ovs-vswitchd: within it a flow's counters only rise. `boot_id` is the kernel's."""

    host: HostName
    boot_id: str
    vswitchd_start: str

    def goes_on(self, later: Run) -> bool:
        """Whether `later` is the same life, be it that the host was given another name meanwhile."""
        return (self.boot_id, self.vswitchd_start) == (later.boot_id, later.vswitchd_start)


@dataclass(frozen=True, slots=True)
class Owner:
    """Whose port it is, with the names as of when the bytes were read. Uids are never used twice."""

    port_uid: str
    port_name: str
    tenant_uid: str
    tenant_name: str
    network_uid: str
    network_name: str


UNKNOWN: Final = Owner("", "", "", "", "", "")
"""Owner of bytes of a port that the host no longer (or not yet) knows: kept, so that nothing is lost."""


@dataclass(frozen=True, slots=True)
class Interval:
    """`packets` and `bytes` that one series sent after `from_ms` and not after `to_ms`.

    `bytes` = layer 2 bytes less `header_bytes` for each packet, both as `datapath` counts them.
    `counter` is the cumulative reading at `to_ms`: intervals of a series add up to it.
    `sequence` never repeats on a host's journal.
    """

    run: Run
    series: Series
    owner: Owner
    class_name: str
    sequence: int
    from_ms: int
    to_ms: int
    packets: int
    bytes: int
    datapath: str
    header_bytes: int
    counter: Counter


class Cause(Enum):
    """Why bytes could not be known."""

    RUN_ENDED = "vswitchd-ended"
    """ovs-vswitchd ended between two readings: what came after the last reading died with it."""
    COUNTER_FELL = "counter-fell"
    """A flow was taken away and put back by somebody else between two readings."""
    FLOW_VANISHED = "flow-vanished"
    """A flow went without the reading that stands before a deletion."""
    JOURNAL_MISSING = "journal-missing"
    """Counters had run before this journal began: billed already by a lost journal, or never."""
    PORT_REMOVED = "port-removed"
    """The interface was taken out of the switch with its traffic running: what was pending is lost."""
    PASS_MOVED = "pass-moved"
    """A change moved the pass of the data path in which the port is counted, or the class as which, and it
    could not be proven that nothing was pending: what was counted meanwhile is not billed, since it may hold
    bytes twice, or of another class. Up to the bound is missing."""
    DEVICE_ENDED = "device-ended"
    """A device past the switch, or what counts for it, was made anew between two readings."""
    DEVICE_UNREAD = "device-unread"
    """A device changed hands, and could not be read for the last time."""
    COUNTER_FULL = "counter-full"
    """A counter of 32 bits stopped at its end."""
    COUNTER_WRAPPED = "counter-wrapped"
    """A counter of 32 bits may have gone round more often than it was read."""
    COUNTER_LEAPT = "counter-leapt"
    """A device told of more than can have passed."""
    OWNER_UNCLEAR = "owner-unclear"
    """A device changed hands, and where one's bytes end and the other's begin is not on disk."""


@dataclass(frozen=True, slots=True)
class Gap:
    """Between `from_ms` and `to_ms` a port may have sent up to `bound` bytes that no interval holds.

    `bound` None = unknown. It is an upper bound, with layer-2 headers, by the port's interface counters.
    `JOURNAL_MISSING`: both times are those of the discovery.
    """

    run: Run
    port: PortKey
    owner: Owner
    cause: Cause
    sequence: int
    from_ms: int
    to_ms: int
    bound: int | None


@dataclass(frozen=True, slots=True)
class Balance:
    """A port's interface took in `wire_bytes` and its intervals of what it sent hold `counted_bytes`, in the
    same time: those that end after `from_ms` and not after `to_ms`. Both with layer-2 headers.

    The residual, `wire_bytes - counted_bytes`, is what the port sent and nobody bills: what its host refused,
    what gaps stand for, and at either end up to half a second that the flows had not been told of yet.
    `wire_bytes` None = not known, so neither is the residual. One for each port and hour in UTC, that is of
    the hour in which it begins: it ends with the first reading after that hour, or when the port is unbound.
    """

    run: Run
    port: PortKey
    owner: Owner
    sequence: int
    from_ms: int
    to_ms: int
    wire_bytes: int | None
    counted_bytes: int

    @property
    def residual(self) -> int | None:
        """Bytes; below zero only by what was late at the begin."""
        return None if self.wire_bytes is None else self.wire_bytes - self.counted_bytes


@dataclass(frozen=True, slots=True)
class Closed:
    """The last reading before the flow's deletion was made: its going is no gap. Stays on the host."""

    series: Series


@dataclass(frozen=True, slots=True)
class Ended:
    """The flow is gone or began anew: a later one with this cookie counts from zero. Stays on the host."""

    series: Series


Record = Interval | Gap | Balance | Closed | Ended
Billable = Interval | Gap | Balance
"""What is uploaded."""
