"""Gauging: reads the counters of gangs' devices, counts, and journals, on a thread of its own.

Place: the device half of an agent tells it who has which VF before it touches one (`follow`), and of each
that it takes from its driver (`leave`, by way of `Watched`); the uploader takes the journal to the API. Must
not raise: what fails now is counted later, since counters are cumulative. Nothing is read before the store
has said once whose the devices are.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

from accounting.bypass.count import Reading as Look
from accounting.bypass.count import State, Step, advance, fold, recover
from accounting.bypass.encode import parse_bypass, parse_state, state_bytes, step_bytes
from accounting.journal import Journal, Refused
from accounting.records import Gap
from controller.agent.claims import Claim, name, recall
from controller.agent.regaining import first_sequence, regained
from ipam.devices.kernel import Kernel
from ipam.devices.links import VfLink
from ipam.devices.tallies import Place, Subject
from ipam.devices.tree import Tree
from model.hardware import PciAddress, parse_pci
from model.ids import HostName
from model.tally import Manner, Tally

LOG: Final = logging.getLogger(__name__)
EVERY: Final = 60.0
"""Seconds between two readings."""
NARROW: Final = 2.0
"""The same while a counter of 32 bits is among them."""
_JOIN: Final = 2.0
_UNBIND: Final = "/driver/unbind"
_NAMED: Final = 3
"""Devices that an alarm names."""

Read = Callable[[Iterable[Subject]], Mapping[Place, Tally]]


@dataclass(frozen=True, slots=True)
class Clocks:
    """`now_ms`: Unix time. `up_ms`: since boot, never set (CLOCK_BOOTTIME)."""

    now_ms: Callable[[], int]
    up_ms: Callable[[], int]


class Gauging:
    """The counting of one host's devices. Any thread may call it."""

    def __init__(
        self,
        journal: Journal,
        read: Read,
        host: HostName,
        boot_id: str,
        clocks: Clocks,
        on_written: Callable[[], None] = lambda: None,
    ) -> None:
        """`on_written`: told after each step on disk that has something to upload. Unavailable if the journal
        can't be understood."""
        self._journal, self._read, self._host, self._boot_id = journal, read, host, boot_id
        self._clocks, self._on_written = clocks, on_written
        self._state = _recovered(journal, clocks.now_ms())
        self._claims: Mapping[str, Claim] | None = None
        self._held: list[tuple[Step, State]] = []
        self._refused = False
        self._unread: frozenset[str] = frozenset()
        self._uncounted: frozenset[str] = frozenset()
        self._narrow = False
        self._lock = threading.RLock()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="gauging", daemon=True)

    def start(self) -> None:
        """Begin to read now and then."""
        self._thread.start()

    def stop(self) -> None:
        """End the thread; one that waits for a driver is left behind."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join(_JOIN)

    @property
    def state(self) -> State:
        """What is counted so far."""
        return self._state

    def alarms(self) -> tuple[str, ...]:
        """What is wrong now, in words; does not wait for a reading under way.

        A device is named once two readings in a row lacked it: one may have met it on its way somewhere.
        """
        found = ["the journal of gangs' devices takes nothing: is the disk full?"] if self._refused else []
        if self._uncounted:
            names = sorted(self._uncounted)
            more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
            few = ", ".join(names[:_NAMED])
            found.append(f"traffic of gangs' devices is not counted: {few}{more}: counters can't be read")
        return tuple(found)

    def follow(self, claims: Mapping[str, Claim]) -> None:
        """Who has what from now on: call it before a device is changed for it."""
        with self._lock:
            if claims != self._claims:
                self._claims = claims
                self._try(frozenset(claims))

    def leave(self, pf: PciAddress) -> None:
        """VFs of a PF are about to be taken from their driver: those that go are read for the last time."""
        with self._lock:
            claims = self._claims or {}
            here = frozenset(vf for vf, claim in claims.items() if claim.subject.pf == pf)
            if here:
                self._try(here, frozenset(vf for vf in here if claims[vf].holding.going))

    def tick(self) -> None:
        """Read, count and journal."""
        with self._lock:
            if self._claims is not None and self._flush():
                self._look(frozenset(self._claims))

    def _run(self) -> None:
        while not self._stopping.wait(NARROW if self._narrow else EVERY):
            try:
                self.tick()
            except Exception:  # a defect costs a reading, never the thread
                LOG.exception("devices not read host=%s", self._host)

    def _try(self, places: frozenset[str], settling: frozenset[str] = frozenset()) -> None:
        """A defect here must not keep a gang from its devices."""
        try:
            self._look(places, settling)
        except Exception:
            LOG.exception("devices not read host=%s", self._host)

    def _look(self, places: frozenset[str], settling: frozenset[str] = frozenset()) -> None:
        """`places`: those to read; of others nothing is known this time."""
        claims = self._claims or {}
        tallies = self._tallies(claims, places)
        holdings = {vf: claim.holding for vf, claim in claims.items()}
        now_ms, up_ms = self._clocks.now_ms(), self._clocks.up_ms()
        self._keep(
            advance(
                self._state,
                Look(self._host, self._boot_id, now_ms, up_ms, tallies, holdings, settling),
            )
        )
        if places == frozenset(claims):
            self._tell(frozenset(vf for vf in places if claims[vf].holding.up and vf not in tallies))
            self._narrow = any(tally.manner is not Manner.WIDE for tally in tallies.values())

    def _tallies(self, claims: Mapping[str, Claim], places: frozenset[str]) -> dict[str, Tally]:
        """Of these, and of those whose holder has gone."""
        subjects = [claims[vf].subject for vf in sorted(places)]
        for vf, account in sorted(self._state.accounts.items()):
            if vf not in claims and account.holding is not None and account.tally is not None:
                subjects.append(recall(vf, account.tally))
        found = self._read(subjects)
        return {name(*place): tally for place, tally in found.items()}

    def _keep(self, step: Step) -> None:
        """Journal a step. It counts in memory at once; a refused one is offered again, unchanged."""
        if not step.records and not step.accounts:
            self._state = fold(self._state, step)
            return
        for gap in step.records:
            if isinstance(gap, Gap):
                LOG.warning(
                    "device gap tenant=%s port=%s host=%s cause=%s bound=%s",
                    gap.owner.tenant_name, gap.owner.port_name, self._host, gap.cause.value, gap.bound,
                )  # fmt: skip
        self._held.append((step, self._state))
        self._state = fold(self._state, step)
        self._flush()

    def _flush(self) -> bool:
        """Write what is held; False if the journal refuses."""
        wrote = False
        while self._held:
            step, before = self._held[0]
            result = self._journal.append(step_bytes(step), partial(state_bytes, before))
            if isinstance(result, Refused):
                if not self._refused:
                    LOG.error("device journal refuses host=%s: %s", self._host, result.reason)
                self._refused = True
                return False
            if self._refused:
                LOG.info("device journal goes on host=%s", self._host)
            self._refused = False
            self._held.pop(0)
            wrote = wrote or bool(step.records)
        if wrote:
            self._on_written()
        return True

    def _tell(self, unread: frozenset[str]) -> None:
        """Each device that can't be read, once."""
        for vf in sorted(unread - self._unread):
            LOG.warning("device not counted vf=%s host=%s: its counters can't be read here", vf, self._host)
        for vf in sorted(self._unread - unread):
            LOG.info("device counted again vf=%s host=%s", vf, self._host)
        self._uncounted = unread & self._unread
        self._unread = unread


