#!/bin/sh
# Fetch what exports and metrics are checked with, and unpack it below .cache/oracles: nothing is installed here.
#
# Place: `make setup-all`. cloud-init would take part in this host's next boot, and prometheus enables a service, so
# both stay in a root of their own, with libvirt's schema. Costs nothing the second time.
# Last line on failure: one sentence that says what is missing and what to do.
set -eu

cd "$(dirname "$0")/.."
CACHE=.cache/oracles
ROOT=$CACHE/root
SUITE=trixie # Debian 13: Debian 12's cloud-init has no schema of network-config
# Read by tests/contract/test_exports.py: virt-xml-validate; cloud-init; promtool; udevadm verify.
PACKAGES=base-files,coreutils,dash,grep,sed,libvirt-clients,libxml2-utils,cloud-init,prometheus,udev
export PATH="$PATH:/usr/sbin:/sbin" LC_ALL=C.UTF-8

say() { printf 'setup: %s\n' "$*"; }
fail() {
    printf 'setup: FAILED: %s\n' "$*" >&2
    exit 1
}

[ "$(cat "$ROOT/complete" 2>/dev/null || true)" != "$PACKAGES" ] || exit 0
mkdir -p "$CACHE"
rm -rf "$ROOT" "$ROOT.new"
say "fetching libvirt's schema, cloud-init and promtool of Debian 13 (400 MB unpacked)"
# extract: packages are unpacked, no script of theirs is run. MIRROR: another mirror than Debian's own.
# shellcheck disable=SC2086  # no word at all, if there is no other mirror
mmdebstrap --mode=root --variant=extract --include=$PACKAGES "$SUITE" "$ROOT.new" ${MIRROR:-} \
    >"$CACHE/root.log" 2>&1 ||
    fail "Debian 13's $PACKAGES could not be unpacked; see $CACHE/root.log, mend the network (or name another" \
        "mirror: MIRROR=http://... make setup-all), try again."
# What a script of ca-certificates would have done: cloud-init's library for HTTP does not load without it.
cat "$ROOT.new"/usr/share/ca-certificates/mozilla/*.crt >"$ROOT.new/etc/ssl/certs/ca-certificates.crt"
printf '%s' "$PACKAGES" >"$ROOT.new/complete"
mv "$ROOT.new" "$ROOT"
