"""Probing beside the agent's loop, which must never wait for it."""

from __future__ import annotations

import threading
from ipaddress import ip_address
from typing import Any

from controller.agent.probing import Probing

SECONDS = 20.0
MANY = 100_000


class Deaf:
    """A prober that is never asked."""

    def close(self) -> None: ...


def test_the_loop_does_not_wait_for_a_thread_that_reads_nothing() -> None:
    deaf: Any = Deaf()
    probing = Probing(deaf, lambda _: None)  # not started: nobody takes the nudges

    def ask() -> None:
        for _ in range(MANY):
            probing.ask((ip_address("192.0.2.1"),))

    loop = threading.Thread(target=ask, daemon=True)
    loop.start()
    loop.join(SECONDS)
    assert not loop.is_alive()
