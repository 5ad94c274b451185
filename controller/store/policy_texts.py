"""Texts of policies: subject, rules and defaults as JSON in one fixed form, and back.

Place: under `rows` and `policies`: columns of the store. One value has one text, which `wait`s compare; what
has its default is left out. A text with anything that is not known raises ValueError: a word that a newer
version has may be what narrows a rule. Pure. Must not judge what rules mean.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from ipaddress import ip_network
from typing import Any, Final

from model.addresses import Prefix
from model.labels import EVERYTHING, Operator, Requirement, Selector
from model.policy import (
    HEIGHTS,
    NUMBERS,
    PORTS,
    UNREAD,
    Action,
    Block,
    Change,
    Default,
    Defaults,
    Direction,
    Peer,
    Policy,
    PortRange,
    Rule,
    Seat,
    Selection,
    Service,
    State,
)

Told = dict[str, Any]
_ALL: Final = 100
_SEATS: Final = NUMBERS[: -len(UNREAD)]
_PLACES: Final = HEIGHTS[:-1]


def spec_text(policy: Policy) -> str:
    """All but name, tenant, tier and order, which have columns of their own."""
    told = {"subject": _selection(policy.subject), "rules": [_rule(rule) for rule in policy.rules]}
    told |= _defaults(policy.defaults)
    if policy.on_change is not Change.JUDGE:
        told["change"] = policy.on_change.value
    return _text({name: value for name, value in told.items() if value})


def parse_spec(text: str, bare: Policy) -> Policy:
    """Inverse of spec_text, for a policy of these columns; ValueError if the text is none."""
    told = _known(_load(text), ("subject", "rules", "out", "in", "change"))
    return Policy(
        bare.name,
        bare.tenant,
        bare.tier,
        bare.order,
        _read_selection(told.get("subject", {})),
        tuple(_read_rule(each) for each in _list(told.get("rules", []))),
        _read_defaults(told),
        Change(told.get("change", Change.JUDGE.value)),
    )


def parse_subject(text: str) -> Selection:
    """Of a text of which nothing else need be readable."""
    told = _load(text)
    if not isinstance(told, dict):
        raise ValueError(f"{text[:40]!r} is no object")
    return _read_selection(told.get("subject", {}))


def defaults_text(value: Defaults) -> str:
    """Of a tenant; empty if nothing is said."""
    told = _defaults(value)
    return _text(told) if told else ""


def parse_defaults(text: str) -> Defaults:
    """Inverse of defaults_text."""
    return _read_defaults(_known(_load(text), ("out", "in"))) if text else Defaults()


def seats_text(seats: Sequence[Seat], outward: Seat | None, inward: Seat | None) -> str:
    """Of the rules by position, and of the defaults."""
    told: Told = {"rules": [_seat(seat) for seat in seats]}
    told |= {name: _seat(seat) for name, seat in (("out", outward), ("in", inward)) if seat is not None}
    return _text({name: value for name, value in told.items() if value})


def parse_seats(text: str) -> tuple[tuple[Seat, ...], Seat | None, Seat | None]:
    """Inverse of seats_text."""
    told = _known(_load(text), ("rules", "out", "in"))
    outward, inward = (_read_seat(told[name]) if name in told else None for name in ("out", "in"))
    return tuple(_read_seat(each) for each in _list(told.get("rules", []))), outward, inward


def _text(told: Told) -> str:
    return json.dumps(told, sort_keys=True, separators=(",", ":"))


def _load(text: str) -> Any:
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def _rule(rule: Rule) -> Told:
    told: Told = {
        "direction": rule.direction.value,
        "action": rule.action.value,
        "peers": [_peer(peer) for peer in rule.peers],
        "services": [_service(service) for service in rule.services],
        "name": rule.name,
    }
    return {name: value for name, value in told.items() if value} | _enforcement(rule.state, rule.share)


def _read_rule(told: Any) -> Rule:
    told = _known(told, ("direction", "action", "peers", "services", "name", "state", "share"))
    state, share = _read_enforcement(told)
    return Rule(
        Direction(told["direction"]),
        Action(told["action"]),
        tuple(_read_peer(each) for each in _list(told.get("peers", []))),
        tuple(_read_service(each) for each in _list(told.get("services", []))),
        state,
        share,
        _string(told.get("name", "")),
    )


def _enforcement(state: State, share: int) -> Told:
    counting = {"state": state.value} if state is not State.ENFORCE else {}
    return counting | ({"share": share} if share != _ALL else {})


def _read_enforcement(told: Mapping[str, Any]) -> tuple[State, int]:
    return State(told.get("state", State.ENFORCE.value)), _number(told.get("share", _ALL), range(_ALL + 1))


def _peer(peer: Peer) -> Told:
    if isinstance(peer, Block):
        excepted = {"except": [str(one) for one in peer.excepted]} if peer.excepted else {}
        return {"cidr": str(peer.prefix)} | excepted
    return _selection(peer)


def _read_peer(told: Any) -> Peer:
    if isinstance(told, dict) and "cidr" in told:
        told = _known(told, ("cidr", "except"))
        return Block(_prefix(told["cidr"]), tuple(_prefix(each) for each in _list(told.get("except", []))))
    return _read_selection(told)


def _selection(value: Selection) -> Told:
    parts = (("ports", value.ports), ("networks", value.networks))
    told: Told = {name: _selector(one) for name, one in parts if one.requirements}
    return told if value.tenants is None else told | {"tenants": _selector(value.tenants)}


def _read_selection(told: Any) -> Selection:
    told = _known(told, ("ports", "networks", "tenants"))
    ports, networks = (
        _read_selector(told[name]) if name in told else EVERYTHING for name in ("ports", "networks")
    )
    return Selection(ports, networks, _read_selector(told["tenants"]) if "tenants" in told else None)


def _selector(value: Selector) -> list[Any]:
    return [[one.key, one.operator.value, *one.values] for one in value.requirements]


def _read_selector(told: Any) -> Selector:
    return Selector(tuple(_read_requirement(each) for each in _list(told)))


def _read_requirement(told: Any) -> Requirement:
    key, operator, *values = (_string(each) for each in _list(told))
    return Requirement(key, Operator(operator), tuple(values))


def _service(value: Service) -> list[Any]:
    """Protocol; ports as [first, last]; ICMP type; code."""
    ports = None if value.ports is None else [value.ports.first, value.ports.last]
    return [value.protocol, ports, value.kind, value.code]


def _read_service(told: Any) -> Service:
    protocol, ports, kind, code = _list(told)
    return Service(
        _number(protocol, range(256)),
        None if ports is None else _read_ports(ports),
        None if kind is None else _number(kind, range(256)),
        None if code is None else _number(code, range(256)),
    )


def _read_ports(told: Any) -> PortRange:
    first, last = (_number(each, PORTS) for each in _list(told))
    if last < first:
        raise ValueError(f"ports {first} to {last} are none")
    return PortRange(first, last)


def _defaults(value: Defaults) -> Told:
    given = (("out", value.outward), ("in", value.inward))
    return {
        name: {"action": one.action.value} | _enforcement(one.state, one.share)
        for name, one in given
        if one is not None
    }


def _read_defaults(told: Mapping[str, Any]) -> Defaults:
    return Defaults(*(_read_default(told[name]) if name in told else None for name in ("out", "in")))


def _read_default(told: Any) -> Default:
    told = _known(told, ("action", "state", "share"))
    action = Action(told["action"])
    if action is Action.PASS:
        raise ValueError("a default that passes is none")
    return Default(action, *_read_enforcement(told))


def _seat(seat: Seat) -> list[int]:
    return [seat.number, seat.height]


def _read_seat(told: Any) -> Seat:
    number, height = _list(told)
    return Seat(_number(number, _SEATS), _number(height, _PLACES))


def _prefix(told: Any) -> Prefix:
    return ip_network(_string(told))


def _known(told: Any, words: Collection[str]) -> Told:
    if not isinstance(told, dict):
        raise ValueError(f"{told!r} is no object")
    strange = sorted(set(told) - set(words))
    if strange:
        raise ValueError(f"{strange[0]!r} is not known here")
    return told


def _list(told: Any) -> list[Any]:
    if not isinstance(told, list):
        raise ValueError(f"{told!r} is no list")
    return told


def _string(told: Any) -> str:
    if not isinstance(told, str):
        raise ValueError(f"{told!r} is no text")
    return told


def _number(told: Any, within: range) -> int:
    if not isinstance(told, int) or isinstance(told, bool) or told not in within:
        raise ValueError(f"{told!r} is not in {within.start} to {within.stop - 1}")
    return told
