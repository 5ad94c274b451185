"""Route of leaf rules: what the owner of a fabric's leaf switches is to set, as values and as text.

Place: thin: contents -> `ipam.leaves` -> JSON. Must not decide anything.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict
from enum import Enum
from typing import Annotated

from fastapi import APIRouter, Query
from starlette.responses import JSONResponse

from controller.api.entrance import printable
from controller.api.objects import REFUSALS
from controller.api.service import Service
from ipam.leaves.acl import acl
from ipam.leaves.nft import PORT_NAME, nft
from ipam.leaves.rules import DROPS, Names, Socket, Way, sockets
from model.errors import Fault, Invalid, NotFound


class Form(Enum):
    """In whose words. TABLE: values only."""

    TABLE = "table"
    NFT = "nft"
    ACL = "acl"


_WRITERS = {Form.NFT: nft, Form.ACL: acl}


def leaves(service: Service) -> APIRouter:
    """GET /v1/ipam/leaf-rules."""
    routes = APIRouter(prefix="/v1/ipam", tags=["hardware"], responses=REFUSALS)

    @routes.get("/leaf-rules", response_model=None)
    def find(
        fabric: Annotated[str, Query(max_length=63)],
        leaf: Annotated[str, Query(max_length=63)] = "",
        form: Annotated[Form, Query(alias="as")] = Form.TABLE,
        port: Annotated[list[str], Query(max_length=10_000)] = [],  # noqa: B006 - FastAPI copies defaults
    ) -> JSONResponse:
        """Of each leaf of a RoCE fabric, or of one: its ports and rules, and a `text` for it. `port`: how the
        leaf calls a PF's port, `NODE/PF=NAME`; one that has no name has no rule in the text."""
        found = sockets(service.store.contents(), printable(fabric), _names(port))
        names = sorted({each.leaf for each in found})
        if leaf and leaf not in names:
            advice = f"Its leaves are {', '.join(names)}."
            raise NotFound(Fault(f"Leaf {printable(leaf)}", "not-found", f"none of {fabric}", advice))
        shown = [_leaf(fabric, each, found, form) for each in names if leaf in ("", each)]
        rules = [{"direction": way.value, **asdict(drop)} for way in Way for drop in DROPS]
        return JSONResponse({"fabric": fabric, "rules": rules, "leaves": shown})

    return routes


def _names(words: Iterable[str]) -> Names:
    found: Names = {}
    for word in words:
        place, equals, name = word.partition("=")
        node, slash, pf = place.partition("/")
        if not (equals and slash and node and pf) or not PORT_NAME.fullmatch(name):
            message = f"{printable(word)} is not of the form NODE/PF=NAME"
            advice = "NAME is an interface of the switch, of 15 characters at most."
            raise Invalid(Fault("request", "port-syntax", message, advice, "port"))
        found[node, pf] = name
    return found


def _leaf(fabric: str, leaf: str, found: Iterable[Socket], form: Form) -> dict[str, object]:
    mine = [each for each in found if each.leaf == leaf]
    ports = [{"rail": s.rail, "node": s.node, "pf": s.pf, "port": s.port} for s in mine]
    told: dict[str, object] = {"leaf": leaf, "ports": ports}
    return told | ({"text": _WRITERS[form](fabric, leaf, mine)} if form in _WRITERS else {})
