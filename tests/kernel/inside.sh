#!/bin/bash
# Second stage in the guest, as process 1: make the shared root usable, run the tests, leave their exit code.
#
# Place: started by the guest's first file system (tests/kernel/guest.py), which has set RESULTS, KERNEL and
# CHECKOUT. The root is the host's, read only, under a tmpfs: whatever is written here is gone with the guest,
# but for what goes to /mnt/results. Must not be run on a host.
exec </dev/null >/dev/hvc0 2>&1
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C.UTF-8

finish() {
    printf '%s\n' "$1" >/mnt/results/exit
    sync
    echo o >/proc/sysrq-trigger # off, without a shutdown: there is nothing to shut down
    while :; do sleep 60; done
}

mkdir -p /mnt/results /dev/pts /dev/shm
mount -t 9p -o trans=virtio,version=9p2000.L,cache=none results /mnt/results || echo "guest: no folder for results"
mount -t devpts devpts /dev/pts
mount -t tmpfs tmpfs /dev/shm
mount -t tmpfs -o mode=755 tmpfs /run
mkdir /run/lock
modules=/lib/modules/$(uname -r)
mkdir -p "$modules"
mount --bind "$KERNEL/lib/modules/$(uname -r)" "$modules"
hostname guest
ip link set lo up
for module in openvswitch vport_vxlan vxlan vrf veth tun bridge nf_tables; do
    modprobe "$module" || { echo "guest: the kernel has no module $module"; finish 3; }
done
# An ovs-vswitchd of 3.1 counts processors anew when ten seconds have passed since its last count, or since the
# boot: one that starts earlier has no thread for what the kernel hands up, and loses it.
while [ "$(cut -d. -f1 /proc/uptime)" -lt 11 ]; do sleep 0.5; done
printf 'guest: kernel %s, booted after %s s\n' "$(uname -r)" "$(cut -d' ' -f1 /proc/uptime)"
cd "$CHECKOUT" || finish 3
bash /mnt/results/command
code=$?
printf 'guest: exit code %s after %s s\n' "$code" "$(cut -d' ' -f1 /proc/uptime)"
finish "$code"
