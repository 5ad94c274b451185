"""Programs and sockets of workloads that open a connection and say what came of it.

Place: beside `verdicts`, which sends single packets. Must not judge.
"""

from __future__ import annotations

import socket

from topologies.deadline import until
from topologies.scenarios.two_tenants import Workload
from topologies.traffic.endpoint import family_of, open_socket


def refused(here: Workload, address: str, number: int) -> bool:
    """Whether the target's word that nobody listens there (ICMP) comes back."""
    with open_socket(here.vm, family_of(address), socket.SOCK_DGRAM) as one:
        one.settimeout(5)
        one.connect((address, number))
        one.send(b"anybody?")
        try:
            return not one.recv(1)
        except ConnectionRefusedError:
            return True
        except TimeoutError:
            return False


def nc(here: Workload, there: Workload, address: str, number: int) -> bool:
    """Whether `nc` comes through to another `nc`."""
    family = 6 if ":" in address else 4
    there.vm.run(f"timeout 5 nc -{family} -l {number} >/dev/null 2>&1 &")
    until("it listens", lambda: f":{number} " in there.vm.run(f"ss -{family}Hltn"), 10)
    done = here.vm.attempt(f"nc -{family} -N -z -w 1 {address} {number}", 20.0)
    if not done.ok:  # the listener waits for somebody
        there.vm.attempt(f"nc -{family} -N -z -w 1 {there.addresses[family // 6]} {number}", 20.0)
    return done.ok
