"""Envelopes: the bodies of requests, checked by pydantic; and of answers, for the OpenAPI description.

Place: the edge. What is inside a manifest is checked by `controller.manifest`, which knows lines.
Must not decide anything.
"""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class SourceText(_Strict):
    """One file: its name (shown in faults) and its YAML or JSON text."""

    name: Annotated[str, Field(max_length=4096)] = "<stdin>"
    text: str


class Objects(_Strict):
    """Texts with line numbers, or objects as JSON values; both may be given."""

    sources: Annotated[tuple[SourceText, ...], Field(max_length=100_000)] = ()
    documents: Annotated[tuple[Any, ...], Field(max_length=100_000)] = ()
    dryRun: bool = False


class FaultBody(BaseModel):
    """One thing that is wrong; `rule` is a stable code."""

    object: str
    rule: str
    message: str
    remedy: str
    path: str = ""
    source: str = ""
    line: int = 0


class Faults(BaseModel):
    """Every answer that is not 2xx."""

    faults: list[FaultBody]


class ChangeBody(BaseModel):
    verb: str
    kind: str
    name: str
    tenant: str | None = None
    uid: str | None = None
    spec: dict[str, Any] | None = None
    before: dict[str, Any] | None = None


class Applied(BaseModel):
    """`concerned`: hosts that have to act; `generation`: what they must reach (see /v1/wait).
    `warnings`: what is worth a word though it was done."""

    generation: int
    changed: bool
    dryRun: bool
    replayed: bool
    counts: dict[str, int]
    changes: list[ChangeBody]
    concerned: list[str]
    warnings: list[FaultBody] = []


class PendingBody(BaseModel):
    host: str
    reason: str


class Waited(BaseModel):
    """`reached`: every host has programmed the generation; else `pending` says who has not, and why."""

    reached: bool
    generation: int
    pending: list[PendingBody]


class Listed(BaseModel):
    apiVersion: str
    kind: str
    items: list[dict[str, Any]]
