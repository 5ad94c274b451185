"""Whatever happens to agent, switch and rules: no moment is claimed in which nobody counted, and no hit that
was read is lost."""

from __future__ import annotations

from dataclasses import dataclass, field

from hypothesis import given
from hypothesis import strategies as st

from controller.agent import evidence
from controller.agent.evidence import Counted, Reading, State
from model.evidence import Amount, RuleName
from model.ids import Uid

RULE, PORT = RuleName(1, "a"), Uid("p")
BOOT = 10_000_000
STEPS = (
    "wait",
    "hit",
    "read",
    "read",
    "agent dies",
    "agent restarts",
    "switch restarts",
    "flow goes",
    "flow comes",
)


@dataclass
class World:
    """`born`: when the flow came, None = it is not there. `read`: hits that some reading has seen."""

    now: int = BOOT
    life: int = 1
    born: int | None = BOOT
    hits: int = 0
    state: State = field(default_factory=State)
    kept: State = field(default_factory=State)

    def step(self, what: str, amount: int) -> None:
        match what:
            case "wait":
                self.now += amount
            case "hit" if self.born is not None:
                self.hits += amount
            case "read":
                self.read(amount % 7)
            case "agent restarts":
                self.state = self.kept = saved(self.state)
            case "agent dies":
                self.state = self.kept
            case "switch restarts":
                self.life += 1
                self.come()
            case "flow goes":
                self.born = None
            case "flow comes" if self.born is None:
                self.come()

    def come(self) -> None:
        self.born, self.hits = self.now, 0

    def read(self, lasts: int) -> None:
        spots = {}
        began = self.now
        self.now += lasts
        if self.born is not None:
            spots[RULE, PORT] = Counted(Amount(self.hits, 0), self.now - self.born)
        life = str(self.life)
        reading = Reading(life, began, self.now, began, {}, {}, spots, {RULE: 0})
        self.state = evidence.advance(self.state, reading)


def saved(state: State) -> State:
    found = evidence.load(evidence.dump(state))
    assert found is not None
    return found


moves = st.lists(st.tuples(st.sampled_from(STEPS), st.integers(1, 100_000)), max_size=40)


@given(moves)
def test_a_claim_is_no_longer_than_the_counter_stood(steps: list[tuple[str, int]]) -> None:
    world = World()
    for what, amount in steps:
        world.step(what, amount)
        known = world.state.spots.get((RULE, PORT))
        if what == "read" and known is not None:
            assert known.since <= known.until
            assert known.live == (world.born is not None)
            if known.live and world.born is not None:
                assert known.since >= world.born or known.since == known.until


@given(moves)
def test_every_hit_that_was_read_is_said_once(steps: list[tuple[str, int]]) -> None:
    """While the agent's memory goes on: each life of the counter ends with what the last reading saw."""
    world, ended, seen = World(), 0, 0
    for what, amount in steps:
        if what == "agent dies":
            continue
        before = world.born, world.life
        world.step(what, amount)
        if (world.born, world.life) != before:
            ended, seen = ended + seen, 0
        if what == "read":
            seen = world.hits if world.born is not None else 0
            known = world.state.spots.get((RULE, PORT))
            assert (0 if known is None else known.total.packets) == ended + seen


@given(moves, st.integers(0, 40))
def test_an_agent_that_died_says_no_less_than_its_file(steps: list[tuple[str, int]], at: int) -> None:
    world = World()
    for index, (what, amount) in enumerate(steps):
        world.step(what, amount)
        if index == at:
            world.kept = saved(world.state)
        had, known = world.kept.spots.get((RULE, PORT)), world.state.spots.get((RULE, PORT))
        if had is not None:
            assert known is not None and known.total.packets >= had.total.packets
