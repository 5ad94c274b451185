"""State: a named situation of one host, told by facts, with what must come of it and what was commanded.

Place: states are written in `ports`, `remotes`, `holds`, `traffic` and `stops`; expanders take them apart.
Must not compute an expectation.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum

from tests.scenarios.facts import Delivery, Fact, Heard, Row, Wire
from tests.scenarios.golden import Expected


class Memory(Enum):
    """Whether what came before matters: NONE: the last word on each thing says all; PATH: it does not."""

    NONE = "none"
    PATH = "path"


@dataclass(frozen=True)
class Phase:
    """Facts whose order among each other must not matter."""

    facts: tuple[Fact, ...]
    delivery: Delivery = Delivery.CHANGES

    def momentary(self) -> bool:
        """Whether something happens here that can't be told twice."""
        return not all(isinstance(fact, Row | Wire | Heard) for fact in self.facts)


@dataclass(frozen=True)
class State:
    """`said`: the commands of the last phase, if told plainly; `epochs` likewise, of ports whose is not 1."""

    name: str
    phases: tuple[Phase, ...]
    expected: Expected
    memory: Memory = Memory.NONE
    said: str = ""
    epochs: Mapping[int, int] = field(default_factory=dict)

    def then(
        self,
        name: str,
        *facts: Fact,
        expected: Expected,
        memory: Memory = Memory.NONE,
        delivery: Delivery = Delivery.CHANGES,
        said: str = "",
        epochs: Mapping[int, int] | None = None,
    ) -> State:
        """This state, and then a phase more."""
        lasting = Memory.PATH if Memory.PATH in (self.memory, memory) else Memory.NONE
        phases = (*self.phases, Phase(facts, delivery))
        return State(name, phases, expected, lasting, said, self.epochs if epochs is None else epochs)
