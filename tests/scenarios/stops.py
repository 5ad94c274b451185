"""Stops: the operator freezes, the brake holds; nothing moves until somebody says so.

Place: one page of the states; each is another one and a phase more, so that a history reads from top to
bottom. Must not ask the code under test what to expect.
"""

from __future__ import annotations

from dataclasses import replace

from tests.fakes.world import HERE, port
from tests.scenarios.facts import (
    Delivery,
    bound,
    cluster,
    no_row,
    plug,
    row,
)
from tests.scenarios.golden import Expected
from tests.scenarios.objects import (
    HV1,
    HV2,
    N1,
    P11,
    P12,
    T1,
    local,
    ours,
)
from tests.scenarios.ports import ONE_PORT, PORT_DELETED, TWO_PORTS
from tests.scenarios.state import Memory, State

FROZEN = TWO_PORTS.then(
    "frozen",
    *row(replace(HV1, frozen=True)),
    expected=replace(
        TWO_PORTS.expected, report=("frozen", "stop frozen", "port-11 active", "port-12 active")
    ),
    memory=Memory.PATH,
)
FROZEN_DELETE = FROZEN.then("frozen-while-a-port-is-deleted", *no_row(P12), expected=FROZEN.expected, said="")
THAWED = FROZEN_DELETE.then(
    "thawed",
    *row(HV1),
    expected=PORT_DELETED.expected,
    said="Withdraw CloseAccounts Program Save",
)


def _stopped(before: State, token: str) -> Expected:
    ports = tuple(line for line in before.expected.report if line.startswith("port-"))
    return replace(before.expected, report=("frozen", f"stop {token}", *ports))


_EVERYTHING = no_row(P12, P11, HV2, HV1, N1, T1)
REPLACED = TWO_PORTS.then(
    "store-replaced",
    cluster("cluster-2"),
    *_EVERYTHING,
    expected=_stopped(TWO_PORTS, "cluster-cluster-2"),
    memory=Memory.PATH,
    delivery=Delivery.EVERYTHING,
)
EMPTIED = TWO_PORTS.then(
    "store-empty",
    replace(cluster(), value=None),
    *_EVERYTHING,
    expected=_stopped(TWO_PORTS, "empty"),
    memory=Memory.PATH,
    delivery=Delivery.EVERYTHING,
)
RESTORED = EMPTIED.then(
    "store-restored",
    cluster(),
    *row(T1, N1, HV1, HV2, P11, P12),
    bound(11, HERE),
    bound(12, HERE),
    expected=TWO_PORTS.expected,
    delivery=Delivery.EVERYTHING,
    said="Save",
)
OLDER = TWO_PORTS.then(
    "store-of-an-older-generation",
    cluster(generation=4),
    *no_row(P12),
    expected=_stopped(TWO_PORTS, "generation-4"),
    memory=Memory.PATH,
    delivery=Delivery.EVERYTHING,
)
OLDER_CONFIRMED = OLDER.then(
    "older-generation-confirmed",
    *row(replace(HV1, confirm="generation-4")),
    expected=PORT_DELETED.expected,
    said="Withdraw CloseAccounts Program Save",
)

CROWD = tuple(port(100 + n, 1, 0x020000000100 + n, (), [HERE]) for n in range(1, 10))
CROWDED = ONE_PORT.then(
    "ten-ports",
    *row(*CROWD),
    *(plug(one.key, one.key) for one in CROWD),
    expected=ONE_PORT.expected.plus(
        flows=tuple(
            line for n in range(1, 10) for line in local(1, 100 + n, f"02:00:00:00:01:0{n}", 100 + n)
        ),
        announced=tuple(line for n in range(1, 10) for line in ours(1, f"02:00:00:00:01:0{n}")),
        report=tuple(f"port-{100 + n} active" for n in range(1, 10)),
    ),
    memory=Memory.PATH,
    said=" ".join(("Save", *["Bind"] * 9, "Save", *["Program", "OpenLinks", "Announce", "Save"] * 9)),
)
MASS_DELETE = CROWDED.then(
    "mass-delete-held",
    *no_row(*CROWD),
    expected=_stopped(CROWDED, "delete-9-of-10-since-5"),
    delivery=Delivery.EVERYTHING,
)
MASS_CONFIRMED = MASS_DELETE.then(
    "mass-delete-confirmed",
    *row(replace(HV1, confirm="delete-9-of-10-since-5")),
    expected=ONE_PORT.expected.plus(report=tuple(f"port-{100 + n} unknown" for n in range(1, 10))),
    said="Withdraw CloseAccounts Program Save",
)

STATES: tuple[State, ...] = (
    FROZEN,
    FROZEN_DELETE,
    THAWED,
    REPLACED,
    EMPTIED,
    RESTORED,
    OLDER,
    OLDER_CONFIRMED,
    CROWDED,
    MASS_DELETE,
    MASS_CONFIRMED,
)
