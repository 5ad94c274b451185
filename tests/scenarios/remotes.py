"""Remotes: what other hosts announce, believed or refused; store and sequence in dispute.

Place: one page of the states; each is another one and a phase more, so that a history reads from top to
bottom. Must not ask the code under test what to expect.
"""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_address

from model.ids import HostName
from tests.fakes.world import hypervisor
from tests.scenarios.facts import (
    ONE,
    TWO,
    bound,
    floods,
    row,
    says,
    taken_back,
    unplug,
)
from tests.scenarios.golden import Expected
from tests.scenarios.objects import (
    HV3,
    HV4,
    L11,
    M1,
    M3,
    M4,
    M5,
    P11,
    P13,
    P14,
    P15,
    R13,
    answers,
    remote,
    source,
)
from tests.scenarios.ports import NET1, ONE_PORT, TWO_TENANTS
from tests.scenarios.state import State

HV2_ROUTES = (*says(2, 1, P13.mac, "10.0.0.3", "fd00::3"), *floods(2, 1))
SILENT_REMOTE = ONE_PORT.then(
    "remote-not-announced",
    *row(P13),
    bound(13, "hv2"),
    expected=ONE_PORT.expected.plus(report=("missing 2",)),
    said="Save",
)
REMOTE = SILENT_REMOTE.then(
    "remote-port",
    *HV2_ROUTES,
    expected=ONE_PORT.expected.plus(
        flows=R13, learned=(f"1 {M3} at 192.0.2.2 [10.0.0.3 fd00::3] #0", "1 flood 192.0.2.2")
    ),
    said="Program Save",
)
HALF_GONE = REMOTE.then(
    "remote-address-gone",
    *row(replace(P13, addresses=(ip_address("10.0.0.3"),))),
    *taken_back(says(2, 1, P13.mac, "fd00::3")[1]),
    expected=ONE_PORT.expected.plus(
        flows=remote(1, M3, "192.0.2.2") + answers(1, M3, "10.0.0.3"),
        learned=(f"1 {M3} at 192.0.2.2 [10.0.0.3] #0", "1 flood 192.0.2.2"),
    ),
    said="Program Save",
)
NO_LOCAL = REMOTE.then(
    "last-local-port-gone",
    unplug(11),
    expected=Expected(learned=REMOTE.expected.learned),
    said="Withdraw CloseAccounts Program Release Save Save",
)
EXTERNAL = ONE_PORT.then(
    "external-host",
    *row(HV3, P14),
    *says(3, 1, P14.mac),
    expected=ONE_PORT.expected.plus(
        flows=remote(1, M4, "192.0.2.3") + source(1, "192.0.2.3")[:1],  # nobody there answers probes
        learned=(f"1 {M4} at 192.0.2.3 [] #0",),
    ),
    said="Program Save Program Save",
)
ROAMING = ONE_PORT.then(
    "two-claim-a-mac-higher-sequence-wins",
    *row(HV4, P15),
    *says(2, 1, P15.mac, "10.0.0.5"),
    *says(4, 1, P15.mac, "10.0.0.5", sequence=1, peer=TWO),
    expected=ONE_PORT.expected.plus(
        flows=remote(1, M5, "192.0.2.4") + answers(1, M5, "10.0.0.5") + source(1, "192.0.2.4"),
        learned=(f"1 {M5} at 192.0.2.4 [10.0.0.5] #1",),
    ),
    said="Program Save Program Save",
)
TIE = ONE_PORT.then(
    "two-claim-a-mac-lower-vtep-wins",
    *row(HV4, P15),
    *says(4, 1, P15.mac, "10.0.0.5"),
    *says(2, 1, P15.mac, "10.0.0.5", peer=TWO),
    expected=ONE_PORT.expected.plus(
        flows=remote(1, M5, "192.0.2.2") + answers(1, M5, "10.0.0.5") + source(1, "192.0.2.4"),
        learned=(f"1 {M5} at 192.0.2.2 [10.0.0.5] #0",),
    ),
    said="Program Save Program Save",
)
BOUND_FIRST = ONE_PORT.then(
    "binding-before-sequence",
    *row(HV4, P15),
    bound(15, "hv2"),
    *says(2, 1, P15.mac),
    *says(4, 1, P15.mac, sequence=7),
    expected=ONE_PORT.expected.plus(
        flows=remote(1, M5, "192.0.2.2") + source(1, "192.0.2.4"),
        learned=(f"1 {M5} at 192.0.2.2 [] #0",),
        refused=(
            f"bound-elsewhere: RT-2 mac {M5} vni 1001 sequence 7 rd 0.0.0.4:1 via 192.0.2.4 from {ONE}",
        ),
        report=("missing 2",),
    ),
    said="Program Save Program Save",
)
BINDING_MOVED = BOUND_FIRST.then(
    "binding-moved",
    bound(15, "hv4", 1),
    expected=ONE_PORT.expected.plus(
        flows=remote(1, M5, "192.0.2.4") + source(1, "192.0.2.4"),
        learned=(f"1 {M5} at 192.0.2.4 [] #7",),
        refused=(f"bound-elsewhere: RT-2 mac {M5} vni 1001 rd 0.0.0.2:1 via 192.0.2.2 from {ONE}",),
        report=("missing 2",),
    ),
    said="Program Save",
)
STOLEN = REMOTE.then(
    "stolen-mac",
    *row(HV4),
    *says(4, 1, P13.mac, "10.0.0.3", sequence=9),
    expected=REMOTE.expected.plus(
        refused=tuple(
            f"vtep-not-authorised: RT-2 mac {M3}{ip} vni 1001 sequence 9 rd 0.0.0.4:1 via 192.0.2.4"
            f" from {ONE}"
            for ip in ("", " ip 10.0.0.3")
        )
    ),
    said="Save",
)
AUTHORISED_LATER = STOLEN.then(
    "stolen-mac-authorised-later",
    *row(replace(P13, hosts=(HostName("hv2"), HostName("hv4")))),
    bound(13, "hv4", 1),
    expected=ONE_PORT.expected.plus(
        flows=remote(1, M3, "192.0.2.4") + answers(1, M3, "10.0.0.3") + source(1, "192.0.2.4"),
        learned=(f"1 {M3} at 192.0.2.4 [10.0.0.3] #9", "1 flood 192.0.2.2"),
        refused=tuple(
            f"bound-elsewhere: RT-2 mac {M3}{ip} vni 1001 rd 0.0.0.2:1 via 192.0.2.2 from {ONE}"
            for ip in ("", " ip 10.0.0.3", " ip fd00::3")
        ),
        report=("missing 2",),
    ),
    said="Program Save",
)
STOLEN_HERE = ONE_PORT.then(
    "own-mac-claimed-elsewhere",
    *says(2, 1, P11.mac, "10.0.0.1", sequence=9),
    expected=ONE_PORT.expected.plus(
        refused=tuple(
            f"bound-elsewhere: RT-2 mac {M1}{ip} vni 1001 sequence 9 rd 0.0.0.2:1 via 192.0.2.2 from {ONE}"
            for ip in ("", " ip 10.0.0.1")
        )
    ),
)
FOREIGN_TARGET = TWO_TENANTS.then(
    "vni-of-another-tenant",
    *row(P13),
    *says(2, 1, P13.mac, target=1002),
    expected=TWO_TENANTS.expected.plus(
        refused=(f"vni-foreign: RT-2 mac {M3} vni 1001 rd 0.0.0.2:1 via 192.0.2.2 from {ONE}",)
    ),
    said="Save",
)
STRANGE_HOP = ONE_PORT.then(
    "next-hop-not-declared",
    *row(P13),
    *says(8, 1, P13.mac),
    expected=ONE_PORT.expected.plus(
        refused=(f"next-hop-unknown: RT-2 mac {M3} vni 1001 rd 0.0.0.8:1 via 192.0.2.8 from {ONE}",)
    ),
    said="Save",
)
VTEP_CHANGED = REMOTE.then(
    "vtep-of-a-host-changed",
    *row(hypervisor("hv2", "192.0.2.22")),
    expected=replace(ONE_PORT.expected, flows=(*L11, *NET1, *source(1, "192.0.2.22"))).plus(
        refused=(
            *(
                f"next-hop-unknown: RT-2 mac {M3}{ip} vni 1001 rd 0.0.0.2:1 via 192.0.2.2 from {ONE}"
                for ip in ("", " ip 10.0.0.3", " ip fd00::3")
            ),
            f"next-hop-unknown: RT-3 originator 192.0.2.2 vni 1001 rd 0.0.0.2:1 via 192.0.2.2 from {ONE}",
        ),
        report=("missing 2",),
    ),
    said="Program Save",
)

STATES: tuple[State, ...] = (
    SILENT_REMOTE,
    REMOTE,
    HALF_GONE,
    NO_LOCAL,
    EXTERNAL,
    ROAMING,
    TIE,
    BOUND_FIRST,
    BINDING_MOVED,
    STOLEN,
    AUTHORISED_LATER,
    STOLEN_HERE,
    FOREIGN_TARGET,
    STRANGE_HOP,
    VTEP_CHANGED,
)
