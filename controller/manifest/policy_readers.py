"""Readers of policies: subjects, rules, services, defaults.

Place: as `controller.manifest.readers`, named by `controller.manifest.policies`; each reads one field of
spec, with all that is in it. What rules have to do with each other beyond that, `pipelines.policy.analysis`
says. Pure. Must not look at other fields, other objects or the store.
"""

from __future__ import annotations

import re
from typing import Any, Final

from controller.manifest.branch import Branch
from controller.manifest.readers import Misfit, read_name, text_of, within
from controller.manifest.selector_readers import Author, read_peer, read_selection
from controller.manifest.tree import Scalar, Sort, show
from model.policy import (
    PORTS,
    WITH_PORTS,
    Action,
    Change,
    Default,
    Defaults,
    Direction,
    Peer,
    PortRange,
    Protocol,
    Rule,
    Selection,
    Service,
    State,
    Tier,
    say,
)

MOST_RULES: Final = 1_000
_MOST_PEERS: Final = 1_000
_MOST_SERVICES: Final = 256
_ORDERS: Final = range(-10_000, 10_001)
_SHARES: Final = range(1, 101)
_BYTES: Final = range(256)
_PORT_RANGE: Final = re.compile(r"([0-9]{1,5})-([0-9]{1,5})", re.ASCII)
_ICMP: Final = (Protocol.ICMP, Protocol.ICMPV6)
PROTOCOLS: Final = {one.name.lower(): one for one in Protocol}
TIERS: Final = {"operator": Tier.OPERATOR, "baseline": Tier.BASELINE}
_PEERS: Final = {Direction.OUT: ("to", "from"), Direction.IN: ("from", "to")}
"""How a rule calls the other end, and how it does not."""


def read_order(node: Scalar) -> int:
    """-10000 to 10000."""
    return within(node, _ORDERS, "an order", "The lower judges first; 0 if it is left out.")


def read_tier(node: Scalar) -> Tier:
    """operator or baseline."""
    if (text := text_of(node)) not in TIERS:
        raise Misfit("choice", f"{show(text)} is no tier of the operator", "Write operator or baseline.")
    return TIERS[text]


def read_change(node: Scalar) -> Change:
    """judge or keep."""
    if (text := text_of(node)) not in {one.value for one in Change}:
        raise Misfit("choice", f"{show(text)} is neither", "Write judge or keep.")
    return Change(text)


def read_subject(branch: Branch) -> Selection | None:
    """mapping: `ports`, `networks`, each a selector: `matchLabels`, `matchExpressions`."""
    return read_selection(branch, Author.TENANT)


def read_any_subject(branch: Branch) -> Selection | None:
    """mapping: `ports`, `networks`, `tenants`, each a selector: `matchLabels`, `matchExpressions`."""
    return read_selection(branch, Author.OPERATOR)


def read_rules(branch: Branch) -> tuple[Rule, ...]:
    """list of mappings: `name`, `direction`, `action`, `to` or `from`, `services`, `state`, `share`."""
    return _rules(branch, Author.TENANT)


def read_any_rules(branch: Branch) -> tuple[Rule, ...]:
    """list of mappings: `name`, `direction`, `action`, `to` or `from`, `services`, `state`, `share`."""
    return _rules(branch, Author.OPERATOR)


def read_defaults(branch: Branch) -> Defaults | None:
    """mapping: `out`, `in`, each `allow`, `deny`, or a mapping: `action`, `state`, `share`."""
    fields = branch.fields("out", "in")
    if fields is None:
        return None
    made = {name: _default(below) for name, below in fields.items()}
    return Defaults(outward=made.get("out"), inward=made.get("in"))


def _rules(branch: Branch, author: Author) -> tuple[Rule, ...]:
    found: list[Rule] = []
    names: dict[str, str] = {}
    said: dict[object, str] = {}
    example = "[{direction: in, action: allow, from: [{ports: {}}]}]"
    for number, item in enumerate(branch.items(MOST_RULES, example), 1):
        rule = _rule(item, author)
        if rule is None:
            continue
        found.append(rule)
        again = names.setdefault(rule.name, f"rule {number}") if rule.name else ""
        twin = said.setdefault(say(rule), f"rule {number}")
        if again not in ("", f"rule {number}"):
            item.fault("duplicate-item", f"{again} is named {rule.name} as well", "Give each its own name.")
        elif twin != f"rule {number}":
            item.fault("duplicate-item", f"it says what {twin} says", "Keep one of the two.")
    return tuple(found)


def _rule(branch: Branch, author: Author) -> Rule | None:
    fields = branch.fields("name", "direction", "action", "to", "from", "services", "state", "share")
    if fields is None:
        return None
    for name, example in (("direction", "in"), ("action", "allow")):
        if name not in fields:
            branch.lacks(name, example)
    direction = fields["direction"].choose(Direction) if "direction" in fields else None
    action = fields["action"].choose(Action) if "action" in fields else None
    peers = [_peers(fields[name], author) for name in ("to", "from") if name in fields]
    services = _services(fields["services"]) if "services" in fields else ()
    name = fields["name"].one(read_name) if "name" in fields else ""
    state, share = _enforcement(fields)
    if direction is not None:
        mine, other = _PEERS[direction]
        if other in fields:
            message = f"a rule of direction {direction.value} has no {other}"
            fields[other].fault("peer-side", message, f"Write {mine}, or turn the direction round.")
    if direction is None or action is None:
        return None
    return Rule(direction, action, peers[0] if peers else (), services, state, share, name or "")


