"""Each state, told in each way: the same switch, routes, remotes and report; and nothing commanded in vain.

What must hold after every single event is asserted by the house; here stands what a state comes to.
"""

from __future__ import annotations

from itertools import product
from pathlib import Path

import pytest

from tests.scenarios import expanders
from tests.scenarios.expanders import EXPANDERS, Expander
from tests.scenarios.facts import Step
from tests.scenarios.golden import differences, names, seen
from tests.scenarios.house import House
from tests.scenarios.state import State
from tests.scenarios.states import STATES

PAIRS = tuple(product(STATES, EXPANDERS))
NAMES = [f"{s.name}/{e}" for s, e in product(STATES, expanders.ids(EXPANDERS))]


@pytest.mark.parametrize(("state", "expander"), PAIRS, ids=NAMES)
def test_a_state_comes_to_the_same_however_it_is_told(
    state: State, expander: Expander, tmp_path: Path
) -> None:
    house = House()
    house.boot()
    expander(house, state, tmp_path)
    house.settle()
    assert differences(state.expected, seen(house)) == []
    house.check_program()


@pytest.mark.parametrize("state", STATES, ids=[state.name for state in STATES])
def test_the_last_phase_commands_what_it_should_in_order(state: State) -> None:
    house = House()
    house.boot()
    for phase in state.phases[:-1]:
        house.run(Step(phase.facts, phase.delivery))
    mark = len(house.said)
    last = state.phases[-1]
    house.run(Step(last.facts, last.delivery))
    assert names(house.said[mark:]) == state.said
    epochs = {key: epoch for key, epoch in house.core.effective.epochs.items() if epoch != 1}
    assert epochs == state.epochs


def test_names_of_states_are_unique() -> None:
    assert len({state.name for state in STATES}) == len(STATES)
