"""HTTPS: one question to one server that is known by its certificate, answered whole, in time, or not at all.

Place: effects below `ufm`. The standard library's client, because none is among our dependencies, and because
it follows no redirect, no proxy and no cookie. Must not say the credential anywhere but in the request, must
not go where an answer points, and must not wait or read without a bound.
"""

from __future__ import annotations

import hashlib
import hmac
import http.client
import socket
import ssl
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from ipaddress import ip_address
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from model.errors import Fault, Invalid

MOST: Final = 32 << 20
"""Bytes of an answer: room for all members of a fabric of 65,536 ports, several times."""
_PIECE: Final = 1 << 16
_PORTS: Final = range(1, 1 << 16)
_DIGITS: Final = frozenset("0123456789abcdef")


class Trouble(Enum):
    """Why there is no answer. AWAY: no connection, so nothing was asked. LOST: asked, and then nothing, or
    too late, or half: it may have been done. DISTRUSTED: its certificate is not the one. ODD: what came back
    is too long, or no HTTP: it may have been done.
    """

    AWAY = "away"
    LOST = "lost"
    DISTRUSTED = "distrusted"
    ODD = "odd"


class Unanswered(Exception):
    """`why` for machines; the text for people, without anything of the request."""

    def __init__(self, why: Trouble, text: str) -> None:
        super().__init__(text)
        self.why = why


@dataclass(frozen=True, slots=True)
class Answer:
    """Any status, redirects too."""

    status: int
    body: bytes


@dataclass(frozen=True, slots=True)
class Address:
    """`plain`: without TLS; only to this machine itself."""

    host: str
    port: int
    plain: bool = False


def parse_address(url: str, *, plain: bool = False) -> Address:
    """`https://ufm.example` with a port if need be. `plain` allows http:// to a loopback address as well.

    Invalid for anything else: a path, a user, a query.
    """
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        raise _invalid(url, "it is no URL") from None
    secure = parts.scheme == "https"
    if not host or not all(" " < c <= "~" for c in url) or parts.path not in ("", "/") or "@" in parts.netloc:
        raise _invalid("URL", "it has more, or less, than a host and a port")
    if parts.query or parts.fragment or "?" in url or "#" in url:
        raise _invalid(url, "it has a query or a fragment")
    if not secure and not (parts.scheme == "http" and plain and _loopback(host)):
        raise _invalid(url, "it is not https://")
    port = port if port is not None else 443 if secure else 80
    if port not in _PORTS:
        raise _invalid(url, "its port is none")
    return Address(host, port, plain=not secure)


def parse_pin(text: str) -> str:
    """SHA-256 of a certificate as DER: 64 hex digits, colons allowed, as `openssl x509 -fingerprint -sha256`
    prints them. Invalid for anything else.
    """
    digits = text.lower().replace(":", "")
    if len(digits) != 64 or not _DIGITS.issuperset(digits):
        raise Invalid(
            Fault(
                "pin",
                "pin-form",
                "it is not a SHA-256",
                "give the 64 hex digits of openssl x509 -fingerprint -sha256",
            )
        )
    return digits


def trust(authorities: Path | None) -> ssl.SSLContext:
    """Certificates and names are verified, by these authorities or the system's. Invalid: not such a file."""
    try:
        context = ssl.create_default_context(cafile=None if authorities is None else str(authorities))
    except (OSError, ssl.SSLError):
        name = str(authorities)
        raise Invalid(
            Fault(name, "authorities-file", "it holds no certificates in PEM", "name such a file")
        ) from None
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


