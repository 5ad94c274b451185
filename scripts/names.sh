#!/bin/sh
# Fetch a guest's resolver, and servers of names to measure beside ours; unpack them below .cache/names: nothing is
# installed here.
#
# Place: `make setup-all`, `make bench`. systemd-resolved would take /etc/resolv.conf of this host over, knot enables
# a service: they stay in a root of their own. Costs nothing the second time.
# Last line on failure: one sentence that says what is missing and what to do.
set -eu

cd "$(dirname "$0")/.."
CACHE=.cache/names
ROOT=$CACHE/root
SUITE=trixie # Debian 13, as the other roots here
# Read by tests/integration/product/test_resolving.py (systemd-resolved) and tests/bench (the others).
PACKAGES=systemd-resolved,libnss-resolve,libc-bin,dash,coreutils,dnsperf,dnsmasq-base,knot
export PATH="$PATH:/usr/sbin:/sbin" LC_ALL=C.UTF-8

say() { printf 'setup: %s\n' "$*"; }
fail() {
    printf 'setup: FAILED: %s\n' "$*" >&2
    exit 1
}

[ "$(cat "$ROOT/complete" 2>/dev/null || true)" != "$PACKAGES" ] || exit 0
mkdir -p "$CACHE"
rm -rf "$ROOT" "$ROOT.new"
say "fetching systemd-resolved, dnsperf, dnsmasq and knot of Debian 13 (200 MB unpacked)"
# extract: packages are unpacked, no script of theirs is run. MIRROR: another mirror than Debian's own.
# shellcheck disable=SC2086  # no word at all, if there is no other mirror
mmdebstrap --mode=root --variant=extract --include=$PACKAGES "$SUITE" "$ROOT.new" ${MIRROR:-} \
    >"$CACHE/root.log" 2>&1 ||
    fail "Debian 13's $PACKAGES could not be unpacked; see $CACHE/root.log, mend the network (or name another" \
        "mirror: MIRROR=http://... make setup-all), try again."
# What scripts of the packages would have done: the users that these programs want to be.
printf '%s:x:%s::/:/bin/false\n' root 0:0 systemd-resolve 991:991 dnsmasq 992:992 knot 993:993 \
    nobody 65534:65534 >"$ROOT.new/etc/passwd"
printf '%s:x:%s:\n' root 0 systemd-resolve 991 dnsmasq 992 knot 993 nogroup 65534 >"$ROOT.new/etc/group"
printf '%s' "$PACKAGES" >"$ROOT.new/complete"
mv "$ROOT.new" "$ROOT"
