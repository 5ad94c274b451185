"""Tree: the documents that a port may ask for, by path, and what its directories list.

Place: looked up by `services.metadata.answering`. EC2's instance metadata under each version that cloud-init
looks for, and the files of a NoCloud seed. Must not hold what the port's own facts do not say.
"""

from __future__ import annotations

import json
from typing import Final

from services.metadata.facts import Facts, network_config, subnet_of

VERSIONS: Final = ("2009-04-04", "2016-09-02", "2018-09-24", "2021-03-23", "latest")
NOCLOUD: Final = "nocloud"

Tree = dict[str, "str | Tree"]


def plant(facts: Facts) -> Tree:
    """All documents of a port."""
    instance: Tree = {"meta-data": _meta_data(facts)}
    return {**dict.fromkeys(VERSIONS, instance), NOCLOUD: _seed(facts)}


def find(tree: Tree, path: tuple[str, ...]) -> str | Tree | None:
    """A document, or a directory; None: there is none."""
    here: str | Tree = tree
    for step in path:
        if isinstance(here, str) or step not in here:
            return None
        here = here[step]
    return here


def listing(tree: Tree) -> str:
    """A name a line, directories with a slash, as EC2 lists them."""
    return "\n".join(name if isinstance(below, str) else f"{name}/" for name, below in sorted(tree.items()))


def _meta_data(facts: Facts) -> Tree:
    four = [str(a) for a in facts.addresses if a.version == 4]
    six = [str(a) for a in facts.addresses if a.version == 6]
    full = f"{facts.name}.{facts.domain}"
    interface: Tree = {"device-number": "0", "interface-id": facts.instance, "mac": facts.mac}
    made: Tree = {"hostname": full, "instance-id": facts.instance, "local-hostname": full, "mac": facts.mac}
    interface["local-hostname"] = full
    if four:
        made["local-ipv4"], interface["local-ipv4s"] = four[0], "\n".join(four)
    if six:
        made["ipv6"], interface["ipv6s"] = six[0], "\n".join(six)
    for version, name in ((4, "subnet-ipv4-cidr-block"), (6, "subnet-ipv6-cidr-blocks")):
        found = (subnet_of(facts, a) for a in facts.addresses if a.version == version)
        within = dict.fromkeys(str(subnet) for subnet in found if subnet is not None)
        if within:
            interface[name] = "\n".join(within)
    made["network"] = {"interfaces": {"macs": {facts.mac: interface}}}
    return made


def _seed(facts: Facts) -> Tree:
    told = {"instance-id": facts.instance, "local-hostname": f"{facts.name}.{facts.domain}"}
    return {
        "meta-data": json.dumps(told) + "\n",
        "network-config": network_config(facts),
        "user-data": "",
        "vendor-data": "",
    }
