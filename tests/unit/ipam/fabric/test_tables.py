"""What ports' tables say, read strictly, and how they differ from what is wanted."""

from __future__ import annotations

import pytest

from ipam.fabric.managers import Seen, Standing, parse_known, parse_master, parse_offering, strangers
from ipam.fabric.partitions import Partition, Partitions
from ipam.fabric.tables import Difference, Drift, compare, lingering, parse_table, set_aside
from model.fabric import Guid, PKey

SM = Guid(0x0002C90300000001)
FULL, LIMITED, IDLE = Guid(0x0200000000000001), Guid(0x0200000000000003), Guid(0x0200000000000005)
WANTED = Partitions((), (Partition(PKey(0x10), (FULL,), (LIMITED,)),))


def printed(*entries: int, capacity: int = 32) -> str:
    """As `smpquery pkeys` prints it."""
    table = [*entries, *[0] * (-(-capacity // 32) * 32 - len(entries))]
    rows = [
        f"{place:4d}: " + " ".join(f"0x{entry:04x}" for entry in table[place : place + 8])
        for place in range(0, len(table), 8)
    ]
    return "\n".join([*rows, f"{capacity} pkeys capacity for this port"]) + "\n"


def test_a_table_is_read() -> None:
    assert parse_table(printed(0x8010, 0x7FFF)) == (0x8010, 0x7FFF, *[0] * 30)
    assert len(parse_table(printed(0x7FFF, capacity=128))) == 128
    assert len(parse_table(printed(0x7FFF, capacity=20))) == 20


WHOLE = printed(0x8010, 0x7FFF)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "\n",
        *("\n".join(WHOLE.splitlines()[:n]) for n in range(5)),
        "\n".join(WHOLE.splitlines()[1:]),
        WHOLE.replace("32 pkeys", "64 pkeys"),
        WHOLE.replace("32 pkeys", "0 pkeys"),
        WHOLE.replace("0x7fff", "0x7ff"),
        WHOLE.replace("0x7fff", "0xZfff"),
        WHOLE.replace("   8:", "  16:"),
        "ibwarn: something\n" + WHOLE,
    ],
)
def test_a_table_that_is_not_whole_is_none(text: str) -> None:
    with pytest.raises(ValueError, match="partition keys"):
        parse_table(text)


D = Difference


@pytest.mark.parametrize(
    ("guid", "table", "expected"),
    [
        (FULL, (0x8010, 0x7FFF), []),
        (LIMITED, (0x0010, 0x7FFF), []),
        (IDLE, (0x7FFF,), []),
        (IDLE, (0, 0x7FFF), []),
        (SM, (0xFFFF,), []),
        (SM, (0x7FFF,), [(D.DEFAULT, 0xFFFF)]),
        (FULL, None, [(D.UNSEEN, 0)]),
        (FULL, (0xFFFF,), [(D.OPEN, 0xFFFF), (D.DEFAULT, 0x7FFF), (D.LACKING, 0x8010)]),
        (FULL, (0x8010, 0x7FFF, 0xFFFF), [(D.OPEN, 0xFFFF)]),
        (FULL, (0x0010, 0x7FFF), [(D.LEVEL, 0x0010)]),
        (LIMITED, (0x8010, 0x7FFF), [(D.LEVEL, 0x8010)]),
        (LIMITED, (0x0010, 0x8010, 0x7FFF), [(D.LEVEL, 0x8010)]),
        (FULL, (0x7FFF, 0x8010), [(D.INDEX, 0x8010)]),
        (FULL, (0x7FFF,), [(D.LACKING, 0x8010)]),
        (FULL, (0x8010,), [(D.DEFAULT, 0x7FFF)]),
        (FULL, (0x8010, 0x7FFF, 0x0011), [(D.STRAY, 0x0011)]),
        (IDLE, (0x7FFF, 0x8010), [(D.STRAY, 0x8010)]),
        (IDLE, (), [(D.DEFAULT, 0x7FFF)]),
    ],
)
def test_differences(guid: Guid, table: tuple[int, ...] | None, expected: list[tuple[D, int]]) -> None:
    assert compare(WANTED, {guid: table}, SM) == tuple(Drift(guid, what, pkey) for what, pkey in expected)


def test_an_allowed_manager_is_full_in_the_default() -> None:
    wanted = Partitions((IDLE,), WANTED.tenants)
    assert compare(wanted, {IDLE: (0xFFFF,)}, SM) == ()
    assert compare(WANTED, {IDLE: (0xFFFF,)}, SM)[0].what is D.OPEN


def test_only_what_was_read_is_gone() -> None:
    found = {FULL: (0x7FFF,), LIMITED: (0x0010, 0x7FFF), IDLE: None}
    assert lingering([FULL], PKey(0x10), found) == ()
    assert lingering([IDLE, FULL, LIMITED, SM], PKey(0x10), found) == (SM, LIMITED, IDLE)
    assert lingering([LIMITED], PKey(0x11), found) == ()


def test_set_aside_changes_what_is_wanted_of_each_and_joins_nobody() -> None:
    found = {IDLE: (0x7FFE, 0x7FFF), FULL: (0x8010, 0x7FFF, 0xFFFD)}
    made = set_aside(WANTED, [IDLE, FULL], found)
    assert made.tenants == (Partition(PKey(0x10), (), (LIMITED,)), Partition(PKey(0x7FFC), (), (IDLE,)))
    assert set_aside(WANTED, [FULL, LIMITED], found) == Partitions()
    assert set_aside(WANTED, [], found) == WANTED


MASTER = "sminfo: sm lid 1 sm guid 0x2c90300000001, activity count 895 priority 0 state 3 SMINFO_MASTER\n"
RECORD = """SMInfoRecord dump:
\t\tRID
\t\tLID...................1
\t\tSMInfo dump:
\t\tGUID..................0x0002c90300000001
\t\tSM_Key................0x0000000000000000
\t\tActCount..............896
\t\tPriority..............0
\t\tSMState...............3

"""


def test_managers_are_read_and_strangers_told() -> None:
    other = RECORD.replace("00000001", "00000011").replace(
        "SMState...............3", "SMState...............2"
    )
    assert parse_master(MASTER) == Seen(SM, Standing.MASTER)
    known = parse_known(other + RECORD)
    assert known == (Seen(SM, Standing.MASTER), Seen(Guid(0x0002C90300000011), Standing.STANDBY))
    assert strangers((*known, *known), [SM]) == (known[1],)
    assert strangers(known, [SM, known[1].guid]) == ()
    assert parse_known("") == ()


@pytest.mark.parametrize(
    "text",
    ["", MASTER * 2, MASTER.replace("state 3", "state 9"), MASTER.replace("0x2c90300000001", "0x0")],
)
def test_what_names_no_master(text: str) -> None:
    with pytest.raises(ValueError):
        parse_master(text)


@pytest.mark.parametrize(
    "text",
    [
        "No records\n" + RECORD,
        RECORD.replace("GUID", "Guid"),
        RECORD.replace("SMState", "State"),
        RECORD.replace("SMState...............3", "SMState...............7"),
    ],
)
def test_what_is_no_record_of_managers(text: str) -> None:
    with pytest.raises(ValueError):
        parse_known(text)


OFFERING = """IsSM ports

PortInfoRecord dump:
\t\tEndPortLid..............1
\t\tPortNum.................1
\t\tbase_lid................1
PortInfoRecord dump:
\t\tEndPortLid..............16
\t\tPortNum.................1
\t\tbase_lid................16

IsSMdisabled ports

"""


def test_ports_that_offer_a_manager() -> None:
    assert parse_offering(OFFERING) == (1, 16)
    assert parse_offering("IsSM ports\n\nIsSMdisabled ports\n\n") == ()


@pytest.mark.parametrize(
    "text", ["", OFFERING.partition("IsSMdisabled")[0], OFFERING.replace("EndPortLid..............16", "")]
)
def test_what_does_not_tell_ports_that_offer_one(text: str) -> None:
    with pytest.raises(ValueError):
        parse_offering(text)
