#!/bin/sh
# Fetch Debian's kernel for guests and unpack it below .cache/guest: nothing of it is installed on this host.
#
# Place: `make setup-all`, after scripts/setup.sh, before the guests of `make test-all`. Costs nothing the second
# time. No initramfs is made, no boot entry, no module of the host is touched.
# Last line on failure: one sentence that says what is missing and what to do.
set -eu

cd "$(dirname "$0")/.."
CACHE=.cache/guest
KERNEL=$CACHE/kernel
META=linux-image-amd64 # depends on the current one; the cloud variant has no 9p
export PATH="$PATH:/usr/sbin:/sbin" LC_ALL=C.UTF-8

say() { printf 'setup: %s\n' "$*"; }
fail() {
    printf 'setup: FAILED: %s\n' "$*" >&2
    exit 1
}

# What guests load: network, tunnels, 9p, virtio, and what a NIC with VFs (igb) needs. The rest of the package (400 MB) stays packed.
WANTED="./boot/vmlinuz-* ./lib/modules/*/modules.* ./lib/modules/*/kernel/crypto/* ./lib/modules/*/kernel/lib/*
./lib/modules/*/kernel/net/* ./lib/modules/*/kernel/drivers/net/*.ko ./lib/modules/*/kernel/drivers/virtio/*
./lib/modules/*/kernel/drivers/char/virtio* ./lib/modules/*/kernel/drivers/char/hw_random/*
./lib/modules/*/kernel/fs/9p/* ./lib/modules/*/kernel/fs/netfs/* ./lib/modules/*/kernel/fs/fscache/*
./lib/modules/*/kernel/fs/overlayfs/* ./lib/modules/*/kernel/drivers/dca/* ./lib/modules/*/kernel/drivers/ptp/*
./lib/modules/*/kernel/drivers/pps/* ./lib/modules/*/kernel/drivers/i2c/*"

current() { apt-cache depends "$META" 2>/dev/null | sed -n 's/^ *Depends: \(linux-image-[0-9].*\)$/\1/p' | head -n 1; }

fetch() {
    package=$(current)
    [ -n "$package" ] && (cd "$CACHE" && apt-get download -q "$package") >"$CACHE/download.log" 2>&1
}

unpack() {
    set -f # the shell must leave the patterns to tar
    # shellcheck disable=SC2086  # a list of patterns
    dpkg-deb --fsys-tarfile "$1" | tar -x -C "$KERNEL.new" --wildcards $WANTED
    set +f
    depmod -b "$KERNEL.new" "$(ls "$KERNEL.new/lib/modules")"
}

# Whoever wants more of the package than the last run did gets it unpacked anew.
set -f
stamp=$(printf '%s\n' $WANTED | cksum)
set +f
[ "$(cat "$KERNEL/complete" 2>/dev/null || true)" != "$stamp" ] || exit 0
[ "$(dpkg --print-architecture)" = amd64 ] || fail "the guests are amd64 machines, and so must be this one."
mkdir -p "$CACHE"
rm -f "$CACHE"/*.deb
say "fetching Debian's kernel for guests"
fetch || { apt-get update -q >"$CACHE/apt-update.log" 2>&1 && fetch; } ||
    fail "the package of $META could not be fetched; see $CACHE/download.log, mend the network or the apt sources" \
        "(Debian 12 has it in 'main'), try again."
rm -rf "$KERNEL" "$KERNEL.new"
mkdir -p "$KERNEL.new"
unpack "$(ls "$CACHE"/*.deb)" || fail "the kernel's package could not be unpacked; is the disk full?"
printf '%s\n' "$stamp" >"$KERNEL.new/complete"
mv "$KERNEL.new" "$KERNEL"
rm -f "$CACHE"/*.deb
say "kernel for guests: $(ls "$KERNEL/lib/modules")"
