"""Documents of Kubernetes, read value by value: what is wrong is noted with its field, rule and remedy.

Place: under the kinds of Kubernetes that are accepted. Takes parsed documents. Must not know kinds.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from controller.manifest.readers import Misfit, Reader, read_label, read_label_key
from controller.manifest.tree import Scalar, Sort
from model.errors import Fault
from model.labels import EVERYTHING, Operator, Requirement, Selector, conjunction, satisfiable


class Wrong(Exception):
    """A document cannot go on being read here; the fault is noted."""


@dataclass
class Reading:
    """One document, and what is wrong with it."""

    title: str
    faults: list[Fault] = field(default_factory=list)

    def note(self, path: str, rule: str, message: str, remedy: str) -> None:
        self.faults.append(Fault(self.title, rule, message, remedy, path))

    def refuse(self, path: str, rule: str, message: str, remedy: str) -> Wrong:
        self.note(path, rule, message, remedy)
        return Wrong()

    def table(self, value: object, path: str, *known: str) -> Mapping[str, object]:
        """A mapping; absent is empty. Fields that nobody knows are noted."""
        if value is None:
            return {}
        if not isinstance(value, Mapping):
            raise self.refuse(path, "wrong-type", "it is no mapping", "Write fields with values.")
        for name in value:
            if known and name not in known:
                at = f"{path}.{name}" if path else str(name)
                self.note(at, "unknown-field", f"there is no {name} here", f"Use {', '.join(known)}.")
        return value

    def listing(self, value: object, path: str) -> list[object]:
        """A list; absent is empty."""
        if value is None:
            return []
        if not isinstance(value, list):
            raise self.refuse(path, "wrong-type", "it is no list", "Write each item behind a dash.")
        return value

    def word(self, value: object, path: str, read: Reader) -> str:
        """Text that a rule holds for, which is ours as well."""
        text = self.text(value, path)
        try:
            read(Scalar(Sort.TEXT, text, 0))
        except Misfit as misfit:
            raise self.refuse(path, misfit.rule, str(misfit), misfit.remedy) from None
        return text

    def never(self, path: str) -> None:
        """A selector takes nothing."""
        self.note(
            path, "selector-never", "it contradicts itself: it takes nothing", "Take one of the two out."
        )

    def text(self, value: object, path: str) -> str:
        if not isinstance(value, str):
            raise self.refuse(
                path, "wrong-type", f"{value!r} is no text", "Write text, in quotes if need be."
            )
        return value


def selector(reading: Reading, value: object, path: str) -> Selector:
    table = reading.table(value, path, "matchLabels", "matchExpressions")
    if not table:
        return EVERYTHING
    before = len(reading.faults)
    pairs = reading.table(table.get("matchLabels"), f"{path}.matchLabels")
    found = []
    for key in sorted(pairs, key=str):
        at = f"{path}.matchLabels.{key}"
        reading.word(key, at, read_label_key)
        found.append(Requirement(key, Operator.IN, (reading.word(pairs[key], at, read_label),)))
    listed = reading.listing(table.get("matchExpressions"), f"{path}.matchExpressions")
    for index, one in enumerate(listed):
        found.append(_requirement(reading, one, f"{path}.matchExpressions[{index}]"))
    made = conjunction(found)
    if len(reading.faults) == before and not satisfiable(made):
        reading.never(path)
    return made


def _requirement(reading: Reading, value: object, path: str) -> Requirement:
    table = reading.table(value, path, "key", "operator", "values")
    key = reading.word(table.get("key"), f"{path}.key", read_label_key)
    try:
        operator = Operator(table.get("operator"))
    except ValueError:
        known = ", ".join(one.value for one in Operator)
        at, said = f"{path}.operator", f"{table.get('operator')!r} is no operator"
        raise reading.refuse(at, "unknown-value", said, f"Write one of {known}.") from None
    listed = reading.listing(table.get("values"), f"{path}.values")
    words = (reading.word(one, f"{path}.values[{index}]", read_label) for index, one in enumerate(listed))
    values = tuple(sorted(set(words)))
    if bool(values) != (operator in (Operator.IN, Operator.NOT_IN)):
        said, remedy = ("has values", "Take them out.") if values else ("has no values", "Write some.")
        reading.note(f"{path}.values", "selector-values", f"{operator.value} {said}", remedy)
    return Requirement(key, operator, values)
