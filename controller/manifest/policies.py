"""Kinds of policy, declared as data: the tenant's and the operator's; and the defaults of a tenant.

Place: part of `controller.manifest.schema`. What they mean: docs/policy.md. Must not hold rules that span
fields or objects.
"""

from __future__ import annotations

from typing import Final

from controller.manifest import policy_readers as words
from controller.manifest.fields import (
    LABELS,
    NAME,
    TENANT_NAME,
    FieldRule,
    KindRule,
    Presence,
    Shape,
    TreeReader,
)
from controller.manifest.readers import read_name
from model.wanted import Kind


def _tree(name: str, read: TreeReader, meaning: str, example: str) -> FieldRule:
    return FieldRule("spec", name, read_name, meaning, example, shape=Shape.TREE, tree=read)


_ORDER: Final = FieldRule(
    "spec",
    "order",
    words.read_order,
    "Of two policies of a tier the one with the lower order judges first, then by name (default 0).",
    "10",
)
_RULES: Final = (
    "Its rules, up to 1,000, in the order in which they judge. `direction`: out (connections that the"
    " subject opens) or in; `action`: allow, deny or pass (to the next tier); `to` or `from`: the other end,"
    " any of these: {}, or a `cidr` and what of it is not meant (`except`); `services`: any of these:"
    " `protocol` (tcp, udp, sctp, icmp, icmpv6 or a number) with `port` (443 or 8000-8099) or `type` and"
    " `code`. Left out: everybody, everything. `state`: enforce or count (default enforce); `share`: the"
    " percentage of the ports on which it is enforced; on the others it counts (default 100)."
)
_DEFAULTS: Final = _tree(
    "defaults",
    words.read_defaults,
    "What becomes of what no rule of the tier takes, for the subject's ports: deny if one of the tier's"
    " policies says so, else allow if one does, else the next tier.",
    "{in: deny, out: {action: deny, state: count}}",
)
_ON_CHANGE: Final = FieldRule(
    "spec",
    "onChange",
    words.read_change,
    "What a change of it does to established connections: they are judged again, or stay (default judge).",
    "keep",
)
SECURITY_POLICY: Final = KindRule(
    Kind.SECURITY_POLICY,
    "securitypolicies",
    ("policy", "policies", "sp", "sps"),
    "What a tenant's ports may open, and who may open what to them. An apply replaces all of its spec.",
    (
        NAME,
        TENANT_NAME,
        LABELS,
        _ORDER,
        _tree(
            "subject",
            words.read_subject,
            "The ports that it judges, by their labels and those of their networks (default all of the"
            " tenant). Their names are the label `ringfence/name`.",
            "{ports: {matchLabels: {tier: web}}}",
        ),
        _tree(
            "rules",
            words.read_rules,
            _RULES.format("`ports` and `networks` of the tenant by selectors"),
            "[{direction: in, action: allow, from: [{ports: {}}], services: [{protocol: tcp, port: 443}]}]",
        ),
        _DEFAULTS,
        _ON_CHANGE,
    ),
)
OPERATOR_POLICY: Final = KindRule(
    Kind.OPERATOR_POLICY,
    "operatorpolicies",
    ("op", "ops"),
    "What the operator says of tenants' ports, before the tenants' own policies or below them. An apply"
    " replaces all of its spec.",
    (
        NAME,
        LABELS,
        FieldRule(
            "spec",
            "tier",
            words.read_tier,
            "operator: judges before the tenants' policies; baseline: what they leave open.",
            "operator",
            Presence.REQUIRED,
        ),
        _ORDER,
        _tree(
            "subject",
            words.read_any_subject,
            "The ports that it judges, by their labels, those of their networks and of their tenants (default"
            " all of all tenants).",
            "{tenants: {matchLabels: {plan: gold}}}",
        ),
        _tree(
            "rules",
            words.read_any_rules,
            _RULES.format(
                "`ports`, `networks` and `tenants` by selectors (without `tenants`: of the subject's own)"
            ),
            "[{direction: out, action: deny, to: [{cidr: 169.254.0.0/16}]}]",
        ),
        _DEFAULTS,
        _ON_CHANGE,
    ),
)
TENANT_DEFAULTS: Final = _tree(
    "defaults",
    words.read_defaults,
    "What becomes of connections of its ports that no policy decides; what is left out is allowed, and `{}`"
    " takes both off (default allow).",
    "{in: deny, out: allow}",
)
