"""Drafts: what could be read of each document, and every field that could not.

Place: tree -> draft -> `model.wanted`. A draft with mistakes is salvaged as far as it goes, so that the
checks that need other objects still see it and one run shows every mistake. Must not look at the store.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final

from controller.manifest import readers
from controller.manifest.branch import Branch
from controller.manifest.fields import FieldRule, KindRule, Presence, Shape
from controller.manifest.readers import Misfit
from controller.manifest.schema import API_VERSION, KINDS, find_kind
from controller.manifest.suggest import nearest, remedy
from controller.manifest.text import Document
from controller.manifest.tree import Entry, Listing, Node, Scalar, Sort, Table, lines, name_sort, show
from model.errors import Fault
from model.labels import NAME
from model.wanted import Kind, Reference, Where, title

MAX_FAULTS: Final = 2_000
"""Mistakes that are looked for in one request."""
_TOP: Final = ("apiVersion", "kind", "metadata", "spec", "status")
_READ_ONLY: Final = ("metadata.uid", "metadata.generation")
"""Written by `get -o yaml`, ignored here, so that its output can be applied again (as is `status`)."""


@dataclass(frozen=True, slots=True)
class Draft:
    """`values` by field path, typed; `broken`: paths that were written wrong or are missing.

    `positions`: list field -> the written index of each item that was kept.
    """

    kind: Kind
    title: str
    values: dict[str, Any]
    broken: frozenset[str]
    where: Where
    positions: dict[str, tuple[int, ...]]

    def get(self, path: str) -> Any:
        return self.values.get(path)


@dataclass(slots=True)
class _Reading:
    """One document that is being read: collects faults under the object's title."""

    document: Document
    faults: list[Fault]
    title: str
    where: Where
    positions: dict[str, tuple[int, ...]] = field(default_factory=dict)

    def fault(self, path: str, rule: str, message: str, advice: str, line: int = 0) -> None:
        if len(self.faults) > MAX_FAULTS:
            return
        self.faults.append(
            Fault(self.title, rule, message, advice, path, self.where.source, line or self.where.at(path))
        )


def draft(document: Document) -> tuple[tuple[Draft, ...], tuple[Fault, ...]]:
    """The drafts of one document (several for `kind: List`) and its faults."""
    drafts: list[Draft] = []
    faults: list[Fault] = []
    for each in _unfold(document):
        made = _draft(each, faults)
        if made is not None:
            drafts.append(made)
    return tuple(drafts), tuple(faults)


def _unfold(document: Document) -> Iterator[Document]:
    """The items of a `kind: List`, as `get -o json` writes it; else the document itself."""
    root = document.root
    if isinstance(root, Table):
        fields = {e.key: e.value for e in root.entries}
        kind, items = fields.get("kind"), fields.get("items")
        if isinstance(kind, Scalar) and kind.text == "List" and isinstance(items, Listing):
            for item in items.items:
                yield Document(document.source, document.index, item)
            return
    yield document


def _draft(document: Document, faults: list[Fault]) -> Draft | None:
    root = document.root
    where = Where(document.source, root.line, lines(root))
    reading = _Reading(document, faults, f"document {document.index}", where)
    if not isinstance(root, Table):
        reading.fault(
            "",
            "not-an-object",
            f"it is {name_sort(root)}, not an object",
            f"Begin with apiVersion: {API_VERSION}.",
        )
        return None
    top = _entries(reading, "", root)
    rule = _kind(reading, top)
    if rule is None:
        _version(reading, top)
        return None
    sections = {name: _section(reading, top, name) for name in ("metadata", "spec")}
    reading.title = _title(rule, sections["metadata"], document.index)
    _version(reading, top)
    _unknown(reading, "", top, _TOP)
    values: dict[str, Any] = {}
    broken: set[str] = set()
    for section, entries in sections.items():
        known = rule.of(section)
        allowed = [f.name for f in known] + [p.partition(".")[2] for p in _READ_ONLY if p.startswith(section)]
        _unknown(reading, section, entries, allowed)
        for each in known:
            _field(reading, each, entries.get(each.name), values, broken)
    return Draft(rule.kind, reading.title, values, frozenset(broken), where, reading.positions)