@dataclass(frozen=True, slots=True)
class Watched:
    """A `Kernel` of `ipam.devices` that has VFs read for the last time before they leave their driver."""

    kernel: Kernel
    gauging: Gauging

    @property
    def root(self) -> Path:
        return self.kernel.root

    def write(self, path: str, text: str) -> None:
        self.kernel.write(path, text)

    def drive(self, address: str, path: str, text: str) -> None:
        """A VF's links were lowered by then (`ipam.devices.operations`), and its driver may reset it."""
        if path.endswith(_UNBIND):
            owner = Tree(self.root).target(f"bus/pci/devices/{address}/physfn").rpartition("/")[2]
            if owner:
                self.gauging.leave(parse_pci(owner))
        self.kernel.drive(address, path, text)

    def override(self, address: str) -> str:
        return self.kernel.override(address)

    def send(self, message: bytes) -> None:
        self.kernel.send(message)

    def links(self, netdev: str) -> tuple[VfLink, ...]:
        return self.kernel.links(netdev)

    def mode(self, address: str) -> str:
        return self.kernel.mode(address)

    def set_mode(self, address: str, mode: str) -> None:
        self.kernel.set_mode(address, mode)


def _recovered(journal: Journal, now_ms: int) -> State:
    """The state that the journal holds."""
    return regained(
        "device journal",
        journal,
        State(next_sequence=first_sequence(now_ms)),
        lambda checkpoint, steps: recover(parse_state(checkpoint), map(parse_bypass, steps)),
    )
