"""Post over TLS: how an agent's records reach an API on another host.

Place: in the place of `upload.UnixPost`, for the uploaders of the switch's counters and of devices'. A
connection for each request: each is judged by the certificates of that moment. Must not send a byte to a
server without the name that was called, and must not hold a record back by itself.
"""

from __future__ import annotations

import http.client
import socket
import ssl
from dataclasses import dataclass
from typing import Final

from controller.agent.upload import TIMEOUT, exchange
from controller.tls.endpoint import Endpoint
from controller.tls.papers import Current
from model.errors import Invalid

_UNSAID: Final = "the API ended the connection: it may not take this host's certificate; its log says why"


@dataclass(frozen=True, slots=True)
class TlsPost:
    """`current`: of this host's papers, `calling`; it may not be shared with another thread."""

    endpoint: Endpoint
    current: Current

    def __call__(self, body: bytes) -> tuple[int, bytes]:
        """See `upload.Post`. OSError also for certificates: they may be right a minute later."""
        sock = self._connect()
        try:
            connection = http.client.HTTPConnection(self.endpoint.host, self.endpoint.port)
            connection.sock = sock
            return exchange(connection, body)
        except (ConnectionError, ssl.SSLError, http.client.RemoteDisconnected) as error:
            # TLS 1.3: the client is through with its handshake before the server has seen its certificate.
            raise ConnectionError(f"{self.endpoint}: {_UNSAID} ({_words(error)})") from error
        finally:
            sock.close()

    def _connect(self) -> ssl.SSLSocket:
        place = self.endpoint
        try:
            context = self.current.context()
        except Invalid as error:
            raise OSError(str(error)) from error
        raw = socket.create_connection((place.host, place.port), timeout=TIMEOUT)
        # The head and the body of a request are two pieces: the second does not wait to hear of the first.
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            return context.wrap_socket(raw, server_hostname=place.host)
        except ssl.SSLCertVerificationError as error:
            raise OSError(f"{place}: its certificate is not believed: {error.verify_message}") from error
        finally:
            # Of what was wrapped nothing is left here to close.
            raw.close()


def _words(error: Exception) -> str:
    reason = error.reason if isinstance(error, ssl.SSLError) else None
    return reason or type(error).__name__
