"""Chains of scratch tables for policy, and packets as they come to them.

Place: under the property and contract tests of policy flows. The numbers are of no table of the pipeline.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from model.flow import Field, Flow
from model.ids import PortKey
from model.policy import Direction, Endpoint, Policy, Protocol
from pipelines import fields as f
from pipelines.policy.clauses import Chain
from pipelines.policy.entries import Entry, Tenants, standing
from pipelines.policy.flows import Counted, Numbers, compile, groups
from pipelines.policy.resolve import Directory
from pipelines.policy.shapes import Sides
from pipelines.policy.verdict import Connection
from pipelines.walk import Packet, walk
from tests.fakes.policies import WORLD
from tests.fakes.switch import Switch

GROUP = Field("metadata", 64)
SUBJECT, SCOPE, NOTED, DECIDED = (Field(f"reg{number}", 32) for number in (11, 12, 13, 14))
NOWHERE = 9
"""A scope in which no port of ours is: where strangers come from."""


def chain(direction: Direction) -> Counted:
    first = 210 if direction is Direction.OUT else 230
    fields = (f.CT_DST, f.CT_DST6) if direction is Direction.OUT else (f.CT_SRC, f.CT_SRC6)
    made = Chain(
        foreseen=(first, first + 1, first + 2, first + 3),
        real=(first + 4, first + 5, first + 6, first + 7),
        done=first + 8,
        sides=Sides(GROUP, SCOPE, *fields),
        noted=NOTED,
        decided=DECIDED,
    )
    return Counted(made, SUBJECT, allowed=first + 9)


@dataclass(frozen=True)
class Laid:
    """The flows of a direction with what is needed to read their verdicts."""

    counted: Counted
    entries: tuple[Entry, ...]
    numbers: Numbers
    names: Mapping[PortKey, int]
    flows: tuple[Flow, ...]
    switch: Switch

    @property
    def start(self) -> int:
        """The first table."""
        return self.counted.chain.foreseen[0]

    def entry(self, mark: int) -> Entry | None:
        """Whose number that is."""
        return next((one for one in self.entries if self.numbers[one.place] == mark >> 1), None)


def lay(
    policies: tuple[Policy, ...], tenants: Tenants, direction: Direction, world: Sequence[Endpoint] = WORLD
) -> Laid:
    """Of the whole world, as if all ports lived here."""
    entries = standing(policies, tenants, direction)
    numbers = {entry.place: index for index, entry in enumerate(entries, 1)}
    where = chain(direction)
    flows = compile(where, entries, world, Directory.of(world), numbers)
    return Laid(where, entries, numbers, groups(entries, world, numbers), flows, Switch.of(flows))


def packet(laid: Laid, connection: Connection, direction: Direction) -> Packet:
    """The first packet of a connection, looked up in vain, at the end that is asked."""
    six = connection.source_address.version == 6
    ends = (f.IPV6_SRC, f.IPV6_DST) if six else (f.IP_SRC, f.IP_DST)
    tracked = (f.CT_SRC6, f.CT_DST6) if six else (f.CT_SRC, f.CT_DST)
    addresses = (int(connection.source_address), int(connection.target_address))
    mine = connection.source if direction is Direction.OUT else connection.target
    other = connection.target if direction is Direction.OUT else connection.source
    assert mine is not None
    made = {
        "in_port": 1,
        "eth_type": f.IPV6 if six else f.IPV4,
        **{
            field.name: value
            for pair in (ends, tracked)
            for field, value in zip(pair, addresses, strict=True)
        },
        "ip_proto": connection.protocol,
        f.CT_STATE.name: f.CT_TRACKED | f.CT_NEW,
        f.CT_PROTO.name: connection.protocol,
        SUBJECT.name: mine.key,
        GROUP.name: laid.names[mine.key],
        SCOPE.name: NOWHERE if other is None else mine.scope,
    }
    if connection.protocol in (Protocol.TCP, Protocol.UDP):
        made[f.CT_DPORT.name] = connection.port
    elif connection.protocol == Protocol.SCTP:  # as the userspace data path has it
        made[f.SCTP_DST.name] = connection.port
    elif connection.protocol in (Protocol.ICMP, Protocol.ICMPV6):
        made |= {f.CT_SPORT.name: connection.kind, f.CT_DPORT.name: connection.code}
    return made


def run(laid: Laid, seen: Packet) -> tuple[int | None, Packet]:
    """From the first table of the chain on: the table behind it, None if the packet was dropped."""
    done = walk(laid.switch, seen, start=laid.start)
    last = done.steps[-1]
    return last.table if last.flow is None else None, done.packet
