"""Traffic: egress classes come and go, networks begin and cease to replicate.

Place: one page of the states; each is another one and a phase more, so that a history reads from top to
bottom. Must not ask the code under test what to expect.
"""

from __future__ import annotations

from tests.scenarios.facts import (
    bound,
    no_row,
    row,
)
from tests.scenarios.objects import (
    N1,
    N1_REPLICATING,
    P13,
    R13,
    STORAGE,
    STORAGE_FLOWS,
)
from tests.scenarios.ports import TWO_PORTS
from tests.scenarios.remotes import HV2_ROUTES, REMOTE
from tests.scenarios.state import State

CLASS = TWO_PORTS.then(
    "class-added",
    *row(STORAGE),
    expected=TWO_PORTS.expected.plus(
        flows=(
            *STORAGE_FLOWS,
            "account reg1=11,reg3=2 | >output",
            "account reg1=12,reg3=2 | >output",
        )
    ),
    said="Program Save",
)
CLASS_GONE = CLASS.then(
    "class-removed",
    *no_row(STORAGE),
    expected=TWO_PORTS.expected,
    said="Program CloseCounters Program Save",
)
COPY = "tun_id:=1001 tun_dst:=192.0.2.2 output:100"
REPLICATING = TWO_PORTS.then(
    "replicating",
    *row(N1_REPLICATING, P13),
    bound(13, "hv2"),
    *HV2_ROUTES,
    expected=TWO_PORTS.expected.plus(
        flows=(
            *R13,
            "resolve reg0=1,group | >mark",
            f"output reg0=1,group | output:1 output:2 {COPY}",
            "delivery reg0=1,group | output:1 output:2",
        ),
        learned=REMOTE.expected.learned,
    ),
    said="Program Save Program Save",
)
NOT_REPLICATING = REPLICATING.then(
    "replicating-no-more",
    *row(N1),
    expected=TWO_PORTS.expected.plus(flows=R13, learned=REMOTE.expected.learned),
    said="Program Save",
)

STATES: tuple[State, ...] = (
    CLASS,
    CLASS_GONE,
    REPLICATING,
    NOT_REPLICATING,
)
