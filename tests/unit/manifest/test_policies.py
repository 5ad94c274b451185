"""Policies in manifests: every field arrives typed, every mistake is named with its line, and what is written
out is read as the same."""

from __future__ import annotations

import re
import textwrap
from ipaddress import ip_network
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from controller.manifest.manifest import Source, parse
from controller.manifest.policy_documents import defaults_spec, policy_document, policy_spec
from model.labels import EVERYTHING, NAME, Operator, Requirement, conjunction, matching, satisfiable
from model.policy import (
    Action,
    Block,
    Change,
    Default,
    Defaults,
    Direction,
    Policy,
    PortRange,
    Protocol,
    Rule,
    Selection,
    Service,
    State,
    Tier,
)
from model.wanted import Kind, WantedPolicy, WantedTenant, refer

HEAD = "apiVersion: ringfence/v1\nkind: {}\nmetadata: {}\nspec: {}\n"
WHOLE = """\
apiVersion: ringfence/v1
kind: SecurityPolicy
metadata: {name: web, tenant: acme, labels: {by: ann}}
spec:
  order: -5
  subject:
    ports: {matchLabels: {tier: web}}
    networks: {matchLabels: {ringfence/name: front}}
  rules:
    - name: customers
      direction: in
      action: allow
      from:
        - cidr: 0.0.0.0/0
          except: [10.0.0.0/8, 192.0.2.7]
        - ports: {matchExpressions: [{key: tier, operator: In, values: [proxy, cache]}]}
      services:
        - {protocol: tcp, port: 443}
        - {protocol: udp, port: 8000-8099}
        - {protocol: icmp, type: 8, code: 0}
        - {protocol: 47}
      share: 10
    - {direction: out, action: pass, to: [{ports: {}}], state: count}
  defaults: {in: deny, out: {action: deny, state: count}}
  onChange: keep
"""


def read(kind: str, spec: str, metadata: str = "{name: p, tenant: t}"):
    return parse([Source("x", HEAD.format(kind, metadata, spec))])


def security(spec: str) -> Policy:
    manifest = read("SecurityPolicy", spec)
    assert not manifest.faults
    (made,) = manifest.wanted
    assert isinstance(made, WantedPolicy)
    return made.policy


def test_every_field_arrives_typed() -> None:
    manifest = parse([Source("x", WHOLE)])
    assert not manifest.faults
    (made,) = manifest.wanted
    assert isinstance(made, WantedPolicy) and refer(made).kind is Kind.SECURITY_POLICY
    assert (made.tenant, made.name, made.labels) == ("acme", "web", (("by", "ann"),))
    chosen = conjunction([Requirement("tier", Operator.IN, ("cache", "proxy"))])
    holes = (ip_network("10.0.0.0/8"), ip_network("192.0.2.7/32"))
    assert made.policy == Policy(
        "web",
        "acme",
        Tier.TENANT,
        -5,
        Selection(matching([("tier", "web")]), matching([(NAME, "front")])),
        (
            Rule(
                Direction.IN,
                Action.ALLOW,
                (Block(ip_network("0.0.0.0/0"), holes), Selection(chosen)),
                (
                    Service(Protocol.TCP, PortRange(443, 443)),
                    Service(Protocol.UDP, PortRange(8000, 8099)),
                    Service(Protocol.ICMP, None, 8, 0),
                    Service(47),
                ),
                share=10,
                name="customers",
            ),
            Rule(Direction.OUT, Action.PASS, (Selection(),), state=State.COUNT),
        ),
        Defaults(Default(Action.DENY, State.COUNT), Default(Action.DENY)),
        Change.KEEP,
    )


def test_what_is_left_out_has_its_default() -> None:
    """Not what it had: an apply replaces the whole of a policy."""
    assert security("{}") == Policy("p", "t")
    (rule,) = security("{rules: [{direction: in, action: deny}]}").rules
    assert rule == Rule(Direction.IN, Action.DENY)


