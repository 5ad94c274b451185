"""Answering: a request of a port, and the response.

Place: the entry of this room. Pure: the same for the same request, facts and time. A workload wrote the
request, or somebody who had the workload write it: nothing in it may raise, and what a proxy or a browser
would send is refused.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Final

from model.ids import PortKey
from model.serving import METADATA
from services.metadata.tokens import LIFE, is_good, make_token
from services.metadata.tree import Tree, find, listing

_HOSTS: Final = frozenset(
    name.encode()
    for at in METADATA
    for name in ((f"{at}", f"{at}:80") if at.version == 4 else (f"[{at}]", f"[{at}]:80"))
)
_RELAYED: Final = frozenset({b"x-forwarded-for", b"x-forwarded-host", b"forwarded", b"via", b"origin"})
_TOKEN: Final = b"x-aws-ec2-metadata-token"
_LIFE: Final = b"x-aws-ec2-metadata-token-ttl-seconds"
_AT: Final = ("latest", "api", "token")
_LONGEST: Final = 512


class Kind(Enum):
    """Words by which requests are counted for each port."""

    ANSWERED = "answered"
    TOKEN = "token"
    ABSENT = "absent"
    """There is no such document."""
    RELAYED = "relayed"
    """By a proxy or a browser, which ask for somebody else."""
    HOST = "host"
    """For another host: a name that was made to lead here."""
    METHOD = "method"
    STALE = "stale"
    """With a token that is not, or no longer, good."""
    GARBLED = "garbled"
    SLOW = "slow"
    """Not whole in time."""
    CROWDED = "crowded"


@dataclass(frozen=True, slots=True)
class Request:
    """`headers`: names in lower case, as they came. `target` as it stands in the first line."""

    method: bytes
    target: bytes
    headers: tuple[tuple[bytes, bytes], ...] = ()

    def values(self, name: bytes) -> list[bytes]:
        return [value for each, value in self.headers if each == name]


@dataclass(frozen=True, slots=True)
class Response:
    """`life`: seconds for which the token in it is good, None = there is none in it."""

    kind: Kind
    status: int
    body: bytes = b""
    life: int | None = None


@dataclass(frozen=True, slots=True)
class Asking:
    """Who asks, by where it came from: its port, its documents. `key`, `now`: for tokens."""

    port: PortKey
    tree: Tree
    key: bytes
    now: int


def answer(request: Request, asking: Asking) -> Response:
    """What becomes of a request."""
    if any(name in _RELAYED for name, _ in request.headers):
        return Response(Kind.RELAYED, 403)
    hosts = request.values(b"host")
    if len(hosts) != 1 or hosts[0].lower() not in _HOSTS:
        return Response(Kind.HOST, 400)
    path = _path(request.target)
    if path is None:
        return Response(Kind.GARBLED, 400)
    if request.method == b"PUT" and path == _AT:
        return _grant(request, asking)
    if request.method not in (b"GET", b"HEAD"):
        return Response(Kind.METHOD, 405)
    shown = request.values(_TOKEN)
    if len(shown) > 1 or (shown and not is_good(asking.key, asking.port, shown[0], asking.now)):
        return Response(Kind.STALE, 401)
    found = find(asking.tree, path)
    if found is None:
        return Response(Kind.ABSENT, 404)
    text = found if isinstance(found, str) else listing(found)
    return Response(Kind.ANSWERED, 200, text.encode("utf-8"))


def _grant(request: Request, asking: Asking) -> Response:
    wanted = request.values(_LIFE)
    text = wanted[0] if len(wanted) == 1 else b""
    if not (text.isdigit() and len(text) <= 5 and int(text) in LIFE):
        return Response(Kind.GARBLED, 400)
    life = int(text)
    token = make_token(asking.key, asking.port, asking.now + life)
    return Response(Kind.TOKEN, 200, token.encode("ascii"), life)


def _path(target: bytes) -> tuple[str, ...] | None:
    """Its steps; slashes may stand twice, and at the end. Nothing is unescaped: no name here needs it."""
    if len(target) > _LONGEST or not target.startswith(b"/") or b"?" in target or b"#" in target:
        return None
    try:
        text = target.decode("ascii")
    except UnicodeDecodeError:
        return None
    return tuple(step for step in text.split("/") if step)
