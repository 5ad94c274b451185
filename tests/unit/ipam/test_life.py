"""What is next for a gang, walked along the table of its life: nothing is done that was not read back."""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest

from ipam.fabric.course import Account, Stand
from ipam.gangs.life import Heard, Move, step
from model.bearing import HostPart, Reached, Wait
from model.errors import Fault
from model.fabric import Guid, PKey, RailIndex
from model.gang import (
    IN_STORE,
    TABLE,
    Berth,
    Effect,
    Event,
    Gang,
    GangRequest,
    GangState,
    Interface,
    Membership,
    Progress,
    begin,
    due,
    finish,
    resume,
)
from model.ids import HostName, Mac

NOW, PATIENCE = 1_000_000, 60.0
HOSTS = (HostName("hv1"), HostName("hv2"))
PARKING = {Effect.LOWER_LINKS, Effect.RESET_DEVICES}
WANTED = {
    Effect.SET_DEVICES: Reached.SET,
    Effect.READ_BACK: Reached.SET,
    Effect.RAISE_LINKS: Reached.UP,
    **dict.fromkeys(PARKING, Reached.PARKED),
}
STANDS = {
    Effect.JOIN_PARTITIONS: Stand.JOINED,
    Effect.READ_BACK: Stand.JOINED,
    Effect.LEAVE_PARTITIONS: Stand.GONE,
    Effect.SEE_GONE: Stand.GONE,
}
EVERY = tuple(Progress(state, begun) for state, begun in itertools.product(GangState, GangState))


def reachable() -> tuple[Progress, ...]:
    """Every progress that the table and its writes lead to."""
    found, new = {Progress()}, [Progress()]
    while new:
        one = new.pop()
        for event in Event:
            if (one.state, event) in TABLE:
                for after in (begin(one, event), finish(begin(one, event), event), finish(one, event)):
                    if after not in found:
                        found.add(after)
                        new.append(after)
    return tuple(sorted(found, key=lambda p: (p.state.value, p.begun.value)))


def gang(
    progress: Progress, *, infiniband: bool = True, since: int = NOW, vouched: tuple[str, ...] = ()
) -> Gang:
    berths = tuple(
        Berth(
            f"n{n}", host, (), (Interface(n, "p", 0, RailIndex(0), (), Mac(0), Guid(0), port(n, infiniband)),)
        )
        for n, host in enumerate(HOSTS, 1)
    )
    request = GangRequest("acme", "job", "east", count=2, membership=Membership.FULL)
    pkey = PKey(16) if infiniband else PKey(0)
    return Gang(request, 7, progress, berths, pkey, vouched=vouched, since=since)


def port(n: int, infiniband: bool) -> Guid:
    return Guid(0x0200000000000000 + n) if infiniband else Guid(0)


def said(of: Gang, reached: Reached, **more: object) -> dict[HostName, Heard]:
    """By all hosts, as an answer to the gang as it is."""
    part = HostPart(of.generation, of.progress.state, of.progress.begun, reached)
    part = replace(part, **{k: v for k, v in more.items() if k != "fresh"})  # type: ignore[arg-type]
    return dict.fromkeys(HOSTS, Heard(part, bool(more.get("fresh", True))))


PROGRESSES = reachable()
UNDER_WAY = [p for p in PROGRESSES if (event := resume(p)) is not None and begin(p, event) == p]
OUTSIDE = [p for p in UNDER_WAY if set(due(p, resume(p) or Event.FAIL)) - IN_STORE]


def test_the_table_leads_everywhere() -> None:
    assert {p.state for p in PROGRESSES} == set(GangState)
    assert len(OUTSIDE) >= 9


@pytest.mark.parametrize("progress", PROGRESSES, ids=str)
def test_first_it_is_written_what_is_begun(progress: Progress) -> None:
    event = resume(progress)
    if event is not None and begin(progress, event) != progress:
        made = gang(progress, since=1)
        assert step(made, None, {}, NOW, PATIENCE) == Move(begin(progress, event))
        return
    if event is None and progress.state is not GangState.ACTIVE:
        assert step(gang(progress), None, {}, NOW, PATIENCE) is None


@pytest.mark.parametrize("infiniband", [True, False])
@pytest.mark.parametrize("progress", UNDER_WAY, ids=str)
def test_it_moves_if_all_effects_are_read_back_and_not_if_one_is_not(
    progress: Progress, infiniband: bool
) -> None:
    event = resume(progress)
    assert event is not None
    made = gang(progress, infiniband=infiniband)
    effects = [e for e in due(progress, event) if e not in IN_STORE]
    reached = {WANTED[e] for e in effects if e in WANTED}
    stands = {STANDS[e] for e in effects if e in STANDS} if infiniband else set()
    assert len(reached) <= 1 and len(stands) <= 1
    hosts = said(made, *reached) if reached else {}
    account = Account(made, *stands) if stands else None
    after = finish(progress, event)
    following = resume(after)
    wanted = after if following is None else begin(after, following)
    assert step(made, account, hosts, NOW, PATIENCE) == Move(wanted)
    for lacking in lacks(made, hosts, account, undoing=event is Event.CLEAR):
        found = step(made, lacking[1], lacking[0], NOW, PATIENCE)
        assert isinstance(found, Wait) and found.generation == 7 and found.why, lacking


