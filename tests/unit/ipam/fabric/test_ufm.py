"""Holding UFM to what is wanted when it is slow, half done, refuses, has others' partitions, or lies."""

from __future__ import annotations

from collections.abc import Iterable
from copy import deepcopy
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from ipam.fabric.managers import Seen, Standing
from ipam.fabric.opensm import Alarm, Clock, Verdict
from ipam.fabric.partitions import Partition, Partitions
from ipam.fabric.tables import Difference
from ipam.fabric.talk import MOST_GUIDS
from ipam.fabric.ufm import Ufm
from model.fabric import Guid, PKey
from tests.fakes import ufm as module
from tests.fakes.estate import GUIDS, infiniband
from tests.fakes.ufm import PASSWORD, TOKEN, USER, Fake, Mischief, State, Ticks, Wire

A, B, C = (Guid(GUIDS.start + n) for n in (1, 3, 5))
ALIEN = Guid(0x946DAE03005985C8)
SM = Guid(0x0002C90300000001)
NONE = Partitions((SM,))
FABRIC = infiniband(1, pkeys=range(0x10, 0x20))


def wants(**members: tuple[Guid, ...]) -> Partitions:
    """k10=(A, B): full members of 0x10."""
    return Partitions((SM,), tuple(Partition(PKey(int(k[1:], 16)), v) for k, v in sorted(members.items())))


WANTED = wants(k10=(A,), k11=(B,))


def name(guid: int) -> str:
    return f"{guid:016x}"


def seats(*guids: Guid, level: str = "full", first: bool = True) -> dict[str, tuple[str, bool]]:
    return {name(guid): (level, first) for guid in guids}


@dataclass
class Site:
    """`hold` as the process of a fabric calls it, round by round."""

    folder: Path
    fake: Fake = field(default_factory=Fake)
    ticks: Ticks = field(default_factory=Ticks)
    ports: Any = None
    before: Partitions | None = None

    def __post_init__(self) -> None:
        self.secret(f"basic {USER}:{PASSWORD}")
        wire: Any = Wire(self.fake)
        clock = Clock(self.ticks.now, self.ticks.sleep)
        self.driver = Ufm(wire, self.folder / "credential", FABRIC, (SM,), self.ports, clock)

    def secret(self, text: str) -> None:
        path = self.folder / "credential"
        path.touch(mode=0o600)
        path.write_text(text + "\n")

    def hold(self, wanted: Partitions, *ports: Guid) -> Verdict:
        verdict = self.driver.hold(self.before, wanted, ports)
        self.before = wanted
        return verdict

    def rules(self, verdict: Verdict) -> set[str]:
        return {fault.rule for fault in verdict.said}


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


def test_members_come_and_go(site: Site) -> None:
    verdict = site.hold(WANTED)
    assert (verdict.alarms, verdict.left, verdict.said) == ((), (), ())
    assert verdict.tables == {A: (0x8010, 0x7FFF), B: (0x8011, 0x7FFF)}
    assert site.fake.state == {0x10: seats(A), 0x11: seats(B)}
    verdict = site.hold(wants(k10=(A, C)), B)
    assert verdict.tables == {A: (0x8010, 0x7FFF), B: (0x7FFF,), C: (0x8010, 0x7FFF)}
    assert site.fake.state == {0x10: seats(A, C)}
    assert site.hold(NONE, A, B, C).left == ()
    assert site.fake.state == {}


def test_nothing_to_do_is_one_question(site: Site) -> None:
    site.hold(WANTED)
    site.fake.asked.clear()
    assert site.hold(WANTED).alarms == ()
    assert site.fake.asked == [("GET", "/ufmRest/resources/pkeys?guids_data=true")]
    assert site.ticks.at == 0.0


def test_limited_members_and_a_changed_level(site: Site) -> None:
    limited = Partitions((SM,), (Partition(PKey(0x10), (A,), (B,)),))
    assert site.hold(limited).tables == {A: (0x8010, 0x7FFF), B: (0x0010, 0x7FFF)}
    swapped = Partitions((SM,), (Partition(PKey(0x10), (B,), (A,)),))
    assert site.hold(swapped).left == ()
    assert site.fake.state == {0x10: seats(B) | seats(A, level="limited")}


def test_a_key_that_is_not_first_is_put_first(site: Site) -> None:
    site.fake.state = {0x10: seats(A, first=False)}
    assert site.hold(wants(k10=(A,))).left == ()
    assert site.fake.state == {0x10: seats(A)}


