"""The standstill over a control socket of our own: when it is proven, when doubtful, and what it leaves."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from controller.agent.standstill import HOLDS, QUIET, TRIES, Stillness, still
from controller.southbound import megaflows, unixctl
from model.errors import Fault, Invalid, Unavailable

RHYTHM = 0.5
NOWHERE = Path("/nowhere")


@dataclass
class Vswitchd:
    """ovs-vswitchd with flows that come back at once if the limit allows; a look at them lifts the limit."""

    limit: int = 7_000
    flows: int = 3
    looks: int = 0
    took: int = 2
    now: float = 50.0
    said: list[str] = field(default_factory=list)
    meddling: dict[str, Callable[[], None]] = field(default_factory=dict)
    """What happens right after a command."""
    refuses: str = ""
    dead: str = ""

    def call(self, _rundir: Path, command: str, *arguments: str, timeout: float = 1.0) -> str:
        self.now += 0.0001
        if command == self.dead:
            raise Unavailable(Fault("socket", "gone", "no answer", "wait"))
        if command == self.refuses:
            raise Invalid(Fault("command", "refused", "can't wait on multiple udpifs", "see"))
        if command != "coverage/read-counter":
            self.said.append(" ".join((command, *arguments)))
        answer = self._do(command, arguments)
        if self.limit and not self.flows:
            self.flows = 1
        self.meddling.get(command, lambda: None)()
        return answer

    def _do(self, command: str, arguments: tuple[str, ...]) -> str:
        match command:
            case "upcall/set-flow-limit":
                self.limit = int(arguments[0])
            case "revalidator/purge":
                self.flows = 0
            case "revalidator/wait":
                self.now += 0.3
            case "coverage/read-counter":
                return f"{self.looks if arguments[0] == 'rev_flow_table' else 0}\n"
            case "upcall/show":
                return (
                    "netdev@ovs-netdev:\n"
                    f"  flows         : (current 9) (avg 1) (max 9) (limit {self.limit})\n"
                    f"  dump duration : {self.took}ms\n  ufid enabled : true\n\n  13: (keys {self.flows})\n"
                )
        return ""

    def look(self) -> None:
        self.looks += 1
        self.limit = max(self.limit, 1_000)

    def bundle(self) -> None:
        """What the agent does meanwhile: no flow may be there, and it makes vswitchd look at once."""
        self.said.append(f"bundle with {self.flows} flows")
        self.now += 0.002
        self.look()


@pytest.fixture
def ovs(monkeypatch: pytest.MonkeyPatch) -> Vswitchd:
    made = Vswitchd()
    monkeypatch.setattr(unixctl, "call", made.call)
    monkeypatch.setattr(megaflows, "rhythm", lambda _: RHYTHM)
    return made


def test_a_bundle_meets_an_empty_data_path_and_the_limit_comes_back(ovs: Vswitchd) -> None:
    assert still(NOWHERE, ovs.bundle, lambda: ovs.now) is Stillness.PROVEN
    assert ovs.said[1:6] == [
        "revalidator/wait",
        "upcall/set-flow-limit 0",
        "revalidator/purge",
        "upcall/show",
        "bundle with 0 flows",
    ]
    assert ovs.limit == 7_000


def test_a_look_that_ends_after_the_limit_was_given_back_does_not_keep_it_low(ovs: Vswitchd) -> None:
    def late() -> None:
        if "bundle with 0 flows" in ovs.said and ovs.limit == 7_000 and ovs.said.count("upcall/show") < 3:
            ovs.limit = 1_000

    ovs.meddling["coverage/read-counter"] = late
    assert still(NOWHERE, ovs.bundle, lambda: ovs.now) is Stillness.PROVEN
    assert ovs.limit == 7_000


def test_a_look_before_the_bundle_is_seen_and_tried_again(ovs: Vswitchd) -> None:
    looks = [ovs.look, ovs.look]
    ovs.meddling["revalidator/purge"] = lambda: looks.pop()() if looks else None
    assert still(NOWHERE, ovs.bundle, lambda: ovs.now) is Stillness.PROVEN
    assert ovs.said.count("revalidator/purge") == 3


def test_where_every_purge_makes_it_look_the_bundle_goes_all_the_same_in_doubt(ovs: Vswitchd) -> None:
    ovs.meddling["revalidator/purge"] = ovs.look  # as Open vSwitch does from 3.1.4 on
    assert still(NOWHERE, ovs.bundle, lambda: ovs.now) is Stillness.DOUBTFUL
    assert ovs.said.count("revalidator/purge") == TRIES
    assert any(word.startswith("bundle") for word in ovs.said)


def test_a_look_at_the_time_of_the_bundle_is_doubtful(ovs: Vswitchd) -> None:
    def disturbed() -> None:
        ovs.look()
        ovs.bundle()

    assert still(NOWHERE, disturbed, lambda: ovs.now) is Stillness.DOUBTFUL


def test_one_that_lasts_too_long_is_doubtful(ovs: Vswitchd) -> None:
    def slow() -> None:
        ovs.now += QUIET * RHYTHM - ovs.took / 1e3
        ovs.bundle()

    assert still(NOWHERE, slow, lambda: ovs.now) is Stillness.DOUBTFUL


def _busy(ovs: Vswitchd, times: int) -> None:
    """A machine on which most of a standstill is over once it is there, so many times."""
    slow = [0.5] * times

    def late() -> None:
        ovs.now += slow.pop() if slow and not ovs.limit else 0.0

    ovs.meddling["upcall/show"] = late


def test_one_that_is_nearly_over_when_it_is_there_is_begun_again(ovs: Vswitchd) -> None:
    _busy(ovs, HOLDS - 1)
    assert still(NOWHERE, ovs.bundle, lambda: ovs.now) is Stillness.PROVEN
    assert ovs.said.count("revalidator/wait") == HOLDS
    assert ovs.said.count("bundle with 0 flows") == 1
    assert ovs.limit == 7_000, "as it was before the first"


def test_after_some_of_them_the_bundle_goes_in_doubt(ovs: Vswitchd) -> None:
    _busy(ovs, HOLDS)
    assert still(NOWHERE, ovs.bundle, lambda: ovs.now) is Stillness.DOUBTFUL
    assert ovs.said.count("revalidator/wait") == HOLDS
    assert ovs.limit == 7_000


@pytest.mark.parametrize(("seconds", "holds"), [(0.001, 1), (0.2, 1), (0.4, 2), (30.0, 2)])
def test_a_slow_disk_before_the_bundle_puts_nothing_in_doubt(
    ovs: Vswitchd, seconds: float, holds: int
) -> None:
    def ready() -> None:
        ovs.said.append("ready")
        ovs.now += seconds
        if seconds > RHYTHM:
            ovs.look()

    assert still(NOWHERE, ovs.bundle, lambda: ovs.now, ready) is Stillness.PROVEN
    assert ovs.said.count("revalidator/wait") == holds
    zero, last = "upcall/set-flow-limit 0", "bundle with 0 flows"
    told = [word for word in ovs.said if word in ("ready", zero, last)]
    assert told == [zero, "ready", *[zero] * (holds - 1), "bundle with 0 flows"], (
        "once, and not while it waits"
    )
    assert ovs.limit == 7_000


@pytest.mark.parametrize("where", ["upcall/show", "revalidator/wait", "coverage/read-counter"])
def test_without_an_answer_the_work_is_done_in_doubt(ovs: Vswitchd, where: str) -> None:
    ovs.dead = where
    assert still(NOWHERE, ovs.bundle, lambda: ovs.now) is Stillness.DOUBTFUL
    assert "bundle with 3 flows" in ovs.said, "nothing was purged"
    assert ovs.limit == 7_000


def test_several_data_paths_cannot_be_waited_for(ovs: Vswitchd) -> None:
    ovs.refuses = "revalidator/wait"
    assert still(NOWHERE, ovs.bundle, lambda: ovs.now) is Stillness.DOUBTFUL


def test_an_error_of_the_work_is_passed_on_and_the_limit_given_back(ovs: Vswitchd) -> None:
    def broken() -> None:
        raise Unavailable(Fault("switch", "gone", "hung up", "wait"))

    with pytest.raises(Unavailable):
        still(NOWHERE, broken, lambda: ovs.now)
    assert ovs.limit == 7_000
