#!/bin/sh
# Fetch Debian 13's QEMU and unpack it below .cache/guest: nothing of it is installed on this host.
#
# Place: `make setup-all`, after scripts/kernel.sh. Its igb is the only emulated NIC with real VFs, and Debian 12's
# QEMU has none. Runs with its own libraries. Costs nothing the second time.
# Last line on failure: one sentence that says what is missing and what to do.
set -eu

cd "$(dirname "$0")/.."
CACHE=.cache/guest
QEMU=$CACHE/qemu
SUITE=trixie
export PATH="$PATH:/usr/sbin:/sbin" LC_ALL=C.UTF-8

say() { printf 'setup: %s\n' "$*"; }
fail() {
    printf 'setup: FAILED: %s\n' "$*" >&2
    exit 1
}

[ ! -e "$QEMU/complete" ] || exit 0
mkdir -p "$CACHE"
rm -rf "$QEMU" "$QEMU.new"
say "fetching the QEMU of Debian 13 for guests with virtual functions (170 MB unpacked)"
# extract: packages are unpacked, no script of theirs is run. MIRROR: another mirror than Debian's own.
# shellcheck disable=SC2086  # no word at all, if there is no other mirror
mmdebstrap --mode=root --variant=extract --include=qemu-system-x86 "$SUITE" "$QEMU.new" ${MIRROR:-} \
    >"$CACHE/qemu.log" 2>&1 ||
    fail "Debian 13's qemu-system-x86 could not be unpacked; see $CACHE/qemu.log, mend the network (or name" \
        "another mirror: MIRROR=http://... make setup-all), try again."
: >"$QEMU.new/complete"
mv "$QEMU.new" "$QEMU"
