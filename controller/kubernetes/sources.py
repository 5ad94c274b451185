"""Sources: texts with documents of Kubernetes, converted; each mistake with its file and line.

Place: what `ringfence policy convert` calls. Pure. Must not give anything that `ringfence apply` would refuse
by its form.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Final

from controller.kubernetes.networkpolicy import LISTS, Converted, convert, title
from controller.manifest.manifest import Source, parse
from controller.manifest.policy_documents import policy_document
from controller.manifest.text import Document, read
from controller.manifest.tree import DEEPEST, Entry, Listing, Node, Scalar, Sort, Table, lines, show
from model.errors import Fault
from model.policy import Defaults, Policy, State
from model.wanted import Where

_LONGEST_NUMBER: Final = 20


@dataclass(frozen=True, slots=True)
class _Located:
    """A document, and where it was written."""

    value: object
    where: Where
    faults: tuple[Fault, ...]


def convert_sources(sources: Iterable[Source], tenant: str) -> Converted:
    """The policies of all texts, and everything that is wrong with them. Never raises."""
    policies: dict[str, Policy] = {}
    faults: list[Fault] = []
    count = 0
    for source in sources:
        for found in read(source.name, source.text):
            count += 1
            if isinstance(found, Fault):
                faults.append(found)
                continue
            for one in _unfold(found):
                faults += one.faults
                made = convert([one.value], tenant)
                faults += (_placed(fault, one.where) for fault in made.faults)
                for policy in made.policies:
                    faults += _refused(policy, one, policies.setdefault(policy.name, policy))
    if not count:
        faults.append(Fault("manifest", "empty-manifest", "there is no document", "Give a NetworkPolicy."))
    return Converted(tuple(policies.values()), tuple(faults))


def counting(policy: Policy) -> Policy:
    """Its defaults, which alone deny, count."""
    both = (policy.defaults.outward, policy.defaults.inward)
    return replace(policy, defaults=Defaults(*(one and replace(one, state=State.COUNT) for one in both)))


def _unfold(document: Document) -> Iterator[_Located]:
    """The items of a list, else the document itself."""
    pending = deque([document.root])
    while pending:
        node = pending.popleft()
        items = _items(node)
        if items is not None:
            pending.extendleft(reversed(items))
        elif not (isinstance(node, Scalar) and node.sort is Sort.NULL):
            where = Where(document.source, node.line, lines(node, DEEPEST))
            faults: list[Fault] = []
            value = _plain(node, "", where, faults)
            yield _Located(value, where, tuple(replace(fault, object=title(value)) for fault in faults))


def _items(node: Node) -> tuple[Node, ...] | None:
    if not isinstance(node, Table):
        return None
    fields = {entry.key: entry.value for entry in node.entries}
    kind, items = fields.get("kind"), fields.get("items")
    if isinstance(kind, Scalar) and kind.text in LISTS and isinstance(items, Listing):
        return items.items
    return None


def _plain(node: Node, path: str, where: Where, faults: list[Fault]) -> object:
    """As a program reads it that knows no lines; what it would read otherwise than another is a fault."""
    if isinstance(node, Scalar):
        return _scalar(node)
    if isinstance(node, Listing):
        return [_plain(item, f"{path}[{index}]", where, faults) for index, item in enumerate(node.items)]
    found: dict[str, object] = {}
    for entry in node.entries:
        below = f"{path}.{entry.key}" if path else entry.key
        if entry.key in found:
            faults.append(_twice(entry, below, where))
        found[entry.key] = _plain(entry.value, below, where, faults)
    return found


def _twice(entry: Entry, path: str, where: Where) -> Fault:
    message = f"{show(entry.key)} stands twice"
    return Fault("document", "duplicate-key", message, "Keep one of them.", path, where.source, entry.line)


def _scalar(node: Scalar) -> object:
    match node.sort:
        case Sort.NULL:
            return None
        case Sort.BOOLEAN:
            return node.text.lower() == "true"
        case Sort.INTEGER if len(node.text) <= _LONGEST_NUMBER and not _is_doubtful(node.text):
            return int(node.text, 0)
        case Sort.INTEGER | Sort.NUMBER:
            # No field that is read here may have one.
            return 0.5
        case Sort.TEXT:
            return node.text


def _is_doubtful(text: str) -> bool:
    """Octal to the one reader, decimal to the other."""
    digits = text.lstrip("+-")
    return len(digits) > 1 and digits[0] == "0" and digits[1] not in "xo"


def _placed(fault: Fault, where: Where) -> Fault:
    return replace(fault, source=where.source, line=where.at(fault.path))


def _refused(policy: Policy, one: _Located, first: Policy) -> Iterator[Fault]:
    """What our own reader would say of it: it is too large, or its name was given already."""
    if first is not policy:
        message = f"another document makes the policy {policy.name} as well"
        advice = "Keep one of the two, or rename one."
        fault = Fault(title(one.value), "duplicate-object", message, advice, "metadata.name")
        yield _placed(fault, one.where)
    for fault in parse([], [policy_document(policy)]).faults:
        yield _placed(replace(fault, object=title(one.value), path=""), one.where)
