"""Which interface of a container is a claim's, whatever the container has done; and bytes for the kernel."""

from __future__ import annotations

import socket
from typing import cast

import pytest

from controller.cni import wire
from controller.cni.addresses import Network, prefix
from controller.cni.claims import Claim
from controller.cni.kernel import Kernel
from controller.cni.moving import find, mark
from controller.cni.result import Route

PCI = "0000:18:01.0"


class Container:
    def __init__(self, *links: wire.Device) -> None:
        self._links = links

    def links(self) -> list[wire.Device]:
        return list(self._links)


def link(number: int, name: str, alias: str = "", parent: str = "", below: int = 0) -> wire.Device:
    return wire.Device(number, name, 1, True, 1500, b"", b"", alias, parent, below)


def found(parent: str, *links: wire.Device) -> str:
    claim = Claim("n", "c1", "net1", "/x", PCI, "acme", "train", 7, "vf0", 1500, parent)
    seen = find(cast(Kernel, Container(*links)), claim)
    return "" if seen is None else seen.name


LO = link(1, "lo")


@pytest.mark.parametrize(
    ("parent", "links", "name"),
    [
        (PCI, [LO, link(5, "net1", mark(PCI), PCI)], "net1"),
        (PCI, [LO, link(5, "mine", "", PCI)], "mine"),
        # The container's own: named and marked as ours, so that DEL would bring it to the host.
        (PCI, [LO, link(2, "net1", mark(PCI)), link(5, "mine", "", PCI)], "mine"),
        (PCI, [LO, link(2, "net1", mark(PCI))], ""),
        # An IPoIB child has its parent's device.
        (PCI, [LO, link(4, "net1", mark(PCI), PCI, 5), link(5, "mine", "", PCI)], "mine"),
        (PCI, [LO, link(5, "net1", mark(PCI), "0000:18:01.1")], ""),
        # What stands for a VF in tests has no parent.
        ("", [LO, link(5, "mine", mark(PCI), "", 9)], "mine"),
        ("", [LO, link(5, "net1", "")], ""),
    ],
)
def test_the_interface_of_a_claim(parent: str, links: list[wire.Device], name: str) -> None:
    assert found(parent, *links) == name


def test_a_link_as_the_kernel_tells_it() -> None:
    attributes = [
        (3, b"net1\0"),
        (4, b"\x78\x05\0\0"),
        (1, bytes(6)),
        (20, b"ringfence x\0"),
        (56, b"0000:18:01.0\0"),
    ]
    body = wire._LINK.pack(0, 32, 7, 1, 0) + b"".join(
        wire._attribute(kind, value) for kind, value in attributes
    )
    told = wire.device(body + wire._attribute(5, (9).to_bytes(4, "little")))
    assert told == wire.Device(7, "net1", 32, True, 1400, bytes(6), b"", "ringfence x", PCI, 9)
    assert told.mac == "00:00:00:00:00:00"


@pytest.mark.parametrize("cut", range(0, 60, 7))
def test_a_message_that_ends_early_is_no_crash(cut: int) -> None:
    whole = wire.set_link(7, wire.Change(up=True, name="net1", mtu=1400, alias="x"))
    assert len(list(wire.messages(whole[:cut]))) <= 1
    list(wire.messages(bytes(cut)))


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("10.1.2.3/8", "10.0.0.0"),
        ("10.1.2.3/32", "10.1.2.3"),
        ("10.1.2.3/0", "0.0.0.0"),
        ("2001:db8:ff::1/33", "2001:db8::"),
    ],
)
def test_a_route_goes_to_a_prefix_without_host_bits(text: str, masked: str) -> None:
    network = prefix(text)
    assert socket.inet_ntop(network.family, wire.masked(network)) == masked
    index, seen, via = wire.way(wire.add_route(7, Route(text, network, "", {}))[16:])
    assert (index, seen, via) == (7, Network(network.family, wire.masked(network), network.length), b"")
