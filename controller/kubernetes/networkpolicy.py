"""NetworkPolicy: documents of Kubernetes (networking.k8s.io/v1) as policies of ours, exactly or not at all.

Place: between parsed documents and `model.policy`. Pure. Must not look at clusters: what only a cluster knows
(ports by name) is refused, with the remedy.

A namespace is a network of the tenant, with the namespace's labels; a pod is a port with the pod's. The rules
of all policies that select a port add up, and a policy isolates it in the directions that it has
(docs/decisions/0056). The label `kubernetes.io/metadata.name` is the network's name.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from hashlib import blake2b
from ipaddress import ip_network
from typing import Final, TypeVar

from controller.kubernetes.reading import Reading, Wrong, selector
from controller.manifest.readers import Misfit, read_name
from controller.manifest.tree import Scalar, show
from model.addresses import Prefix
from model.errors import Fault
from model.labels import NAME, Operator, Requirement, Selector, conjunction, matching, satisfiable
from model.policy import (
    PORTS,
    Action,
    Block,
    Default,
    Defaults,
    Direction,
    Peer,
    Policy,
    PortRange,
    Protocol,
    Rule,
    Selection,
    Service,
    say,
)

Value = TypeVar("Value")
VERSION: Final = "networking.k8s.io/v1"
KIND: Final = "NetworkPolicy"
NAMESPACE_NAME: Final = "kubernetes.io/metadata.name"
LISTS: Final = ("List", "NetworkPolicyList")
_TYPES: Final = {"Ingress": Direction.IN, "Egress": Direction.OUT}
_RULES: Final = {Direction.IN: ("ingress", "from"), Direction.OUT: ("egress", "to")}
_PROTOCOLS: Final = {"TCP": Protocol.TCP, "UDP": Protocol.UDP, "SCTP": Protocol.SCTP}
_LONGEST: Final = 54
_LONGEST_NAME: Final = 253
_LABEL: Final = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", re.ASCII)
_DENIED: Final = Default(Action.DENY)


@dataclass(frozen=True, slots=True)
class Converted:
    """What came of documents. With faults, nothing should be applied."""

    policies: tuple[Policy, ...]
    faults: tuple[Fault, ...]


def convert(documents: list[object], tenant: str) -> Converted:
    """The policies of one tenant that NetworkPolicies stand for, and everything that is wrong with them."""
    policies, faults = [], []
    for document in _each(documents):
        reading = Reading(title(document))
        try:
            policy = _policy(reading, document, tenant)
        except Wrong:
            policy = None
        faults.extend(reading.faults)
        if policy is not None and not reading.faults:
            policies.append(policy)
    return Converted(tuple(policies), tuple(faults))


def rename(namespace: str, name: str) -> str:
    """The name of the policy: readable, a DNS label, and of no other NetworkPolicy of any namespace."""
    digest = blake2b(f"{namespace}/{name}".encode(), digest_size=4).hexdigest()
    return f"{f'{namespace}-{name}'.replace('.', '-')[:_LONGEST]}-{digest}"


def _each(documents: list[object]) -> Iterator[object]:
    for document in documents:
        items = document.get("items") if isinstance(document, Mapping) else None
        if isinstance(document, Mapping) and document.get("kind") in LISTS and isinstance(items, list):
            yield from _each(items)
        elif document is not None:
            yield document


def title(document: object) -> str:
    """How faults call it."""
    metadata = document.get("metadata") if isinstance(document, Mapping) else None
    if not isinstance(metadata, Mapping):
        return KIND
    namespace, name = (show(str(metadata.get(field, "")))[1:-1] for field in ("namespace", "name"))
    return f"{KIND} {namespace or 'default'}/{name}"


def _policy(reading: Reading, document: object, tenant: str) -> Policy:
    whole = reading.table(document, "")
    if whole.get("apiVersion") != VERSION or whole.get("kind") != KIND:
        said = f"it is {whole.get('kind')} of {whole.get('apiVersion')}"
        raise reading.refuse("kind", "not-a-network-policy", said, f"Give {KIND} of {VERSION} only.")
    reading.table(whole, "", "apiVersion", "kind", "metadata", "spec", "status")
    metadata = reading.table(whole.get("metadata"), "metadata")
    name = reading.word(metadata.get("name"), "metadata.name", _read_subdomain)
    namespace = reading.word(metadata.get("namespace", "default"), "metadata.namespace", read_name)
    if "spec" not in whole:
        raise reading.refuse("spec", "missing-field", "it has no spec", "Write what it selects.")
    spec = reading.table(whole["spec"], "spec", "podSelector", "policyTypes", "ingress", "egress")
    if "podSelector" not in spec:
        reading.note("spec.podSelector", "missing-field", "it selects nothing", "Write {} for all pods.")
    home = matching([(NAME, namespace)])
    subject = Selection(selector(reading, spec.get("podSelector"), "spec.podSelector"), home)
    directions = _directions(reading, spec)
    rules = [rule for direction in Direction for rule in _rules(reading, spec, direction, home)]
    return Policy(
        rename(namespace, name),
        tenant,
        subject=subject,
        rules=_each_rule_once(rule for rule in rules if rule.direction in directions),
        defaults=Defaults(
            outward=_DENIED if Direction.OUT in directions else None,
            inward=_DENIED if Direction.IN in directions else None,
        ),
    )


def _read_subdomain(node: Scalar) -> str:
    """Labels joined by dots, at most 253 characters (RFC 1123 section 2.1)."""
    if len(node.text) <= _LONGEST_NAME and all(_LABEL.fullmatch(part) for part in node.text.split(".")):
        return node.text
    raise Misfit("name-rule", f"{show(node.text)} is no name", "Use a-z, 0-9, '-' and dots.")


def _directions(reading: Reading, spec: Mapping[str, object]) -> frozenset[Direction]:
    """What it isolates: what it says, else ingress, and egress if it has rules for that."""
    said = reading.listing(spec.get("policyTypes"), "spec.policyTypes")
    if not said:
        out = bool(reading.listing(spec.get("egress"), "spec.egress"))
        return frozenset((Direction.IN, Direction.OUT) if out else (Direction.IN,))
    for index, one in enumerate(said):
        if one not in _TYPES:
            at = f"spec.policyTypes[{index}]"
            reading.note(at, "unknown-value", f"{one!r} is no policy type", "Write Ingress or Egress.")
    return frozenset(_TYPES[str(one)] for one in said if one in _TYPES)


def _rules(
    reading: Reading, spec: Mapping[str, object], direction: Direction, home: Selector
) -> Iterator[Rule]:
    name, ends = _RULES[direction]
    for index, one in enumerate(reading.listing(spec.get(name), f"spec.{name}")):
        path = f"spec.{name}[{index}]"
        rule = reading.table(one, path, ends, "ports")
        peers = [
            _peer(reading, peer, f"{path}.{ends}[{at}]", home)
            for at, peer in enumerate(reading.listing(rule.get(ends), f"{path}.{ends}"))
        ]
        services = [
            _service(reading, port, f"{path}.ports[{at}]")
            for at, port in enumerate(reading.listing(rule.get("ports"), f"{path}.ports"))
        ]
        yield Rule(direction, Action.ALLOW, _each_once(peers), _each_once(services))


def _peer(reading: Reading, value: object, path: str, home: Selector) -> Peer:
    peer = reading.table(value, path, "podSelector", "namespaceSelector", "ipBlock")
    given = [name for name in ("podSelector", "namespaceSelector", "ipBlock") if peer.get(name) is not None]
    if not given:
        raise reading.refuse(
            path, "empty-peer", "it names nobody", "Write podSelector, namespaceSelector or ipBlock."
        )
    if "ipBlock" in given:
        if len(given) > 1:
            reading.note(path, "mixed-peer", "ipBlock stands beside a selector", "Write two peers.")
        return _block(reading, peer["ipBlock"], f"{path}.ipBlock")
    pods = selector(reading, peer.get("podSelector"), f"{path}.podSelector")
    if "namespaceSelector" not in given:
        return Selection(pods, home)
    spaces = selector(reading, peer["namespaceSelector"], f"{path}.namespaceSelector")
    named = (NAME if one.key == NAMESPACE_NAME else one.key for one in spaces.requirements)
    pairs = zip(named, spaces.requirements, strict=True)
    networks = conjunction(Requirement(key, one.operator, one.values) for key, one in pairs)
    if not satisfiable(conjunction((*networks.requirements, Requirement(NAME, Operator.EXISTS)))):
        reading.never(f"{path}.namespaceSelector")
    return Selection(pods, networks)


def _block(reading: Reading, value: object, path: str) -> Block:
    block = reading.table(value, path, "cidr", "except")
    prefix = _prefix(reading, block.get("cidr"), f"{path}.cidr")
    excepted = []
    for index, one in enumerate(reading.listing(block.get("except"), f"{path}.except")):
        hole = _prefix(reading, one, f"{path}.except[{index}]")
        if hole.version != prefix.version or hole == prefix or not hole.subnet_of(prefix):  # type: ignore[arg-type]
            at, said = f"{path}.except[{index}]", f"{hole} is no smaller part of {prefix}"
            reading.note(at, "except-outside", said, "Write a longer prefix inside the cidr.")
        excepted.append(hole)
    return Block(prefix, _each_once(excepted))


def _prefix(reading: Reading, value: object, path: str) -> Prefix:
    """Bits behind the length mean nothing, as in Kubernetes."""
    text = reading.text(value, path)
    try:
        if not text.rpartition("/")[2].isdecimal() or "/" not in text or "%" in text:
            raise ValueError
        return ip_network(text, strict=False)
    except ValueError:
        raise reading.refuse(
            path, "cidr-rule", f"{text!r} is no prefix", "Write 10.0.0.0/8 or fd00::/8."
        ) from None


def _each_rule_once(rules: Iterable[Rule]) -> tuple[Rule, ...]:
    found: dict[object, Rule] = {}
    for rule in rules:
        found.setdefault(say(rule), rule)
    return tuple(found.values())


def _each_once(values: Iterable[Value]) -> tuple[Value, ...]:
    """What is said twice means what it means once."""
    return tuple(dict.fromkeys(values))


def _service(reading: Reading, value: object, path: str) -> Service:
    port = reading.table(value, path, "protocol", "port", "endPort")
    said = port.get("protocol") or "TCP"
    if said not in _PROTOCOLS:
        raise reading.refuse(
            f"{path}.protocol", "unknown-value", f"{said!r} is no protocol", "Write TCP, UDP or SCTP."
        )
    protocol = _PROTOCOLS[str(said)]
    first, last = port.get("port"), port.get("endPort")
    if isinstance(first, str):
        raise reading.refuse(
            f"{path}.port",
            "named-port",
            f"which port {first!r} is, only the pods know",
            "Write its number; if pods differ in it, a rule for each number.",
        )
    if first is None:
        if last is not None:
            reading.note(f"{path}.endPort", "port-range", "there is no port before it", "Write port as well.")
        return Service(protocol)
    low = _number(reading, first, f"{path}.port")
    high = low if last is None else _number(reading, last, f"{path}.endPort")
    if high < low:
        reading.note(f"{path}.endPort", "port-range", f"{high} is less than {low}", "Write the higher one.")
    return Service(protocol, PortRange(low, high))


def _number(reading: Reading, value: object, path: str) -> int:
    if isinstance(value, int) and not isinstance(value, bool) and value in PORTS and value:
        return value
    raise reading.refuse(path, "port-rule", f"{value!r} is no port", "Write a number from 1 to 65535.")
