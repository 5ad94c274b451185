#!/bin/sh
# Make a checkout runnable: what the kernel must offer, Debian packages, virtual environment, Python packages.
#
# Place: `make setup`, before demo, test and lint; `setup.sh all` adds what only `make test-all` needs, `setup.sh
# bench` what only `make bench` does. Costs nothing the second time. Starts and enables no service, changes nothing
# in the checkout but .venv and .cache. Needs root, as everything in the labs does.
# Last line on failure: one sentence that says what is missing and what to do.
set -eu

cd "$(dirname "$0")/.."
ROOT=$(pwd)
VENV=.venv
CACHE=.cache/setup
LISTS=scripts/packages.txt
case ${1:-} in all | bench) LISTS="$LISTS scripts/packages-$1.txt" ;; esac
PYTHON=/usr/bin/python3         # Debian's own: another python3 on PATH would not see Debian's Mininet
POLICY=/usr/sbin/policy-rc.d
export PATH="$PATH:/usr/sbin:/sbin" # after `su` without a dash they are missing
export DEBIAN_FRONTEND=noninteractive LC_ALL=C.UTF-8 PIP_DISABLE_PIP_VERSION_CHECK=1

say() { printf 'setup: %s\n' "$*"; }
fail() {
    printf 'setup: FAILED: %s\n' "$*" >&2
    exit 1
}

# Run a command with its output in a log, and say every ten seconds that it is still at work.
logged() {
    log=$1
    shift
    begin=$(date +%s)
    (
        while sleep 10 </dev/null >/dev/null 2>&1; do
            say "  $(($(date +%s) - begin)) s: $(grep -v '^WARNING' "$log" 2>/dev/null | tail -n 1 | cut -c 1-80)"
        done
    ) &
    ticker=$!
    code=0
    "$@" >"$log" 2>&1 </dev/null || code=$?
    kill "$ticker" 2>/dev/null || true
    wait "$ticker" 2>/dev/null || true
    return "$code"
}

# --- what cannot be installed -------------------------------------------------------------------------------

check_root() {
    [ "$(id -u)" -eq 0 ] ||
        fail "root is needed, for network namespaces and Open vSwitch; run it with sudo, for example 'sudo make demo'."
}

check_namespaces() {
    why=$(unshare --net --mount --pid --fork true 2>&1) ||
        fail "new network, mount or PID namespaces are refused here ($why); use a virtual machine, or a container" \
            "with CAP_SYS_ADMIN and CAP_NET_ADMIN (in a chroot, its root must be a mount point)."
    [ -c /dev/net/tun ] || modprobe tun 2>/dev/null || true
    [ -c /dev/net/tun ] ||
        fail "/dev/net/tun is missing, and Open vSwitch's userspace data path needs it; load the module 'tun'," \
            "or give the container the device (--device /dev/net/tun)."
}

# One kind of link, made and gone within a namespace of its own.
probe_link() {
    unshare --net ip link add probe0 "$@" >/dev/null 2>&1
}

check_links() {
    # `ip` comes with iproute2, so this runs after the packages; modules load on demand where there are modules.
    probe_link type veth peer name probe1 ||
        fail "the kernel offers no veth links; load the module 'veth' or use a kernel that has CONFIG_VETH."
    probe_link type bridge ||
        fail "the kernel offers no bridges; load the module 'bridge' or use a kernel that has CONFIG_BRIDGE."
    probe_link type vxlan id 1 dstport 4789 local 192.0.2.1 ||
        fail "the kernel offers no VXLAN; load the module 'vxlan' or use a kernel that has CONFIG_VXLAN."
    unshare --net nft add table netdev probe >/dev/null 2>&1 ||
        fail "the kernel offers no nf_tables; load the module 'nf_tables' or use a kernel that has CONFIG_NF_TABLES."
}

# --- Debian packages ------------------------------------------------------------------------------------------

wanted_packages() {
    # shellcheck disable=SC2086  # a list of files
    sed -e 's/#.*//' -e 's/[[:space:]]//g' -e '/^$/d' $LISTS
}

missing_packages() {
    for package in $(wanted_packages); do
        status=$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null || true)
        [ "$status" = installed ] || printf '%s ' "$package"
    done
}

# Of the services that the packages bring, those that would do something to this host's network at its next boot.
SERVICES='openvswitch-switch ovs-record-hostname frr gobgpd nftables opensm ovn-central ovn-host postgresql'

# Links that make one of them start at boot: systemd's and the old rc directories'.
boot_links() {
    for service in $SERVICES; do
        find /etc/systemd/system -mindepth 2 -type l -name "$service.service" 2>/dev/null || true
        find /etc/rc2.d /etc/rc3.d /etc/rc4.d /etc/rc5.d /etc/rcS.d -name "S[0-9][0-9]$service" 2>/dev/null || true
    done
}

policy_forbids() {
    [ -x "$POLICY" ] || return 1
    code=0
    "$POLICY" openvswitch-switch start >/dev/null 2>&1 || code=$?
    [ "$code" -eq 101 ]
}

restore_policy() {
    if [ -e "$POLICY.before-ringfence" ]; then
        mv -f "$POLICY.before-ringfence" "$POLICY"
    elif [ -e "$POLICY" ] && grep -q 'ringfence set-up' "$POLICY"; then
        rm -f "$POLICY"
    fi
}

