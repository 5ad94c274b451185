"""`ringfence gang export`: what a gang has on its nodes, for libvirt, cloud-init, NCCL or a program.

Place: an action of `ringfence gang`. Must not write any of it itself: the API renders.
"""

from __future__ import annotations

import argparse
from typing import Any

from controller.cli.client import Wrong, segment
from controller.cli.session import Session

_FORMS = ("libvirt", "libvirt-hostdev", "cloud-init", "nccl", "json")


def declare_export(actions: Any) -> argparse.ArgumentParser:
    """Its arguments; `actions`: what argparse calls subparsers."""
    export: argparse.ArgumentParser = actions.add_parser(
        "export", help="what it has on its nodes, for libvirt, cloud-init, NCCL or a program"
    )
    export.add_argument("name", metavar="NAME", help="name of the gang")
    export.add_argument("--tenant", required=True, metavar="T", help="its tenant")
    export.add_argument("--node", default="", metavar="N", help="of one node; texts are of one node each")
    export.add_argument("--as", dest="form", required=True, choices=_FORMS, help="in whose words")
    export.add_argument(
        "--managed",
        choices=("no", "yes"),
        default="no",
        help="libvirt: whether it binds vfio-pci itself (default: no, the agent has done so)",
    )
    export.add_argument("--mtu", type=int, metavar="N", help="cloud-init: MTU of every interface")
    return export


def run_export(arguments: argparse.Namespace, session: Session) -> None:
    """Print it as it is, to be put into a file; with `-o json` everything that the API says."""
    place = f"/v1/tenants/{segment(arguments.tenant)}/gangs/{segment(arguments.name)}/export"
    query = {"as": arguments.form, "managed": arguments.managed}
    if arguments.node:
        query["node"] = arguments.node
    if arguments.mtu is not None:
        query["mtu"] = str(arguments.mtu)
    answer = session.api.get(place, query)
    if arguments.form == "json" and session.form == "table":
        session.form = "json"
    session.show(answer, lambda value: _print(session, value))


def _print(session: Session, answer: Any) -> None:
    items = answer["items"]
    if len(items) > 1:
        nodes = " ".join(item["node"] for item in items)
        raise Wrong(f"a text is of one node: add --node, one of {nodes}; or -o json for all at once")
    for line in items[0]["text"].splitlines():
        session.line(line)
