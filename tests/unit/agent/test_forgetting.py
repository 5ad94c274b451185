"""When the data path's cache is emptied after a change, and for whom it is not."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import pytest

from controller.agent import forgetting
from controller.agent.forgetting import EACH, LEAST, Forgetting, forget, rest
from controller.southbound import megaflows, unixctl
from model.errors import Fault, Invalid, Unavailable
from topologies.deadline import until

NOWHERE = Path("/nowhere")
WORK = ["version", "revalidator/wait", "upcall/show", "revalidator/purge", "revalidator/purge"]


@dataclass
class Vswitchd:
    """It says which it is, and notes what it is told."""

    version: str = "3.1.0"
    said: list[str] = field(default_factory=list)
    refuses: str = ""
    dead: bool = False

    def has_said(self, words: list[str]) -> bool:
        return self.said == words

    def call(self, _rundir: Path, command: str, *_: str, timeout: float = 1.0) -> str:
        self.said.append(command)
        if self.dead:
            self.dead = False
            raise Unavailable(Fault("socket", "gone", "no answer", "wait"))
        if command == self.refuses:
            raise Invalid(Fault("command", "refused", "can't wait on multiple udpifs", "see"))
        return {
            "version": f"ovs-vswitchd (Open vSwitch) {self.version}\n",
            "upcall/show": "netdev@ovs-netdev:\n  flows : (current 3) (limit 200000)\n  0: (keys 3)\n",
        }.get(command, "")


@pytest.fixture
def ovs(monkeypatch: pytest.MonkeyPatch) -> Vswitchd:
    made = Vswitchd()
    monkeypatch.setattr(unixctl, "call", made.call)
    monkeypatch.setattr(megaflows, "rhythm", lambda _: 0.5)
    monkeypatch.setattr(forgetting, "LEAST", 0.0)
    monkeypatch.setattr(forgetting, "AGAIN", 0.0)
    return made


@pytest.mark.parametrize(
    ("version", "mistaken"),
    [
        ("2.13.0", True),
        *(("2.17.7", True), ("2.17.8", False), ("3.0.4", True), ("3.0.5", False)),
        *(("3.1.0", True), ("3.1.2", True), ("3.1.3", False), ("3.1.10", False)),
        *(("3.2.0", False), ("3.7.1", False), ("4.0.0", False), ("something", True)),
    ],
)
def test_releases_are_known_by_what_they_say(version: str, mistaken: bool) -> None:
    assert megaflows.mistaken(f"ovs-vswitchd (Open vSwitch) {version}") is mistaken


def test_it_is_emptied_after_open_vswitch_has_looked_for_itself(ovs: Vswitchd) -> None:
    assert forget(NOWHERE) == 3
    assert ovs.said == WORK


def test_a_release_that_does_not_err_keeps_its_cache(ovs: Vswitchd) -> None:
    ovs.version = "3.1.3"
    assert forget(NOWHERE) == 0
    assert ovs.said == ["version"]


def test_two_looks_are_waited_for_where_it_does_not_say_when(ovs: Vswitchd) -> None:
    ovs.refuses = "revalidator/wait"
    paused: list[float] = []
    forget(NOWHERE, paused.append)
    assert (paused, ovs.said) == ([1.0], WORK)


def test_the_more_there_is_to_learn_anew_the_longer_it_rests() -> None:
    assert (rest(0), rest(10_000)) == (LEAST, EACH * 10_000)


def test_each_change_is_followed_by_it(ovs: Vswitchd) -> None:
    made = Forgetting(NOWHERE, "netdev")
    for times in (1, 2):
        made.changed()
        until("emptied", partial(ovs.has_said, WORK * times), 5)
    made.close()


def test_what_failed_is_tried_again(ovs: Vswitchd) -> None:
    ovs.dead = True
    made = Forgetting(NOWHERE, "netdev")
    made.changed()
    until("tried again", partial(ovs.has_said, ["version", *WORK]), 5)
    made.close()


def test_the_data_path_of_the_kernel_is_left_alone(ovs: Vswitchd) -> None:
    made = Forgetting(NOWHERE, "system")
    made.changed()
    assert (made._thread, ovs.said) == (None, [])
