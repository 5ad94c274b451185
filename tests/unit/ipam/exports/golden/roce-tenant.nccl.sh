# Gang acme/train, generation 1, reserved; node n1, host hv1, fabric roce (roce)
# For the shell that starts the job, where its VFs are (VM, container or host): . ./THIS-FILE
# Names of RDMA devices are the kernel's there, so they are looked up by node GUID or MAC.
#
# Which GPU is beside which rail. NCCL sees it itself where it sees the host's PCI tree. In a VM,
# give a GPU and its VF one virtual switch (pcie-switch-upstream-port), or write a NCCL_TOPO_FILE.
#   rail0: rail r0, PF mlx0, VF 0, 0000:80:00.1 on the host, beside GPU 0 (0000:01:00.0), NUMA node 0
#   rail0v1: rail r0, PF mlx0, VF 1, 0000:80:00.2 on the host, beside GPU 0 (0000:01:00.0), NUMA node 0
#   rail3: rail r3, PF mlx3, VF 0, 0000:83:00.1 on the host, beside GPU 3 (0000:01:00.3), NUMA node 0
#   rail3v1: rail r3, PF mlx3, VF 1, 0000:83:00.2 on the host, beside GPU 3 (0000:01:00.3), NUMA node 0

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
# Interface, where its device tells who it is, what it says.
_ringfence_look rail0 'device/net/*/address' 02:00:00:00:00:01 '0000:0000:0000:0000:0000:ffff:0a40:0002'
_ringfence_look rail0v1 'device/net/*/address' 02:00:00:00:00:02 '0000:0000:0000:0000:0000:ffff:0a40:0003'
_ringfence_look rail3 'device/net/*/address' 02:00:00:00:00:03 '0000:0000:0000:0000:0000:ffff:0a70:0002'
_ringfence_look rail3v1 'device/net/*/address' 02:00:00:00:00:04 '0000:0000:0000:0000:0000:ffff:0a70:0003'

# Exactly the devices of this gang (`=`: whole names), port 1 of each: a VM or container may see others.
if [ -n "$_ringfence_devices" ]; then
    export NCCL_IB_HCA="=${_ringfence_devices#,}"
fi
# Bootstrap and sockets stay off the rails, which reach nothing but other rails (`^=`: whole names that are
# left out); lo and docker0 stand here because naming any one ends NCCL's own avoiding of them.
if [ -n "$_ringfence_links" ]; then
    export NCCL_SOCKET_IFNAME="${NCCL_SOCKET_IFNAME:-^=lo,docker0$_ringfence_links}"
fi

# RoCE version 2: version 1 does not pass the leaf, which routes between links.
export NCCL_IB_ROCE_VERSION_NUM=2
# Rail n of a node meets rail n of the others on one leaf: a ring that changes rails would cross the spine.
export NCCL_CROSS_NIC="${NCCL_CROSS_NIC:-0}"

# The place of the rail's own address among the GIDs, as RoCE version 2: one number for all devices. If theirs
# differ it is left out, and NCCL (2.21 and later) finds each itself.
case $_ringfence_gid in
"" | *[!0-9]*) ;;
*) export NCCL_IB_GID_INDEX="$_ringfence_gid" ;;
esac

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
