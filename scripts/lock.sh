#!/bin/sh
# Recompute requirements.txt from requirements.in: all versions, all hashes, no address of any index in it.
#
# Run it by hand after editing requirements.in, in a throw-away venv, so that pip-tools is no dependency of ours:
#   python3 -m venv /tmp/lock && /tmp/lock/bin/pip install pip-tools && PATH=/tmp/lock/bin:$PATH scripts/lock.sh
set -eu
cd "$(dirname "$0")/.."
command -v pip-compile >/dev/null || {
    echo "lock: pip-compile is not on PATH; install pip-tools in a venv of its own and put it there" >&2
    exit 1
}
CUSTOM_COMPILE_COMMAND="scripts/lock.sh" pip-compile --quiet --generate-hashes --allow-unsafe --strip-extras \
    --no-emit-index-url --no-emit-find-links --no-emit-trusted-host --no-emit-options \
    --output-file requirements.txt requirements.in
echo "lock: requirements.txt has $(grep -c '==' requirements.txt) packages"
