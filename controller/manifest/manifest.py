"""Manifest: all sources of one request, read together; and the merge of its faults with the planner's.

Place: what the API calls. `parse` finds every mistake that can be seen without the store; what is readable
goes to `ipam.plan` all the same, so that `merge` can report both kinds in one answer. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Final

from controller.manifest.draft import MAX_FAULTS, Draft, draft
from controller.manifest.rules import check
from controller.manifest.salvage import salvage
from controller.manifest.schema import KINDS
from controller.manifest.text import Document, read
from controller.manifest.tree import TooMuch, grow
from model.errors import Fault
from model.wanted import Kind, Reference, Wanted, refer, title

MAX_DOCUMENTS: Final = 100_000
_TENANTED: Final = frozenset(rule.kind for rule in KINDS if rule.is_tenanted)
_HARDWARE: Final = {
    ("spec.sku", "unknown-sku"): Kind.SKU,
    ("spec.fabric", "unknown-fabric"): Kind.FABRIC,
    ("spec.host", "unknown-host"): Kind.HYPERVISOR,
}
"""What a node rests on: (field, rule that says it is not there)."""
REQUEST: Final = "<request>"
"""Source of objects that came as JSON values, without a file."""


@dataclass(frozen=True, slots=True)
class Source:
    """A file's name (for faults only) and its text."""

    name: str
    text: str


@dataclass(frozen=True, slots=True)
class Manifest:
    """`wanted`: what could be read, one for each name; write it only if `faults` is empty.

    `drafts`: the draft of each wanted object, by its reference.
    """

    wanted: tuple[Wanted, ...]
    references: tuple[Reference, ...]
    drafts: dict[Reference, Draft]
    faults: tuple[Fault, ...]


def parse(sources: Iterable[Source], values: Iterable[object] = ()) -> Manifest:
    """All objects and all faults of texts and of JSON values. Never raises.

    After MAX_FAULTS faults or MAX_DOCUMENTS documents it looks no further, and says so.
    """
    drafts: list[Draft] = []
    faults: list[Fault] = []
    count = 0
    for count, each in enumerate(_documents(sources, values), 1):
        if isinstance(each, Fault):
            faults.append(each)
        else:
            made, broken = draft(each)
            drafts += made
            faults += broken
        if len(faults) > MAX_FAULTS or count >= MAX_DOCUMENTS:
            faults.append(_too_many(count))
            break
    if not count:
        faults.append(
            Fault("manifest", "empty-manifest", "there is no object in it", "Add at least one document.")
        )
    return _collect(drafts, faults)


def _documents(sources: Iterable[Source], values: Iterable[object]) -> Iterator[Document | Fault]:
    for source in sources:
        yield from read(source.name, source.text)
    for index, value in enumerate(values, 1):
        try:
            yield Document(REQUEST, index, grow(value))
        except TooMuch as error:
            yield Fault(f"document {index}", "too-deep", str(error), "Flatten it.", "", REQUEST)


def _too_many(count: int) -> Fault:
    message = (
        f"more than {MAX_FAULTS} mistakes or {MAX_DOCUMENTS} documents: nothing after the {count}th was read"
    )
    return Fault("manifest", "too-many", message, "Mend these first, or apply the manifest in parts.")


def _collect(drafts: list[Draft], faults: list[Fault]) -> Manifest:
    wanted: dict[Reference, Wanted] = {}
    owners: dict[Reference, Draft] = {}
    references: dict[Reference, Draft] = {}
    for number, each in enumerate(drafts):
        between = check(each)
        faults += between
        each = replace(each, broken=each.broken | {fault.path.partition("[")[0] for fault in between})
        reference = _reference(each)
        if reference is not None:
            first = references.setdefault(reference, each)
            if first is not each:
                faults.append(_twice(each, first))
                continue
        made = salvage(each, number)
        if made is not None:
            wanted[refer(made)] = made
            owners[refer(made)] = each
    return Manifest(tuple(wanted.values()), tuple(references), owners, tuple(faults))


def _reference(each: Draft) -> Reference | None:
    name, tenant = each.get("metadata.name"), each.get("metadata.tenant")
    if name is None or (tenant is None and each.kind in _TENANTED):
        return None
    return Reference(each.kind, name, tenant, each.where)


def _twice(again: Draft, first: Draft) -> Fault:
    place = f"{first.where.source}:{first.where.line}" if first.where.line else first.where.source
    return Fault(
        again.title,
        "duplicate-object",
        f"it stands twice, first at {place}",
        "Keep one of the two documents, or rename one.",
        "metadata.name",
        again.where.source,
        again.where.at("metadata.name"),
    )


def merge(manifest: Manifest, planned: Iterable[Fault]) -> tuple[Fault, ...]:
    """The manifest's faults and the planner's, in the order of the text, without echoes.

    An echo is a fault of a field that was itself unreadable, or that follows from an unreadable parent.
    """
    drafts = {title(reference): (reference, each) for reference, each in manifest.drafts.items()}
    kept: list[Fault] = []
    for fault in planned:
        found = drafts.get(fault.object)
        if found is not None:
            reference, each = found
            if _is_echo(fault, reference, each, manifest):
                continue
            path = _written(each, fault.path)
            fault = replace(fault, object=each.title, path=path, line=each.where.at(path))
        kept.append(fault)
    return sort_faults((*manifest.faults, *kept))


def _is_echo(fault: Fault, reference: Reference, each: Draft, manifest: Manifest) -> bool:
    if fault.path in each.broken:
        return True
    if reference.kind is Kind.NODE and (kind := _HARDWARE.get((fault.path, fault.rule))) is not None:
        return Reference(kind, each.get(fault.path)) in manifest.references
    if reference.kind is not Kind.PORT:
        return False
    field, index = _split(fault.path)
    if field == "spec.hosts" and index is not None:
        host = each.get("spec.hosts")[index]
        return fault.rule == "unknown-host" and Reference(Kind.HYPERVISOR, host) in manifest.references
    if field != "spec.addresses":
        return False
    parent = manifest.drafts.get(Reference(Kind.NETWORK, each.get("spec.network"), reference.tenant))
    return parent is not None and "spec.subnets" in parent.broken


def _written(each: Draft, path: str) -> str:
    """The path as it was written: the planner counts only the items that could be read."""
    field, index = _split(path)
    positions = each.positions.get(field, ())
    return path if index is None or index >= len(positions) else f"{field}[{positions[index]}]"


def _split(path: str) -> tuple[str, int | None]:
    """`spec.hosts[2]` to (`spec.hosts`, 2)."""
    field, _, rest = path.partition("[")
    index = rest.rstrip("]")
    return field, int(index) if index.isdecimal() else None


def sort_faults(faults: Iterable[Fault]) -> tuple[Fault, ...]:
    """By source, line, object and path; of faults of one rule at one field the first."""
    unique: dict[tuple[str, ...], Fault] = {}
    for fault in faults:
        unique.setdefault((fault.source, str(fault.line), fault.object, fault.path, fault.rule), fault)
    return tuple(sorted(unique.values(), key=lambda f: (f.source, f.line, f.object, f.path, f.rule)))
