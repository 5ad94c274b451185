"""OVN of Debian beside `policies`: an ACL of a port group of as many ports, until its controller has it.

Place: part of `make bench`, called by `policies` in the same run. As `ovn`: all of it private, no service of
the machine is touched.
"""

from __future__ import annotations

import time

from tests.bench.figures import Row, spread
from tests.bench.ovn import PrivateOvn, fill
from tests.bench.rig import NETWORKS
from tests.contract.ovs import PrivateOvs

_GROUP = "bench"


def rows(ports: int, samples: int, pause: float) -> list[Row]:
    """A rule added, changed and taken away, on ports that are all plugged here."""
    ovs = PrivateOvs()
    ovn = PrivateOvn(ovs)
    try:
        ovs.start()
        ovn.start()
        for number in range(NETWORKS):
            ovn.nb("ls-add", f"ls{number}")
        fill(ovn, 0, ports, ports)
        ovn.nb("pg-add", _GROUP, *(f"p{n}" for n in range(ports)))
        ovn.nb("--wait=hv", *_acl("add", 1001, "0", "drop"))
        ovn.nb("--wait=hv", *_acl("add", 1002, "ip4.src == 10.0.0.0/8 && tcp.dst == 443"))
        return _measured(ovn, samples, pause)
    finally:
        ovn.stop()
        ovs.stop()


def _measured(ovn: PrivateOvn, samples: int, pause: float) -> list[Row]:
    taken: dict[str, list[float]] = {"added": [], "changed": [], "taken away": []}
    for n in range(samples):
        first, second = (f"ip4.src == 192.0.2.{n} && tcp.dst == {base + n}" for base in (1000, 2000))
        for what, words in (
            ("added", _acl("add", 1003, first)),
            ("changed", [*_acl("del", 1003, first), "--", *_acl("add", 1003, second)]),
            ("taken away", _acl("del", 1003, second)),
        ):
            time.sleep(pause)
            began = time.perf_counter()
            ovn.nb("--wait=hv", *words)
            taken[what].append(time.perf_counter() - began)
    return [Row(f"OVN: an ACL {what}, --wait=hv", spread(seconds)) for what, seconds in taken.items()]


def _acl(verb: str, priority: int, match: str, action: str = "allow-related") -> list[str]:
    """To the ports of the group."""
    to = f"outport == @{_GROUP}" + ("" if match == "0" else f" && {match}")
    found = [f"acl-{verb}", _GROUP, "to-lport", str(priority), to]
    return [*found, action] if verb == "add" else found
