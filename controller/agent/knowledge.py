"""Knowledge: all that the agent knows, as one value, and what comes of an event.

Place: under `controller.agent.core`, which makes each from the one before. Must not decide.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from immutables import Map

from bgp import originate
from bgp.table import Outcome, Table
from controller.agent import brake, commands, sightings
from controller.agent.shares import Shares
from model.change import Change
from model.ids import PortKey
from model.snapshot import Snapshot
from pipelines import compile as pipeline

Learning = Callable[[Table], tuple[Table, Outcome]]
"""A step of the learner (see `bgp.learn`)."""


@dataclass(frozen=True, slots=True)
class Late:
    """What would still the data path again too soon, and so waits (docs/decisions/0055): `said` by peers, in
    order, and whether intent does, which then is what `offered` and `effective` differ by. `dropped`: flows
    that go with it; the brake has judged them.
    """

    said: tuple[Learning, ...] = ()
    intent: bool = False
    dropped: int = 0

    def __bool__(self) -> bool:
        return self.intent or bool(self.said)


@dataclass(frozen=True, slots=True)
class Core:
    """All that the agent knows.

    `offered`: the stored maps as the store last said; `effective`: what the data plane is held to. They
    differ while the brake or the operator holds (`stop`), and then `pending` are the changes between them.
    """

    effective: Snapshot
    offered: Snapshot
    program: pipeline.Program
    routes: originate.Originated
    table: Table
    pending: frozenset[Change] = frozenset()
    stop: brake.Stop | None = None
    confirmed: str = ""
    store_complete: bool = False
    session: bool = False
    swept: bool = False
    refusals: Map[PortKey, str] = Map()
    asked: frozenset[PortKey] = frozenset()
    fresh: frozenset[Change] = frozenset()
    """What became effective, or is said differently of a port, since the loop last took note of it."""
    adopted: frozenset[PortKey] = frozenset()
    """Ports for which the switch has counters of an earlier life, and which do not live here yet."""
    announced: frozenset[PortKey] = frozenset()
    """Ports that are moving here and whose workload has said so."""
    moved: sightings.Moves = Map()
    shares: Shares = field(default_factory=Shares)
    resting: bool = False
    """The data path was stilled a moment ago, and is not again as long as this lasts."""
    late: Late = Late()


@dataclass(frozen=True, slots=True)
class Result:
    core: Core
    commands: tuple[commands.Command, ...] = field(default=())

    def stills(self) -> bool:
        """Whether the data path is stilled for it."""
        return any(isinstance(command, commands.Shift) for command in self.commands)