def test_the_operator_says_which_tier_and_which_tenants() -> None:
    manifest = read(
        "OperatorPolicy",
        "{tier: baseline, subject: {tenants: {matchLabels: {plan: gold}}},"
        " rules: [{direction: in, action: deny, from: [{tenants: {}}]}]}",
        "{name: p}",
    )
    assert not manifest.faults
    (made,) = manifest.wanted
    assert isinstance(made, WantedPolicy) and refer(made).kind is Kind.OPERATOR_POLICY
    assert made.tenant is None and made.policy.tenant == "" and made.policy.tier is Tier.BASELINE
    assert made.policy.subject == Selection(tenants=matching([("plan", "gold")]))
    assert made.policy.rules[0].peers == (Selection(tenants=EVERYTHING),)


def test_a_tenant_has_defaults_which_may_be_taken_off() -> None:
    def defaults(spec: str) -> Defaults | None:
        (made,) = read("Tenant", spec, "{name: t}").wanted
        assert isinstance(made, WantedTenant)
        return made.defaults

    assert defaults("{defaults: {in: deny}}") == Defaults(inward=Default(Action.DENY))
    assert defaults("{defaults: {}}") == Defaults()
    assert defaults("{}") is None


def test_a_selector_is_the_same_however_it_is_written() -> None:
    one, two = (
        security(f"{{subject: {{ports: {text}}}}}")
        for text in (
            "{matchLabels: {b: y, a: x}}",
            "{matchExpressions: [{key: b, operator: In, values: [y]}, {key: a, operator: In, values: [x]}]}",
        )
    )
    assert one == two
    assert security("{subject: {}}") == security("{subject: {ports: {}}}") == security("{}")


PORTS, RULES = "spec.subject.ports", "spec.rules[0]"
SERVICE = f"{RULES}.services[0]"


def rule(text: str) -> str:
    return f"{{rules: [{{direction: in, action: allow, {text}}}]}}"


def peer(text: str) -> str:
    return rule(f"from: [{text}]")


def service(text: str) -> str:
    return rule(f"services: [{text}]")


