"""Looking: the last sighting stays the same object while nothing changes, and a failure costs nothing."""

from __future__ import annotations

import threading
import time

from controller.agent.looking import NOTHING, Looking
from model.hardware import parse_pci
from model.sighting import SeenPf, Sighting


def until(condition) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def test_what_is_the_same_stays_the_same_object_and_failures_keep_it() -> None:
    answers = [Sighting((SeenPf(parse_pci("18:00.0")),))]
    looks = 0

    def observe() -> Sighting:
        nonlocal looks
        looks += 1
        if not answers:
            raise RuntimeError("a driver went mad")
        return Sighting(answers[0].pfs)

    looking = Looking(observe, every=0.01)
    assert looking.seen() is NOTHING
    looking.start()
    try:
        until(lambda: looking.seen() != NOTHING)
        first, count = looking.seen(), looks
        until(lambda: looks > count + 2)
        assert looking.seen() is first
        answers.clear()
        count = looks
        until(lambda: looks > count + 2)
        assert looking.seen() is first
        answers.append(Sighting())
        until(lambda: looking.seen() == Sighting())
    finally:
        looking.stop()


def test_a_driver_that_does_not_answer_does_not_hold_the_end() -> None:
    held = threading.Event()

    def observe() -> Sighting:
        held.wait(60)
        return Sighting()

    looking = Looking(observe)
    looking.start()
    looking.stop()
    held.set()
