"""A BGP peer that says what it is told: accepts one session, opens it by the book, then sends the given
bodies.

Place: started inside a namespace by the tests. Arguments: AS number, router id, a file whose appearance
starts the UPDATEs (within a minute), then their bodies in hex. It prints a line for each message type that
it receives, and ends when the session does.
"""

from __future__ import annotations

import socket
import sys
import time
from ipaddress import IPv4Address
from pathlib import Path

MARKER = b"\xff" * 16
OPEN, UPDATE, NOTIFICATION, KEEPALIVE = 1, 2, 3, 4


def message(kind: int, body: bytes = b"") -> bytes:
    return MARKER + (19 + len(body)).to_bytes(2, "big") + bytes([kind]) + body


def exactly(link: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        more = link.recv(size - len(data))
        if not more:
            raise EOFError
        data += more
    return data


def receive(link: socket.socket) -> int:
    head = exactly(link, 19)
    body = exactly(link, int.from_bytes(head[16:18], "big") - 19)
    print(head[18], body.hex(), flush=True)
    return head[18]


def appear(path: Path) -> None:
    deadline = time.monotonic() + 60
    while not path.exists():
        if time.monotonic() > deadline:
            raise EOFError
        time.sleep(0.02)


def main(asn: int, router_id: str, start: Path, bodies: list[str]) -> None:
    with socket.create_server(("", 179)) as server:
        print("listening", flush=True)
        link, _ = server.accept()
    # RFC 4271 section 4.2; capabilities: multiprotocol L2VPN EVPN, four-octet AS (RFC 5492, 4760, 6793)
    capabilities = bytes.fromhex("0104001900464104") + asn.to_bytes(4, "big")
    parameters = bytes([2, len(capabilities)]) + capabilities
    fixed = bytes([4]) + asn.to_bytes(2, "big") + (90).to_bytes(2, "big") + IPv4Address(router_id).packed
    with link:
        link.sendall(message(OPEN, fixed + bytes([len(parameters)]) + parameters))
        while receive(link) != KEEPALIVE:
            link.sendall(message(KEEPALIVE))
        appear(start)
        for body in bodies:
            link.sendall(message(UPDATE, bytes.fromhex(body)))
        while True:
            if receive(link) == KEEPALIVE:
                link.sendall(message(KEEPALIVE))


if __name__ == "__main__":
    try:
        main(int(sys.argv[1]), sys.argv[2], Path(sys.argv[3]), sys.argv[4:])
    except (EOFError, ConnectionError):
        print("ended", flush=True)
