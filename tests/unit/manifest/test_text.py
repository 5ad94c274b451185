"""YAML text to trees: true lines, no surprises of YAML 1.1, nothing that a hostile document can do."""

from __future__ import annotations

import json
import time
import tracemalloc

import pytest

from controller.manifest.manifest import Source, parse
from controller.manifest.text import Document, read
from controller.manifest.tree import Scalar, Sort, Table, grow, lines, show

TENANT = "apiVersion: ringfence/v1\nkind: Tenant\nmetadata:\n  name: {name}\n"


def rules(text: str) -> list[str]:
    return [fault.rule for fault in parse([Source("x", text)]).faults]


def test_lines_count_from_one_over_documents_and_comments() -> None:
    text = "# a comment\n---\n" + TENANT.format(name="a") + "--- # next\n\n" + TENANT.format(name="BAD")
    manifest = parse([Source("x", text)])
    assert [w.name for w in manifest.wanted][:1] == ["a"]
    (fault,) = manifest.faults
    assert text.splitlines()[fault.line - 1] == "  name: BAD"


def test_a_broken_document_hides_no_other() -> None:
    text = "a: [1\n---\n" + TENANT.format(name="ok") + "---\nb: }\n---\n" + TENANT.format(name="B_")
    manifest = parse([Source("x", text)])
    assert [fault.rule for fault in manifest.faults] == ["yaml-syntax", "yaml-syntax", "name-rule"]
    assert manifest.wanted[0].name == "ok"


@pytest.mark.parametrize(
    ("written", "sort", "text"),
    [
        ("52:54:00:12:34:56", Sort.TEXT, "52:54:00:12:34:56"),  # YAML 1.1: a number in base 60
        ("no", Sort.TEXT, "no"),  # YAML 1.1: false
        ("on", Sort.TEXT, "on"),
        ("true", Sort.BOOLEAN, "true"),
        ("0x10", Sort.INTEGER, "0x10"),
        ("010", Sort.INTEGER, "010"),
        ("1e3", Sort.NUMBER, "1e3"),
        ("10.0.0.1", Sort.TEXT, "10.0.0.1"),
        ("'1'", Sort.TEXT, "1"),
        ("2026-01-01", Sort.TEXT, "2026-01-01"),
        ("~", Sort.NULL, "~"),
        ("", Sort.NULL, ""),
    ],
)
def test_scalars_are_of_the_core_schema(written: str, sort: Sort, text: str) -> None:
    (document,) = read("x", f"key: {written}\n")
    assert isinstance(document, Document) and isinstance(document.root, Table)
    value = document.root.entries[0].value
    assert isinstance(value, Scalar) and (value.sort, value.text) == (sort, text)


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("a: &x [1]\nb: *x\n", "yaml-alias"),
        ("a: !!python/object/apply:os.system ['true']\n", "yaml-tag"),
        ("a: !!str 5\n", "yaml-tag"),
        ("<<: {a: b}\n", "yaml-key"),
        ("? [a, b]\n: c\n", "yaml-key"),
        ("a: \x1b[31mred\n", "character"),
        ("a: pay\u202ekcab\n", "character"),
        ("a: zero\u200bwidth\n", "character"),
        ("a: \x00\n", "character"),
        ("a: b: c\n", "yaml-syntax"),
        ("\ta: b\n", "yaml-syntax"),
        ("[" * 100 + "]" * 100, "too-large"),
        ("[" * 100_000, "too-large"),
        ("", "empty-manifest"),
        ("# nothing\n---\n---\n", "empty-manifest"),
        ("just words\n", "not-an-object"),
        ("%YAML 1.2\n---\n- a\n", "not-an-object"),
    ],
)
def test_one_fault_for_what_manifests_do_not_use(text: str, rule: str) -> None:
    assert rules(text) == [rule]


def test_a_billion_laughs_costs_nothing() -> None:
    bomb = "a0: &a0 [x, x]\n" + "".join(f"a{i}: &a{i} [*a{i - 1}, *a{i - 1}]\n" for i in range(1, 60))
    begin = time.process_time()
    assert rules(bomb) == ["yaml-alias"]
    # Positive control of the bound: the document names far more than 2**50 nodes.
    assert time.process_time() - begin < 5


def test_comments_with_trailing_blanks_take_linear_time() -> None:
    text = "#" + " " * 200 + "\n"
    assert rules(text * 2000 + "- x\n") == ["not-an-object"]


@pytest.mark.parametrize(
    "text",
    [
        "---\na\n" * 300_000,
        "apiVersion: ringfence/v1\nkind: Tenant\nmetadata:\n" + "".join(f" k{i}: 1\n" for i in range(50_000)),
        "? " + "k" * 500_000 + "\n: {" + ",".join(f"a{i}: {{}}" for i in range(50_000)) + "}\n",
    ],
    ids=["documents", "fields", "long-key"],
)
def test_hostile_sizes_end_early_with_few_faults(text: str) -> None:
    tracemalloc.start()
    manifest = parse([Source("x", text)])
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert manifest.faults and len(manifest.faults) < 2_100
    assert peak < 300 << 20


def test_a_byte_order_mark_and_windows_line_ends_are_fine() -> None:
    manifest = parse([Source("x", "\ufeff" + TENANT.format(name="a").replace("\n", "\r\n"))])
    assert not manifest.faults and manifest.wanted[0].name == "a"


def test_json_text_is_yaml_text() -> None:
    text = json.dumps(
        {"apiVersion": "ringfence/v1", "kind": "Tenant", "metadata": {"name": "a", "labels": {"k": "v"}}}
    )
    manifest = parse([Source("x.json", text)])
    assert not manifest.faults and manifest.wanted[0].labels == (("k", "v"),)


def test_values_grow_into_the_same_tree() -> None:
    value = {"a": [1, "b", True, None, 1.5], "c": {"d": 2**70}}
    (document,) = read("x", json.dumps(value))
    assert isinstance(document, Document)
    assert lines(grow(value)) == {}
    assert set(lines(document.root)) == {"a", "a[0]", "a[1]", "a[2]", "a[3]", "a[4]", "c", "c.d"}
    deep: object = "x"
    for _ in range(60):
        deep = [deep]
    assert [f.rule for f in parse([], [deep]).faults] == ["too-deep"]


def test_shown_text_steers_no_terminal() -> None:
    shown = show("\x1b]0;owned\x07\u202e" + "x" * 500)
    assert shown.isascii() and shown.isprintable() and len(shown) < 200
