"""`ringfence policy` as people run it: a process with arguments, streams, an exit code. No API is needed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from controller.cli.commands import OK, REFUSED, USAGE
from controller.manifest.manifest import Source, parse
from tests.unit.cli.test_commands import ringfence
from tests.unit.kubernetes.test_sources import WEB


def test_a_conversion_can_be_applied(tmp_path: Path) -> None:
    (tmp_path / "web.yaml").write_text(WEB)
    (tmp_path / "db.yml").write_text(WEB.replace("web", "db"))
    ran = ringfence(None, "policy", "convert", "--tenant", "acme", str(tmp_path))
    assert (ran.returncode, ran.stderr) == (OK, "")
    manifest = parse([Source("out.yaml", ran.stdout)])
    assert not manifest.faults
    assert [(one.kind.value, one.tenant, one.name[:8]) for one in manifest.references] == [
        ("SecurityPolicy", "acme", "shop-db-"),
        ("SecurityPolicy", "acme", "shop-web"),
    ]


@pytest.mark.parametrize("where", ["before", "behind"])
def test_it_reads_standard_input_and_writes_json(where: str) -> None:
    form = ("-o", "json")
    words = ("policy", "convert", "-t", "acme", "-")
    ran = ringfence(None, *((*form, *words) if where == "before" else (*words, *form)), text=WEB)
    assert ran.returncode == OK
    listed = json.loads(ran.stdout)
    assert listed["kind"] == "List" and len(listed["items"]) == 1
    assert not parse([], [listed]).faults
    assert list(yaml.safe_load_all(ringfence(None, *words, text=WEB).stdout)) == listed["items"]


def test_what_it_denies_may_only_count_at_first() -> None:
    words = ("policy", "convert", "-t", "acme", "-")
    (made,) = yaml.safe_load_all(ringfence(None, *words, "--count", text=WEB).stdout)
    (plain,) = yaml.safe_load_all(ringfence(None, *words, text=WEB).stdout)
    assert plain["spec"].pop("defaults") == {"in": "deny"}
    assert made["spec"].pop("defaults") == {"in": {"action": "deny", "state": "count"}}
    assert made == plain and not parse([], [made]).faults


def test_what_is_wrong_is_named_and_nothing_is_written(tmp_path: Path) -> None:
    path = tmp_path / "web.yaml"
    path.write_text(WEB.replace("443", "https") + "---\n" + WEB.replace("web", "db"))
    ran = ringfence(None, "policy", "convert", "--tenant", "acme", str(path))
    assert (ran.returncode, ran.stdout) == (REFUSED, "")
    assert f"{path}:18: NetworkPolicy shop/web spec.ingress[0].ports[0].port" in ran.stderr
    assert "[named-port]" in ran.stderr and "Write its number" in ran.stderr
    ran = ringfence(None, "policy", "convert", "--tenant", "acme", str(path), "-o", "json")
    assert [fault["rule"] for fault in json.loads(ran.stdout)["faults"]] == ["named-port"]


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("--tenant", "Acme", "-"), REFUSED, "--tenant: "),
        (("--tenant", "acme", "/nowhere/x.yaml"), REFUSED, "unreadable"),
        (("-",), USAGE, "--tenant"),
        (("--tenant", "acme"), USAGE, "FILE"),
    ],
)
def test_wrong_use(words: tuple[str, ...], code: int, said: str) -> None:
    ran = ringfence(None, "policy", "convert", *words, text=WEB)
    assert ran.returncode == code and said in ran.stderr and "Traceback" not in ran.stderr


TENANT = "apiVersion: ringfence/v1\nkind: Tenant\nmetadata: {name: ruled}\n---\n"
RULES = """apiVersion: ringfence/v1
kind: SecurityPolicy
metadata: {name: web, tenant: ruled}
spec:
  subject: {ports: {matchLabels: {tier: web}}}
  rules:
  - {direction: in, action: deny, services: [{protocol: tcp, port: 1-100}]}
  - {name: http, direction: in, action: allow, services: [{protocol: tcp, port: 80}]}
  defaults: {in: {action: deny, state: count}}
"""


def test_apply_and_plan_warn_of_a_rule_that_can_never_match_and_do_it(house) -> None:
    said = (
        "warning: <stdin>:12: SecurityPolicy ruled/web spec.rules[1]: rule 2 (http) can never match: rule 1"
    )
    try:
        for verb in ("plan", "apply"):
            ran = ringfence(house, verb, "-f", "-", text=TENANT + RULES)
            assert ran.returncode == OK and "SecurityPolicy ruled/web  2 rules for tier=web" in ran.stdout
            assert said in ran.stderr and "[policy-rule-contradicted]" in ran.stderr
        told = json.loads(ringfence(house, "apply", "-f", "-", "-o", "json", text=RULES).stdout)
        assert not told["changed"]
        assert [(one["rule"], one["line"]) for one in told["warnings"]] == [("policy-rule-contradicted", 8)]
        mended = RULES.replace("action: deny, services", "action: allow, state: count, services")
        ran = ringfence(house, "apply", "-f", "-", text=mended)
        assert ran.returncode == OK and not ran.stderr
        assert "SecurityPolicy ruled/web  rule 1 new; rule 1 gone" in ran.stdout
        shown = ringfence(house, "get", "securitypolicies", "--tenant", "ruled").stdout
        assert "tier=web" in shown and "2 rules, else deny (count)" in shown and "2 of 3 count" in shown
    finally:
        gone = ringfence(house, "delete", "policy", "web", "-t", "ruled")
        assert gone.returncode == OK and "deleted   SecurityPolicy ruled/web" in gone.stdout
        assert ringfence(house, "delete", "tenant", "ruled").returncode == OK


def test_a_tenants_default_is_shown_as_it_changes(house) -> None:
    spec = "spec: {defaults: {in: {action: deny, state: count}}}\n"
    try:
        assert ringfence(house, "apply", "-f", "-", text=TENANT).returncode == OK
        ran = ringfence(house, "apply", "-f", "-", text=TENANT.replace("---\n", spec))
        assert "Tenant ruled  default in none -> deny (count)" in ran.stdout
    finally:
        assert ringfence(house, "delete", "tenant", "ruled").returncode == OK
