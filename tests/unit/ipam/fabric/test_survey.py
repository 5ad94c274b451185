"""Thousands of ports asked at once: what is lost, late, forged, or another port's by now."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import replace

import pytest

from ipam.fabric import mad
from ipam.fabric.mad import Attribute
from ipam.fabric.survey import WINDOW, Found, Said, Survey
from ipam.fabric.surveyor import END, line, parse, parse_wanted
from model.fabric import Guid
from tests.fakes.wire import HOME, Subnet, lossy, put, subnet


def survey(
    fabric: Subnet, lids: dict[Guid, int] | None = None, seconds: float = 60.0
) -> dict[Guid, Found | None]:
    """Each port once."""
    wanted = dict.fromkeys(fabric.tables, 0) | (lids or {})
    said = list(Survey(fabric, HOME, fabric.now).ask(wanted, seconds))
    assert Counter(guid for guid, _ in said) == Counter(list(wanted))
    return dict(said)


def whole(fabric: Subnet) -> dict[Guid, Found | None]:
    return {guid: Found(fabric.places[guid], table) for guid, table in fabric.tables.items()}


@pytest.mark.parametrize("capacity", [1, 31, 32, 33, 64, 128])
def test_whole_tables_of_all(capacity: int) -> None:
    fabric = subnet(100, capacity)
    assert survey(fabric) == whole(fabric)
    asked = Counter(question.attribute for question in fabric.asked)
    blocks = -(-capacity // 32)
    assert asked == {
        Attribute.PATH_RECORD: 100,
        Attribute.NODE_INFO: 200,
        Attribute.P_KEY_TABLE: 100 * blocks,
    }
    assert fabric.waiting <= WINDOW


def test_who_is_known_is_not_looked_up() -> None:
    fabric = subnet(20)
    assert survey(fabric, dict(fabric.places)) == whole(fabric)
    assert Attribute.PATH_RECORD not in {question.attribute for question in fabric.asked}


def test_each_question_has_a_number_of_its_own() -> None:
    fabric = subnet(50)
    fabric.fate = lossy(random.Random(1), 0.2)
    survey(fabric)
    numbers = [question.transaction for question in fabric.asked]
    assert len(set(numbers)) == len(numbers) and 0 not in numbers


def test_what_is_lost_is_asked_again() -> None:
    fabric = subnet(200)
    fabric.fate = lossy(random.Random(7), 0.1)
    found = survey(fabric)
    assert {g: f for g, f in found.items() if f} == {g: whole(fabric)[g] for g, f in found.items() if f}
    assert sum(f is not None for f in found.values()) > 190


def test_who_does_not_answer_does_not_hold_the_others_up() -> None:
    fabric = subnet(1000)
    dead = set(list(fabric.places.values())[::5])
    fabric.fate = lambda question: None if question.lid in dead else 0.00002
    known = []
    for guid, found in Survey(fabric, HOME, fabric.now).ask(dict(fabric.places), 120):
        known.append((found is not None, fabric.time))
        assert (found is None) == (fabric.places[guid] in dead)
    assert [alive for alive, _ in known] == [True] * 800 + [False] * 200
    assert known[799][1] < 2.5, "two hundred of fifty milliseconds, eight at a time"


def test_a_port_that_is_gone_costs_one_question() -> None:
    fabric = subnet(3)
    gone = min(fabric.places)
    del fabric.places[gone]
    assert survey(fabric)[gone] is None
    assert len(fabric.asked) == 1 + 2 * 5


def test_a_lid_that_is_anothers_by_now() -> None:
    """All LIDs that we know are wrong; no table is taken for another's."""
    fabric = subnet(40)
    lids = list(fabric.places.values())
    stale = dict(zip(fabric.places, lids[1:] + lids[:1], strict=True))
    assert survey(fabric, stale) == whole(fabric)
    # the administrator is as wrong as we are: nothing is known
    fabric.believed = stale
    assert set(survey(fabric, stale).values()) == {None}
    assert set(survey(fabric).values()) == {None}


@pytest.mark.parametrize("known", ["before", "after"])
@pytest.mark.parametrize("moment", range(1, 30))
def test_a_lid_that_moves_while_it_is_asked(moment: int, known: str) -> None:
    """Whenever it happens, also between who it is and what it has; or what we know was wrong until then."""
    fabric = subnet(3)
    first, second, third = fabric.places
    before = dict(fabric.places)
    after = {first: before[second], second: before[third], third: before[first]}

    def move(asked: int) -> None:
        if asked == moment:
            fabric.places = after

    fabric.meanwhile = move
    for guid, found in survey(fabric, before if known == "before" else after).items():
        assert found is None or found.table == fabric.tables[guid]


