"""docs/cli.md says what the code does: fields, commands, exit codes, rules."""

from __future__ import annotations

import ast
import re
from pathlib import Path

from controller.cli.commands import COMMANDS, EXIT_CODES
from controller.manifest.reference import render

ROOT = Path(__file__).parents[3]
TEXT = (ROOT / "docs" / "cli.md").read_text()
KEBAB = re.compile(r"[a-z]+(-[a-z0-9]+)+")
PLANNER = (
    "hardware",
    "laws_hardware",
    "laws_gangs",
    "laws_outlets",
    "peerings",
    "laws_peerings",
    "outside",
    "ways_out",
    "laws_outside",
    "laws_policies",
    "laws_public",
    "laws",
    "policies",
    "guidance",
    "seeds",
    "routes",
    "ports",
    "pairs",
    "networks",
    "roots",
    "trial",
    "plan",
    "deletion",
)
NO_RULES = {
    *("egress-class", "egress-classes", "floating-ip", "floating-ips", "web-1"),  # names of kinds, an example
    *("already-running", "not-a-socket", "not-listening", "path-too-long"),  # at the start of the API only
    "evpn-release",  # a question to agents
    *("libvirt-hostdev", "cloud-init"),  # forms of an export
    *("content-type", "content-length", "idempotency-key", "utf-8"),
    *("ledger-upkeep", "ledger-books"),  # threads
}


def rules_in_code() -> set[str]:
    files = [
        *(ROOT / "controller" / "manifest").glob("*.py"),
        *(ROOT / "controller" / "api").glob("*.py"),
        *(ROOT / "controller" / "kubernetes").glob("*.py"),
        *(ROOT / "ipam" / f"{name}.py" for name in PLANNER),
    ]
    trees = (ast.parse(path.read_text()) for path in files)
    texts = (n.value for tree in trees for n in ast.walk(tree) if isinstance(n, ast.Constant))
    return {t for t in texts if isinstance(t, str) and KEBAB.fullmatch(t)} - NO_RULES


def rules_in_docs() -> set[str]:
    table = TEXT.partition("| rule | broken by |")[2].partition("\n## ")[0]
    first = (line.split("|")[1] for line in table.splitlines() if line.startswith("| `"))
    return set(re.findall(r"`([a-z0-9-]+)`", " ".join(first)))


def test_the_fields_are_those_of_the_declarations() -> None:
    between = TEXT.partition("controller.manifest.reference` -->\n")[2].partition("<!-- end of fields -->")[0]
    assert between.strip() == render().strip(), "run: python -m controller.manifest.reference"


def test_every_rule_of_the_code_is_listed() -> None:
    assert len(rules_in_code()) > 30
    assert rules_in_code() <= rules_in_docs()


def test_every_rule_that_is_listed_is_in_the_code() -> None:
    rooms = ("controller", "ipam", "accounting", "pipelines")
    sources = [path for room in rooms for path in (ROOT / room).rglob("*.py")]
    code = "\n".join(path.read_text() for path in sources)
    assert {rule for rule in rules_in_docs() if f'"{rule}"' not in code} == set()


def test_every_command_and_exit_code_is_listed() -> None:
    for name, _, _ in COMMANDS:
        assert f"`ringfence {name}" in TEXT
    for code, meaning in EXIT_CODES:
        assert f"| {code} | {meaning.replace('--wait', '`--wait`')} |" in TEXT