def _entries(reading: _Reading, path: str, table: Table) -> dict[str, Entry]:
    found: dict[str, Entry] = {}
    for entry in table.entries:
        if entry.key in found:
            reading.fault(
                f"{path}.{_safe(entry.key)}".lstrip("."),
                "duplicate-key",
                f"{show(entry.key)} stands twice, first on line {found[entry.key].line}",
                "Keep one of them.",
                entry.line,
            )
        else:
            found[entry.key] = entry
    return found


def _kind(reading: _Reading, top: dict[str, Entry]) -> KindRule | None:
    names = [rule.kind.value for rule in KINDS]
    entry = top.get("kind")
    if entry is None:
        reading.fault("kind", "missing-field", "it is missing", f"Add one of {', '.join(names)}.")
        return None
    node = entry.value
    if isinstance(node, Scalar):
        for rule in KINDS:
            if node.text == rule.kind.value:
                return rule
        near = find_kind(node.text)
        advice = f'Did you mean "{near.kind.value}"?' if near else remedy(node.text, names)
        reading.fault("kind", "kind-unknown", f"{show(node.text)} is no kind", advice)
        return None
    reading.fault("kind", "wrong-type", f"kind is {name_sort(node)}", f"Write one of {', '.join(names)}.")
    return None


def _version(reading: _Reading, top: dict[str, Entry]) -> None:
    entry = top.get("apiVersion")
    if entry is None:
        reading.fault("apiVersion", "missing-field", "it is missing", f"Add apiVersion: {API_VERSION}.")
    elif not isinstance(entry.value, Scalar) or entry.value.text != API_VERSION:
        written = show(entry.value.text) if isinstance(entry.value, Scalar) else name_sort(entry.value)
        reading.fault("apiVersion", "api-version", f"{written} is not known here", f"Write {API_VERSION}.")


def _section(reading: _Reading, top: dict[str, Entry], name: str) -> dict[str, Entry]:
    entry = top.get(name)
    if entry is None:
        return {}
    if isinstance(entry.value, Table):
        return _entries(reading, name, entry.value)
    if not (isinstance(entry.value, Scalar) and entry.value.sort is Sort.NULL):
        reading.fault(
            name, "wrong-type", f"{name} is {name_sort(entry.value)}, not a mapping", "Indent its fields."
        )
    return {}


def _title(rule: KindRule, metadata: dict[str, Entry], index: int) -> str:
    def part(key: str) -> str | None:
        entry = metadata.get(key)
        if entry is None or not isinstance(entry.value, Scalar) or not entry.value.text:
            return None
        return show(entry.value.text)[1:-1]

    name = part("name")
    if name is None:
        return f"{rule.kind.value} (document {index})"
    return title(Reference(rule.kind, name, part("tenant") if rule.is_tenanted else None))


def _unknown(reading: _Reading, section: str, entries: dict[str, Entry], allowed: Any) -> None:
    for key, entry in entries.items():
        if key in allowed:
            continue
        path = f"{section}.{_safe(key)}".lstrip(".")
        other = "spec" if section == "metadata" else "metadata"
        kind = next((k for k in KINDS if reading.title.startswith(k.kind.value)), None)
        if not section and kind and any(f.name == key for f in kind.fields):
            home = next(f.section for f in kind.fields if f.name == key)
            advice = f"Move it under {home}."
        elif section and kind and any(f.path == f"{other}.{key}" for f in kind.fields):
            advice = f"Move it under {other}."
        elif section == "metadata" and key == "tenant":
            advice = "Remove it: this kind belongs to no tenant."
        else:
            advice = remedy(key, allowed) if nearest(key, allowed) else f"Remove it. {remedy(key, allowed)}"
        reading.fault(path, "unknown-field", f"there is no field {show(key)} here", advice, entry.line)


def _field(
    reading: _Reading, rule: FieldRule, entry: Entry | None, values: dict[str, Any], broken: set[str]
) -> None:
    path = rule.path
    if entry is None:
        if rule.presence is Presence.REQUIRED:
            broken.add(path)
            reading.fault(
                path,
                "missing-field",
                "it is missing",
                f"Add {rule.name}: {rule.example} under {rule.section}.",
            )
        return
    before = len(reading.faults)
    if rule.shape is Shape.LABELS:
        values[path] = _labels(reading, path, entry.value)
    elif rule.shape in {Shape.MANY, Shape.RECORDS}:
        values[path] = _many(reading, rule, entry.value)
    elif rule.tree is not None:
        values[path] = rule.tree(Branch(path, entry.value, reading.fault))
    else:
        one = _record if rule.shape is Shape.RECORD else _one
        value = one(reading, rule, path, entry.value)
        if value is not None:
            values[path] = value
    if len(reading.faults) > before:
        broken.add(path)


