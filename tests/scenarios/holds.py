"""Holds: what is kept alive when routes are taken back or a reflector is lost, and when it ends.

Place: one page of the states; each is another one and a phase more, so that a history reads from top to
bottom. Must not ask the code under test what to expect.
"""

from __future__ import annotations

from dataclasses import replace

from tests.scenarios.facts import (
    ONE,
    TWO,
    Back,
    Lost,
    Passed,
    Silent,
    bound,
    taken_back,
)
from tests.scenarios.objects import (
    HV2,
)
from tests.scenarios.ports import ONE_PORT
from tests.scenarios.remotes import HV2_ROUTES, REMOTE, SILENT_REMOTE
from tests.scenarios.state import Memory, State

REMOTE_TWO = (
    replace(REMOTE, memory=Memory.PATH)
    .then(
        "second-reflector-still-says-it",
        *(replace(one, peer=TWO) for one in HV2_ROUTES),
        expected=REMOTE.expected,
    )
    .then("one-reflector-takes-it-back", *taken_back(*HV2_ROUTES), expected=REMOTE.expected)
)
HELD = REMOTE.then(
    "withdraw-held",
    *taken_back(*HV2_ROUTES),
    expected=REMOTE.expected,
    memory=Memory.PATH,
)
HELD_ON = HELD.then("withdraw-held-on", Passed(179.0), expected=REMOTE.expected)
HELD_OUT = HELD.then("withdraw-held-out", Passed(181.0), expected=SILENT_REMOTE.expected, said="Program Save")
DEAD = HELD.then(
    "withdraw-held-vtep-dead",
    Silent(HV2.vtep),
    expected=SILENT_REMOTE.expected,
    said="Program Save",
)
UNBOUND = REMOTE.then(
    "withdraw-of-unbound-acts",
    bound(13, "hv2", active=False),
    *taken_back(*HV2_ROUTES),
    expected=ONE_PORT.expected,
    said="Save Program Save",
)
REFLECTOR_LOST = REMOTE.then(
    "reflector-lost",
    Lost(ONE),
    expected=replace(REMOTE.expected, report=("degraded", "port-11 active")),
    memory=Memory.PATH,
)
REFLECTOR_BACK = REFLECTOR_LOST.then("reflector-back", Back(ONE), expected=REMOTE.expected)

HELD_UNBOUND = HELD.then(
    "withdraw-held-then-unbound",
    bound(13, "hv2", active=False),
    expected=ONE_PORT.expected,
    said="Program Save",
)

STATES: tuple[State, ...] = (
    REMOTE_TWO,
    HELD,
    HELD_ON,
    HELD_OUT,
    DEAD,
    UNBOUND,
    REFLECTOR_LOST,
    REFLECTOR_BACK,
    HELD_UNBOUND,
)
