"""Documents of policies: what `controller.manifest.policy_readers` reads, written out, but for defaults.

Place: in answers of the API, and what NetworkPolicies are converted to. Read again, it is the same policy.
Pure. Must not leave anything out that is said.
"""

from __future__ import annotations

from typing import Any

from controller.manifest.policy_readers import PROTOCOLS, TIERS
from controller.manifest.schema import API_VERSION
from model.labels import Operator, Selector
from model.policy import (
    Block,
    Change,
    Default,
    Defaults,
    Direction,
    Peer,
    Policy,
    PortRange,
    Rule,
    Selection,
    Service,
    State,
    Tier,
)
from model.wanted import Kind

Value = dict[str, Any]


def policy_document(policy: Policy) -> Value:
    """The whole manifest."""
    kind = Kind.SECURITY_POLICY if policy.tenant else Kind.OPERATOR_POLICY
    metadata = {"name": policy.name} | ({"tenant": policy.tenant} if policy.tenant else {})
    spec = policy_spec(policy)
    made: Value = {"apiVersion": API_VERSION, "kind": kind.value, "metadata": metadata}
    return made | ({"spec": spec} if spec else {})


def policy_spec(policy: Policy) -> Value:
    spec: Value = {}
    if policy.tier is not Tier.TENANT:
        spec["tier"] = next(word for word, tier in TIERS.items() if tier is policy.tier)
    if policy.order:
        spec["order"] = policy.order
    if subject := _selection(policy.subject):
        spec["subject"] = subject
    if policy.rules:
        spec["rules"] = [_rule(rule) for rule in policy.rules]
    spec |= defaults_spec(policy.defaults)
    if policy.on_change is not Change.JUDGE:
        spec["onChange"] = policy.on_change.value
    return spec


def defaults_spec(defaults: Defaults) -> Value:
    """`defaults` of a policy or a tenant; nothing if nothing is said."""
    given = (("out", defaults.outward), ("in", defaults.inward))
    made = {name: _default(default) for name, default in given if default is not None}
    return {"defaults": made} if made else {}


def _default(default: Default) -> Value | str:
    enforced = _enforcement(default.state, default.share)
    return {"action": default.action.value} | enforced if enforced else default.action.value


def _rule(rule: Rule) -> Value:
    made: Value = {"name": rule.name} if rule.name else {}
    made |= {"direction": rule.direction.value, "action": rule.action.value}
    if rule.peers:
        made["to" if rule.direction is Direction.OUT else "from"] = [_peer(peer) for peer in rule.peers]
    if rule.services:
        made["services"] = [_service(service) for service in rule.services]
    return made | _enforcement(rule.state, rule.share)


def _enforcement(state: State, share: int) -> Value:
    if state is State.COUNT:
        return {"state": state.value}
    return {} if share == 100 else {"share": share}


def _peer(peer: Peer) -> Value:
    if isinstance(peer, Block):
        holes = {"except": [str(one) for one in peer.excepted]} if peer.excepted else {}
        return {"cidr": str(peer.prefix)} | holes
    return _selection(peer) or {"ports": {}}


def _selection(selection: Selection) -> Value:
    parts = (("ports", selection.ports), ("networks", selection.networks))
    made = {name: _selector(one) for name, one in parts if one.requirements}
    return made if selection.tenants is None else made | {"tenants": _selector(selection.tenants)}


def _selector(selector: Selector) -> Value:
    """What asks for one value is a label, unless its key stands there already."""
    pairs: dict[str, str] = {}
    listed: list[Value] = []
    for one in selector.requirements:
        if one.operator is Operator.IN and len(one.values) == 1 and one.key not in pairs:
            pairs[one.key] = one.values[0]
            continue
        values = {"values": list(one.values)} if one.values else {}
        listed.append({"key": one.key, "operator": one.operator.value} | values)
    made: Value = {"matchLabels": pairs} if pairs else {}
    return made | ({"matchExpressions": listed} if listed else {})


def _service(service: Service) -> Value:
    names = {number: word for word, number in PROTOCOLS.items()}
    made: Value = {"protocol": names.get(service.protocol, service.protocol)}
    if service.ports is not None:
        made["port"] = _ports(service.ports)
    given = (("type", service.kind), ("code", service.code))
    return made | {name: value for name, value in given if value is not None}


def _ports(ports: PortRange) -> int | str:
    return ports.first if ports.first == ports.last else f"{ports.first}-{ports.last}"
