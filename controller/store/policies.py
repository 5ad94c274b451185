"""Policies: rows of policies to what hosts judge by, and back.

Place: as `controller.store.rows`, whose readers it uses. Pure. Must not leave a policy out because it can't
be read: what it forbids would be open.
"""

from __future__ import annotations

from typing import Final

from controller.store.policy_texts import parse_seats, parse_spec, parse_subject, seats_text, spec_text
from controller.store.rows import ABSENT, Columns, Row, label_map, labels, own_defaults
from model.ids import TenantKey, Uid
from model.intent import Tenant
from model.labels import Labels
from model.policy import (
    HEIGHTS,
    UNREAD,
    Action,
    Default,
    Defaults,
    Direction,
    Policy,
    Rule,
    Seat,
    Selection,
    Standing,
    Tier,
)

_NOTHING: Final = tuple(Rule(direction, Action.DENY) for direction in Direction)
_CLOSED: Final = Default(Action.DENY)
_FIRST: Final = tuple(Seat(number, HEIGHTS[-1]) for number in UNREAD)


def standing(uid: Uid, row: Row, tenant: str, owner: TenantKey) -> tuple[Standing, str]:
    """Table Policy, and why it can't be read; empty if it can. `tenant`, `owner`: name and key of the tenant
    that it refers to; empty and 0 = it is the operator's.

    In place of one that can't be read stands one that lets nothing pass, before all others of its tier, for
    its subject, or for all that it could be about if that can't be read either.
    """
    tiers = {tier.name.lower(): tier for tier in Tier}
    tier = tiers.get(str(row["tier"]), Tier.OPERATOR)
    bare = Policy(str(row["name"]), tenant, Tier.TENANT if tenant else tier, int(row["order"]))
    try:
        if tiers[str(row["tier"])] is not bare.tier or (not tenant and bare.tier is Tier.TENANT):
            raise ValueError(f"tier {row['tier']} is not its owner's")
        policy = parse_spec(str(row["spec"]), bare)
        value = Standing(uid, policy, owner, *parse_seats(str(row["seats"])))
        said = (len(policy.rules), *(policy.defaults.of(direction) is None for direction in Direction))
        if said != (len(value.seats), value.outward is None, value.inward is None):
            raise ValueError("its seats are not those of its rules")
    except (ValueError, KeyError, TypeError) as error:
        return _sealed(uid, row, bare, owner), f"{type(error).__name__}: {error}"
    return value, ""


def _sealed(uid: Uid, row: Row, bare: Policy, owner: TenantKey) -> Standing:
    try:
        subject = parse_subject(str(row["spec"]))
    except (ValueError, KeyError, TypeError):
        subject = Selection()
    tier = Tier.OPERATOR if not bare.tenant and bare.tier is Tier.TENANT else bare.tier
    return Standing(uid, Policy(bare.name, bare.tenant, tier, bare.order, subject, _NOTHING), owner, _FIRST)


def bare_tenant(uid: Uid, row: Row) -> Tenant:
    """What policies need of a tenant whose row can't be read, or they would not know its ports. Nothing is
    routed for it, and if its defaults are what can't be read, they let nothing pass."""
    try:
        defaults, seats = own_defaults(row)
    except (ValueError, KeyError, TypeError):
        defaults, seats = Defaults(_CLOSED, _CLOSED), (UNREAD[0], UNREAD[1])
    key, tags = TenantKey(int(row["key"])), labels(row["labels"])
    return Tenant(uid, str(row["name"]), key, labels=tags, defaults=defaults, seats=seats)


def unread(value: Standing) -> bool:
    """Whether it stands for one that can't be read."""
    return value.seats == _FIRST


def policy_columns(value: Standing, parent: Uid | None, tags: Labels) -> Columns:
    """Inverse of standing; `parent`: uid of its tenant, None = it is the operator's."""
    return {
        "tenant": ABSENT if parent is None else ["uuid", parent],
        "name": value.policy.name,
        "tier": value.policy.tier.name.lower(),
        "order": value.policy.order,
        "spec": spec_text(value.policy),
        "seats": seats_text(value.seats, value.outward, value.inward),
        "labels": label_map(tags),
    }