@dataclass(frozen=True, slots=True)
class Server:
    """`timeout`: seconds for all of a question. `pin`: SHA-256 that its certificate must have besides; ""."""

    address: Address
    context: ssl.SSLContext | None
    pin: str = ""
    timeout: float = 20.0

    def ask(
        self, method: str, path: str, authorization: str, body: bytes | None = None, most: int = MOST
    ) -> Answer:
        """A connection for each question: what comes back belongs to it, and a server that closes an idle
        one costs no doubt. Unanswered if there is no whole answer.
        """
        if not self.address.plain and self.context is None:
            raise Unanswered(Trouble.DISTRUSTED, "nobody said whom to trust")
        watch = _Watch(self.timeout)
        try:
            connection = self._connect(watch)
            try:
                return _exchange(connection, method, path, _headers(authorization, body), body, most)
            except (OSError, http.client.HTTPException, ValueError) as error:
                raise _lost(error, watch) from None
            finally:
                connection.close()
        finally:
            watch.stop()

    def _connect(self, watch: _Watch) -> http.client.HTTPConnection:
        address = self.address
        try:
            connection = http.client.HTTPConnection(address.host, address.port)
            raw = socket.create_connection((address.host, address.port), timeout=self.timeout)
        except (OSError, UnicodeError, http.client.InvalidURL) as error:
            raise Unanswered(Trouble.AWAY, _words(error)) from None
        watch.over(raw)
        connection.sock = raw
        if address.plain or self.context is None:
            return connection
        try:
            # In two steps, so that a handshake that drips is ended as well.
            wrapped = self.context.wrap_socket(
                raw, server_hostname=address.host, do_handshake_on_connect=False
            )
            connection.sock = wrapped
            watch.over(wrapped)
            wrapped.do_handshake()
            shown = wrapped.getpeercert(binary_form=True) or b""
        except ssl.SSLCertVerificationError as error:
            connection.close()
            raise Unanswered(Trouble.DISTRUSTED, f"its certificate: {error.verify_message}") from None
        except (OSError, ValueError) as error:
            connection.close()
            raise Unanswered(Trouble.AWAY, f"TLS: {_words(error)}") from None
        if self.pin and not hmac.compare_digest(hashlib.sha256(shown).hexdigest(), self.pin):
            connection.close()
            raise Unanswered(Trouble.DISTRUSTED, "its certificate is not the one that is pinned")
        return connection


@dataclass(slots=True)
class _Watch:
    """Ends the connection when time is up, however slowly bytes drip: a socket's own timeout begins anew
    with each of them."""

    seconds: float
    late: bool = False
    _sock: socket.socket | None = None
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _timer: threading.Timer | None = None

    def __post_init__(self) -> None:
        self._timer = threading.Timer(self.seconds, self._end)
        self._timer.daemon = True
        self._timer.start()

    def over(self, sock: socket.socket) -> None:
        with self._lock:
            self._sock = sock
        if self.late:
            self._end()

    def stop(self) -> None:
        with self._lock:
            self._sock = None
        if self._timer is not None:
            self._timer.cancel()

    def _end(self) -> None:
        self.late = True
        with self._lock:
            if self._sock is not None:
                try:
                    # Not that of TLS, which would speak first: the plain one wakes whoever reads.
                    socket.socket.shutdown(self._sock, socket.SHUT_RDWR)
                except OSError:
                    pass


def _exchange(
    connection: http.client.HTTPConnection,
    method: str,
    path: str,
    headers: Mapping[str, str],
    body: bytes | None,
    most: int,
) -> Answer:
    connection.request(method, path, body=body, headers=dict(headers))
    response = connection.getresponse()
    if response.getheader("Content-Encoding", "identity") != "identity":
        raise Unanswered(Trouble.ODD, "its answer is packed, though nobody asked for that")
    pieces, size = [], 0
    while piece := response.read(_PIECE):
        size += len(piece)
        if size > most:
            raise Unanswered(Trouble.ODD, f"its answer has more than {most} bytes")
        pieces.append(piece)
    # `read` with a size does not complain of a body that ends too soon.
    if response.length:
        raise Unanswered(Trouble.LOST, "its answer is cut off")
    return Answer(response.status, b"".join(pieces))


def _headers(authorization: str, body: bytes | None) -> dict[str, str]:
    found = {"Accept": "application/json", "Accept-Encoding": "identity", "Connection": "close"}
    if authorization:
        found["Authorization"] = authorization
    if body is not None:
        found["Content-Type"] = "application/json"
    return found


def _lost(error: Exception, watch: _Watch) -> Unanswered:
    if watch.late or isinstance(error, TimeoutError):
        return Unanswered(Trouble.LOST, f"no whole answer within {watch.seconds:g} s")
    if isinstance(error, OSError | http.client.IncompleteRead | http.client.RemoteDisconnected):
        return Unanswered(Trouble.LOST, f"the connection broke: {_words(error)}")
    return Unanswered(Trouble.ODD, "what it answers is no HTTP")


def _words(error: Exception) -> str:
    """Of the system, not of whoever is at the other end."""
    if isinstance(error, ssl.SSLError):
        return error.reason or type(error).__name__
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return type(error).__name__


def _loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def _invalid(object_: str, message: str) -> Invalid:
    return Invalid(
        Fault(object_[:200], "address-form", message, "give https://HOST or https://HOST:PORT, nothing else")
    )
