"""Readers of hardware: PCI addresses, spans of PKeys and GUIDs, the small numbers of a server's layout.

Place: as `controller.manifest.readers`, named by `controller.manifest.hardware`. Pure. Must not look at other
fields, other objects or the store.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from typing import Final, TypeVar

from controller.manifest.readers import Misfit, read_subnet, text_of, within
from controller.manifest.tree import Scalar, Sort, show
from model.addresses import Prefix
from model.fabric import (
    COOL_DOWNS,
    RAILS,
    Addressing,
    FabricKind,
    RailIndex,
    is_local_guid,
    parse_guid,
    parse_pkey,
)
from model.gang import Use
from model.hardware import GPUS, NUMA_NODES, PKEY_CAPACITIES, VFS, Eswitch, PciAddress, parse_pci

Choice = TypeVar("Choice", bound=Enum)
_BLOCKS4: Final = range(8, 33)
_BLOCKS6: Final = range(32, 129)
_MOST: Final = range(1 << 24)
_SITE: Final = 48
"""GUIDs of one span share the bits above: so it is locally administered from end to end."""


def read_pci(node: Scalar) -> PciAddress:
    """A PCI address: domain, bus, device and function in hex; without domain it is 0000."""
    text = text_of(node)
    try:
        return parse_pci(text)
    except ValueError:
        raise Misfit(
            "pci-syntax", f"{show(text)} is no PCI address", "Write it as lspci -D does: 0000:18:00.0."
        ) from None


def read_fabric_kind(node: Scalar) -> FabricKind:
    """infiniband, roce or ethernet."""
    return _choose(node, FabricKind)


def read_eswitch(node: Scalar) -> Eswitch:
    """legacy or switchdev."""
    return _choose(node, Eswitch)


def read_addressing(node: Scalar) -> Addressing:
    """link, node or tenant."""
    return _choose(node, Addressing)


def read_rail(node: Scalar) -> RailIndex:
    """The number of a rail, 0 to 63."""
    return RailIndex(within(node, RAILS, "a rail", "Count the fabric's rails from 0."))


def read_numa(node: Scalar) -> int:
    """The number of a NUMA node, 0 to 63."""
    return within(node, NUMA_NODES, "a NUMA node", "See numa_node of the device in sysfs.")


def read_gpu(node: Scalar) -> int:
    """The number of a GPU, its place in `gpus`, from 0."""
    return within(node, GPUS, "a GPU", "Count the SKU's gpus from 0.")


def read_most(node: Scalar) -> int:
    """0 to 16777215."""
    return within(node, _MOST, "a quota", "Leave it out for no limit.")


def read_vfs(node: Scalar) -> int:
    """0 to 255."""
    return within(node, VFS, "a number of VFs", "No PF has more than its sriov_totalvfs.")


def read_vf(node: Scalar) -> int:
    """0 to 255."""
    return within(node, VFS, "the number of a VF", "Count the VFs of the PF from 0, as virtfn0 in sysfs.")


def read_use(node: Scalar) -> Use:
    """container or vm."""
    return _choose(node, Use)


def read_capacity(node: Scalar) -> int:
    """1 to 1024."""
    return within(node, PKEY_CAPACITIES, "a PKey table", "Count the files in ports/1/pkeys of the device.")


def read_cool_down(node: Scalar) -> int:
    """Seconds, 0 to 604800 (a week)."""
    return within(node, COOL_DOWNS, "a cool-down in seconds", "Write 300 for five minutes.")


def read_block4(node: Scalar) -> int:
    """A length of IPv4 prefixes, 8 to 32."""
    return within(node, _BLOCKS4, "the length of an IPv4 prefix", "Write 24, for blocks of 256 addresses.")


def read_block6(node: Scalar) -> int:
    """A length of IPv6 prefixes, 32 to 128."""
    return within(node, _BLOCKS6, "the length of an IPv6 prefix", "Write 64.")


def read_rail4(node: Scalar) -> Prefix:
    """An IPv4 subnet, /8 to /30, without bits behind the length."""
    return _of_version(read_subnet(node), 4)


def read_rail6(node: Scalar) -> Prefix:
    """An IPv6 subnet, /32 to /126, without bits behind the length."""
    return _of_version(read_subnet(node), 6)


def read_pkeys(node: Scalar) -> range:
    """FIRST-LAST, within 0x0001 to 0x7ffe."""
    return _span(node, parse_pkey, "pkey-syntax", "partition keys", "Write 0x0001-0x7ffe, or a part of it.")


def read_guids(node: Scalar) -> range:
    """FIRST-LAST, GUIDs of 16 hex digits, locally administered: the second digit is 2, 6, a or e.

    Both have the same first 16 bits."""
    advice = "Write 0200:5200:0000:0000-0200:5200:ffff:ffff, with your own numbers behind 02."
    span = _span(node, parse_guid, "guid-syntax", "GUIDs", advice)
    last = span.stop - 1
    if not (is_local_guid(span.start) and is_local_guid(last)) or span.start >> _SITE != last >> _SITE:
        message = f"{show(node.text)} reaches GUIDs that are a vendor's or a group's"
        raise Misfit("guid-not-local", message, advice)
    return span


def _span(node: Scalar, parse: Callable[[str], int], rule: str, what: str, advice: str) -> range:
    text = text_of(node)
    first, dash, last = text.partition("-")
    try:
        ends = (parse(first.strip()), parse(last.strip() if dash else first.strip()))
    except ValueError as error:
        raise Misfit(rule, f"{show(text)} is no span of {what}: {error}", advice) from None
    if ends[0] > ends[1]:
        raise Misfit(rule, f"{show(text)} ends before it begins", "Write the lower one first.")
    return range(ends[0], ends[1] + 1)


def _of_version(prefix: Prefix, version: int) -> Prefix:
    if prefix.version != version:
        raise Misfit(
            "family-mismatch",
            f"{prefix} is not IPv{version}",
            f"Write it as ipv{prefix.version} of the rail.",
        )
    return prefix


def _choose(node: Scalar, choices: type[Choice]) -> Choice:
    words = [str(each.value) for each in choices]
    text = node.text if node.sort is Sort.TEXT else text_of(node)
    if text not in words:
        advice = f"Write {', '.join(words[:-1])} or {words[-1]}."
        raise Misfit("choice", f"{show(text)} is none of {', '.join(words)}", advice)
    return choices(text)
