"""Reference: the manifest's fields as Markdown, from their declarations.

Place: `python -m controller.manifest.reference` prints what stands between the marks of docs/cli.md; a test
holds the two together. Must not know anything that the declarations do not.
"""

from __future__ import annotations

import sys

from controller.manifest.fields import FieldRule, KindRule, Presence, Shape
from controller.manifest.schema import KINDS


def render() -> str:
    """One section for each kind, in writing order."""
    return "\n".join(_section(rule) for rule in KINDS)


def _section(rule: KindRule) -> str:
    names = ", ".join(f"`{name}`" for name in (rule.plural, *rule.short))
    rows = "\n".join(_row(field) for field in rule.fields)
    return (
        f"### {rule.kind.value}\n\n{rule.meaning} In commands also: {names}.\n\n"
        f"| field | | form | meaning | example |\n|---|---|---|---|---|\n{rows}\n"
    )


def _row(field: FieldRule) -> str:
    presence = "required" if field.presence is Presence.REQUIRED else ""
    form = ((field.tree or field.read).__doc__ or "").strip().splitlines()[0]
    if field.shape is Shape.MANY:
        form = f"list; each: {form[0].lower()}{form[1:]}" if form[1:2].islower() else f"list; each: {form}"
    if field.shape is Shape.RECORD:
        form = "mapping: " + ", ".join(f"`{part.name}`" for part in field.parts)
    if field.shape is Shape.RECORDS:
        form = "list of mappings: " + ", ".join(f"`{part.name}`" for part in field.parts)
    if field.shape is Shape.LABELS:
        form = "mapping of text to text"
    return f"| `{field.path}` | {presence} | {form} | {field.meaning} | `{field.example}` |"


if __name__ == "__main__":
    sys.stdout.write(render())
