"""Hosts that bear gangs, in memory: what an agent does with a row of the store, and what it says of it.

Place: beside a real store in tests of `ringfenced fabric`. Must not know anything that an agent could not
read: the rows of the gangs that have something on it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from controller.store.records import Contents
from controller.store.words import Word
from controller.store.writer import Store
from model.bearing import HostPart, HostWord, Reached, format_host
from model.errors import Fault
from model.gang import Berth, Gang, GangState
from model.ids import HostName

HELD = (GangState.RESERVED, GangState.PROGRAMMED, GangState.VERIFIED, GangState.ACTIVE)
UNTOUCHED = (GangState.PLANNED, GangState.RESERVED)


def _nothing(_: str) -> None:
    return None


@dataclass
class Bearer:
    """`devices`: slot -> (generation that set it, whether its link is up); these outlive a crash. `dead`:
    says and does nothing. `faults`: why it sets nothing."""

    host: HostName
    devices: dict[int, tuple[int, bool]] = field(default_factory=dict)
    dead: bool = False
    faults: tuple[Fault, ...] = ()
    go: Callable[[str], None] = _nothing
    said: int = 0

    def turn(self, store: Store, contents: Contents, now: int) -> None:
        """Settle what its gangs need, and say so."""
        if self.dead:
            return
        mine = [
            (gang, berth)
            for gang in contents.ledger.gangs.values()
            for berth in gang.berths
            if berth.host == self.host and gang.progress.begun not in UNTOUCHED
        ]
        parts = tuple(
            self._settle(gang, berth) for gang, berth in sorted(mine, key=lambda m: m[0].generation)
        )
        self.said = max(now, self.said + 1)
        self.go("host says")
        store.say_of_host(Word(self.host, format_host(HostWord(parts)), self.said))
        self.go("host said")

    def _settle(self, gang: Gang, berth: Berth) -> HostPart:
        state, begun = gang.progress.state, gang.progress.begun
        slots = [interface.slot for interface in berth.interfaces]
        if state in HELD:
            up = begun is GangState.ACTIVE
            wanted = dict.fromkeys(slots, (gang.generation, up))
            reached = Reached.UP if up else Reached.SET
        else:
            wanted, reached = {}, Reached.PARKED
        if self.faults and state in HELD:
            return HostPart(gang.generation, state, begun, Reached.NOTHING, self.faults)
        if any(self.devices.get(slot) != wanted.get(slot) for slot in slots):
            self.go("devices")
            for slot in slots:
                if slot in wanted:
                    self.devices[slot] = wanted[slot]
                elif self.devices.get(slot, (0, False))[0] == gang.generation:
                    del self.devices[slot]
                self.go("one device")
            self.go("devices done")
        return HostPart(gang.generation, state, begun, reached)