FORGED = {
    "wrong LID": lambda said: replace(said, lid=said.lid + 1, datagram=_with(said, 0, 1, 1)),
    "wrong attribute": lambda said: replace(said, datagram=_with(said, 16, 2, 0x15)),
    "wrong block": lambda said: replace(said, datagram=_with(said, 20, 4, 7)),
    "wrong transaction": lambda said: replace(said, datagram=_with(said, 12, 4, 0xDEAD)),
    "a question": lambda said: replace(said, datagram=_with(said, 3, 1, 0x01)),
    "another class": lambda said: replace(said, datagram=_with(said, 1, 1, 0x81)),
    "too short": lambda said: replace(said, datagram=said.datagram[:100]),
    "empty": lambda said: replace(said, datagram=b""),
}


def _with(said: Said, at: int, size: int, value: int) -> bytes:
    """Its data say something else as well."""
    out = bytearray(said.datagram)
    out[64:] = bytes(b ^ 0x55 for b in out[64:])
    put(out, at, size, value)
    return bytes(out)


@pytest.mark.parametrize("name", FORGED)
def test_answers_of_others_are_not_believed(name: str) -> None:
    fabric = subnet(20)
    fabric.forge = lambda said: (FORGED[name](said),)
    assert survey(fabric) == whole(fabric)


def test_an_administrator_that_speaks_of_another_port() -> None:
    fabric = subnet(2)
    first, second = fabric.places

    def swap(said: Said) -> tuple[Said, ...]:
        if said.datagram[1] != 0x03:
            return ()
        out = bytearray(said.datagram)
        put(out, 72, 8, first + second - int.from_bytes(out[72:80]))
        return (replace(said, datagram=bytes(out)),)

    fabric.forge = swap
    assert set(survey(fabric).values()) == {None}
    assert len(fabric.asked) == 2, "nobody was asked what it has"


@pytest.mark.parametrize(("status", "known"), [(0x0001, True), (0x000C, False), (0x001C, False)])
def test_a_port_that_says_no(status: int, known: bool) -> None:
    """Busy: it is asked again, though not for ever."""
    fabric, said = subnet(1), []

    def refuse(answer: Said) -> tuple[Said, ...]:
        if len(said) >= 3 and known:
            return ()
        said.append(answer)
        out = bytearray(answer.datagram)
        put(out, 4, 2, status)
        return (replace(answer, datagram=bytes(out)),)

    fabric.forge = refuse
    assert (survey(fabric) == whole(fabric)) is known


def test_what_the_kernel_gives_back_is_not_an_answer() -> None:
    fabric = subnet(2)
    fabric.forge = lambda answer: (replace(answer, lid=0, lost=True),)
    assert set(survey(fabric).values()) == {None}


def test_time_is_over() -> None:
    fabric = subnet(50)
    fabric.fate = lambda _: None
    assert set(survey(fabric, dict(fabric.places), seconds=0.6).values()) == {None}
    assert fabric.time == pytest.approx(0.6, abs=0.01)


def test_a_port_at_no_lid_of_one_port() -> None:
    fabric = subnet(1)
    fabric.believed = dict.fromkeys(fabric.places, 0xC001)
    assert set(survey(fabric).values()) == {None}


def test_nothing_is_changed_and_no_key_is_told() -> None:
    """Gets only, with M_Key and SM_Key zero."""
    for question in (
        mad.node_info(5, 1),
        mad.p_key_table(5, 1, 2),
        mad.path_record(1, HOME.gid, HOME.gid, 3),
    ):
        assert question.datagram[3] == 0x01 and len(question.datagram) == 256
        assert not any(question.datagram[24:48])


def test_lines_of_the_program() -> None:
    found = Found(7, (0x8010, 0x7FFF, *[0] * 62))
    text = line(Guid(5), found) + line(Guid(6), None) + f"{END}\n"
    assert text == "0000000000000005 7 64 8010 7fff\n0000000000000006\nend\n"
    assert parse(text) == {5: found, 6: None}
    assert parse(line(Guid(5), found) + line(Guid(6), found)[:-3]) == {5: found}, "half a line is none"
    assert parse_wanted(["0000000000000005 7\n"]) == {5: 7}
    for wrong in ("x\n", "5 7\n", "5 0 64\n", "5 7 1 8010 7fff\n", "5 7 64 18010\n", "5 7 64  8010\n"):
        with pytest.raises((ValueError, IndexError)):
            parse(wrong)
