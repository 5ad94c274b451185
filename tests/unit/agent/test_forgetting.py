"""When the data path is known to go by a change, and for whom its cache is emptied for that."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import pytest

from controller.agent import forgetting
from controller.agent.forgetting import EACH, LEAST, Forgetting, forget, look, rest
from controller.southbound import megaflows, unixctl
from model.errors import Fault, Invalid, Unavailable
from topologies.deadline import until

NOWHERE = Path("/nowhere")
WORK = ["revalidator/wait", "upcall/show", "revalidator/purge", "revalidator/purge"]
LOOKS = ["revalidator/wait", "revalidator/wait"]


@dataclass
class Vswitchd:
    """It says which it is, and notes what it is told."""

    version: str = "3.1.0"
    said: list[str] = field(default_factory=list)
    refuses: str = ""
    dead: bool = False

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


def test_two_looks_are_waited_for_where_it_does_not_say_when(ovs: Vswitchd) -> None:
    ovs.refuses = "revalidator/wait"
    paused: list[float] = []
    forget(NOWHERE, paused.append)
    assert (paused, ovs.said) == ([1.0], WORK)
    look(NOWHERE, 2, paused.append)
    assert (paused, ovs.said) == ([1.0, 1.0], [*WORK, "revalidator/wait"])


def test_the_more_there_is_to_learn_anew_the_longer_it_rests() -> None:
    assert (rest(0), rest(10_000)) == (LEAST, EACH * 10_000)


@dataclass
class Told:
    """What the thread says, and what is known when it does."""

    turns: list[tuple[int, int]] = field(default_factory=list)

    def following(self, datapath: str) -> Forgetting:
        made = Forgetting(NOWHERE, datapath, lambda: self.turns.append(made.turns()))
        return made


@pytest.mark.parametrize(
    ("datapath", "version", "work"),
    [
        ("netdev", "3.1.0", ["version", *WORK]),
        ("netdev", "3.1.3", ["version", *LOOKS]),
        ("system", "3.1.0", LOOKS),
    ],
)
def test_each_change_is_known_once_it_is_followed(
    ovs: Vswitchd, datapath: str, version: str, work: list[str]
) -> None:
    """Its cache is emptied only where Open vSwitch errs; elsewhere its own looks do."""
    ovs.version, told = version, Told()
    made = told.following(datapath)
    assert made.turns() == (0, 0)
    for times in (1, 2):
        made.changed()
        until("followed", lambda times=times: told.turns == [(n, n) for n in range(1, times + 1)], 5)
        assert ovs.said == work * times
    made.close()


def test_where_it_errs_what_it_did_by_itself_is_forgotten_too_and_is_no_news(ovs: Vswitchd) -> None:
    told = Told()
    made = told.following("netdev")
    made.stirred()
    until("emptied", lambda: ovs.said == ["version", *WORK], 5)
    made.changed()
    until("followed", lambda: told.turns == [(1, 1)], 5)
    ovs.version = "3.1.3"
    ovs.said.clear()
    made.stirred()
    until("looked at", lambda: ovs.said == ["version"], 5)
    made.changed()
    until("followed", lambda: told.turns == [(1, 1), (2, 2)], 5)
    assert ovs.said == ["version", "version", *LOOKS]
    made.close()


def test_what_failed_is_tried_again_and_not_known_before(ovs: Vswitchd) -> None:
    ovs.dead, told = True, Told()
    made = told.following("netdev")
    made.changed()
    until("followed", lambda: told.turns == [(1, 1)], 5)
    assert ovs.said == ["version", "version", *WORK]
    assert not made.alarms()
    made.close()


def test_while_it_is_not_known_somebody_is_told(ovs: Vswitchd, monkeypatch: pytest.MonkeyPatch) -> None:
    call, told = ovs.call, Told()

    def gone(rundir: Path, command: str, *_: str, timeout: float = 1.0) -> str:
        raise Unavailable(Fault(f"socket {rundir}/ovs-vswitchd.ctl", "gone", "no answer", "wait"))

    monkeypatch.setattr(unixctl, "call", gone)
    made = told.following("system")
    made.changed()
    until("an alarm", made.alarms, 5)
    (words,) = made.alarms()
    assert "--wait" in words and "ovs-vswitchd.ctl" in words
    monkeypatch.setattr(unixctl, "call", call)
    until("followed", lambda: told.turns == [(1, 1)] and not made.alarms(), 5)
    made.close()


def test_what_changes_during_a_look_needs_another(ovs: Vswitchd, monkeypatch: pytest.MonkeyPatch) -> None:
    told, call = Told(), ovs.call
    made = told.following("system")

    def meanwhile(rundir: Path, command: str, *words: str, timeout: float = 1.0) -> str:
        if not ovs.said:
            made.changed()
        return call(rundir, command, *words, timeout=timeout)

    monkeypatch.setattr(unixctl, "call", meanwhile)
    made.changed()
    until("both followed", lambda: told.turns == [(2, 1), (2, 2)], 5)
    assert ovs.said == LOOKS * 2
    made.close()
