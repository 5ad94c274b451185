"""Addressee: what a port that is forbidden to send does send within its network is for whom has the address.

Place: tables gateway and addressee, between the judgement by addresses and the way by MACs (docs/decisions/
0067). Must not look at what any port but the sender is forbidden: one flow for each address serves them all.
"""

from __future__ import annotations

from model.addresses import Prefix
from model.flow import Flow
from model.ids import Mac
from model.policy import State
from pipelines import cookies
from pipelines.policy.clauses import mark
from pipelines.shapes.addressee import (
    DIRECTED,
    GROUPS,
    HAS4,
    HAS6,
    HELD,
    PREFIXES,
    STRAY,
    STRAY_COUNTED,
)
from pipelines.views import AddresseeView, HostView, JudgedView


def host(_: HostView) -> tuple[Flow, ...]:
    """Groups have no owner."""
    return tuple(Flow(shape, cookies.host()) for shape in GROUPS)


def addressee(view: AddresseeView) -> tuple[Flow, ...]:
    """What one port has."""
    return tuple(_has(view, mac, prefix) for mac, prefix in view.has)


def judged(view: JudgedView) -> tuple[Flow, ...]:
    """A port that is forbidden something: its frames come here, and what becomes of those that stray. What
    the rule that is enforced drops, or the one that counts would drop, is counted for it."""
    if view.stray is None or not view.zone:
        return ()
    ruling, state = view.stray
    cookie, number = cookies.port(view.key), mark(ruling.number, state)
    enforced = state is State.ENFORCE
    return (
        *(Flow(held, cookie, (view.key,)) for held in HELD),
        *(Flow(DIRECTED, cookie, (view.key, int(last))) for last in view.broadcasts),
        Flow(STRAY, cookies.policy(number), (view.key,))
        if enforced
        else Flow(STRAY_COUNTED, cookies.policy(number, view.key), (view.key,)),
    )


def _has(view: AddresseeView, mac: Mac, prefix: Prefix) -> Flow:
    exact, within = HAS4 if prefix.version == 4 else HAS6
    head = (PREFIXES + prefix.prefixlen, view.network, mac, int(prefix.network_address))
    cookie = cookies.network(view.network)
    if prefix.prefixlen == prefix.max_prefixlen:
        return Flow(exact, cookie, head)
    return Flow(within, cookie, (*head, int(prefix.netmask)))
