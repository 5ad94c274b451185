"""Gang: the interfaces of one job, all of them or none; and the life of a gang as one table.

Place: asked for by a tenant or its scheduler, placed by `ipam.gangs`, kept by the store. The table says what
follows what; who carries effects out walks it, and so does the test that crashes at each of its steps. Must
not carry anything out.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import Enum
from types import MappingProxyType
from typing import Final

from model.addresses import Address
from model.fabric import Guid, PKey, RailIndex
from model.ids import HostName, Mac

_NO_MAC: Final = Mac(0)
_NO_GUID: Final = Guid(0)
_NO_PKEY: Final = PKey(0)


class GangState(Enum):
    """PLANNED: known, holds nothing. RESERVED: its slots are its own, in the store. PROGRAMMED: devices and
    fabric were told, VERIFIED: read back. ACTIVE: links are up. RELEASING (asked to go) and FAILED (could not
    be completed) are being undone. RELEASED: holds nothing.
    """

    PLANNED = "planned"
    RESERVED = "reserved"
    PROGRAMMED = "programmed"
    VERIFIED = "verified"
    ACTIVE = "active"
    RELEASING = "releasing"
    RELEASED = "released"
    FAILED = "failed"


class Event(Enum):
    """What happens to a gang. CLEAR: everything that it bore has been undone."""

    RESERVE = "reserve"
    PROGRAM = "program"
    VERIFY = "verify"
    ACTIVATE = "activate"
    FAIL = "fail"
    RELEASE = "release"
    CLEAR = "clear"


class Effect(Enum):
    """What a transition does. Each is idempotent, so that it may be done again after a crash."""

    TAKE_SLOTS = "take slots"
    SET_DEVICES = "set devices"
    JOIN_PARTITIONS = "join partitions"
    READ_BACK = "read back"
    RAISE_LINKS = "raise links"
    LOWER_LINKS = "lower links"
    LEAVE_PARTITIONS = "leave partitions"
    SEE_GONE = "see that old members are gone"
    RESET_DEVICES = "reset devices"
    FREE_SLOTS = "free slots"


IN_STORE: Final = frozenset({Effect.TAKE_SLOTS, Effect.FREE_SLOTS})
"""Done by the transaction that writes the new state; all others happen outside, before it."""

UNDONE_BY: Final[Mapping[Effect, tuple[Effect, ...]]] = MappingProxyType(
    {
        Effect.TAKE_SLOTS: (Effect.FREE_SLOTS,),
        Effect.SET_DEVICES: (Effect.RESET_DEVICES,),
        Effect.JOIN_PARTITIONS: (Effect.LEAVE_PARTITIONS, Effect.SEE_GONE),
        Effect.READ_BACK: (),
        Effect.RAISE_LINKS: (Effect.LOWER_LINKS,),
    }
)


@dataclass(frozen=True, slots=True)
class Transition:
    """`effects` in the order in which they are carried out."""

    state: GangState
    effects: tuple[Effect, ...] = ()


_S, _E, _F = GangState, Event, Effect
_CLEARED: Final = Transition(
    _S.RELEASED,
    (_F.LOWER_LINKS, _F.LEAVE_PARTITIONS, _F.SEE_GONE, _F.RESET_DEVICES, _F.FREE_SLOTS),
)
TABLE: Final[Mapping[tuple[GangState, Event], Transition]] = MappingProxyType(
    {
        (_S.PLANNED, _E.RESERVE): Transition(_S.RESERVED, (_F.TAKE_SLOTS,)),
        (_S.PLANNED, _E.FAIL): Transition(_S.RELEASED),
        (_S.PLANNED, _E.RELEASE): Transition(_S.RELEASED),
        (_S.RESERVED, _E.PROGRAM): Transition(_S.PROGRAMMED, (_F.SET_DEVICES, _F.JOIN_PARTITIONS)),
        (_S.RESERVED, _E.FAIL): Transition(_S.FAILED),
        (_S.RESERVED, _E.RELEASE): Transition(_S.RELEASING),
        (_S.PROGRAMMED, _E.VERIFY): Transition(_S.VERIFIED, (_F.READ_BACK,)),
        (_S.PROGRAMMED, _E.FAIL): Transition(_S.FAILED),
        (_S.PROGRAMMED, _E.RELEASE): Transition(_S.RELEASING),
        (_S.VERIFIED, _E.ACTIVATE): Transition(_S.ACTIVE, (_F.RAISE_LINKS,)),
        (_S.VERIFIED, _E.FAIL): Transition(_S.FAILED),
        (_S.VERIFIED, _E.RELEASE): Transition(_S.RELEASING),
        (_S.ACTIVE, _E.FAIL): Transition(_S.FAILED),
        (_S.ACTIVE, _E.RELEASE): Transition(_S.RELEASING),
        (_S.RELEASING, _E.FAIL): Transition(_S.RELEASING),
        (_S.RELEASING, _E.RELEASE): Transition(_S.RELEASING),
        (_S.RELEASING, _E.CLEAR): _CLEARED,
        (_S.FAILED, _E.FAIL): Transition(_S.FAILED),
        (_S.FAILED, _E.RELEASE): Transition(_S.FAILED),
        (_S.FAILED, _E.CLEAR): _CLEARED,
        (_S.RELEASED, _E.RELEASE): Transition(_S.RELEASED),
    }
)
"""Every transition that there is. CLEAR names all that may have to be undone; `due` leaves out what was never
begun."""

_FORWARD: Final = (
    (_S.PLANNED, _E.RESERVE),
    (_S.RESERVED, _E.PROGRAM),
    (_S.PROGRAMMED, _E.VERIFY),
    (_S.VERIFIED, _E.ACTIVATE),
)
_NEXT: Final[Mapping[GangState, Event]] = MappingProxyType(
    {**dict(_FORWARD[1:]), _S.RELEASING: _E.CLEAR, _S.FAILED: _E.CLEAR}
)


@dataclass(frozen=True, slots=True)
class Progress:
    """What the store keeps of a gang's life. `begun`: how far effects may have got; written before the first
    effect outside of the store is, so that after a crash it is known what has to be undone.
    """

    state: GangState = GangState.PLANNED
    begun: GangState = GangState.PLANNED


def transition(state: GangState, event: Event) -> Transition:
    """ValueError if that can't happen to a gang in that state."""
    found = TABLE.get((state, event))
    if found is None:
        raise ValueError(f"a gang that is {state.value} can't {event.value}")
    return found


