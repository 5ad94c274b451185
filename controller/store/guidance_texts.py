"""Guidance as a text of the store: what a network tells its ports, as JSON, since order counts.

Place: under `controller.store.rows`. Must not trust the text: what does not fit is a ValueError.
"""

from __future__ import annotations

import json
from ipaddress import ip_address, ip_network
from typing import Any

from model.addresses import Address, Prefix
from model.foreign import mapping, number
from model.guidance import LEASES, USUAL, Guidance


def guidance_text(value: Guidance) -> str:
    """What differs from the usual, keys sorted; empty if nothing does."""
    usual = _plain(USUAL)
    written = {name: said for name, said in _plain(value).items() if said != usual[name]}
    return json.dumps(written, sort_keys=True, separators=(",", ":")) if written else ""


def parse_guidance(text: str) -> Guidance:
    """Inverse of guidance_text. Unknown keys are those of a newer version, and passed over."""
    if not text:
        return USUAL
    plain = mapping(json.loads(text))
    lease = number(plain.get("lease", USUAL.lease), "lease", 32)
    answers, names = plain.get("answers", True), plain.get("names", True)
    if lease not in LEASES or not isinstance(answers, bool) or not isinstance(names, bool):
        raise ValueError(f"guidance {text[:200]!r} has a lease or a switch that is none")
    return Guidance(
        answers=answers,
        resolvers=tuple(ip_address(_text(one)) for one in _list(plain.get("resolvers", []))),
        domain=_text(plain.get("domain", "")),
        search=tuple(_text(one) for one in _list(plain.get("search", []))),
        routes=tuple(_route(one) for one in _list(plain.get("routes", []))),
        lease=lease,
        names=names,
    )


def _plain(value: Guidance) -> dict[str, Any]:
    return {
        "answers": value.answers,
        "resolvers": [str(address) for address in value.resolvers],
        "domain": value.domain,
        "search": list(value.search),
        "routes": [[str(prefix), str(hop)] for prefix, hop in value.routes],
        "lease": value.lease,
        "names": value.names,
    }


def _route(value: Any) -> tuple[Prefix, Address]:
    pair = _list(value)
    if len(pair) != 2:
        raise ValueError(f"{str(value)[:200]!r} is no route")
    return ip_network(_text(pair[0])), ip_address(_text(pair[1]))


def _list(value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise ValueError(f"{str(value)[:200]!r} is no list")
    return value


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError(f"{str(value)[:200]!r} is no text")
    return value
