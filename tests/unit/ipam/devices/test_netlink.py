"""VFs over netlink and modes over devlink: messages as the kernel writes them, and kernels that can't."""

from __future__ import annotations

import errno
import struct
from pathlib import Path

import pytest
from pyroute2.netlink.devlink import devlinkcmd
from pyroute2.netlink.exceptions import NetlinkError

from ipam.devices import eswitch, links, look
from ipam.devices.links import VfLink
from tests.fakes.sysfs import b200, h200

HEAD = struct.Struct("=IHHII")


def nla(kind: int, value: bytes) -> bytes:
    return struct.pack("=HH", 4 + len(value), kind) + value + b"\0" * (-len(value) % 4)


def vf(index: int, mac: bytes, node: int, port: int) -> bytes:
    """IFLA_VF_INFO with the structs of linux/if_link.h: ifla_vf_mac has 32 bytes of address, ifla_vf_guid is
    16 bytes: u32, padding, u64."""
    return nla(
        1 | 0x8000,
        nla(1, struct.pack("=I32s", index, mac))
        + nla(2, struct.pack("=III", index, 7, 3))
        + nla(6, struct.pack("=III", index, 10, 1000))
        + nla(4, struct.pack("=II", index, 1))
        + nla(5, struct.pack("=II", index, 2))
        + nla(9, struct.pack("=Ii", index, -1))
        + nla(10, struct.pack("=I4xQ", index, node))
        + nla(11, struct.pack("=I4xQ", index, port)),
    )


def answer(*vfs: bytes) -> bytes:
    body = struct.pack("=BxHiII", 0, 1, 7, 0, 0) + nla(3, b"ibp24s0\0") + nla(21, struct.pack("=I", len(vfs)))
    body += nla(22 | 0x8000, b"".join(vfs)) + nla(4, struct.pack("=I", 1500))
    return HEAD.pack(HEAD.size + len(body), 16, 0, 1, 0) + body


FIRST = vf(0, bytes.fromhex("020000000001"), 0x0200520000000001, 0x0200520000000002)
SECOND = vf(1, bytes.fromhex("020000000002"), 0x0200520000000003, 0x0200520000000004)
TOLD = {"vlan": (7, 3), "rates": (10, 1000), "spoof": 1, "trust": None, "link": 2}
EXPECTED = (
    VfLink(0, 0x020000000001, 0x0200520000000001, 0x0200520000000002, **TOLD),
    VfLink(1, 0x020000000002, 0x0200520000000003, 0x0200520000000004, **TOLD),
)


def test_vfs_are_read_with_their_guids_also_the_last_one() -> None:
    assert links.parse(answer(SECOND, FIRST)) == EXPECTED
    assert links.parse(answer()) == ()


def test_what_is_cut_short_is_an_error_or_ends_the_list() -> None:
    whole = answer(FIRST, SECOND)
    for length in range(len(whole)):
        with pytest.raises(OSError, match="cut short"):
            links.parse(whole[:length])
    for at in range(HEAD.size + 16, len(whole) - 1):
        damaged = bytearray(whole)
        damaged[at : at + 2] = b"\xff\xff"
        links.parse(bytes(damaged))  # whatever it makes of it


def test_an_error_of_the_kernel_is_raised() -> None:
    body = struct.pack("=i", -errno.ENODEV) + b"\0" * 16
    with pytest.raises(OSError) as caught:
        links.parse(HEAD.pack(HEAD.size + len(body), 2, 0, 1, 0) + body)
    assert caught.value.errno == errno.ENODEV


def test_this_kernel_answers() -> None:
    assert links.observe("lo") == ()
    for name in ("no-such-link", "", "a name that is much too long"):
        with pytest.raises(OSError) as caught:
            links.observe(name)
        assert caught.value.errno == errno.ENODEV


def test_a_kernel_without_devlink_or_a_device_without_switch_is_no_failure() -> None:
    try:
        assert eswitch.observe(["0000:00:00.0"]) == {}
    except OSError as error:
        assert "devlink" in str(error)


class Devlink:
    """Answers with bytes as devlink's ESWITCH_GET does, decoded by pyroute2 as from a socket."""

    prid = 0x1B

    def __init__(self, mode: int | None) -> None:
        self._mode = mode
        self.asked: list[tuple[int, str, str]] = []

    def nlm_request(self, message, msg_type, msg_flags):
        assert msg_type == self.prid
        assert msg_flags & 1
        attributes = dict(message["attrs"])
        name = attributes["DEVLINK_ATTR_DEV_NAME"]
        self.asked.append((message["cmd"], attributes["DEVLINK_ATTR_BUS_NAME"], name))
        if self._mode is None:
            raise NetlinkError(errno.EOPNOTSUPP, "Operation not supported")
        body = struct.pack("=BBH", 29, 1, 0) + nla(1, b"pci\0") + nla(2, name.encode() + b"\0")
        body += nla(25, struct.pack("=H", self._mode))
        answer = devlinkcmd(HEAD.pack(HEAD.size + len(body), self.prid, 0, 1, 0) + body)
        answer.decode()
        return (answer,)


@pytest.mark.parametrize(("told", "word"), [(0, "legacy"), (1, "switchdev"), (7, ""), (None, "")])
def test_the_mode_of_a_switch_is_asked_by_pci_address(told: int | None, word: str) -> None:
    devlink = Devlink(told)
    assert eswitch.mode(devlink, "0000:18:00.0") == word
    assert devlink.asked == [(29, "pci", "0000:18:00.0")]


def test_links_and_modes_are_joined_by_vf_and_pci_address(tmp_path: Path) -> None:
    h200(tmp_path, vfs=2)
    modes = {"0000:18:00.0": "legacy", "0000:29:00.0": "switchdev"}
    seen = look.look(tmp_path, lambda name: EXPECTED if name == "ibp24s0" else (), lambda _: modes)
    rail = seen.pfs[0]
    assert [(v.mac, v.node_guid, v.port_guid) for v in rail.vfs] == [
        (0x020000000001, 0x0200520000000001, 0x0200520000000002),
        (0x020000000002, 0x0200520000000003, 0x0200520000000004),
    ]
    assert {pf.eswitch for pf in seen.pfs} == {"legacy", "switchdev", ""}
    assert seen.pfs[3].vfs[0].mac == 0


def test_what_the_kernel_does_not_tell_is_an_oddity(tmp_path: Path) -> None:
    b200(tmp_path, vfs=1)

    def fail(_: object) -> tuple[()]:
        raise OSError(errno.EPERM, "not permitted")

    def none(_: object) -> dict[str, str]:
        raise OSError(errno.ENOENT, "the kernel has no devlink")

    seen = look.look(tmp_path, fail, none)
    assert [each.rule for each in seen.oddities].count("netlink-failed") == 10
    assert [each.message for each in seen.oddities if each.rule == "devlink-missing"] == [
        "the kernel has no devlink"
    ]
    assert len(seen.pfs) == 10