REFUSED = [
    ("{order: 10001}", "range", "spec.order"),
    ("{onChange: drop}", "choice", "spec.onChange"),
    ("{tier: operator}", "unknown-field", "spec.tier"),
    ("{subject: []}", "wrong-type", "spec.subject"),
    ("{subject: {tenants: {}}}", "operator-only", "spec.subject.tenants"),
    ("{subject: {port: {}}}", "unknown-field", "spec.subject.port"),
    ("{subject: {ports: {matchLabels: [a]}}}", "wrong-type", f"{PORTS}.matchLabels"),
    ("{subject: {ports: {matchLabels: {a: [x]}}}}", "wrong-type", f"{PORTS}.matchLabels.a"),
    ("{subject: {ports: {matchLabels: {a: 5}}}}", "wrong-type", f"{PORTS}.matchLabels.a"),
    ("{subject: {ports: {matchLabels: {-a: x}}}}", "label-rule", f"{PORTS}.matchLabels.-a"),
    ("{subject: {ports: {matchLabels: {a: x y}}}}", "label-rule", f"{PORTS}.matchLabels.a"),
    ("{subject: {ports: {matchLabels: {a: x, a: x}}}}", "duplicate-key", f"{PORTS}.matchLabels.a"),
    ("{subject: {ports: {matchExpressions: [{key: a}]}}}", "missing-field", f"{PORTS}.matchExpressions[0]"),
    (
        "{subject: {ports: {matchExpressions: [{key: a, operator: Has}]}}}",
        "choice",
        f"{PORTS}.matchExpressions[0].operator",
    ),
    (
        "{subject: {ports: {matchExpressions: [{key: a, operator: In}]}}}",
        "selector-values",
        f"{PORTS}.matchExpressions[0]",
    ),
    (
        "{subject: {ports: {matchExpressions: [{key: a, operator: In, values: []}]}}}",
        "selector-values",
        f"{PORTS}.matchExpressions[0].values",
    ),
    (
        "{subject: {ports: {matchExpressions: [{key: a, operator: Exists, values: [x]}]}}}",
        "selector-values",
        f"{PORTS}.matchExpressions[0].values",
    ),
    (
        "{subject: {ports: {matchExpressions: [{key: a, operator: In, values: [x, x]}]}}}",
        "duplicate-item",
        f"{PORTS}.matchExpressions[0].values[1]",
    ),
    (
        "{subject: {ports: {matchLabels: {a: x}, matchExpressions: [{key: a, operator: DoesNotExist}]}}}",
        "selector-never",
        PORTS,
    ),
    (
        "{subject: {ports: {matchExpressions: [{key: ringfence/name, operator: DoesNotExist}]}}}",
        "selector-never",
        PORTS,
    ),
    ("{rules: {}}", "wrong-type", "spec.rules"),
    ("{rules: [deny]}", "wrong-type", RULES),
    ("{rules: [{action: deny}]}", "missing-field", RULES),
    ("{rules: [{direction: in}]}", "missing-field", RULES),
    ("{rules: [{direction: both, action: deny}]}", "choice", f"{RULES}.direction"),
    ("{rules: [{direction: in, action: drop}]}", "choice", f"{RULES}.action"),
    (rule("to: [{ports: {}}]"), "peer-side", f"{RULES}.to"),
    (rule("ports: {}"), "unknown-field", f"{RULES}.ports"),
    (rule("name: A"), "name-rule", f"{RULES}.name"),
    (rule("share: 0"), "range", f"{RULES}.share"),
    (rule("share: 101"), "range", f"{RULES}.share"),
    (rule("share: 10%"), "wrong-type", f"{RULES}.share"),
    (rule("share: 10, state: count"), "share-of-count", f"{RULES}.share"),
    (rule("state: off"), "choice", f"{RULES}.state"),
    (rule("from: []"), "empty-list", f"{RULES}.from"),
    (rule("services: []"), "empty-list", f"{RULES}.services"),
    (rule("services: tcp"), "wrong-type", f"{RULES}.services"),
    (rule("from: [{ports: {}}, {ports: {}}]"), "duplicate-item", f"{RULES}.from[1]"),
    (rule("services: [{protocol: 6}, {protocol: tcp}]"), "duplicate-item", f"{RULES}.services[1]"),
    (peer("{}"), "empty-peer", f"{RULES}.from[0]"),
    (peer("{cidr: 10.0.0.0/8, ports: {}}"), "mixed-peer", f"{RULES}.from[0]"),
    (peer("{except: [10.0.0.0/8]}"), "missing-field", f"{RULES}.from[0]"),
    (peer("{cidr: 10.0.0.1/8}"), "prefix-host-bits", f"{RULES}.from[0].cidr"),
    (peer("{cidr: ten}"), "prefix-syntax", f"{RULES}.from[0].cidr"),
    (peer("{cidr: 10.0.0.0/8, except: [11.0.0.0/16]}"), "except-outside", f"{RULES}.from[0].except[0]"),
    (peer("{cidr: 10.0.0.0/8, except: [10.0.0.0/8]}"), "except-outside", f"{RULES}.from[0].except[0]"),
    (peer("{cidr: 10.0.0.0/8, except: ['fd00::/8']}"), "except-outside", f"{RULES}.from[0].except[0]"),
    (
        peer("{cidr: 10.0.0.0/8, except: [10.0.0.1, 10.0.0.1]}"),
        "duplicate-item",
        f"{RULES}.from[0].except[1]",
    ),
    (peer("{tenants: {}, ports: {}}"), "operator-only", f"{RULES}.from[0].tenants"),
    (service("{port: 80}"), "missing-field", SERVICE),
    (service("{protocol: http}"), "protocol-unknown", f"{SERVICE}.protocol"),
    (service("{protocol: 256}"), "range", f"{SERVICE}.protocol"),
    (service("{protocol: icmp, port: 80}"), "port-not-of-protocol", f"{SERVICE}.port"),
    (service("{protocol: 47, port: 80}"), "port-not-of-protocol", f"{SERVICE}.port"),
    (service("{protocol: tcp, type: 8}"), "type-not-of-protocol", f"{SERVICE}.type"),
    (service("{protocol: udp, code: 8}"), "type-not-of-protocol", f"{SERVICE}.code"),
    (service("{protocol: icmpv6, code: 0}"), "code-without-type", f"{SERVICE}.code"),
    (service("{protocol: icmp, type: 256}"), "range", f"{SERVICE}.type"),
    (service("{protocol: tcp, port: 65536}"), "range", f"{SERVICE}.port"),
    (service("{protocol: tcp, port: 1-65536}"), "port-rule", f"{SERVICE}.port"),
    (service("{protocol: tcp, port: https}"), "port-rule", f"{SERVICE}.port"),
    (service("{protocol: tcp, port: 9-8}"), "port-range", f"{SERVICE}.port"),
    ("{defaults: deny}", "wrong-type", "spec.defaults"),
    ("{defaults: {in: pass}}", "default-pass", "spec.defaults.in"),
    ("{defaults: {in: {action: pass}}}", "default-pass", "spec.defaults.in"),
    ("{defaults: {in: {state: count}}}", "missing-field", "spec.defaults.in"),
    ("{defaults: {in: {action: deny, state: count, share: 5}}}", "share-of-count", "spec.defaults.in.share"),
    ("{defaults: {inward: deny}}", "unknown-field", "spec.defaults.inward"),
]