def _one(reading: _Reading, rule: FieldRule, path: str, node: Node) -> Any:
    if not isinstance(node, Scalar):
        reading.fault(
            path,
            "wrong-type",
            f"it is {name_sort(node)}, wanted one value",
            f"Write {rule.name}: {rule.example}.",
        )
        return None
    try:
        return rule.read(node)
    except Misfit as misfit:
        reading.fault(path, misfit.rule, str(misfit), misfit.remedy, node.line)
        return None


def _many(reading: _Reading, rule: FieldRule, node: Node) -> tuple[Any, ...]:
    if not isinstance(node, Listing):
        reading.fault(
            rule.path,
            "wrong-type",
            f"it is {name_sort(node)}, wanted a list",
            f"Write {rule.name}: {rule.example}.",
        )
        return ()
    if len(node.items) > rule.most:
        reading.fault(rule.path, "too-large", f"{len(node.items)} items", f"Use at most {rule.most}.")
        return ()
    if not node.items and rule.presence is Presence.REQUIRED:
        reading.fault(rule.path, "missing-field", "it is empty", f"Write {rule.name}: {rule.example}.")
    found: dict[Any, int] = {}
    for index, item in enumerate(node.items):
        path = f"{rule.path}[{index}]"
        one = _record if rule.shape is Shape.RECORDS else _one
        value = one(reading, rule, path, item)
        if value is None:
            continue
        if value in found:
            shown = "this" if isinstance(value, tuple) else value
            reading.fault(
                path,
                "duplicate-item",
                f"{shown} stands twice, first as item {found[value]}",
                "Keep one of them.",
            )
        else:
            found[value] = index
    reading.positions[rule.path] = tuple(found.values())
    return tuple(found)


def _record(reading: _Reading, rule: FieldRule, path: str, node: Node) -> tuple[Any, ...] | None:
    """The values of one mapping in the order of the rule's parts, None for those left out; None if broken."""
    if not isinstance(node, Table):
        reading.fault(
            path, "wrong-type", f"it is {name_sort(node)}, wanted a mapping", f"Write {rule.example}."
        )
        return None
    before = len(reading.faults)
    entries = _entries(reading, path, node)
    _unknown(reading, path, entries, [part.name for part in rule.parts])
    values = []
    for part in rule.parts:
        entry = entries.get(part.name)
        if entry is not None:
            values.append(_one(reading, part, f"{path}.{part.name}", entry.value))
            continue
        values.append(None)
        if part.presence is Presence.REQUIRED:
            advice = f"Add {part.name}: {part.example}."
            reading.fault(path, "missing-field", f"it has no {part.name}", advice, node.line)
    return None if len(reading.faults) > before else tuple(values)


def _labels(reading: _Reading, path: str, node: Node) -> tuple[tuple[str, str], ...]:
    if not isinstance(node, Table):
        reading.fault(
            path, "wrong-type", f"it is {name_sort(node)}, wanted a mapping", "Write labels: {tier: web}."
        )
        return ()
    pairs: list[tuple[str, str]] = []
    for key, entry in _entries(reading, path, node).items():
        below = f"{path}.{_safe(key)}"
        try:
            readers.read_label_key(Scalar(Sort.TEXT, key, entry.line))
            if key == NAME:
                raise Misfit("label-reserved", "everything has its own name as that label", "Take it out.")
            if not isinstance(entry.value, Scalar):
                raise Misfit("wrong-type", f"it is {name_sort(entry.value)}, wanted text", "Write one word.")
            pairs.append((key, readers.read_label(entry.value)))
        except Misfit as misfit:
            reading.fault(below, misfit.rule, str(misfit), misfit.remedy, entry.line)
    return tuple(sorted(pairs))


def _safe(key: str) -> str:
    """A foreign key, fit for a path that is printed."""
    return show(key)[1:-1]
