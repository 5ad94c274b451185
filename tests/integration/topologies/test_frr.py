"""FRR in labs: reflector and FRR-only host find each other, and the host advertises its VNIs."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from topologies.deadline import until
from topologies.lab import Lab

pytestmark = pytest.mark.integration


@pytest.mark.parametrize("routed", [False, True], ids=["bridged", "routed"])
def test_host_and_reflector_establish_and_recover(fabric_lab: Callable[..., Lab], routed: bool) -> None:
    lab = fabric_lab(1, frr_hosts=1, routed=routed)
    (host,), (reflector,) = lab.frr_hosts, lab.reflectors
    until("host is a client", lambda: reflector.established() == (host.address,), 60)
    # each end is there by the other's keepalive: one of them first
    until("the host knows it, too", lambda: host.established() == (reflector.address,), 60)

    host.add_network(5001)
    until("RT-3 of VNI 5001", lambda: _type_3(reflector), 60)

    reflector.kill()
    until("host lost its reflector", lambda: host.established() == (), 60)
    reflector.revive()
    until("host is back", lambda: reflector.established() == (host.address,), 60)
    until("RT-3 is back", lambda: _type_3(reflector), 60)


def _type_3(reflector) -> bool:
    """Whether the reflector holds an inclusive multicast route (RFC 7432 section 7.3)."""
    return "[3]:" in reflector.vtysh("show bgp l2vpn evpn route type 3")
