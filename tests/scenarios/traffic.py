"""Traffic: egress classes come and go, networks begin and cease to replicate, ports have limits.

Place: one page of the states; each is another one and a phase more, so that a history reads from top to
bottom. Must not ask the code under test what to expect.
"""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_network

from model.ids import Uid
from tests.scenarios.facts import (
    bound,
    no_row,
    row,
)
from tests.scenarios.objects import (
    N1,
    N1_REPLICATING,
    P11,
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
    said="Program Shift Save",
)
CLASS_GONE = CLASS.then(
    "class-removed",
    *no_row(STORAGE),
    expected=TWO_PORTS.expected,
    said="Shift CloseCounters Program Save",
)
CLASS_CHANGED = CLASS.then(
    "class-changed",
    *row(replace(STORAGE, prefixes=(ip_network("10.8.0.0/16"), *STORAGE.prefixes[1:]))),
    expected=TWO_PORTS.expected.plus(
        flows=(
            "class to 10.8.0.0/255.255.0.0 | reg3:=2 >account",
            STORAGE_FLOWS[1],
            "account reg1=11,reg3=2 | >output",
            "account reg1=12,reg3=2 | >output",
        )
    ),
    said="Shift Save",
)
CLASS_OF_ANOTHER = CLASS.then(
    "class-of-another",
    *row(replace(STORAGE, uid=Uid("class-other"), name="other")),
    expected=CLASS.expected,
    said="Shift CloseCounters Program Save Program Shift Save",
)
CLASS_TO_COME = CLASS.then(
    "class-to-come",
    *row(replace(STORAGE, prefixes=(), since=1 << 50, former=STORAGE.prefixes)),
    expected=CLASS.expected,
    said="Save",
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

METERED = "rate reg1=11 | meter:2 push_mpls:0x8847 pop_mpls:0x0800 >class"
LIMITED = TWO_PORTS.then(
    "limited",
    *row(replace(P11, rate_out=800)),
    expected=TWO_PORTS.expected.plus(flows=(METERED,)),
    said="Program Shift Save",
)
LIMITED_OTHERWISE = LIMITED.then(
    "limited-otherwise",
    *row(replace(P11, rate_out=900)),
    expected=LIMITED.expected,
    said="Program Save",
)
LIMITED_NO_MORE = LIMITED.then(
    "limited-no-more",
    *row(P11),
    expected=TWO_PORTS.expected,
    said="Shift Program Save",
)

STATES: tuple[State, ...] = (
    CLASS,
    CLASS_CHANGED,
    CLASS_GONE,
    CLASS_OF_ANOTHER,
    CLASS_TO_COME,
    LIMITED,
    LIMITED_OTHERWISE,
    LIMITED_NO_MORE,
    REPLICATING,
    NOT_REPLICATING,
)