def _peers(branch: Branch, author: Author) -> tuple[Peer, ...]:
    items = branch.items(_MOST_PEERS, "[{ports: {matchLabels: {tier: web}}}, {cidr: 10.0.0.0/8}]")
    return tuple(_several(branch, items, [read_peer(item, author) for item in items]))


def _services(branch: Branch) -> tuple[Service, ...]:
    items = branch.items(_MOST_SERVICES, "[{protocol: tcp, port: 443}]")
    return tuple(_several(branch, items, [_service(item) for item in items]))


def _several(branch: Branch, items: list[Branch], values: list[Any]) -> list[Any]:
    """What is read of a list in which nothing stands twice, and which is not empty: that would mean nobody to
    the one reader, and everybody to the other."""
    found: dict[Any, int] = {}
    if branch.is_empty():
        branch.fault("empty-list", "it is an empty list", "Leave it out for every one, or name some.")
    for index, (item, value) in enumerate(zip(items, values, strict=True)):
        if value is not None and found.setdefault(value, index) != index:
            message = f"this stands twice, first as item {found[value]}"
            item.fault("duplicate-item", message, "Keep one of them.")
    return list(found)


def _service(branch: Branch) -> Service | None:
    fields = branch.fields("protocol", "port", "type", "code")
    if fields is None:
        return None
    if "protocol" not in fields:
        branch.lacks("protocol", "tcp")
        return None
    protocol = fields["protocol"].one(_protocol)
    ports = fields["port"].one(_ports) if "port" in fields else None
    kind = fields["type"].one(_type) if "type" in fields else None
    code = fields["code"].one(_code) if "code" in fields else None
    if protocol is None:
        return None
    if "port" in fields and protocol not in WITH_PORTS:
        message = f"{protocol_text(protocol)} has no ports"
        fields["port"].fault("port-not-of-protocol", message, "Take it out, or write tcp, udp or sctp.")
    for name in ("type", "code"):
        if name in fields and protocol not in _ICMP:
            message = f"{protocol_text(protocol)} has no {name}"
            fields[name].fault("type-not-of-protocol", message, "Take it out, or write icmp or icmpv6.")
    if "code" in fields and "type" not in fields and protocol in _ICMP:
        fields["code"].fault("code-without-type", "each type has codes of its own", "Add type: 3.")
    return Service(protocol, ports, kind, code)


def protocol_text(protocol: int) -> str:
    """As it is written: by name if it has one."""
    return next((name for name, number in PROTOCOLS.items() if number == protocol), f"protocol {protocol}")


def _protocol(node: Scalar) -> int:
    known = ", ".join(PROTOCOLS)
    if node.sort is Sort.INTEGER:
        return within(node, _BYTES, "a protocol", f"Write {known}, or a number that IANA gave.")
    if (text := text_of(node)) not in PROTOCOLS:
        raise Misfit("protocol-unknown", f"{show(text)} is no protocol", f"Write {known}, or its number.")
    return PROTOCOLS[text]


def _ports(node: Scalar) -> PortRange:
    if node.sort is Sort.INTEGER:
        port = within(node, PORTS, "a port", "Write 443, or 8000-8099.")
        return PortRange(port, port)
    ends = _PORT_RANGE.fullmatch(text_of(node))
    if ends is None or not all(int(end) in PORTS for end in ends.groups()):
        raise Misfit("port-rule", f"{show(node.text)} is no port", "Write 443, or 8000-8099.")
    first, last = int(ends[1]), int(ends[2])
    if last < first:
        raise Misfit("port-range", f"{last} is less than {first}", f"Write {last}-{first}.")
    return PortRange(first, last)


def _type(node: Scalar) -> int:
    return within(
        node, _BYTES, "an ICMP type", "Write 8 for the echo request of icmp, 128 for that of icmpv6."
    )


def _code(node: Scalar) -> int:
    return within(node, _BYTES, "an ICMP code", "Leave it out for all codes of the type.")


def _enforcement(fields: dict[str, Branch]) -> tuple[State, int]:
    state = fields["state"].choose(State) if "state" in fields else None
    share = fields["share"].one(_share) if "share" in fields else None
    if state is State.COUNT and "share" in fields:
        message = "what counts is enforced on no port"
        fields["share"].fault("share-of-count", message, "Take it out, or write state: enforce.")
    return state or State.ENFORCE, share or 100


def _share(node: Scalar) -> int:
    return within(node, _SHARES, "a percentage of the ports", "Write state: count for none of them.")


def _default(branch: Branch) -> Default | None:
    if isinstance(branch.node, Scalar):
        action = branch.choose(Action)
        state, share = State.ENFORCE, 100
    else:
        fields = branch.fields("action", "state", "share")
        if fields is None:
            return None
        if "action" not in fields:
            branch.lacks("action", "deny")
        action = fields["action"].choose(Action) if "action" in fields else None
        state, share = _enforcement(fields)
    if action is Action.PASS:
        branch.fault("default-pass", "a default decides", "Write allow or deny, or leave it out to pass.")
        return None
    return None if action is None else Default(action, state, share)
