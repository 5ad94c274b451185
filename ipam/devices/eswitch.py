"""Eswitch: the mode of NICs' embedded switches, over devlink.

Place: the third part of `ipam.devices.look`, and how `ipam.devices.kernel` changes a mode; beside
`controller.southbound.netlink` the only importer of pyroute2. Must not decide that one is changed.
"""

from __future__ import annotations

import errno
from collections.abc import Iterable
from typing import Any, Final

from pyroute2.devlink import DL
from pyroute2.netlink import NLM_F_ACK, NLM_F_REQUEST
from pyroute2.netlink.devlink import DEVLINK_CMD_ESWITCH_GET, DEVLINK_CMD_ESWITCH_SET, devlinkcmd
from pyroute2.netlink.exceptions import NetlinkError

_MODES: Final = {0: "legacy", 1: "switchdev"}
_BUS: Final = "pci"


def observe(addresses: Iterable[str]) -> dict[str, str]:
    """PCI address -> `legacy` or `switchdev`, of those that have a switch. OSError if there is no devlink."""
    try:
        socket = DL()
    except NetlinkError as error:
        raise OSError(error.code, "the kernel has no devlink") from error
    try:
        found = [(address, mode(socket, address)) for address in addresses]
    except Exception as error:  # of a foreign library that speaks with foreign drivers: the rest is told
        raise OSError(errno.EPROTO, f"devlink failed: {error}") from error
    finally:
        socket.close()
    return {address: word for address, word in found if word}


def mode(socket: Any, address: str) -> str:
    """ "" if the device has no switch, which its driver says with an error."""
    try:
        answers = _ask(socket, request(DEVLINK_CMD_ESWITCH_GET, address))
        return next((_MODES.get(a.get_attr("DEVLINK_ATTR_ESWITCH_MODE"), "") for a in answers), "")
    except NetlinkError:
        return ""


def apply(address: str, word: str) -> None:
    """Change the mode; OSError if the kernel refuses. A driver may take seconds, and cuts off its VFs."""
    code = next(code for code, name in _MODES.items() if name == word)
    try:
        socket = DL()
    except NetlinkError as error:
        raise OSError(error.code, "the kernel has no devlink") from error
    try:
        _ask(socket, request(DEVLINK_CMD_ESWITCH_SET, address, ["DEVLINK_ATTR_ESWITCH_MODE", code]))
    except NetlinkError as error:
        raise OSError(error.code, str(error)) from error
    finally:
        socket.close()


def request(command: int, address: str, *more: list[Any]) -> Any:
    """A devlink command about one PCI device."""
    message = devlinkcmd()
    message["cmd"] = command
    message["version"] = 1
    message["attrs"] = [["DEVLINK_ATTR_BUS_NAME", _BUS], ["DEVLINK_ATTR_DEV_NAME", address], *more]
    return message


def _ask(socket: Any, message: Any) -> tuple[Any, ...]:
    return tuple(socket.nlm_request(message, msg_type=socket.prid, msg_flags=NLM_F_REQUEST | NLM_F_ACK))
