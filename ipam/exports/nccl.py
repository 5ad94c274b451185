"""NCCL: a file for the shell that starts a job, with what NCCL should know of the rails and why.

Place: a renderer of `ipam.exports`. RDMA devices have whatever names the kernel of the guest or container
gave them, so the file looks them up where it is read: by node GUID on InfiniBand, by MAC on RoCE. What it
writes down itself comes from numbers. Variables: NCCL's user guide, "Environment variables".
"""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv6Address
from typing import Final

from ipam.exports.kit import Card, Kit
from ipam.exports.remarks import heading, place
from model.addresses import Address, format_mac
from model.fabric import FabricKind, format_guid

# One word, read from a file of sysfs; nothing if it can't be read (a GID that is not there is an error).
_PARTS: Final = r"""
_ringfence_word() {
    _ringfence_said=
    if [ -r "$1" ]; then
        read -r _ringfence_said 2>/dev/null <"$1" || :
    fi
}

# The RDMA device that is meant: $1 interface, $2 file that tells, $3 what it says there, $4 GID or nothing.
_ringfence_look() {
    for _ringfence_one in "${RINGFENCE_SYSFS:-/sys}"/class/infiniband/*; do
        for _ringfence_file in "$_ringfence_one"/$2; do
            _ringfence_word "$_ringfence_file"
            if [ "$_ringfence_said" = "$3" ]; then
                _ringfence_take "$4"
                return 0
            fi
        done
    done
    _ringfence_lost="$_ringfence_lost $1"
}

# Remember it, its links, and the place of its GID for RoCE version 2.
_ringfence_take() {
    _ringfence_devices="$_ringfence_devices,${_ringfence_one##*/}:1"
    for _ringfence_file in "$_ringfence_one"/device/net/*; do
        if [ -e "$_ringfence_file" ]; then
            _ringfence_links="$_ringfence_links,${_ringfence_file##*/}"
        fi
    done
    if [ -z "$1" ]; then
        return 0
    fi
    _ringfence_index=none
    for _ringfence_file in "$_ringfence_one"/ports/1/gids/*; do
        _ringfence_word "$_ringfence_file"
        if [ "$_ringfence_said" = "$1" ]; then
            _ringfence_word "$_ringfence_one/ports/1/gid_attrs/types/${_ringfence_file##*/}"
            if [ "$_ringfence_said" = "RoCE v2" ]; then
                _ringfence_index=${_ringfence_file##*/}
            fi
        fi
    done
    case $_ringfence_gid in
    "" | "$_ringfence_index") _ringfence_gid=$_ringfence_index ;;
    *) _ringfence_gid=none ;;
    esac
}

_ringfence_devices= _ringfence_links= _ringfence_lost= _ringfence_gid=
"""

_DEVICES: Final = r"""
# Exactly the devices of this gang (`=`: whole names), port 1 of each: a VM or container may see others.
if [ -n "$_ringfence_devices" ]; then
    export NCCL_IB_HCA="=${_ringfence_devices#,}"
fi
# Bootstrap and sockets stay off the rails, which reach nothing but other rails (`^=`: whole names that are
# left out); lo and docker0 stand here because naming any one ends NCCL's own avoiding of them.
if [ -n "$_ringfence_links" ]; then
    export NCCL_SOCKET_IFNAME="${NCCL_SOCKET_IFNAME:-^=lo,docker0$_ringfence_links}"
fi
"""

_PKEY: Final = """\
# The tenant's partition key is first in each port's table; at another place NCCL would find none.
export NCCL_IB_PKEY=0
"""

_CROSS: Final = """\
# Rail n of a node meets rail n of the others on one leaf: a ring that changes rails would cross the spine.
export NCCL_CROSS_NIC="${NCCL_CROSS_NIC:-0}"
"""

_VERSION: Final = """\
# RoCE version 2: version 1 does not pass the leaf, which routes between links.
export NCCL_IB_ROCE_VERSION_NUM=2
"""

_GID: Final = r"""
# The place of the rail's own address among the GIDs, as RoCE version 2: one number for all devices. If theirs
# differ it is left out, and NCCL (2.21 and later) finds each itself.
case $_ringfence_gid in
"" | *[!0-9]*) ;;
*) export NCCL_IB_GID_INDEX="$_ringfence_gid" ;;
esac
"""

_END: Final = r"""
# Without one of its rails a job is slow, or hangs: the file ends with an error then.
unset -f _ringfence_word _ringfence_look _ringfence_take
unset _ringfence_devices _ringfence_links _ringfence_gid _ringfence_index
unset _ringfence_one _ringfence_file _ringfence_said
case $_ringfence_lost in
"") unset _ringfence_lost ;;
*)
    echo "ringfence: no RDMA device here for$_ringfence_lost: is the gang active, and its VFs in here?" >&2
    unset _ringfence_lost
    false
    ;;
esac
"""


def nccl(kit: Kit) -> str:
    """POSIX shell, to be sourced."""
    infiniband = kit.kind is FabricKind.INFINIBAND
    parts = ["\n".join(_head(kit)), "\n", _PARTS, "\n".join(_looks(kit)), "\n", _DEVICES]
    parts.append("\n" + (_PKEY if infiniband else _VERSION))
    if len({card.rail for card in kit.cards}) > 1:
        parts.append(_CROSS)
    if not infiniband:
        parts.append(_GID)
    return "".join([*parts, _END])


def _head(kit: Kit) -> Iterator[str]:
    yield f"# {heading(kit)}"
    yield "# For the shell that starts the job, where its VFs are (VM, container or host): . ./THIS-FILE"
    yield "# Names of RDMA devices are the kernel's there, so they are looked up by node GUID or MAC."
    yield "#"
    yield "# Which GPU is beside which rail. NCCL sees it itself where it sees the host's PCI tree. In a VM,"
    yield "# give a GPU and its VF one virtual switch (pcie-switch-upstream-port), or write a NCCL_TOPO_FILE."
    yield from (f"#   {place(card)}" for card in kit.cards)


def _looks(kit: Kit) -> Iterator[str]:
    yield "# Interface, where its device tells who it is, what it says."
    for card in kit.cards:
        if kit.kind is FabricKind.INFINIBAND:
            yield f"_ringfence_look {card.name} node_guid {format_guid(card.node_guid)} ''"
        else:
            gid = _gid(card)
            yield f"_ringfence_look {card.name} 'device/net/*/address' {format_mac(card.mac)} '{gid}'"


def _gid(card: Card) -> str:
    """Of its first address, as sysfs writes it; nothing without one."""
    return next((_exploded(one.ip) for one in card.addresses), "")


def _exploded(one: Address) -> str:
    """IPv4 as mapped into IPv6: RoCE version 2's GIDs (InfiniBand Architecture, annex 17)."""
    return (IPv6Address(0xFFFF << 32 | int(one)) if one.version == 4 else one).exploded