def begin(progress: Progress, event: Event) -> Progress:
    """What is written before the effects of an event are carried out; the same if nothing has to be."""
    if (progress.state, event) not in _FORWARD:
        transition(progress.state, event)
        return progress
    return replace(progress, begun=transition(progress.state, event).state)


def due(progress: Progress, event: Event) -> tuple[Effect, ...]:
    """The effects of an event that this gang needs, in order: nothing is undone that was never begun."""
    effects = transition(progress.state, event).effects
    if event is not Event.CLEAR:
        return effects
    needed = undo(progress.begun)
    return tuple(effect for effect in effects if effect in needed)


def finish(progress: Progress, event: Event) -> Progress:
    """What is written with, or after, the effects."""
    after = transition(progress.state, event).state
    return (
        Progress(after, GangState.PLANNED)
        if after is _S.RELEASED
        else replace(begin(progress, event), state=after)
    )


def undo(begun: GangState) -> tuple[Effect, ...]:
    """What undoes everything up to a state, the last first."""
    found: list[Effect] = []
    for step in _FORWARD:
        if step[0] is begun:
            break
        for effect in TABLE[step].effects:
            found[:0] = UNDONE_BY[effect]
    return tuple(found)


def resume(progress: Progress) -> Event | None:
    """What goes on after a restart; None if the gang waits for nobody. What can't be completed gets FAIL."""
    return _NEXT.get(progress.state)


