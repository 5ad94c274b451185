"""ExaBGP's helper process: carries its pipes to the relay's socket and back, and decides nothing.

Place: started by ExaBGP (`process relay`), alone and with the standard library only, so that it starts
fast and cannot fail in our code. Both directions have a thread of their own: neither waits for the other,
so ExaBGP is always drained. Must not buffer, parse or reconnect: when one side is gone, it ends.
"""

from __future__ import annotations

import os
import socket
import sys
import threading

_CHUNK = 1 << 16
_VARIABLE = "RINGFENCE_ENGINE_SOCKET"  # the name stands in bgp.speaker.configuration, which -I can't import


def carry_out(link: socket.socket) -> None:
    """ExaBGP's events to the relay; ends the process when ExaBGP is gone."""
    try:
        while data := os.read(0, _CHUNK):
            link.sendall(data)
    finally:
        os._exit(0)


def carry_in(link: socket.socket) -> None:
    """The relay's commands to ExaBGP, until the relay is gone."""
    while data := link.recv(_CHUNK):
        view = memoryview(data)
        while view:
            view = view[os.write(1, view) :]


if __name__ == "__main__":
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as relay:
        try:
            relay.connect(os.environ[_VARIABLE])
        except OSError as fault:
            sys.exit(f"the relay does not listen, so ExaBGP ends, too: {fault}")
        threading.Thread(target=carry_out, args=(relay,), daemon=True).start()
        try:
            carry_in(relay)
        except OSError:
            pass  # either side is gone, which is the end of this process
        os._exit(0)