@pytest.mark.parametrize(("spec", "code", "path"), REFUSED, ids=lambda value: value)
def test_what_is_refused(spec: str, code: str, path: str) -> None:
    (fault,) = read("SecurityPolicy", spec).faults
    assert (fault.rule, fault.path) == (code, path)
    assert fault.object == "SecurityPolicy t/p" and fault.message and fault.remedy


def test_two_rules_do_not_say_the_same_nor_bear_one_name() -> None:
    rules = ("{name: a, direction: in, action: deny}", "{name: b, direction: in, action: deny, share: 5}")
    (fault,) = read("SecurityPolicy", f"{{rules: [{', '.join(rules)}]}}").faults
    assert (fault.rule, fault.path) == ("duplicate-item", "spec.rules[1]") and "rule 1" in fault.message
    rules = ("{name: a, direction: in, action: deny}", "{name: a, direction: out, action: deny}")
    (fault,) = read("SecurityPolicy", f"{{rules: [{', '.join(rules)}]}}").faults
    assert (fault.rule, fault.path) == ("duplicate-item", "spec.rules[1]") and "named a" in fault.message


def test_nobody_bears_the_name_of_another() -> None:
    metadata = "{name: p, tenant: t, labels: {ringfence/name: q}}"
    (fault,) = read("SecurityPolicy", "{}", metadata).faults
    assert (fault.rule, fault.path) == ("label-reserved", "metadata.labels.ringfence/name")


def test_the_operator_has_no_tenant_and_has_to_name_the_tier() -> None:
    faults = read("OperatorPolicy", "{}", "{name: p, tenant: t}").faults
    assert {(fault.rule, fault.path) for fault in faults} == {
        ("unknown-field", "metadata.tenant"),
        ("missing-field", "spec.tier"),
    }


def test_all_mistakes_are_found_in_one_go_each_at_its_line() -> None:
    text = (
        WHOLE.replace("operator: In", "operator: Within")
        .replace("port: 443", "port: 70000")
        .replace("order: -5", "order: first")
        .replace("action: pass", "action: skip")
        .replace("tier: web", "tier: '-'")
    )
    faults = parse([Source("web.yaml", text)]).faults
    assert [(fault.line, fault.path) for fault in sorted(faults, key=lambda fault: fault.line)] == [
        (5, "spec.order"),
        (7, "spec.subject.ports.matchLabels.tier"),
        (16, "spec.rules[0].from[1].ports.matchExpressions[0].operator"),
        (18, "spec.rules[0].services[0].port"),
        (23, "spec.rules[1].action"),
    ]


def test_the_policies_of_the_page_have_no_mistake() -> None:
    page = (Path(__file__).parents[3] / "docs" / "policy.md").read_text()
    blocks = [textwrap.dedent(text) for text in re.findall(r"```yaml\n(.*?)```", page, re.DOTALL)]
    assert len(blocks) >= 2
    for number, text in enumerate(blocks):
        manifest = parse([Source(f"block {number}", text)])
        assert manifest.wanted and not manifest.faults