def lacks(made: Gang, hosts: dict, account: Account | None, *, undoing: bool):
    """The same with one thing missing at a time."""
    for host in hosts:
        part = hosts[host].part
        others = [r for r in Reached if r is not part.reached]
        worse = [Heard(replace(part, reached=r), fresh=True) for r in others]
        worse += [Heard(None, fresh=True), Heard(replace(part, generation=6), fresh=True)]
        worse += [Heard(replace(part, state=s), fresh=True) for s in GangState if s is not part.state]
        worse += [Heard(replace(part, begun=s), fresh=True) for s in GangState if s is not part.begun]
        if not undoing:
            worse.append(Heard(part, fresh=False))
        for one in worse:
            yield {**hosts, host: one}, account
        yield {h: said for h, said in hosts.items() if h != host}, account
    if account is not None:
        yield hosts, None
        for stand in Stand:
            if stand is not account.stand:
                yield hosts, Account(made, stand, (port(1, True),))
                yield hosts, Account(made, stand)


@pytest.mark.parametrize("progress", OUTSIDE, ids=str)
def test_what_takes_too_long_fails_with_why_but_for_what_is_undone(progress: Progress) -> None:
    event = resume(progress)
    old = gang(progress, since=NOW - int(PATIENCE * 1000) - 1)
    found = step(old, None, {}, NOW, PATIENCE)
    if event is Event.CLEAR:
        assert isinstance(found, Wait)
    else:
        assert event is not None
        assert isinstance(found, Move) and found.progress == finish(progress, Event.FAIL)
        assert found.progress.begun is progress.begun, "what may have been done is undone"
        assert found.why.startswith(f"not {finish(progress, event).state.value} within 60 s: ")
    assert isinstance(step(replace(old, since=NOW), None, {}, NOW, PATIENCE), Wait)


def test_what_is_gone_stays_gone_though_the_host_is_silent() -> None:
    made = gang(Progress(GangState.RELEASING, GangState.ACTIVE))
    account = Account(made, Stand.GONE)
    found = step(made, account, said(made, Reached.PARKED, fresh=False), NOW, PATIENCE)
    assert found == Move(Progress(GangState.RELEASED))


def test_who_is_vouched_for_is_not_waited_for_and_only_then() -> None:
    going = Progress(GangState.RELEASING, GangState.ACTIVE)
    account = Account(gang(going), Stand.GONE)
    for vouched, over in (((), False), (("n1",), False), (("n2",), True)):
        made = gang(going, vouched=vouched)
        hosts = {**said(made, Reached.PARKED), HOSTS[1]: Heard(None, fresh=False)}
        assert isinstance(step(made, account, hosts, NOW, PATIENCE), Move) is over
    forward = gang(Progress(GangState.RESERVED, GangState.PROGRAMMED), vouched=("n2",))
    hosts = {**said(forward, Reached.SET), HOSTS[1]: Heard(None, fresh=False)}
    assert isinstance(step(forward, Account(forward, Stand.JOINED), hosts, NOW, PATIENCE), Wait)


def test_the_sentence_names_hosts_faults_and_ports() -> None:
    made = gang(Progress(GangState.RESERVED, GangState.PROGRAMMED))
    fault = Fault("PF 0000:18:00.0", "vfs-in-use", "it has 2 VFs, 4 are wanted", "empty it")
    hosts = said(made, Reached.NOTHING, faults=(fault,)) | {HOSTS[1]: Heard(None, fresh=False)}
    found = step(made, None, hosts, NOW, PATIENCE)
    assert isinstance(found, Wait) and found.hosts == ("hv1", "hv2")
    assert found.why == (
        "2 of 2 hosts have not set their devices: hv1: PF 0000:18:00.0: it has 2 VFs, 4 are wanted "
        "(vfs-in-use); hv2 is silent"
    )
    account = Account(made, Stand.JOINING, (port(2, True),))
    found = step(made, account, said(made, Reached.SET), NOW, PATIENCE)
    assert isinstance(found, Wait) and found.ports == (port(2, True),)
    assert found.why == "1 of 2 ports have not joined its partition, or do not answer"


def test_an_active_gang_says_what_is_amiss_and_stays_active() -> None:
    made = gang(Progress(GangState.ACTIVE, GangState.ACTIVE), since=1)
    account = Account(made, Stand.JOINED)
    assert step(made, account, said(made, Reached.UP), NOW, PATIENCE) is None
    assert step(made, account, said(made, Reached.UP, state=GangState.VERIFIED), NOW, PATIENCE) is None
    for hosts, of_ports in (
        (said(made, Reached.SET), account),
        (said(made, Reached.UP, fresh=False), account),
        (said(made, Reached.UP), Account(made, Stand.JOINING, (port(1, True),))),
        (said(made, Reached.UP), None),
    ):
        assert isinstance(step(made, of_ports, hosts, NOW, PATIENCE), Wait)
