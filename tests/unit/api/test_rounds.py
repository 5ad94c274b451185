"""What the API does again and again goes on whatever happens in one round, and ends when it is told to."""

from __future__ import annotations

import threading

from controller.api.rounds import Rounds

SOON = 60.0


def test_a_round_that_fails_is_not_the_last_one() -> None:
    again, seen = threading.Event(), list[int]()

    def work() -> None:
        seen.append(1)
        if len(seen) == 1:
            raise LookupError("a bug")
        again.set()

    rounds = Rounds("tried", work, 0.001)
    rounds.start()
    try:
        assert again.wait(SOON)
    finally:
        rounds.stop()


def test_who_stops_it_waits_for_the_round_and_no_longer() -> None:
    begun, ended = threading.Event(), list[bool]()

    def work() -> None:
        begun.set()
        ended.append(rounds.go_on(SOON * 100))

    rounds = Rounds("tried", work, SOON * 100)
    rounds.start()
    assert begun.wait(SOON)
    rounds.stop()
    assert ended == [False]


def test_one_that_never_began_can_be_stopped() -> None:
    Rounds("tried", lambda: None, 1.0).stop()
