"""What the agent reads of rules from a real Open vSwitch: counters, ages, and what makes a counter young."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

from controller.agent.rulebook import Book, Ruled
from controller.agent.watching import read_rules, read_spots
from controller.southbound import unixctl
from controller.southbound.openflow.channel import Channel
from model.evidence import Amount, RuleName
from model.ids import PortKey, Uid
from model.policy import Action
from pipelines import cookies
from pipelines import tables_policy as tables
from tests.contract.ovs import PrivateOvs

PACKET = "02000000000202000000000108004500001c00010000401166ce0a0000010a0000020fa0003500080000"
RULE, DENY = RuleName(8, "aa"), RuleName(9, "bb")
UIDS = {PortKey(5): Uid("p5")}


def ruled(name: RuleName, action: Action) -> Ruled:
    ruling: Any = SimpleNamespace(entry=SimpleNamespace(action=action))
    return Ruled(name, ruling)


BOOK: Book = {8: ruled(RULE, Action.DENY), 9: ruled(DENY, Action.DENY)}


def flow(table: int, cookie: int, then: int | None) -> str:
    actions = "drop" if then is None else f"goto_table:{then}"
    return f"table={table},cookie={cookie:#x},ip,actions={actions}"


def send(ovs: PrivateOvs, times: int) -> None:
    for _ in range(times):
        ovs.ofctl("packet-out", f"in_port=1 packet={PACKET} actions=resubmit(,0)")
    unixctl.revalidate_wait(ovs.rundir)


def test_hits_and_drops_are_read_and_a_new_flow_is_young(ovs: PrivateOvs, channel: Channel) -> None:
    hits, real = tables.LEFT_HITS.number, tables.OUTWARD_CHAIN[5].number
    slices: Callable[..., Any] = channel.dump_slices
    ovs.ofctl("add-flow", flow(0, 0, hits))
    ovs.ofctl("add-flow", flow(hits, cookies.policy(8 << 1 | 1, PortKey(5)), real))
    ovs.ofctl("add-flow", flow(real, cookies.policy(9 << 1), None))
    # what the port got of such connections, with a counter of its own: nothing
    ovs.ofctl("add-flow", flow(tables.ENTERED_HITS.number, cookies.policy(8 << 1 | 1, PortKey(5)), None))
    send(ovs, 3)
    (spot, first), *more = read_spots(slices, BOOK, UIDS).items()
    assert spot == (RULE, Uid("p5")) and not more
    assert first.amount.packets == 3 and first.amount.octets >= 3 * 42
    decided, noted = read_rules(slices, BOOK)
    assert decided == {DENY: first.amount} and noted == {}
    send(ovs, 1)
    again = read_spots(slices, BOOK, UIDS)[spot]
    assert again.amount.packets == 4 and again.age >= first.age
    for table in (hits, tables.ENTERED_HITS.number):
        ovs.ofctl("del-flows", f"table={table}")
    assert read_spots(slices, BOOK, UIDS) == {}
    ovs.ofctl("add-flow", flow(hits, cookies.policy(8 << 1 | 1, PortKey(5)), real))
    young = read_spots(slices, BOOK, UIDS)[spot]
    assert young.amount == Amount() and young.age < again.age
