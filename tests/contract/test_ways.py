"""How the kernel says that VTEPs are reached: over loopback."""

from __future__ import annotations

from ipaddress import ip_address
from pathlib import Path

from controller.southbound.netlink.ways import glance, observe
from model.underlay import Way

HERE4, HERE6 = ip_address("127.0.0.1"), ip_address("::1")


def test_device_and_mtu_of_both_families() -> None:
    mtu = int(Path("/sys/class/net/lo/mtu").read_text())
    assert observe((HERE4, HERE6)) == (Way(HERE4, "lo", mtu), Way(HERE6, "lo", mtu))
    assert glance(["nowhere", "lo"]) == {"lo": mtu}


def test_who_cannot_be_reached_has_no_way() -> None:
    nowhere = ip_address(
        "2001:db8::1"
    )  # for documents (RFC 3849); no machine has a route there but by default
    found = observe((nowhere, HERE6))
    assert [way.vtep for way in found][-1] == HERE6
    assert all(way.device != "lo" for way in found[:-1])
    assert observe(()) == ()
