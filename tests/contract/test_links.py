"""Links set up and down, on the real kernel, in a network namespace of the test's own."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
INSIDE = """
import json, subprocess
from controller.southbound.netlink.links import Link, set_links
def flags():
    shown = subprocess.run(["ip", "-j", "link"], check=True, capture_output=True, text=True)
    return {link["ifname"]: "UP" in link["flags"] for link in json.loads(shown.stdout)}
def ip(*words):
    subprocess.run(["ip", "link", *words], check=True)
ip("add", "name", "a", "type", "veth", "peer", "name", "fifteen-octets.")
seen = [flags()]
for state, names in ((Link.UP, ["lo", "a", "fifteen-octets."]), (Link.DOWN, ["a"]), (Link.UP, ["a", "a"])):
    assert not set_links(names, state)
    seen.append(flags())
amiss = ["none", "a", "sixteen-octets-x", ""]
failed = {name: error.faults[0].message for name, error in set_links(amiss, Link.DOWN).items()}
print(json.dumps([*seen, flags(), failed]))
"""


def test_links_are_as_they_were_set_and_no_others() -> None:
    done = subprocess.run(
        ["unshare", "--net", sys.executable, "-c", INSIDE],
        env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "PYTHONPATH": str(ROOT)},
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    *seen, failed = json.loads(done.stdout)
    lo, one, other = "lo", "a", "fifteen-octets."
    assert seen[0] == {lo: False, one: False, other: False}
    assert seen[1] == {lo: True, one: True, other: True}
    assert seen[2] == {lo: True, one: False, other: True}
    assert seen[3] == {lo: True, one: True, other: True}
    assert seen[4] == {lo: True, one: False, other: True}
    assert failed == dict.fromkeys(
        ("none", "sixteen-octets-x", ""),
        "its state cannot be set: the kernel has no such interface",
    )
