"""Tree: the documents that a port may ask for, by path, and what its directories list.

Place: looked up by `services.metadata.answering`. EC2's instance metadata under each version that cloud-init
looks for, and the files of a NoCloud seed. Must not hold what the port's own facts do not say.
"""

from __future__ import annotations

import json
from typing import Final

from services.metadata.facts import Facts, Nic, network_config, subnet_of

VERSIONS: Final = ("2009-04-04", "2016-09-02", "2018-09-24", "2021-03-23", "latest")
NOCLOUD: Final = "nocloud"

Tree = dict[str, "str | Tree"]


def plant(facts: Facts) -> Tree:
    """All documents of a port."""
    instance: Tree = {"meta-data": _meta_data(facts)}
    if facts.seed.data:
        instance["user-data"] = facts.seed.data
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
    """A name a line, directories with a slash, as EC2 lists them; keys as `0=NAME`, which is where `0` is."""
    if tree and all(step.isdecimal() for step in tree):
        return "\n".join(f"{step}=key-{step}" for step in tree)
    return "\n".join(name if isinstance(below, str) else f"{name}/" for name, below in sorted(tree.items()))


def _meta_data(facts: Facts) -> Tree:
    first, full = facts.first, facts.host_name
    made: Tree = {"hostname": full, "instance-id": first.uid, "local-hostname": full, "mac": first.mac}
    for version, name in ((4, "local-ipv4"), (6, "ipv6")):
        own = [str(a) for a in first.addresses if a.version == version]
        if own:
            made[name] = own[0]
    if facts.seed.keys:
        keys = enumerate(facts.seed.keys)
        made["public-keys"] = {str(number): {"openssh-key": f"{key}\n"} for number, key in keys}
    macs: Tree = {nic.mac: _interface(number, nic, facts.domain) for number, nic in enumerate(facts.nics)}
    made["network"] = {"interfaces": {"macs": macs}}
    return made


def _interface(number: int, nic: Nic, domain: str) -> Tree:
    made: Tree = {"device-number": str(number), "interface-id": nic.uid, "mac": nic.mac}
    made["local-hostname"] = f"{nic.name}.{domain}"
    for version, own, around in (
        (4, "local-ipv4s", "subnet-ipv4-cidr-block"),
        (6, "ipv6s", "subnet-ipv6-cidr-blocks"),
    ):
        addresses = [a for a in nic.addresses if a.version == version]
        subnets = (subnet_of(nic, a) for a in addresses)
        within = dict.fromkeys(str(subnet) for subnet in subnets if subnet is not None)
        made |= {own: "\n".join(map(str, addresses))} if addresses else {}
        made |= {around: "\n".join(within)} if within else {}
    return made


def _seed(facts: Facts) -> Tree:
    told: dict[str, object] = {"instance-id": facts.first.uid, "local-hostname": facts.host_name}
    if facts.seed.keys:
        told["public-keys"] = list(facts.seed.keys)
    return {
        "meta-data": json.dumps(told) + "\n",
        "network-config": network_config(facts),
        "user-data": facts.seed.data,
        "vendor-data": "",
    }
