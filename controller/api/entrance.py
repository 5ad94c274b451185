"""Entrance: from raw requests to typed ones: bodies, kinds, idempotency keys.

Place: FastAPI dependencies of the routes. Everything foreign is checked here or in `controller.manifest`.
Must not touch the store.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from typing import Any, Final

from fastapi import Request
from pydantic import ValidationError

from controller.api.envelope import Objects, SourceText
from controller.api.service import Mode, Ticket
from controller.manifest.manifest import REQUEST, Manifest, Source, parse
from controller.manifest.schema import KINDS, KindRule, find_kind
from controller.manifest.suggest import remedy
from controller.manifest.tree import show
from model.errors import Fault, Invalid, NotFound
from model.wanted import Reference

_KEY: Final = re.compile(r"[\x21-\x7e]{1,128}")
_MAX_FAULTS: Final = 100
BODY: Final[dict[str, Any]] = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {"schema": Objects.model_json_schema()},
            "application/yaml": {"schema": {"type": "string", "description": "One or more documents"}},
        },
    }
}
"""OpenAPI of a body with manifests."""


@dataclass(frozen=True, slots=True)
class Posted:
    """A request that carries manifests."""

    objects: Objects
    ticket: Ticket

    @property
    def mode(self) -> Mode:
        return Mode.TRY if self.objects.dryRun else Mode.WRITE

    def manifest(self) -> Manifest:
        """Parsed; costs time in proportion to the text, so call it in a worker thread."""
        sources = (Source(printable(s.name), s.text) for s in self.objects.sources)
        return parse(sources, self.objects.documents)


async def posted(request: Request) -> Posted:
    """JSON (see Objects) or, with a YAML content type, the manifest itself."""
    body = await request.body()
    kind = request.headers.get("content-type", "application/json").lower()
    if "yaml" in kind:
        objects = Objects(sources=(SourceText(name=REQUEST, text=_decode(body)),))
    else:
        objects = _json(body)
    # Who asks for a dry run, in whatever place, must never get a write.
    asked = request.query_params.get("dryRun", "false").lower()
    if asked not in {"true", "false"}:
        raise Invalid(
            Fault(
                "request", "malformed-request", f"{show(asked)} is not true or false", "Write one.", "dryRun"
            )
        )
    if asked == "true":
        objects = objects.model_copy(update={"dryRun": True})
    return Posted(objects, ticket(request, body))


def ticket(request: Request, body: bytes = b"") -> Ticket:
    """The request's Idempotency-Key, empty if it has none; the digest covers method, address and body."""
    key = request.headers.get("idempotency-key", "")
    if key and not _KEY.fullmatch(key):
        raise Invalid(
            Fault(
                "request",
                "idempotency-key",
                f"{show(key)} is no idempotency key",
                "Send 1 to 128 printable ASCII characters, for example a UUID.",
                "Idempotency-Key",
            )
        )
    head = f"{request.method} {request.url.path}?{request.url.query}\n"
    return Ticket(key, hashlib.sha256(head.encode() + body).hexdigest())


def named_kind(word: str) -> KindRule:
    """The kind in an address: plural, singular or short, any case. NotFound with the nearest."""
    rule = find_kind(word)
    if rule is None:
        names = [r.plural for r in KINDS]
        raise NotFound(
            Fault("request", "kind-unknown", f"{show(word)} is no kind", remedy(word, names), "kind")
        )
    return rule


def named_object(word: str, name: str, tenant: str | None) -> Reference:
    """The object in an address. Invalid if a tenant is missing or there can be none."""
    rule = named_kind(word)
    if rule.is_tenanted and not tenant:
        raise Invalid(
            Fault(
                f"{rule.kind.value} {show(name)[1:-1]}",
                "tenant-missing",
                f"a {rule.kind.value} is named by its tenant and its name",
                "Add the tenant: --tenant T, or ?tenant=T.",
                "tenant",
            )
        )
    return Reference(rule.kind, printable(name), printable(tenant or "") if rule.is_tenanted else None)


def printable(text: str) -> str:
    """Foreign text as it may stand in messages."""
    return text if text.isascii() and text.isprintable() and len(text) <= 200 else show(text)[1:-1]


def _decode(body: bytes) -> str:
    try:
        return body.decode()
    except UnicodeDecodeError as error:
        line = body.count(b"\n", 0, error.start) + 1
        raise Invalid(
            Fault("request", "character", "the text is not UTF-8", "Save it as UTF-8.", "", REQUEST, line)
        ) from error


def _json(body: bytes) -> Objects:
    try:
        return Objects.model_validate_json(body)
    except ValidationError as error:
        raise Invalid(
            *(
                Fault(
                    "request",
                    "malformed-request",
                    printable(problem["msg"]),
                    "See /openapi.json for the form of this request.",
                    printable(".".join(str(part) for part in problem["loc"])),
                )
                for problem in error.errors(include_url=False, include_context=False, include_input=False)[
                    :_MAX_FAULTS
                ]
            )
        ) from error
