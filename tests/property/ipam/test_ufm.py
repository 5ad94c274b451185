"""UFM from any state, with faults at any request: what is wanted comes true or is told, and partitions of
others stay as they are."""

from __future__ import annotations

from copy import deepcopy
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from ipam.fabric.opensm import Alarm, Clock, Verdict
from ipam.fabric.partitions import Partition, Partitions
from ipam.fabric.ufm import Memory, Ufm
from model.fabric import FULL_MEMBER, Guid, PKey
from tests.fakes.estate import GUIDS, infiniband
from tests.fakes.ufm import CHANGING, LATER, PASSWORD, READING, USER, Fake, Mischief, State, Ticks, Wire

KEYS = (0x10, 0x11, 0x12)
FOREIGN = (0x5, 0x200, 0x7FFF)
OURS = tuple(Guid(GUIDS.start + 2 * n + 1) for n in range(5))
THEIRS = (Guid(0x946DAE03005985C8), Guid(0x946DAE03005985D0))
FABRIC = infiniband(1, pkeys=range(0x10, 0x14))
MISCHIEF = st.one_of(st.none(), st.sampled_from(Mischief))


def name(guid: int) -> str:
    return f"{guid:016x}"


@st.composite
def states(draw: st.DrawFn) -> State:
    found: State = {}
    seat = st.tuples(st.sampled_from(("full", "limited")), st.booleans())
    for key in (*KEYS, *FOREIGN):
        seats = draw(st.dictionaries(st.sampled_from((*OURS, *THEIRS)), seat, max_size=3))
        if seats and (key != 0x7FFF or draw(st.booleans())):
            found[key] = {name(guid): held for guid, held in seats.items()}
    # Full members of the default partition are nothing that we could mend: a test of its own has them.
    return {key: held for key, held in found.items() if key != 0x7FFF}


@st.composite
def wishes(draw: st.DrawFn) -> Partitions:
    place = draw(st.dictionaries(st.sampled_from(OURS), st.tuples(st.sampled_from(KEYS), st.booleans())))
    tenants = (
        Partition(
            PKey(key),
            tuple(sorted(g for g, (k, full) in place.items() if k == key and full)),
            tuple(sorted(g for g, (k, full) in place.items() if k == key and not full)),
        )
        for key in sorted({k for k, _ in place.values()})
    )
    return Partitions((), tuple(tenants))


def belongs(state: State, key: int) -> bool:
    """Whether one of ours is in it, or nobody."""
    return not state.get(key) or any(int(guid, 16) in GUIDS for guid in state[key])


class Site:
    def __init__(self, folder: Path, fake: Fake) -> None:
        path = folder / "credential"
        path.write_text(f"basic {USER}:{PASSWORD}\n")
        path.chmod(0o600)
        self.fake, self.ticks = fake, Ticks()
        clock = Clock(self.ticks.now, self.ticks.sleep)
        wire: Any = Wire(fake)
        # Begun: that members whom nobody knows are spared at the beginning has a test of its own.
        self.driver = Ufm(wire, path, FABRIC, (), None, clock, memory=Memory(spared=frozenset()))

    def hold(self, before: Partitions | None, wanted: Partitions) -> Verdict:
        return self.driver.hold(before, wanted, OURS)


def table(state: State, guid: Guid) -> list[int]:
    """Keys of a port by the truth, the default left out."""
    held = ((key, seats[name(guid)][0]) for key, seats in state.items() if name(guid) in seats)
    return sorted(key | FULL_MEMBER * (level == "full") for key, level in held)


def right(state: State, wanted: Partitions, untouched: set[int]) -> bool:
    want = {
        p.pkey: {**dict.fromkeys(p.full, "full"), **dict.fromkeys(p.limited, "limited")}
        for p in wanted.tenants
    }
    return all(
        state.get(key, {}) == {name(guid): (level, True) for guid, level in want.get(PKey(key), {}).items()}
        for key in {*FABRIC.pkeys} - untouched
    )


@settings(max_examples=120, deadline=None)
@given(
    states(),
    st.lists(st.tuples(wishes(), st.lists(MISCHIEF, max_size=12)), min_size=1, max_size=3),
    st.booleans(),
)
def test_what_is_wanted_comes_true_or_is_told(
    state: State, rounds: list[tuple[Partitions, list[Mischief | None]]], keeps: bool
) -> None:
    fake = Fake(deepcopy(state), keeps=keeps)
    others = {key for key in state if key in FOREIGN or not belongs(state, key)}
    with TemporaryDirectory() as folder:
        site = Site(Path(folder), fake)
        before: Partitions | None = None
        for wanted, mischief in rounds:
            fake.mischief = list(mischief)
            begun = len(fake.asked)
            fake.puts.clear()
            verdict = site.hold(before, wanted)
            before = wanted
            assert {key: fake.state.get(key) for key in others} == {key: state[key] for key in others}
            if not {Mischief.STALE, Mischief.LATE, Mischief.SLOW}.intersection(mischief):
                _careful(fake, wanted, others)
            # What is told is the truth, unless the very last answers were old ones.
            if Mischief.STALE not in mischief or len(fake.asked) - begun > len(mischief) + 1:
                _told(fake, verdict, wanted)
        fake.mischief = []
        site.ticks.sleep(1000)
        for _ in range(LATER):
            fake.answer("GET", "/ufmRest/resources/pkeys", "", None)
        verdict = site.hold(before, wanted)
        assert not fake.late
        assert {key: fake.state.get(key) for key in others} == {key: state[key] for key in others}
        _told(fake, verdict, wanted)
        blocked = {key for key in others if key in {t.pkey for t in wanted.tenants}}
        astray = {g for key in others for g in OURS if name(g) in state[key]}
        members = {g for t in wanted.tenants for g in (*t.full, *t.limited)}
        if blocked or astray & members:
            assert Alarm.LEFT in verdict.alarms
            assert verdict.left
        elif not astray:
            assert (verdict.alarms, verdict.left, verdict.said) == ((), (), ())
            assert right(fake.state, wanted, others)


def _careful(fake: Fake, wanted: Partitions, others: set[int]) -> None:
    """Nobody was put in while elsewhere too, or beside somebody who does not belong there."""
    want = {t.pkey: {name(g) for g in (*t.full, *t.limited)} for t in wanted.tenants}
    for key, names, was in fake.puts:
        assert key not in others
        assert set(was.get(key, ())) <= want[PKey(key)]
        assert not any(set(names) & set(seats) for other, seats in was.items() if other != key)


def _told(fake: Fake, verdict: Verdict, wanted: Partitions) -> None:
    """Each table is as it is, and will be when everything that is under way is done."""
    want = {g: t.pkey for t in wanted.tenants for g in (*t.full, *t.limited)}
    if fake.mischief and verdict.tables:
        return
    for guid, said in verdict.tables.items():
        if said is not None:
            assert sorted(e for e in said if e != MANAGED) == table(fake.state, guid)
    ahead = Fake(deepcopy(fake.state))
    for _, deed in fake.late:
        held, fake.state = fake.state, deepcopy(ahead.state)
        deed()
        ahead.state, fake.state = fake.state, held
    for guid, said in verdict.tables.items():
        if said is not None and Alarm.SILENT not in verdict.alarms:
            extra = {e & 0x7FFF for e in table(ahead.state, guid)} - {e & 0x7FFF for e in said}
            assert extra <= {want.get(guid)}, "somebody is told to be out who is put in later"


MANAGED = 0x7FFF


def test_there_is_mischief_of_each_kind() -> None:
    assert {*CHANGING, *READING, Mischief.REFUSE} == set(Mischief)
