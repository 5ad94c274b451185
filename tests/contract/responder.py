"""A host's end of a link whose other end asks: each frame goes to `services.answer`, and its answer back.

Place: run by tests/contract/test_clients.py in a network namespace of its own: `responder.py INTERFACE KIND`.
Knows one port, that of `CLIENTS[KIND]`. Says each outcome on a line of its own; does nothing between frames.
"""

from __future__ import annotations

import socket
import sys
from ipaddress import ip_address, ip_network

from model.guidance import USUAL, Guidance
from services.answering import answer
from services.client import Client, make_client
from tests.fakes.askers import network, port

_ALL = 0x0003
"""ETH_P_ALL of linux/if_ether.h."""
_OUTGOING = 4
"""PACKET_OUTGOING of linux/if_packet.h: what we have sent ourselves."""


def client() -> Client:
    """What the clients must come to have."""
    guidance = Guidance(
        resolvers=(ip_address("10.0.0.2"), ip_address("fd00::2")),
        domain="a.example",
        search=("b.example",),
        routes=((ip_network("192.0.2.0/25"), ip_address("10.0.0.9")),),
        lease=7200,
    )
    return make_client(network("10.0.0.0/24", "fd00::/64", mtu=1400), port("10.0.0.5", "fd00::5"), guidance)


def alone() -> Client:
    """In a network without a gateway that says nothing, on a host that serves names."""
    here = network("10.0.0.0/24", "fd00::/64", routed=False)
    return make_client(here, port("10.0.0.5", "fd00::5"), USUAL, "acme.internal")


CLIENTS = {"routed": client, "alone": alone}


def main(interface: str, kind: str) -> None:
    known = CLIENTS[kind]()
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(_ALL)) as link:
        link.bind((interface, 0))
        print("ready", flush=True)
        while True:
            frame, sender = link.recvfrom(65535)
            if sender[2] == _OUTGOING:
                continue
            answered = answer(frame, known)
            print(answered.outcome.value, flush=True)
            if answered.frame is not None:
                link.send(answered.frame)


if __name__ == "__main__":
    main(*sys.argv[1:])
