"""Who is next among those that ask, and who gets a seat where there are not enough."""

from __future__ import annotations

from services.seats import Seated, Seats
from services.turns import Turns


def turns(depth: int, *keys: str) -> Turns[str, str]:
    made: Turns[str, str] = Turns(depth)
    for number, key in enumerate(keys):
        made.put(key, f"{key}{number}")
    return made


def all_of(some: Turns[str, str]) -> list[str]:
    return list(iter(some.take, None))


def test_who_asks_once_is_next_after_one_of_the_flood() -> None:
    assert all_of(turns(9, "f", "f", "f", "f", "q")) == ["f0", "q4", "f1", "f2", "f3"]


def test_all_who_flood_share() -> None:
    assert all_of(turns(9, *"aaabbbccc")) == ["a0", "b3", "c6", "a1", "b4", "c7", "a2", "b5", "c8"]


def test_who_had_nothing_waiting_comes_before_those_who_had() -> None:
    some = turns(9, *"aaabbb")
    assert [some.take() for _ in range(2)] == ["a0", "b3"]
    some.put("q", "q")
    assert all_of(some) == ["q", "a1", "b4", "a2", "b5"]


def test_who_asks_again_after_his_turn_is_not_first_again() -> None:
    some = turns(9, *"aabbq")
    assert [some.take() for _ in range(3)] == ["a0", "b2", "q4"]
    some.put("q", "again")
    assert all_of(some) == ["a1", "b3", "again"]


def test_what_is_too_much_pushes_out_the_oldest_of_its_own() -> None:
    some = turns(2, *"aab")
    assert some.put("a", "new") == "a0"
    assert some.put("b", "other") is None
    assert (len(some), some.waiting("a"), some.waiting("b"), some.waiting("c")) == (4, 2, 2, 0)
    assert all_of(some) == ["a1", "b2", "new", "other"]
    assert (len(some), some.take()) == (0, None)


def test_each_holds_its_own_and_no_more() -> None:
    seats: Seats[str] = Seats(2, 9)
    assert [seats.take("a") for _ in range(3)] == [Seated(), Seated(), None]
    seats.leave("a")
    assert (seats.take("a"), seats.held("a"), len(seats)) == (Seated(), 2, 2)


def test_who_holds_few_gets_a_seat_of_who_holds_most() -> None:
    seats: Seats[str] = Seats(8, 4)
    for key in "aaab":
        seats.take(key)
    assert seats.take("c") == Seated(instead="a")
    assert seats.take("b") is None, "nobody holds two more than it"
    assert seats.take("a") is None
    assert [seats.held(key) for key in "abc"] == [2, 1, 1]
    assert seats.take("d") == Seated(instead="a")
    assert seats.take("e") is None, "all others hold one"


def test_who_leaves_what_he_does_not_hold_changes_nothing() -> None:
    seats: Seats[str] = Seats(2, 2)
    seats.leave("a")
    assert (len(seats), seats.held("a")) == (0, 0)