def test_a_port_that_moves_is_out_before_it_is_in(site: Site) -> None:
    site.hold(wants(k10=(A,)))
    site.fake.asked.clear()
    site.hold(wants(k11=(A,)))
    kinds = [method for method, _ in site.fake.asked]
    assert kinds.index("DELETE") < kinds.index("GET", kinds.index("DELETE")) < kinds.index("POST")
    assert site.fake.state == {0x11: seats(A)}


def test_many_are_told_in_parts(site: Site) -> None:
    """The fake refuses a line that a web server would refuse."""
    many = tuple(Guid(GUIDS.start + 2 * n + 1) for n in range(2 * MOST_GUIDS + 1))
    assert site.hold(wants(k10=many)).left == ()
    assert len(site.fake.changes()) == 3
    assert site.hold(NONE, *many).left == ()
    assert [method for method, _ in site.fake.changes()[3:]] == ["DELETE"] * 3
    assert site.fake.state == {}


@pytest.mark.parametrize(
    "kind", [Mischief.AFTER, Mischief.BEFORE, Mischief.HALF, Mischief.BUSY, Mischief.AWAY]
)
def test_a_change_that_fails_is_looked_at_and_done_again(site: Site, kind: Mischief) -> None:
    site.fake.mischief = [None, kind]
    verdict = site.hold(wants(k10=(A, B)))
    assert (verdict.alarms, verdict.left, verdict.said) == ((), (), ())
    assert site.fake.state == {0x10: seats(A, B)}
    if kind is Mischief.AFTER:
        assert len(site.fake.changes()) == 1, "it had done the work"


def test_a_job_that_takes_a_while_is_waited_for(site: Site) -> None:
    site.fake.mischief = [None, Mischief.SLOW]
    verdict = site.hold(wants(k10=(A,)))
    assert (verdict.left, site.fake.state) == ((), {0x10: seats(A)})
    assert len(site.fake.changes()) == 1


def test_an_old_answer_is_asked_again(site: Site) -> None:
    site.fake.mischief = [None, None, None, Mischief.STALE]
    assert site.hold(wants(k10=(A,))).left == ()
    assert len(site.fake.changes()) == 1


