"""Rules that can never match are named after an apply: the writer's, and others' by the writer's doing."""

from __future__ import annotations

import itertools

from controller.api.advice import MOST_TOLD, advise
from controller.manifest.manifest import Manifest, Source, parse
from ipam import pools
from ipam.contents import Contents
from ipam.draft import Draft
from ipam.plan import plan
from model.errors import Fault
from model.ids import Uid
from model.intent import Cluster

POLICY = """apiVersion: ringfence/v1
kind: {kind}
metadata: {{name: {name}{tenant}}}
spec:
  order: {order}{tier}
  rules:
{rules}
---
"""


def rule(action: str, port: str) -> str:
    return f"  - {{direction: in, action: {action}, services: [{{protocol: tcp, port: {port}}}]}}"


def security(name: str, *rules: str, tenant: str = "acme", order: int = 0) -> str:
    return POLICY.format(
        kind="SecurityPolicy",
        name=name,
        tenant=f", tenant: {tenant}",
        order=order,
        tier="",
        rules="\n".join(rules),
    )


def operator(name: str, *rules: str) -> str:
    return POLICY.format(
        kind="OperatorPolicy",
        name=name,
        tenant="",
        order=0,
        tier="\n  tier: operator",
        rules="\n".join(rules),
    )


def read(*texts: str) -> Manifest:
    manifest = parse([Source("web.yaml", "".join(texts))])
    assert not manifest.faults
    return manifest


def stored(*texts: str) -> Contents:
    """What a store holds after these were applied, with two tenants."""
    draft = Draft(Contents())
    draft.set_cluster(Cluster(Uid("00000000-0000-4000-8000-000000000000"), 1, 65000))
    for pool in pools.defaults(0):
        draft.put_pool(pool)
    tenants = "".join(
        f"apiVersion: ringfence/v1\nkind: Tenant\nmetadata: {{name: {name}}}\n---\n"
        for name in ("acme", "globex")
    )
    empty, serial = draft.contents(), itertools.count(1)
    made = plan(
        empty,
        read(tenants, *texts).wanted,
        1_700_000_000_000,
        lambda: Uid(f"00000000-0000-4000-9000-{next(serial):012x}"),
    )
    draft = Draft(empty)
    for step in made.steps:
        assert step.after is not None
        draft.put(step.after)
    return draft.contents()


def advice(contents: Contents, *texts: str, **more: int) -> tuple[Fault, ...]:
    manifest = read(*texts)
    return advise(contents, manifest.wanted, manifest.drafts, **more)


def test_a_rule_is_named_with_its_line_and_what_covers_it() -> None:
    (told,) = advice(stored(), security("web", rule("deny", "1-100"), rule("allow", "80")))
    assert (told.source, told.line, told.path) == ("web.yaml", 8, "spec.rules[1]")
    assert (told.object, told.rule) == ("SecurityPolicy acme/web", "policy-rule-contradicted")
    assert told.message == "rule 2 can never match: rule 1 covers it" and told.remedy


def test_nothing_is_said_of_what_is_in_order() -> None:
    assert advice(stored(), security("web", rule("allow", "80"), rule("deny", "1-100"))) == ()
    tenant = "apiVersion: ringfence/v1\nkind: Tenant\nmetadata: {name: acme}\n"
    assert advice(stored(security("old", rule("deny", "80"), rule("deny", "70-90"))), tenant) == ()


def test_what_is_in_the_store_covers_and_is_covered() -> None:
    contents = stored(
        security("early", rule("deny", "80"), order=-5),
        security("late", rule("allow", "443"), order=5),
        security("web", rule("allow", "80"), rule("allow", "443"), tenant="globex"),
        operator("guard", rule("deny", "25")),
    )
    told = advice(contents, security("web", rule("allow", "80"), rule("deny", "443"), rule("allow", "25")))
    assert [(one.object, one.path, one.source) for one in told] == [
        ("SecurityPolicy acme/web", "spec.rules[0]", "web.yaml"),
        ("SecurityPolicy acme/web", "spec.rules[2]", "web.yaml"),
        ("SecurityPolicy acme/late", "spec.rules[0]", ""),
    ]
    assert "rule 1 of acme/early covers it" in told[0].message and "guard" in told[1].message
    assert "rule 2 of acme/web covers it" in told[2].message


def test_what_is_written_counts_and_not_what_it_was() -> None:
    contents = stored(security("web", rule("deny", "1-100")), security("x", rule("allow", "80"), order=5))
    assert advice(contents, security("web", rule("deny", "443"))) == ()
    assert len(advice(contents, security("x", rule("allow", "80"), order=6))) == 1
    assert advice(contents, security("x", rule("allow", "80"), order=-6)) == ()


def test_the_operator_is_told_of_every_tenant_once() -> None:
    contents = stored(
        security("a", rule("allow", "80")),
        security("b", rule("allow", "80"), tenant="globex"),
        operator("wide", rule("pass", "443")),
    )
    told = advice(
        contents, operator("guard", rule("deny", "60-90"), rule("deny", "80"), rule("allow", "443"))
    )
    assert [(one.object, one.path) for one in told] == [
        ("OperatorPolicy guard", "spec.rules[1]"),
        ("OperatorPolicy wide", "spec.rules[0]"),
        ("SecurityPolicy acme/a", "spec.rules[0]"),
        ("SecurityPolicy globex/b", "spec.rules[0]"),
    ]


def test_it_says_where_it_has_not_looked() -> None:
    text = security("web", rule("deny", "1-100"), rule("allow", "80"))
    (told,) = advice(stored(), text, most=3)
    assert (told.rule, told.object) == ("policies-not-compared", "Tenant acme")
    assert [one.rule for one in advice(stored(), text, most=4)] == ["policy-rule-contradicted"]
    peers = ", ".join(f"{{cidr: 10.0.{n // 256}.{n % 256}}}" for n in range(1000))
    wide = [
        rule("allow", str(port)).replace("services:", f"from: [{peers}], services:") for port in range(20)
    ]
    assert [one.rule for one in advice(stored(), security("web", *wide))] == ["policies-not-compared"]


def test_no_more_is_told_than_anybody_reads() -> None:
    rules = [rule("deny", "1-60000"), *(rule("allow", str(port)) for port in range(1, MOST_TOLD + 4))]
    told = advice(stored(), security("web", *rules))
    assert len(told) == MOST_TOLD + 1
    assert told[-1].rule == "policies-not-told" and told[-1].message.startswith("3 more")
