"""Golden: short lines in which expectations are written by hand, and what turns a house into such lines.

Place: between states and test. The lines are read off the switch, the peers and the report, so they say what
came of a state, not how. Flows of the host itself (misses, refusals for everybody) and of the tables that
judge a single packet (guard, neighbours) are left to the goldens of `tests/unit/pipelines`.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, replace

from bgp import learn, show
from bgp.codec import communities
from controller.agent import commands, reporting
from controller.agent.reporting import Circumstance
from model.addresses import format_mac
from model.flow import Flow
from model.route import Route
from pipelines import cookies
from pipelines.render import named
from tests.scenarios.facts import ONE, TWO
from tests.scenarios.house import House

TABLES = ("classify", "resolve", "rate", "class", "account", "output", "delivery")
ANSWERS = re.compile(
    r"table=(?:services|advertise),priority=2\d\d,reg0=(\d+),.*(?:arp_tpa|nd_target)=([0-9a-f.:]+) "
    r".*set_field:([0-9a-f:]{17})->eth_src"
)
_FLOW = re.compile(r"cookie=\w+,table=(\w+),priority=\d+,?(\S*) actions=(\S+)")
_WORDS = (
    (r",?vlan_tci=0x0", " untagged"),
    (r"eth_type=0x800,ip_dst=", "to "),
    (r"eth_type=0x86dd,ipv6_dst=", "to "),
    (r"eth_dst=01:00:00:00:00:00/01:00:00:00:00:00", "group"),
    (r"set_field:(\S+)->(\w+)", r"\2:=\1"),
    (r"goto_table:", ">"),
)


@dataclass(frozen=True)
class Expected:
    """What a state comes to. All lines are compared as sorted lists.

    `flows`: see `flows`. `announced`, `learned`, `refused`: EVPN. `report`: state, ports, counts.
    """

    flows: tuple[str, ...] = ()
    announced: tuple[str, ...] = ()
    learned: tuple[str, ...] = ()
    refused: tuple[str, ...] = ()
    report: tuple[str, ...] = ("in-sync",)

    def plus(self, **lines: tuple[str, ...]) -> Expected:
        """With more lines of these kinds."""
        return replace(self, **{kind: (*getattr(self, kind), *more) for kind, more in lines.items()})

    def lists(self) -> dict[str, list[str]]:
        kinds = ("flows", "announced", "learned", "refused", "report")
        return {kind: sorted(getattr(self, kind)) for kind in kinds}


def seen(house: House) -> Expected:
    """The house in the words of expectations."""
    return Expected(flows(house), announced(house), learned(house), refused(house), report(house))


def differences(wanted: Expected, found: Expected) -> list[str]:
    """`- flows ...`: expected and not there; `+ flows ...`: there and not expected."""
    there, asked = found.lists(), wanted.lists()
    lines = []
    for kind, want in asked.items():
        more, less = Counter(there[kind]) - Counter(want), Counter(want) - Counter(there[kind])
        lines += [f"- {kind} {line}" for line in sorted(less.elements())]
        lines += [f"+ {kind} {line}" for line in sorted(more.elements())]
    return lines


def flows(house: House) -> tuple[str, ...]:
    """`resolve reg0=1,eth_dst=... | reg2:=1 >mark`, and `answer 1 10.0.0.1 is 02:...` for ARP and ND."""
    return tuple(line for flow in house.switch.flows.values() for line in _lines(flow))


def _lines(flow: Flow) -> tuple[str, ...]:
    text = named(flow)
    answer = ANSWERS.search(text)
    if answer:
        return (f"answer {answer[1]} {answer[2]} is {answer[3]}",)
    parts, cookie = _FLOW.match(text), cookies.parse(flow.cookie)
    assert parts is not None and cookie is not None, text
    if parts[1] not in TABLES or (cookie.kind is cookies.Kind.HOST and not cookie.cls):
        return ()
    line = f"{parts[1]} {parts[2]} | {parts[3].replace(',', ' ')}"
    for pattern, word in _WORDS:
        line = re.sub(pattern, word, line)
    return (line,)


def announced(house: House) -> tuple[str, ...]:
    """What the peers hold of us."""
    return tuple(_route(route) for route in house.announced.values())


def _route(route: Route) -> str:
    targets = " ".join(communities.target_text(t) for t in route.attributes.route_targets)
    return f"{show.text(route)} target {targets}"


def learned(house: House) -> tuple[str, ...]:
    """Remote MACs and VTEPs that take replicated frames, as the compilers see them."""
    snapshot = house.core.effective
    remotes = tuple(
        f"{r.network} {format_mac(r.mac)} at {r.vtep} [{' '.join(map(str, r.addresses))}] #{r.sequence}"
        for r in snapshot.remotes.values()
    )
    return (*remotes, *(f"{f.network} flood {f.vtep}" for f in snapshot.floods.values()))


def refused(house: House) -> tuple[str, ...]:
    """Routes that the guard holds off: code, route, who passed it on."""
    found = learn.rejected(house.core.table)
    return tuple(f"{r.code}: {show.text(r.route)} from {r.peer}" for r in found)


def report(house: House) -> tuple[str, ...]:
    """The report that `ringfence status` shows, with both reflectors known as they are."""
    peers = {peer: "down" if peer in house.down else "up" for peer in (ONE, TWO)}
    said = reporting.report(house.core, Circumstance(peers=peers), 0, 0)
    lines = [said.state.value, *(f"{p.uid} {p.state.value}" for p in said.ports)]
    if said.evpn.missing:
        lines.append(f"missing {said.evpn.missing}")
    if said.state.value == "frozen":
        lines.append(f"stop {said.stop or said.reason.partition(':')[0]}")
    assert said.flows == len(house.wanted())
    assert said.evpn.originated == len(house.announced)
    return tuple(lines)


def names(said: list[commands.Command]) -> str:
    """The commands in one line, in their order."""
    return " ".join(type(command).__name__ for command in said)