def test_a_request_without_an_answer_may_still_put_a_port_in(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So until that is over, nobody is told that it is out."""
    monkeypatch.setattr(module, "LATER", 1000)
    site.fake.mischief = [None, Mischief.LATE]
    site.driver = replace(site.driver, patience=0.1)
    site.hold(wants(k10=(A,)))
    ((_, deed),) = site.fake.late
    site.fake.late.clear()
    assert site.hold(NONE, A).tables[A] is None
    deed()
    assert site.fake.state == {0x10: seats(A)}
    assert site.hold(NONE, A).tables[A] == (0x7FFF,), "it came, and was taken out"
    assert site.fake.state == {}


def test_a_doubt_ends(site: Site) -> None:
    site.fake.mischief = [None, Mischief.BEFORE]
    site.driver = replace(site.driver, patience=0.1)
    site.hold(wants(k10=(A,)))
    assert site.hold(NONE, A).tables[A] is None
    assert site.hold(wants(k11=(A,))).tables[A] is None
    assert 0x11 not in site.fake.state, "it could be in both"
    site.ticks.sleep(site.driver.doubt)
    assert site.hold(NONE, A).tables[A] == (0x7FFF,)


def test_partitions_of_others_stay(site: Site) -> None:
    others: State = {0x5: seats(ALIEN), 0x300: seats(ALIEN), 0x1F: seats(ALIEN)}
    site.fake.state = {**others, 0x12: seats(A)}
    assert site.hold(WANTED).left == ()
    assert site.fake.state == {**others, 0x10: seats(A), 0x11: seats(B)}
    site.hold(NONE)
    assert site.fake.state == others


def test_a_key_of_ours_that_another_uses_is_not_shared(site: Site) -> None:
    site.fake.state = {0x10: seats(ALIEN)}
    verdict = site.hold(WANTED)
    assert site.fake.state == {0x10: seats(ALIEN), 0x11: seats(B)}
    assert verdict.alarms == (Alarm.LEFT,)
    assert {(d.guid, d.what) for d in verdict.left} == {(A, Difference.LACKING), (ALIEN, Difference.STRAY)}
    assert site.rules(verdict) == {"ufm-occupied"}


def test_a_stranger_in_a_partition_of_ours_is_put_out(site: Site) -> None:
    site.hold(WANTED)
    site.fake.put(0x10, [name(ALIEN)], "full", False)
    verdict = site.hold(WANTED)
    assert (verdict.alarms, verdict.left) == ((Alarm.FILE,), ())
    assert site.fake.state == {0x10: seats(A), 0x11: seats(B)}


def test_a_port_of_ours_in_anothers_partition_stays_alone(site: Site) -> None:
    site.fake.state = {0x300: seats(A, ALIEN)}
    verdict = site.hold(WANTED)
    assert site.fake.state == {0x300: seats(A, ALIEN), 0x11: seats(B)}
    assert (A, Difference.STRAY) in {(d.guid, d.what) for d in verdict.left}


def test_an_empty_store_ends_no_job(site: Site) -> None:
    """Whom no gang has when the process begins stays, and nobody is put beside him."""
    site.fake.state = {0x10: seats(A, ALIEN), 0x12: seats(C)}
    was = deepcopy(site.fake.state)
    verdict = site.hold(NONE)
    assert site.fake.state == was
    assert (verdict.alarms, site.rules(verdict)) == ((Alarm.LEFT,), {"store-foreign"})
    verdict = site.hold(wants(k10=(B,)), B)
    assert site.fake.state == was, "nor later"
    assert (B, Difference.LACKING) in {(d.guid, d.what) for d in verdict.left}
    assert site.hold(wants(k10=(A,)), C).left == ()
    assert site.fake.state == {0x10: seats(A)}, "the store that knows them is back"
    site.fake.put(0x12, [name(C)], "full", True)
    site.hold(wants(k10=(A,)))
    assert site.fake.state == {0x10: seats(A)}, "what comes later is drift"


def test_drift_is_said_and_mended(site: Site) -> None:
    site.hold(WANTED)
    site.fake.state = {0x10: seats(B)}
    verdict = site.hold(WANTED)
    assert set(verdict.alarms) == {Alarm.FILE, Alarm.PORTS}
    assert {(d.guid, d.what) for d in verdict.altered} >= {(A, Difference.LACKING), (B, Difference.STRAY)}
    assert site.fake.state == {0x10: seats(A), 0x11: seats(B)}


def test_what_we_left_undone_is_nobodys_drift(site: Site) -> None:
    site.fake.disliked = frozenset({name(A)})
    site.hold(WANTED)
    verdict = site.hold(WANTED)
    assert verdict.alarms == (Alarm.LEFT,)
    assert verdict.altered == ()


def test_one_that_is_refused_keeps_no_other_out(site: Site) -> None:
    many = tuple(Guid(GUIDS.start + 2 * n + 1) for n in range(40))
    site.fake.disliked = frozenset({name(many[7]), name(many[30])})
    verdict = site.hold(wants(k10=many))
    assert {d.guid for d in verdict.left} == {many[7], many[30]}
    assert set(site.fake.state[0x10]) == {name(guid) for guid in many} - site.fake.disliked
    assert site.rules(verdict) == {"ufm-refused"}
    assert site.ticks.at < site.driver.patience


def test_a_server_that_refuses_everything_is_not_asked_for_ever(site: Site) -> None:
    many = tuple(Guid(GUIDS.start + 2 * n + 1) for n in range(2000))
    site.fake.disliked = frozenset(name(guid) for guid in many)
    assert site.hold(wants(k10=many)).alarms == (Alarm.LEFT,)
    assert len(site.fake.asked) < 300


@pytest.mark.parametrize("mischief", [None, Mischief.BEFORE, Mischief.REFUSE])
def test_a_slow_server_makes_no_endless_round(site: Site, mischief: Mischief | None) -> None:
    """What is left is done in the next round, and between them the process looks at its store."""
    many = tuple(Guid(GUIDS.start + 2 * n + 1) for n in range(8 * MOST_GUIDS))
    server: Any = Wire(site.fake, wait=lambda: site.ticks.sleep(10.0))
    site.driver = replace(site.driver, server=server)
    site.fake.mischief = [None, *[mischief, None] * 10]
    verdict = site.hold(wants(k10=many))
    assert {Alarm.LEFT, Alarm.SILENT}.intersection(verdict.alarms)
    assert site.ticks.at <= site.driver.patience + 4 * 10.0
    site.fake.mischief = []
    for _ in range(8):
        verdict = site.hold(wants(k10=many))
    assert verdict.left == ()


def test_an_empty_partition_is_removed_where_ufm_keeps_it(site: Site) -> None:
    site.fake.keeps = True
    site.hold(WANTED)
    assert site.hold(wants(k10=(A,)), B).left == ()
    assert site.fake.state == {0x10: seats(A)}


def test_a_wrong_password_is_said_once_a_round(site: Site) -> None:
    site.secret("basic ringfence:wrong-password")
    verdict = site.hold(WANTED)
    assert verdict.alarms == (Alarm.SILENT,)
    assert verdict.tables == {A: None, B: None}
    assert site.rules(verdict) == {"ufm-denied"}
    assert len(site.fake.asked) == 1, "accounts are locked by such"
    assert "wrong-password" not in repr(verdict)


def test_an_account_that_may_only_read(site: Site) -> None:
    site.fake.reading = True
    verdict = site.hold(WANTED)
    assert verdict.alarms == (Alarm.LEFT,)
    assert site.rules(verdict) == {"ufm-denied"}
    assert verdict.tables == {A: (0x7FFF,), B: (0x7FFF,)}
    assert len(site.fake.changes()) == 1


def test_a_token_has_paths_of_its_own(site: Site) -> None:
    site.secret(f"token {TOKEN}")
    assert site.hold(WANTED).left == ()
    assert {path.split("/")[1] for _, path in site.fake.asked} == {"ufmRestV3"}


def test_a_credential_that_others_can_read_is_not_used(site: Site) -> None:
    (site.folder / "credential").chmod(0o644)
    verdict = site.hold(WANTED)
    assert (verdict.alarms, site.rules(verdict)) == ((Alarm.SILENT,), {"credential-file"})
    assert site.fake.asked == []


@pytest.mark.parametrize(
    ("mischief", "rule"),
    [
        (Mischief.AWAY, "ufm-away"),
        (Mischief.BEFORE, "ufm-lost"),
        (Mischief.BUSY, "ufm-busy"),
        (Mischief.GARBLED, "ufm-garbled"),
    ],
)
def test_a_server_that_does_not_answer(site: Site, mischief: Mischief, rule: str) -> None:
    site.hold(WANTED)
    site.fake.mischief = [mischief] * 1000
    verdict = site.hold(WANTED)
    assert verdict.alarms == (Alarm.SILENT,)
    assert verdict.tables == {A: None, B: None}
    assert site.rules(verdict) == {rule}
    assert site.ticks.at <= site.driver.patience
    site.fake.mischief = []
    assert site.hold(WANTED).alarms == ()


def test_a_default_partition_of_full_members_is_a_leak(site: Site) -> None:
    site.fake.base = "full"
    verdict = site.hold(WANTED)
    assert verdict.alarms == (Alarm.LEFT,)
    assert (A, Difference.OPEN) in {(d.guid, d.what) for d in verdict.left}
    assert site.rules(verdict) == {"ufm-open"}


def test_an_old_ufm_that_does_not_say_it_is_not_believed(site: Site) -> None:
    site.fake.base = None
    verdict = site.hold(WANTED)
    assert verdict.tables == {A: None, B: None}
    assert site.rules(verdict) == {"ufm-old"}
    assert site.fake.state == {0x10: seats(A), 0x11: seats(B)}, "but told"


@dataclass
class Fabric:
    """Ports that take from UFM's state what changed, when asked the `lag`-th time; stuck ones never."""

    fake: Fake
    lag: int = 0
    written: dict[Guid, tuple[int, ...]] = field(default_factory=dict)
    wrong: dict[Guid, tuple[int, ...]] = field(default_factory=dict)
    stuck: dict[Guid, tuple[int, ...]] = field(default_factory=dict)
    seen: tuple[Seen, ...] | None = (Seen(SM, Standing.MASTER),)
    asked: int = 0

    def _wanted(self, guid: Guid) -> tuple[int, ...]:
        held = ((k, s[name(guid)]) for k, s in sorted(self.fake.state.items()) if name(guid) in s)
        own = tuple(key | 0x8000 * (level == "full") for key, (level, _) in held)
        return (*own, 0x7FFF)

    def tables(self, guids: Iterable[Guid]) -> dict[Guid, tuple[int, ...] | None]:
        self.asked += 1
        found: dict[Guid, tuple[int, ...] | None] = {}
        for guid in guids:
            table = self._wanted(guid)
            if self.asked > self.lag and self.written.get(guid) != table:
                # A manager sends a table when what it wants of the port changes, and only then.
                self.written[guid] = table
                self.wrong.pop(guid, None)
            shown = self.wrong.get(guid, self.written.get(guid, (0x7FFF,)))
            found[guid] = self.stuck.get(guid, shown)
        return found

    def managers(self) -> tuple[Seen, ...] | None:
        return self.seen


@pytest.fixture
def wired(tmp_path: Path) -> Site:
    fake = Fake(base=None)
    return Site(tmp_path, fake, ports=Fabric(fake))


def test_ports_are_waited_for(wired: Site) -> None:
    wired.ports.lag = 5
    verdict = wired.hold(WANTED)
    assert (verdict.alarms, verdict.left, verdict.said) == ((), (), ())
    assert verdict.tables == {A: (0x8010, 0x7FFF), B: (0x8011, 0x7FFF)}
    assert wired.ports.asked > 5


def test_ports_that_never_take_it_are_told(wired: Site) -> None:
    wired.ports.lag = 10**9
    verdict = wired.hold(WANTED)
    assert verdict.alarms == (Alarm.LEFT,)
    assert verdict.tables == {A: (0x7FFF,), B: (0x7FFF,)}
    assert wired.fake.state == {0x10: seats(A), 0x11: seats(B)}


def test_a_table_that_only_a_change_mends(wired: Site) -> None:
    """Nobody else is ever in the partition where it waits."""
    wired.hold(WANTED)
    wired.ports.wrong = {A: (0x8010, 0x7FFF, 0x8011), C: (0x7FFF, 0x8011)}
    wired.fake.puts.clear()
    verdict = wired.hold(WANTED, C)
    assert (verdict.alarms, verdict.left) == ((Alarm.PORTS,), ())
    assert wired.ports.wrong == {}
    assert wired.fake.state == {0x10: seats(A), 0x11: seats(B)}
    assert all(not was.get(key) for key, _, was in wired.fake.puts)


def test_a_port_that_nothing_mends_costs_the_others_no_time(wired: Site) -> None:
    """It is told in each round, and left alone for a while: its job would stand still each time."""
    wired.ports.stuck = {A: (0x7FFF,)}
    wired.hold(WANTED)
    at, changed = wired.ticks.at, len(wired.fake.changes())
    for _ in range(5):
        verdict = wired.hold(WANTED)
        assert verdict.alarms == (Alarm.LEFT,)
        assert (A, Difference.LACKING) in {(d.guid, d.what) for d in verdict.left}
    assert (wired.ticks.at, len(wired.fake.changes())) == (at, changed)
    assert wired.hold(wants(k10=(A,), k11=(B, C))).tables[C] == (0x8011, 0x7FFF)
    wired.ticks.sleep(1000.0)
    wired.hold(WANTED)
    assert len(wired.fake.changes()) > changed + 2, "it is tried again"


def test_out_is_who_is_out_at_ufm_and_at_the_port(wired: Site) -> None:
    wired.hold(WANTED)
    wired.fake.reading = True
    wired.ports.wrong = {A: (0x7FFF,)}
    assert wired.hold(wants(k11=(B,)), A).tables[A] is None, "UFM has it in"
    wired.fake.reading = False
    assert wired.hold(wants(k11=(B,)), A).tables[A] == (0x7FFF,)


def test_ports_that_are_open_are_told_each_time_and_waited_for_once(wired: Site) -> None:
    wired.ports.stuck = {A: (0x8010, 0xFFFF)}
    wired.hold(WANTED)
    at = wired.ticks.at
    verdict = wired.hold(WANTED)
    assert (A, Difference.OPEN) in {(d.guid, d.what) for d in verdict.left}
    assert wired.ticks.at == at
    wired.ports.stuck = {}
    assert wired.hold(WANTED).left == ()


@pytest.mark.parametrize(
    ("seen", "alarms"),
    [
        (None, {Alarm.MUTE}),
        ((Seen(SM, Standing.MASTER), Seen(A, Standing.STANDBY)), {Alarm.STRANGER}),
        ((Seen(SM, Standing.STANDBY), Seen(A, Standing.MASTER)), {Alarm.STRANGER, Alarm.DEPOSED}),
    ],
)
def test_managers(wired: Site, seen: tuple[Seen, ...] | None, alarms: set[Alarm]) -> None:
    wired.ports.seen = seen
    assert set(wired.hold(NONE).alarms) == alarms
