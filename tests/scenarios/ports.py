"""Ports of this host: declared, plugged, claimed, moved, refused, deleted.

Place: one page of the states; each is another one and a phase more, so that a history reads from top to
bottom. Must not ask the code under test what to expect.
"""

from __future__ import annotations

from dataclasses import replace

from tests.fakes.world import HERE
from tests.scenarios.facts import (
    bound,
    cluster,
    floods,
    no_row,
    plug,
    row,
    says,
    taken_back,
    unplug,
)
from tests.scenarios.golden import Expected
from tests.scenarios.objects import (
    A11,
    A12,
    BOTH,
    HV1,
    HV2,
    L11,
    L12,
    L21,
    L41,
    L61,
    M1,
    M21,
    M41,
    M61,
    N1,
    N2,
    N4,
    N6,
    P11,
    P12,
    P16,
    P21,
    P41,
    P61,
    T1,
    T2,
    answers,
    local,
    our_flood,
    ours,
    remote,
    source,
    subnets,
)
from tests.scenarios.state import Phase, State

NET1 = subnets(1, *BOTH)
FROM_HV2 = source(1, "192.0.2.2")

BARE = State("bare", (Phase((cluster(), *row(HV1))),), Expected(), said="EnsureBridge Program Save")
UNDECLARED = State(
    "undeclared-host",
    (Phase((cluster(), *row(T1, N1, P11, HV2), plug(11, 1))),),
    Expected(report=("waiting", "port-11 pending")),
    said="Relearn Save Save",
)
DECLARED_LATER = UNDECLARED.then(
    "declared-later",
    *row(HV1),
    expected=Expected(
        flows=L11 + NET1 + FROM_HV2,
        announced=A11 + our_flood(1),
        report=("in-sync", "port-11 active"),
    ),
    said="EnsureBridge Program Bind Save Program OpenLinks Announce Save",
)
WAITING_PORT = BARE.then("port-not-plugged", *row(T1, N1, P11, HV2), expected=Expected(), said="Relearn Save")
FOREIGN_WIRE = BARE.then(
    "unknown-interface",
    plug(77, 7),
    expected=Expected(report=("in-sync", "port-77 unknown")),
    said="Save",
)
ONE_PORT = WAITING_PORT.then(
    "one-port",
    plug(11, 1),
    expected=DECLARED_LATER.expected,
    said="Bind Save Program OpenLinks Announce Save",
)
RENUMBERED = ONE_PORT.then(
    "interface-renumbered",
    plug(11, 7),
    expected=replace(
        ONE_PORT.expected,
        flows=local(1, 11, M1, 7)
        + answers(1, M1, "10.0.0.1", "fd00::1", "fe80::ff:fe00:1")
        + NET1
        + FROM_HV2,
    ),
    said="Program Save",
)
TWO_PORTS = ONE_PORT.then(
    "two-ports",
    *row(P12),
    plug(12, 2),
    expected=ONE_PORT.expected.plus(flows=L12, announced=A12, report=("port-12 active",)),
    said="Save Bind Save Program OpenLinks Announce Save",
)
TWO_TENANTS = ONE_PORT.then(
    "two-tenants-same-addresses",
    *row(T2, N2, P21),
    plug(21, 3),
    expected=ONE_PORT.expected.plus(
        flows=L21 + subnets(2, *BOTH),
        announced=ours(2, M21, "10.0.0.1", "fd00::1") + our_flood(2),
        report=("port-21 active",),
    ),
    said="Relearn Save Bind Save Program OpenLinks Announce Save",
)
FAMILIES = BARE.then(
    "single-families",
    *row(T1, N4, N6, P41, P61),
    plug(41, 4),
    plug(61, 5),
    expected=Expected(
        flows=(
            *L41,
            *subnets(4, "10.4.0.0/255.255.255.0"),
            *L61,
            *subnets(6, "fd06::/ffff:ffff:ffff:ffff::"),
        ),
        announced=ours(4, M41, "10.4.0.1") + our_flood(4) + ours(6, M61, "fd06::1") + our_flood(6),
        report=("in-sync", "port-41 active", "port-61 active"),
    ),
    said="Relearn Save Bind Bind Save Program OpenLinks Announce Save Program OpenLinks Announce Save",
)
UNPLUGGED = TWO_PORTS.then(
    "port-unplugged",
    unplug(12),
    expected=ONE_PORT.expected,
    said="Withdraw CloseAccounts Program Release Save Save",
)
REPLUGGED = UNPLUGGED.then(
    "port-plugged-again",
    plug(12, 2),
    expected=TWO_PORTS.expected,
    said="Bind Save Program OpenLinks Announce Save",
    epochs={12: 2},
)
PORT_DELETED = TWO_PORTS.then(
    "port-deleted",
    *no_row(P12),
    expected=ONE_PORT.expected.plus(report=("port-12 unknown",)),
    said="Withdraw CloseAccounts Program Save",
)
TENANT_DELETED = TWO_TENANTS.then(
    "tenant-deleted",
    *no_row(P21, N2, T2),
    unplug(21),
    expected=ONE_PORT.expected,
    said="Withdraw CloseAccounts Program Relearn Save Save",
)
NOT_ALLOWED = ONE_PORT.then(
    "port-refused-by-hosts",
    *row(P16),
    plug(16, 6),
    expected=ONE_PORT.expected.plus(report=("port-16 refused",)),
    said="Save Save",
)
ALLOWED_LATER = NOT_ALLOWED.then(
    "port-allowed-later",
    *row(replace(P16, hosts=(HERE,))),
    expected=ONE_PORT.expected.plus(
        flows=local(1, 16, "02:00:00:00:00:06", 6) + answers(1, "02:00:00:00:00:06", "10.0.0.6"),
        announced=ours(1, "02:00:00:00:00:06", "10.0.0.6"),
        report=("port-16 active",),
    ),
    said="Bind Save Program OpenLinks Announce Save",
)
DISALLOWED = ONE_PORT.then(
    "plugged-here-bound-there",
    bound(11, "hv2", 1),
    expected=Expected(report=("in-sync", "port-11 refused")),
    said="Withdraw CloseAccounts Program Bind Save",
)
MOVED_AWAY = DISALLOWED.then(
    "port-moved-away",
    *row(P12),
    plug(12, 2),
    unplug(11),
    *says(2, 1, P11.mac, "10.0.0.1", "fd00::1", sequence=1),
    *floods(2, 1),
    expected=Expected(
        flows=(
            *L12,
            *NET1,
            *FROM_HV2,
            *remote(1, M1, "192.0.2.2"),
            *answers(1, M1, "10.0.0.1", "fd00::1", "fe80::ff:fe00:1"),
        ),
        announced=A12 + our_flood(1),
        learned=(f"1 {M1} at 192.0.2.2 [10.0.0.1 fd00::1] #1", "1 flood 192.0.2.2"),
        report=("in-sync", "port-12 active"),
    ),
    said="Save Bind Save Program OpenLinks Announce Save Program Save",
)
MOVED_BACK = MOVED_AWAY.then(
    "port-moved-back",
    bound(11, "hv2", 1, active=False),
    plug(11, 1),
    *taken_back(*says(2, 1, P11.mac, "10.0.0.1", "fd00::1"), *floods(2, 1)),
    expected=replace(
        TWO_PORTS.expected,
        announced=(*ours(1, M1, "10.0.0.1", "fd00::1", sequence=2), *A12, *our_flood(1)),
    ),
    said="Save Bind Save Program OpenLinks Announce Save Save",
    epochs={11: 2},
)

STATES: tuple[State, ...] = (
    BARE,
    UNDECLARED,
    DECLARED_LATER,
    WAITING_PORT,
    FOREIGN_WIRE,
    ONE_PORT,
    RENUMBERED,
    TWO_PORTS,
    TWO_TENANTS,
    FAMILIES,
    UNPLUGGED,
    REPLUGGED,
    PORT_DELETED,
    TENANT_DELETED,
    NOT_ALLOWED,
    ALLOWED_LATER,
    DISALLOWED,
    MOVED_AWAY,
    MOVED_BACK,
)
