"""Fields: how a manifest's fields are declared, and those that every kind has.

Place: under `controller.manifest.schema` and `controller.manifest.ways`, which declare the kinds. Must not
hold rules that span fields or objects.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Final

from controller.manifest import readers
from controller.manifest.branch import Branch
from controller.manifest.readers import Reader
from model.wanted import Kind

TreeReader = Callable[[Branch], object]
"""Of a field that has fields of its own below; None if nothing could be read."""


class Presence(Enum):
    REQUIRED = "required"
    OPTIONAL = "optional"


class Shape(Enum):
    """ONE scalar, MANY scalars in a list, a mapping of LABELS, one RECORD: a mapping of `parts`,
    RECORDS: a list of those, or a TREE that has a reader of its own.
    """

    ONE = "one"
    MANY = "many"
    LABELS = "labels"
    RECORD = "record"
    RECORDS = "records"
    TREE = "tree"


@dataclass(frozen=True, slots=True)
class FieldRule:
    """A field at `section.name`. `example` is YAML; `meaning` is for people. `most`: longest list.

    `parts`: the fields of a record; `read` is that of the first. `tree` reads a TREE, and `read`
    nothing.
    """

    section: str
    name: str
    read: Reader
    meaning: str
    example: str
    presence: Presence = Presence.OPTIONAL
    shape: Shape = Shape.ONE
    most: int = 4096
    parts: tuple[FieldRule, ...] = ()
    tree: TreeReader | None = None

    @property
    def path(self) -> str:
        return f"{self.section}.{self.name}"


@dataclass(frozen=True, slots=True)
class KindRule:
    """`plural` and `short` are the CLI's and the API's names."""

    kind: Kind
    plural: str
    short: tuple[str, ...]
    meaning: str
    fields: tuple[FieldRule, ...]

    def of(self, section: str) -> tuple[FieldRule, ...]:
        return tuple(f for f in self.fields if f.section == section)

    @property
    def is_tenanted(self) -> bool:
        """Whether objects of this kind belong to a tenant."""
        return any(f.path == "metadata.tenant" for f in self.fields)


NAME: Final = FieldRule(
    "metadata", "name", readers.read_name, "Its name; can't be changed.", "web-1", Presence.REQUIRED
)
HOST_NAME: Final = FieldRule(
    "metadata",
    "name",
    readers.read_host,
    "Its name: the `external_ids:system-id` of its Open vSwitch.",
    "hv1",
    Presence.REQUIRED,
)
TENANT_NAME: Final = FieldRule(
    "metadata", "tenant", readers.read_name, "The tenant that it belongs to.", "acme", Presence.REQUIRED
)
LABELS: Final = FieldRule(
    "metadata",
    "labels",
    readers.read_label,
    "Words for people, and for selectors of policies.",
    "{tier: web}",
    shape=Shape.LABELS,
)
