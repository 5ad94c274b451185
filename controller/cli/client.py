"""Client: HTTP requests over the API's unix socket.

Place: under every command that asks the API. Must not print or exit.
"""

from __future__ import annotations

import http.client
import json
import os
import socket
import uuid
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final
from urllib.parse import quote, urlencode

DEFAULT: Final = "unix:/run/ringfence/api.sock"
VARIABLE: Final = "RINGFENCE_API"
TIMEOUT: Final = 150.0
"""Seconds; the API gives up on an answer before that."""
_MOST_ANSWER: Final = 1 << 30
_ATTEMPTS: Final = 2
_NONE: Final[Mapping[str, str]] = MappingProxyType({})


class Unreachable(Exception):
    """The API does not answer; str() says why, `remedy` what to do."""

    def __init__(self, message: str, remedy: str) -> None:
        super().__init__(message)
        self.remedy = remedy


class Refused(Exception):
    """The API said no. `status` is HTTP's; `faults` as in model.errors.Fault, as plain dicts."""

    def __init__(self, status: int, faults: list[dict[str, Any]]) -> None:
        super().__init__("; ".join(str(f.get("message", "")) for f in faults))
        self.status, self.faults = status, faults


class Wrong(Exception):
    """The command line makes no sense; str() says why."""


class _UnixConnection(http.client.HTTPConnection):
    """http.client knows TCP only; this is its documented seam for other sockets."""

    def __init__(self, path: str) -> None:
        super().__init__("localhost", timeout=TIMEOUT)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(TIMEOUT)
        self.sock.connect(self._path)


class Api:
    """`address`: `unix:PATH`. One connection is kept for all requests of a command."""

    def __init__(self, address: str) -> None:
        kind, _, path = address.partition(":")
        if kind != "unix" or not path:
            raise Wrong(f"--api {address!r} is not of the form unix:PATH")
        self._path = os.path.abspath(path)
        self._connection: _UnixConnection | None = None

    def get(self, path: str, query: dict[str, Any] | None = None) -> Any:
        """The JSON value of the answer. Raises Refused or Unreachable, as all of these do."""
        return self._ask("GET", path, query, None)

    def post(self, path: str, query: dict[str, Any] | None = None, body: Any = None) -> Any:
        """A declaration: sent again if the answer is lost, for saying it twice changes nothing more."""
        return self._ask("POST", path, query, body)

    def once(
        self, method: str, path: str, query: dict[str, Any] | None = None, body: Any = None, key: str = ""
    ) -> Any:
        """A write that must be done once: sent again with the same key (or a random one) if the answer is
        lost.
        """
        return self._ask(method, path, query, body, {"Idempotency-Key": key or str(uuid.uuid4())})

    def close(self) -> None:
        """Give the connection back."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _ask(
        self,
        method: str,
        path: str,
        query: dict[str, Any] | None,
        body: Any,
        extra: Mapping[str, str] = _NONE,
    ) -> Any:
        target = path + ("?" + urlencode(query, doseq=True) if query else "")
        headers = {"Accept": "application/json", **extra}
        data = None
        if body is not None:
            data = json.dumps(body).encode()
            headers["Content-Type"] = "application/json"
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                return self._exchange(method, target, data, headers)
            except (http.client.HTTPException, ConnectionResetError, BrokenPipeError) as error:
                self.close()
                if attempt == _ATTEMPTS:
                    raise Unreachable(
                        f"the API at unix:{self._path} broke off: {error or type(error).__name__}",
                        "Look at its log; then try again.",
                    ) from error
        raise AssertionError("the last attempt returns or raises")

    def _exchange(self, method: str, target: str, data: bytes | None, headers: dict[str, str]) -> Any:
        try:
            if self._connection is None:
                self._connection = _UnixConnection(self._path)
                self._connection.connect()
            self._connection.request(method, target, data, headers)
            response = self._connection.getresponse()
            raw = response.read(_MOST_ANSWER)
        except (ConnectionResetError, BrokenPipeError):
            raise
        except OSError as error:
            self.close()
            raise _unreachable(self._path, error) from error
        return _value(response.status, raw)


def segment(text: str) -> str:
    """Foreign text as one segment of an address."""
    return quote(text, safe="")


def _value(status: int, raw: bytes) -> Any:
    try:
        value = json.loads(raw)
    except ValueError:
        value = None
    if 200 <= status < 300 and value is not None:
        return value
    faults = value.get("faults") if isinstance(value, dict) else None
    if not isinstance(faults, list) or not faults:
        text = raw[:200].decode(errors="replace").strip() or "no text"
        faults = [
            {
                "object": "API",
                "rule": "http",
                "message": f"HTTP status {status}: {text!a}",
                "remedy": "Is this the socket of a Ringfence API? See --api.",
            }
        ]
    raise Refused(status, [f for f in faults if isinstance(f, dict)])


def _unreachable(path: str, error: OSError) -> Unreachable:
    if isinstance(error, PermissionError):
        remedy = "Become root, or join the group ringfence."
    elif isinstance(error, TimeoutError):
        remedy = "Look at the log of `ringfenced api`."
    else:
        remedy = f"Is `ringfenced api` running? Its socket is set with --api unix:PATH or {VARIABLE}."
    return Unreachable(f"no answer from the API at unix:{path}: {error.strerror or error}", remedy)
