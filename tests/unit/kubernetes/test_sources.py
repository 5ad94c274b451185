"""NetworkPolicies in files become manifests that our own reader takes, and mean the same; whatever is wrong
with them has a file and a line."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from controller.kubernetes.networkpolicy import KIND, VERSION, convert
from controller.kubernetes.sources import convert_sources
from controller.manifest.manifest import Source, parse
from controller.manifest.policy_documents import policy_document
from model.wanted import WantedPolicy

CASES = yaml.safe_load((Path(__file__).parent / "networkpolicies.yaml").read_text())
WEB = """\
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata:
  name: web
  namespace: shop
spec:
  podSelector:
    matchLabels:
      app.kubernetes.io/name: web
  ingress:
    - from:
        - podSelector: {}
        - ipBlock:
            cidr: 10.0.0.0/8
            except:
              - 10.1.0.0/16
      ports:
        - port: 443
        - protocol: UDP
"""


def document(policy: dict[str, Any], number: int) -> dict[str, Any]:
    metadata = {"namespace": policy["namespace"], "name": f"{policy.get('name', 'policy')}-{number}"}
    return {"apiVersion": VERSION, "kind": KIND, "metadata": metadata, "spec": policy["spec"]}


def converted(*texts: str):
    return convert_sources((Source(f"{n}.yaml", text) for n, text in enumerate(texts, 1)), "acme")


@pytest.mark.parametrize("case", [case for case in CASES if case["policies"]], ids=lambda case: case["name"])
def test_every_case_of_the_table_is_read_by_our_own_reader_as_the_same(case: dict[str, Any]) -> None:
    documents = [document(one, number) for number, one in enumerate(case["policies"])]
    found = converted(yaml.safe_dump_all(documents))
    assert not found.faults and found.policies == convert(documents, "acme").policies
    text = yaml.safe_dump_all(policy_document(policy) for policy in found.policies)
    manifest = parse([Source("out.yaml", text)])
    assert not manifest.faults
    assert tuple(one.policy for one in manifest.wanted if isinstance(one, WantedPolicy)) == found.policies


def test_lists_and_several_files_are_taken_apart() -> None:
    items = [yaml.safe_load(WEB.replace("web", name)) for name in ("b", "c")]
    listed = yaml.safe_dump({"apiVersion": "v1", "kind": "List", "items": items})
    found = converted(WEB, listed)
    assert not found.faults
    assert [policy.name.rpartition("-")[0] for policy in found.policies] == ["shop-web", "shop-b", "shop-c"]


def test_what_is_said_twice_is_said_once() -> None:
    text = WEB.replace("- port: 443", "- port: 443\n        - {port: 443, protocol: TCP}")
    found = converted(text)
    assert not found.faults and len(found.policies[0].rules[0].services) == 2
    twice = yaml.safe_load(WEB)
    twice["spec"]["ingress"].append(copy.deepcopy(twice["spec"]["ingress"][0]))
    for list_ in ("from", "ports"):
        twice["spec"]["ingress"][1][list_].reverse()
    found = converted(yaml.safe_dump(twice))
    assert not found.faults and len(found.policies[0].rules) == 1


@pytest.mark.parametrize(
    ("before", "after", "rule", "line"),
    [
        ("port: 443", "port: https", "named-port", 18),
        ("port: 443", "port: 0443", "port-rule", 18),
        ("port: 443", "port: 443\n          port: 80", "duplicate-key", 19),
        ("10.1.0.0/16", "11.1.0.0/16", "except-outside", 16),
        ("10.0.0.0/8", "10.0.0.0/255.0.0.0", "cidr-rule", 14),
        ("UDP", "ICMP", "unknown-value", 19),
        ("name: web\n  namespace", "name: Web\n  namespace", "name-rule", 4),
        ("namespace: shop", "namespace: a.b", "name-rule", 5),
        ("name: web\n  ingress", "name: -web\n  ingress", "label-rule", 9),
        ("app.kubernetes.io/name: web", "-app: web", "label-rule", 9),
        ("kind: NetworkPolicy", "kind: Pod", "not-a-network-policy", 2),
        ("app.kubernetes.io/name: web", "&x a: web", "yaml-alias", 9),
        ("podSelector: {}", "podSelector: {", "yaml-syntax", 13),
    ],
)
def test_a_mistake_has_its_file_and_line(before: str, after: str, rule: str, line: int) -> None:
    assert before in WEB
    found = converted(WEB.replace("name: web", "name: other", 1), WEB.replace(before, after, 1))
    assert [(fault.rule, fault.source, fault.line) for fault in found.faults] == [(rule, "2.yaml", line)]
    assert found.faults[0].remedy and len(found.policies) <= 2


def test_an_item_of_a_list_has_its_line() -> None:
    items = "\n".join(f"  {line}" for line in WEB.replace("443", "https").splitlines())
    found = converted(f"kind: List\nitems:\n-{items[1:]}")
    assert [(fault.rule, fault.line) for fault in found.faults] == [("named-port", 20)]


def test_one_policy_in_two_files_is_refused() -> None:
    found = converted(WEB, WEB)
    assert [(fault.rule, fault.source, fault.line) for fault in found.faults] == [
        ("duplicate-object", "2.yaml", 4)
    ]


def test_a_selector_that_takes_nothing_is_refused() -> None:
    never = "matchExpressions: [{key: app.kubernetes.io/name, operator: DoesNotExist}]\n    matchLabels:"
    found = converted(WEB.replace("matchLabels:", never))
    assert [(fault.rule, fault.line) for fault in found.faults] == [("selector-never", 7)]
    space = "matchExpressions: [{key: kubernetes.io/metadata.name, operator: DoesNotExist}]"
    found = converted(WEB.replace("podSelector: {}", f"namespaceSelector: {{{space}}}"))
    assert [fault.rule for fault in found.faults] == ["selector-never"]


def test_a_policy_that_is_too_large_is_refused_by_the_name_that_it_has() -> None:
    large = yaml.safe_load(WEB)
    large["spec"]["ingress"] = [{"ports": [{"port": port}]} for port in range(1, 1002)]
    (fault,) = converted(yaml.safe_dump(large)).faults
    assert (fault.object, fault.rule) == ("NetworkPolicy shop/web", "too-large")


def test_nothing_at_all_is_a_mistake() -> None:
    assert [fault.rule for fault in converted("# nothing\n").faults] == ["empty-manifest"]
    assert [fault.rule for fault in converted().faults] == ["empty-manifest"]


lines = st.lists(
    st.sampled_from([*WEB.splitlines(), "---", "- {}", "  x: [", "kind: List", "items:"]), max_size=12
)


@given(st.one_of(st.text(max_size=60), lines.map("\n".join), st.integers(0, len(WEB)).map(lambda n: WEB[:n])))
@settings(max_examples=120)
def test_no_text_raises(text: str) -> None:
    found = converted(text)
    assert all(fault.rule and fault.message and fault.remedy for fault in found.faults)
    assert found.faults or found.policies or "List" in text


@given(st.data())
@settings(max_examples=80)
def test_no_change_of_a_policy_raises(data: st.DataObject) -> None:
    """Any value at any place."""
    root = yaml.safe_load(WEB)
    node: Any = root
    while True:
        keys = list(node) if isinstance(node, dict) else list(range(len(node)))
        key = data.draw(st.sampled_from(keys))
        if isinstance(node[key], dict | list) and node[key] and data.draw(st.booleans()):
            node = node[key]
            continue
        node[key] = data.draw(
            st.sampled_from([None, True, 5, -1, 1.5, "", "x", "\u00e9", [], {}, [[]], {"a": 1}])
        )
        break
    found = converted(yaml.safe_dump(root))
    text = yaml.safe_dump_all(policy_document(policy) for policy in found.policies)
    assert bool(found.faults) is not bool(found.policies)
    assert not found.policies or not parse([Source("out.yaml", text)]).faults