class Arrange(Enum):
    """PACK: as few leaves as possible, and full nodes before empty ones. SPREAD: over all leaves, and empty
    nodes first.
    """

    PACK = "pack"
    SPREAD = "spread"


class Align(Enum):
    """Which PFs a node's GPUs get. GPU: those next to them. NUMA: those on the same NUMA nodes. ANY: all."""

    GPU = "gpu"
    NUMA = "numa"
    ANY = "any"


class Membership(Enum):
    """Of a partition: limited members reach full ones only."""

    FULL = "full"
    LIMITED = "limited"


@dataclass(frozen=True, slots=True)
class Quota:
    """Most gangs, and interfaces of all gangs together, that a tenant may have; None = no limit. What it has
    already stays, whatever its quota becomes.
    """

    gangs: int | None = None
    interfaces: int | None = None


@dataclass(frozen=True, slots=True)
class Static:
    """An interface that is asked for by value, on a PF of a named node. `vf` None: any that has `addresses`.

    Of these at most one of each family; of a family that is left out it gets one as others do.
    """

    node: str
    pf: str
    vf: int | None = None
    addresses: tuple[Address, ...] = ()


class Use(Enum):
    """Who gets the VFs. CONTAINER: the host's own driver has them. VM: vfio-pci does, so that a VM may."""

    CONTAINER = "container"
    VM = "vm"


@dataclass(frozen=True, slots=True)
class GangRequest:
    """`nodes`: these ones, or `count` of any. `rails`: () = all of the fabric. `each`: interfaces for each
    node and rail.

    `gpus`: how many GPUs of each node, which no other gang's request gets then; 0 = the request is not about
    GPUs, and all rails are used. `deadline`: Unix ms, after which it may not be reserved any more; 0 = none.
    `pkey`: the partition key that the tenant shall have, 0 = any. `statics`: those of the interfaces that are
    asked for by value.
    """

    tenant: str
    name: str
    fabric: str
    nodes: tuple[str, ...] = ()
    count: int = 0
    rails: tuple[RailIndex, ...] = ()
    each: int = 1
    gpus: int = 0
    align: Align = Align.GPU
    arrange: Arrange = Arrange.PACK
    membership: Membership = Membership.FULL
    deadline: int = 0
    pkey: PKey = _NO_PKEY
    statics: tuple[Static, ...] = ()
    use: Use = Use.CONTAINER


@dataclass(frozen=True, slots=True)
class Interface:
    """One VF of a gang. `slot`: its number in the fabric, see `ipam.gangs.slots`. `mac`: 0 on InfiniBand;
    GUIDs: 0 elsewhere.
    """

    slot: int
    pf: str
    vf: int
    rail: RailIndex
    addresses: tuple[Address, ...]
    mac: Mac = _NO_MAC
    node_guid: Guid = _NO_GUID
    port_guid: Guid = _NO_GUID


@dataclass(frozen=True, slots=True)
class Berth:
    """What a gang has on one node. `gpus`: their numbers there."""

    node: str
    host: HostName
    gpus: tuple[int, ...]
    interfaces: tuple[Interface, ...]


@dataclass(frozen=True, slots=True)
class Gang:
    """`generation`: the fence: what bears another one is not this gang's. `pkey`: 0 unless InfiniBand; it
    stands at index 0 of each VF's table. `block`: number of the tenant's block on each rail, -1 without.
    `why`: why it failed. `vouched`: nodes of which an operator says that they bear nothing of it any more.
    `since`: Unix ms at which it came to be as it is, 0 = not known.
    """

    request: GangRequest
    generation: int
    progress: Progress
    berths: tuple[Berth, ...]
    pkey: PKey = _NO_PKEY
    block: int = -1
    why: str = ""
    vouched: tuple[str, ...] = ()
    since: int = 0

    @property
    def size(self) -> int:
        """How many interfaces it has."""
        return sum(len(berth.interfaces) for berth in self.berths)