# The labs start their own daemons in their own namespaces; a system's own switch or router must not appear
# because somebody wanted to see a demo.
forbid_services() {
    restore_policy # of a run that was killed
    policy_forbids && return
    [ ! -e "$POLICY" ] || mv "$POLICY" "$POLICY.before-ringfence"
    trap restore_policy EXIT
    trap 'exit 130' INT TERM HUP
    printf '#!/bin/sh\n# Temporary, by the ringfence set-up: installing starts no service.\nexit 101\n' >"$POLICY"
    chmod 755 "$POLICY"
}

# Only what this run has brought: a service that was enabled before stays as its owner wants it. Taking the link
# away is what `systemctl disable` does, and an upgrade of the package respects it.
disable_new() {
    boot_links | sort >"$CACHE/boot.after"
    comm -13 "$CACHE/boot.before" "$CACHE/boot.after" >"$CACHE/boot.new"
    [ -s "$CACHE/boot.new" ] || return 0
    while read -r link; do
        case $link in
        /etc/systemd/system/*) rm -f "$link" ;;
        *) update-rc.d "${link##*/S[0-9][0-9]}" disable >/dev/null 2>&1 || true ;;
        esac
        printf '%s\n' "${link##*/}" | sed -e 's/^S[0-9][0-9]//' -e 's/\.service$//'
    done <"$CACHE/boot.new" | sort -u | tr '\n' ' ' >"$CACHE/disabled"
    say "installed, but neither started nor enabled: $(cat "$CACHE/disabled")"
}

install_packages() {
    missing=$(missing_packages)
    [ -n "$missing" ] || return 0
    command -v apt-get >/dev/null ||
        fail "these packages are missing and there is no apt-get to install them: $missing" \
            "(Ringfence is set up on Debian 12)."
    say "installing Debian packages: $missing"
    boot_links | sort >"$CACHE/boot.before"
    forbid_services
    # shellcheck disable=SC2086  # a list of package names
    if ! logged "$CACHE/apt.log" apt_install $missing; then
        say "the package lists are old or absent; fetching them"
        logged "$CACHE/apt-update.log" apt-get update -q || {
            tail -n 5 "$CACHE/apt-update.log" >&2
            fail "'apt-get update' failed; see $CACHE/apt-update.log, mend the network or the apt sources, try again."
        }
        # shellcheck disable=SC2086
        logged "$CACHE/apt.log" apt_install $missing || {
            grep -h '^[EW]:' "$CACHE/apt-update.log" "$CACHE/apt.log" | tail -n 6 >&2 || true
            fail "apt-get could not install: $missing; see $CACHE/apt.log, mend the network or the apt sources" \
                "(Debian 12 has all of them in 'main'), try again."
        }
    fi
    disable_new
    restore_policy
    left=$(missing_packages)
    [ -z "$left" ] || fail "apt-get ended well, but these are still missing: $left (see $CACHE/apt.log)."
}

apt_install() {
    apt-get install -y -q --no-install-recommends -o Dpkg::Options::=--force-confold "$@"
}

# --- Python ---------------------------------------------------------------------------------------------------

fingerprint() {
    # The checkout's path is part of it: a venv that was moved must be made again.
    { printf '%s\n' "$ROOT"; "$PYTHON" -V; cat requirements.txt setup.cfg scripts/setup.sh; } | sha256sum | cut -d' ' -f1
}

install_python() {
    "$PYTHON" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null ||
        fail "$PYTHON is missing or older than 3.11; Ringfence is set up on Debian 12."
    now=$(fingerprint)
    [ "$(cat "$VENV/.ringfence" 2>/dev/null || true)" != "$now" ] || return 0
    [ ! -L "$VENV" ] || fail "$VENV is a link: it is another checkout's, which this would empty; remove the link."
    rm -f "$VENV/.ringfence"
    if ! "$VENV/bin/python" -m pip --version >/dev/null 2>&1 ||
        [ "$(sed -n 's/^command = .* -m venv \(--[a-z-]* \)*//p' "$VENV/pyvenv.cfg")" != "$ROOT/$VENV" ]; then
        say "making the virtual environment $VENV"
        "$PYTHON" -m venv --clear "$VENV" || fail "'$PYTHON -m venv $VENV' failed; is the disk full?"
    fi
    say "installing $(grep -c '^[A-Za-z0-9].*==' requirements.txt) locked Python packages (about half a minute)"
    logged "$CACHE/pip.log" "$VENV/bin/python" -m pip install --progress-bar off --require-hashes \
        -r requirements.txt || {
        grep -i -A 3 '^error' "$CACHE/pip.log" | tail -n 8 >&2 || true
        fail "pip could not install requirements.txt; see $CACHE/pip.log, mend the network or pip's settings, try again."
    }
    # Mininet alone of Debian's Python packages: with all of them pip would take Debian's older versions.
    site=$("$VENV/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
    ln -sfn /usr/lib/python3/dist-packages/mininet "$site/mininet"
    "$VENV/bin/python" -m pip install -q --no-deps --no-build-isolation --no-index \
        --config-settings editable_mode=compat -e . >>"$CACHE/pip.log" 2>&1 || {
        tail -n 8 "$CACHE/pip.log" >&2
        fail "the editable install of this checkout failed; see $CACHE/pip.log."
    }
    printf '%s\n' "$now" >"$VENV/.ringfence"
}

# --- in order ---------------------------------------------------------------------------------------------------

check_root
check_namespaces
mkdir -p "$CACHE"
install_packages
check_links
install_python
say "ready"
