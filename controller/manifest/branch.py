"""Branch: a part of a document that is deeper than a scalar, read field by field.

Place: what fields of the shape TREE are read by; `controller.manifest.draft` makes the first one. Every
mistake is told with its path and line, and reading goes on. Must not know kinds.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Any, TypeVar

from controller.manifest.readers import Misfit, Reader, text_of
from controller.manifest.suggest import remedy
from controller.manifest.tree import Listing, Node, Scalar, Sort, Table, name_sort, show

Choice = TypeVar("Choice", bound=Enum)
Tell = Callable[[str, str, str, str, int], None]
"""Path, rule, message, remedy, line."""


@dataclass(frozen=True, slots=True)
class Branch:
    """A node, where it stands, and who is told what is wrong with it."""

    path: str
    node: Node
    tell: Tell

    def fault(self, rule: str, message: str, advice: str) -> None:
        self.tell(self.path, rule, message, advice, self.node.line)

    def fields(self, *known: str) -> dict[str, Branch] | None:
        """What of the known fields is written; None if this is no mapping."""
        if not isinstance(self.node, Table):
            message = f"it is {name_sort(self.node)}, wanted a mapping"
            self.fault("wrong-type", message, f"Write it with {', '.join(known)}.")
            return None
        found: dict[str, Branch] = {}
        for key, below in self._entries(self.node):
            if key in known:
                found[key] = below
            else:
                below.fault("unknown-field", f"there is no field {show(key)} here", remedy(key, known))
        return found

    def pairs(self) -> list[tuple[Scalar, Branch]]:
        """The entries of a mapping with keys of any name."""
        if not isinstance(self.node, Table):
            self.fault("wrong-type", f"it is {name_sort(self.node)}, wanted a mapping", "Write {tier: web}.")
            return []
        return [(Scalar(Sort.TEXT, key, below.node.line), below) for key, below in self._entries(self.node)]

    def items(self, most: int, example: str) -> list[Branch]:
        """The items of a list."""
        if not isinstance(self.node, Listing):
            self.fault("wrong-type", f"it is {name_sort(self.node)}, wanted a list", f"Write {example}.")
            return []
        if len(self.node.items) > most:
            self.fault("too-large", f"{len(self.node.items)} items", f"Use at most {most}.")
            return []
        return [Branch(f"{self.path}[{i}]", item, self.tell) for i, item in enumerate(self.node.items)]

    def one(self, read: Reader) -> Any:
        """A scalar; None if it can't be read."""
        if not isinstance(self.node, Scalar):
            self.fault("wrong-type", f"it is {name_sort(self.node)}, wanted one value", "Write one word.")
            return None
        try:
            return read(self.node)
        except Misfit as misfit:
            self.fault(misfit.rule, str(misfit), misfit.remedy)
            return None

    def choose(self, choices: type[Choice]) -> Choice | None:
        """One of a few words."""
        return self.one(lambda node: _choice(node, choices))

    def is_empty(self) -> bool:
        """A list without items."""
        return isinstance(self.node, Listing) and not self.node.items

    def lacks(self, name: str, example: str) -> None:
        """A field that has to be there is not."""
        self.fault("missing-field", f"it has no {name}", f"Add {name}: {example}.")

    def _entries(self, table: Table) -> list[tuple[str, Branch]]:
        found: dict[str, Branch] = {}
        for entry in table.entries:
            below = Branch(f"{self.path}.{show(entry.key)[1:-1]}", entry.value, self.tell)
            if entry.key in found:
                self.tell(
                    below.path,
                    "duplicate-key",
                    f"{show(entry.key)} stands twice, first on line {found[entry.key].node.line}",
                    "Keep one of them.",
                    entry.line,
                )
            else:
                found[entry.key] = below
        return list(found.items())


def _choice(node: Scalar, choices: type[Choice]) -> Choice:
    words = [str(one.value) for one in choices]
    text = text_of(node)
    if text not in words:
        message = f"{show(text)} is none of {', '.join(words)}"
        raise Misfit("choice", message, f"Write {', '.join(words[:-1])} or {words[-1]}.")
    return choices(text)