words = st.sampled_from(("a", "b", "c"))
requirements = st.one_of(
    st.builds(
        lambda key, operator, values: Requirement(key, operator, tuple(sorted(values))),
        words,
        st.sampled_from((Operator.IN, Operator.NOT_IN)),
        st.frozensets(words, min_size=1),
    ),
    st.builds(Requirement, words, st.sampled_from((Operator.EXISTS, Operator.DOES_NOT_EXIST))),
)
selectors = st.lists(requirements, max_size=3).map(conjunction).filter(satisfiable)
blocks = st.sampled_from(
    (
        Block(ip_network("0.0.0.0/0"), (ip_network("10.0.0.0/8"),)),
        Block(ip_network("fd00::/8")),
        Block(ip_network("192.0.2.1/32")),
    )
)
services = st.one_of(
    st.builds(
        lambda protocol, ends: Service(protocol, PortRange(min(ends), max(ends))),
        st.sampled_from((Protocol.TCP, Protocol.UDP, Protocol.SCTP)),
        st.tuples(st.integers(0, 65535), st.integers(0, 65535)),
    ),
    st.integers(0, 255).map(Service),
    st.builds(lambda kind, code: Service(Protocol.ICMP, None, kind, code), st.integers(0, 255), st.none()),
    st.builds(lambda kind, code: Service(Protocol.ICMPV6, None, kind, code), *([st.integers(0, 255)] * 2)),
)
enforcement = st.one_of(
    st.just((State.COUNT, 100)), st.integers(1, 100).map(lambda share: (State.ENFORCE, share))
)


def selections(tenants: st.SearchStrategy) -> st.SearchStrategy:
    return st.builds(Selection, selectors, selectors, tenants)


def rules(tenants: st.SearchStrategy) -> st.SearchStrategy:
    one = st.builds(
        lambda direction, action, peers, asked, state: Rule(
            direction, action, tuple(peers), tuple(asked), *state
        ),
        st.sampled_from(Direction),
        st.sampled_from(Action),
        st.lists(st.one_of(selections(tenants), blocks), max_size=3, unique=True),
        st.lists(services, max_size=3, unique=True),
        enforcement,
    )
    return st.lists(
        one, max_size=3, unique_by=lambda rule: (rule.direction, rule.action, rule.peers, rule.services)
    )


default = st.none() | st.builds(
    lambda action, state: Default(action, *state), st.sampled_from((Action.ALLOW, Action.DENY)), enforcement
)


@st.composite
def policies(draw: st.DrawFn) -> Policy:
    tier = draw(st.sampled_from(Tier))
    tenants = st.none() if tier is Tier.TENANT else st.none() | selectors
    return Policy(
        "p",
        "t" if tier is Tier.TENANT else "",
        tier,
        draw(st.integers(-10_000, 10_000)),
        draw(selections(tenants)),
        tuple(draw(rules(tenants))),
        Defaults(draw(default), draw(default)),
        draw(st.sampled_from(Change)),
    )


@given(policies())
@settings(max_examples=70)
def test_what_is_written_out_is_read_as_the_same(policy: Policy) -> None:
    document = policy_document(policy)
    manifest = parse([Source("x", yaml.safe_dump(document))], [])
    assert not manifest.faults
    (made,) = manifest.wanted
    assert isinstance(made, WantedPolicy) and made.policy == policy
    (again,) = parse([], [document]).wanted
    assert isinstance(again, WantedPolicy) and again.policy == policy


def test_what_is_a_default_is_not_written_out() -> None:
    assert policy_spec(Policy("p", "t")) == {} and defaults_spec(Defaults()) == {}
    assert defaults_spec(Defaults(inward=Default(Action.DENY))) == {"defaults": {"in": "deny"}}


FIELDS = (
    *("subject", "rules", "defaults", "ports", "networks", "tenants", "matchLabels", "matchExpressions"),
    *("key", "operator", "values", "cidr", "except", "from", "to", "services", "protocol", "port", "type"),
    *("direction", "action", "state", "share", "in", "out", "name", "other"),
)
WORDS = (
    *("in", "out", "allow", "deny", "pass", "count", "In", "Exists", "tcp", "icmp", "a"),
    1,
    8,
    None,
    True,
)
trees = st.recursive(
    st.one_of(st.sampled_from(WORDS), st.text(max_size=5), st.floats()),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(FIELDS), inner, max_size=4),
    max_leaves=16,
)


@given(st.dictionaries(st.sampled_from(("subject", "rules", "defaults", "order", "onChange")), trees))
@settings(max_examples=80)
def test_no_document_raises(spec: dict[str, object]) -> None:
    value = {"apiVersion": "ringfence/v1", "kind": "SecurityPolicy", "metadata": {"name": "p", "tenant": "t"}}
    manifest = parse([], [value | {"spec": spec}])
    assert all(fault.rule and fault.message and fault.remedy for fault in manifest.faults)
    assert len(manifest.wanted) == 1
