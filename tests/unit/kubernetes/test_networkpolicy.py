"""NetworkPolicies mean to us what they mean to Kubernetes; what cannot be said exactly is refused by name.

The tables are our own words of what Kubernetes documents; no implementation was asked.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from ipaddress import ip_address
from itertools import product
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from controller.kubernetes.networkpolicy import KIND, VERSION, convert, rename
from model.addresses import Address
from model.ids import PortKey, Uid
from model.labels import labels
from model.policy import Direction, Endpoint, Protocol
from pipelines.policy.analysis import analyse
from pipelines.policy.verdict import Connection, judge
from tests.fakes.chains import lay, packet, run

CASES = [
    case
    for name in ("networkpolicies.yaml", "networkpolicies-combined.yaml")
    for case in yaml.safe_load((Path(__file__).parent / name).read_text())
]
OUT = "out"
OUTSIDE = {4: "198.51.100.7", 6: "2001:db8::7"}
POD = {4: "10.0.{}.{}", 6: "fd00:0:0:{}::{}"}
SPACES, PODS = "xyz", "abc"
NAMES = tuple(f"{space}/{pod}" for space, pod in product(SPACES, PODS))


def document(policy: dict[str, Any]) -> dict[str, Any]:
    metadata = {"namespace": policy["namespace"], "name": policy.get("name", "policy")}
    return {"apiVersion": VERSION, "kind": KIND, "metadata": metadata, "spec": policy["spec"]}


Place = tuple[Endpoint | None, dict[int, Address]]


def world(case: dict[str, Any]) -> dict[str, Place]:
    """Each pod, and the address outside, with their addresses by family."""
    outside = {family: ip_address(text) for family, text in OUTSIDE.items()}
    found: dict[str, Place] = {OUT: (None, outside)}
    for number, name in enumerate(NAMES, 1):
        space, pod = name.split("/")
        where = SPACES.index(space), PODS.index(pod) + 1
        addresses = {family: ip_address(text.format(*where)) for family, text in POD.items()}
        own = labels(({"pod": pod} | case.get("labels", {}).get(name, {})).items())
        of_space = labels(({"ns": space} | case.get("spaces", {}).get(space, {})).items())
        uid, both = Uid(f"pod-{number}"), tuple(addresses.values())
        one = Endpoint(PortKey(number), uid, "acme", space, pod, both, 1, own, of_space)
        found[name] = (one, addresses)
    return found


def tried(case: dict[str, Any]) -> Iterator[tuple[str, Connection, bool]]:
    """Each connection of a case in words and as one, and whether it is open."""
    pods = world(case)
    of_one_family = "ipBlock" in json.dumps(case["policies"])
    for verdict in case["verdicts"]:
        protocol, port = verdict["at"].split("/")
        families = [verdict["family"]] if "family" in verdict else [4] if of_one_family else [4, 6]
        for family, ((source, target), open_) in product(families, expected(verdict["say"]).items()):
            (one, near), (other, far) = pods[source], pods[target]
            made = Connection(one, other, near[family], far[family], Protocol[protocol], int(port))
            what = f"{source} -> {target} at {verdict['at']} by IPv{family}"
            yield f"{what}: should be {'open' if open_ else 'closed'}", made, open_


def expected(say: list[str]) -> dict[tuple[str, str], bool]:
    """Who may talk to whom; to itself everybody may, and two addresses outside are none of our business."""
    found = {(a, b): True for a, b in product((*NAMES, OUT), repeat=2) if a != b}
    for words in say:
        answer, source, _, target = words.split()
        pairs = [pair for pair in found if _fits(source, pair[0]) and _fits(target, pair[1])]
        assert pairs, words
        found |= dict.fromkeys(pairs, answer == "yes")
    return found


def _fits(pattern: str, name: str) -> bool:
    if pattern in ("*", name):
        return True
    space, _, pod = pattern.partition("/")
    return pod == "*" and name.startswith(f"{space}/")


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"])
def test_the_table_of_verdicts(case: dict[str, Any]) -> None:
    """By the slow verdict, and by the flows that are made of what was converted."""
    converted = convert([document(one) for one in case["policies"]], "acme")
    assert converted.faults == () and len(converted.policies) == len(case["policies"])
    pods = [pod for pod, _ in world(case).values() if pod is not None]
    laid = {way: lay(converted.policies, {}, way, pods) for way in Direction}

    def flows(one: Connection) -> bool:
        ends = ((Direction.OUT, one.source), (Direction.IN, one.target))
        return all(
            run(laid[way], packet(laid[way], one, way))[0] is not None for way, end in ends if end is not None
        )

    wrong = [
        f"{words}, by {who}"
        for words, one, open_ in tried(case)
        for who, says in (
            ("the verdict", judge(one, converted.policies, {}).allowed),
            ("the flows", flows(one)),
        )
        if says is not open_
    ]
    assert wrong == []


def test_the_table_closes_and_opens() -> None:
    """A table without an edge would pass with anything."""
    said = [words.split()[0] for case in CASES for verdict in case["verdicts"] for words in verdict["say"]]
    assert len(CASES) > 75 and min(said.count("no"), said.count("yes")) > 50
    assert len({case["name"] for case in CASES}) == len(CASES)


def test_policies_of_kubernetes_never_hide_each_other() -> None:
    """They only allow, so nothing can contradict; what is said twice may be named."""
    documents = [document(one) for case in CASES for one in case["policies"]]
    for index, one in enumerate(documents):
        one["metadata"]["name"] = f"policy-{index}"
    converted = convert(documents, "acme")
    assert {fault.rule for fault in analyse(converted.policies, {})} <= {"policy-rule-unreachable"}


SELECTS = {"podSelector": {}}
REFUSED: list[tuple[object, str, str]] = [
    ({"kind": "Pod"}, "not-a-network-policy", "kind"),
    (["a list"], "wrong-type", ""),
    ({"kind": "List", "items": {}}, "not-a-network-policy", "kind"),
    ({"spec": None, "namespace": "x"}, "missing-field", "spec.podSelector"),
    ({"spec": SELECTS | {"policyType": []}}, "unknown-field", "spec.policyType"),
    ({"spec": SELECTS | {"policyTypes": ["Both"]}}, "unknown-value", "spec.policyTypes[0]"),
    ({"spec": SELECTS | {"ingress": {}}}, "wrong-type", "spec.ingress"),
    ({"spec": SELECTS | {"ingress": [{"to": []}]}}, "unknown-field", "spec.ingress[0].to"),
    ({"spec": SELECTS | {"ingress": [{"from": [{}]}]}}, "empty-peer", "spec.ingress[0].from[0]"),
    (
        {"spec": SELECTS | {"egress": [{"to": [{"podSelector": {}, "ipBlock": {"cidr": "::/0"}}]}]}},
        "mixed-peer",
        "spec.egress[0].to[0]",
    ),
    (
        {"spec": SELECTS | {"egress": [{"to": [{"ipBlock": {"cidr": "10.0.0.1"}}]}]}},
        "cidr-rule",
        "spec.egress[0].to[0].ipBlock.cidr",
    ),
    (
        {"spec": SELECTS | {"egress": [{"to": [{"ipBlock": {"cidr": "10.0.0.0/8", "except": ["::/0"]}}]}]}},
        "except-outside",
        "spec.egress[0].to[0].ipBlock.except[0]",
    ),
    (
        {"spec": SELECTS | {"ingress": [{"ports": [{"port": "web"}]}]}},
        "named-port",
        "spec.ingress[0].ports[0].port",
    ),
    (
        {"spec": SELECTS | {"ingress": [{"ports": [{"port": 0}]}]}},
        "port-rule",
        "spec.ingress[0].ports[0].port",
    ),
    (
        {"spec": SELECTS | {"ingress": [{"ports": [{"port": 9, "endPort": 8}]}]}},
        "port-range",
        "spec.ingress[0].ports[0].endPort",
    ),
    (
        {"spec": SELECTS | {"ingress": [{"ports": [{"endPort": 8}]}]}},
        "port-range",
        "spec.ingress[0].ports[0].endPort",
    ),
    (
        {"spec": SELECTS | {"ingress": [{"ports": [{"protocol": "ICMP"}]}]}},
        "unknown-value",
        "spec.ingress[0].ports[0].protocol",
    ),
    (
        {"spec": {"podSelector": {"matchExpressions": [{"key": "a", "operator": "Is"}]}}},
        "unknown-value",
        "spec.podSelector.matchExpressions[0].operator",
    ),
    (
        {"spec": {"podSelector": {"matchExpressions": [{"key": "a", "operator": "In"}]}}},
        "selector-values",
        "spec.podSelector.matchExpressions[0].values",
    ),
    (
        {"spec": {"podSelector": {"matchExpressions": [{"key": "a", "operator": "Exists", "values": [""]}]}}},
        "selector-values",
        "spec.podSelector.matchExpressions[0].values",
    ),
    ({"spec": {"podSelector": {"matchLabels": {"a": 5}}}}, "wrong-type", "spec.podSelector.matchLabels.a"),
]


@pytest.mark.parametrize(("part", "rule", "path"), REFUSED, ids=lambda v: v if isinstance(v, str) else "")
def test_what_is_refused(part: object, rule: str, path: str) -> None:
    whole = part
    if isinstance(part, dict):
        whole = {"apiVersion": VERSION, "kind": KIND, "metadata": {"name": "p", "namespace": "x"}} | part
        whole.pop("namespace", None)
    converted = convert([whole], "acme")
    assert converted.policies == ()
    assert [(fault.rule, fault.path) for fault in converted.faults] == [(rule, path)]
    assert converted.faults[0].remedy


def test_one_bad_document_stops_no_other_and_all_its_mistakes_are_named() -> None:
    good = document({"namespace": "x", "spec": SELECTS})
    bad = document({"namespace": "x", "name": "bad", "spec": {"policyTypes": ["A", "B"]}})
    converted = convert([{"kind": "List", "items": [bad, good]}, None], "acme")
    assert [policy.name for policy in converted.policies] == [rename("x", "policy")]
    assert [fault.path for fault in converted.faults] == [
        "spec.podSelector",
        "spec.policyTypes[0]",
        "spec.policyTypes[1]",
    ]
    assert {fault.object for fault in converted.faults} == {"NetworkPolicy x/bad"}


def test_names_are_labels_of_their_own() -> None:
    made = {rename(*pair) for pair in (("a", "b-c"), ("a-b", "c"), ("a-b", "c.d"), ("a" * 63, "b" * 253))}
    assert len(made) == 4 and all(len(name) <= 63 and "." not in name for name in made)
    assert rename("shop", "web").startswith("shop-web-")


FIELDS = (
    *("kind", "items", "metadata", "name", "namespace", "spec", "podSelector", "policyTypes", "ingress"),
    *("egress", "from", "to", "ports", "port", "endPort", "protocol", "ipBlock", "cidr", "except"),
    *("matchLabels", "matchExpressions", "key", "operator", "values", "other"),
)
documents = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.text(max_size=8), st.floats()),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(
            st.sampled_from(FIELDS),
            inner,
            max_size=4,
        ),
    ),
    max_leaves=12,
)


@given(st.one_of(documents, documents.map(lambda spec: document({"namespace": "x", "spec": spec}))))
@settings(max_examples=150)
def test_no_document_raises(one: object) -> None:
    converted = convert([one], "acme")
    assert all(fault.rule and fault.message and fault.remedy for fault in converted.faults)
