"""Two nodes with two rails of InfiniBand and a tenant, which are no other test's; nothing cools down."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.unit.api.house import House
from tests.unit.api.test_objects import apply, document

PLACE = "/v1/tenants/rails-tenant/gangs"


def documents() -> list[dict[str, Any]]:
    pf = {"kind": "infiniband", "numa": 0, "vfs": 4, "pkeys": 128}
    planes = [{"name": f"plane{n}", "ipv4": f"10.25{n}.0.0/16", "leaf": f"rails-leaf{n}"} for n in (0, 1)]
    fabric = document(
        "Fabric",
        "rails-fabric",
        pkeys="0x4000-0x40ff",
        guids=["0200:5300:0000:0000-0200:5300:ffff:ffff"],
        addressing="tenant",
        block4=20,
        coolDown=0,
        rails=planes,
    )
    fabric["spec"]["kind"] = "infiniband"
    return [
        *(document("Hypervisor", f"rails-hv{n}", vtep=f"198.51.100.{100 + n}") for n in (1, 2)),
        document(
            "Sku",
            "rails-sku",
            gpus=[{"pci": "0000:1b:00.0", "numa": 0}, {"pci": "0000:43:00.0", "numa": 0}],
            pfs=[
                {"name": "rail0", "pci": "0000:18:00.0", "rail": 0, "gpu": 0, **pf},
                {"name": "rail1", "pci": "0000:40:00.0", "rail": 1, "gpu": 1, **pf},
            ],
        ),
        fabric,
        *(
            document("Node", f"rails-{n}", sku="rails-sku", fabric="rails-fabric", host=f"rails-hv{n}")
            for n in (1, 2)
        ),
        document("Tenant", "rails-tenant"),
    ]


def ask(house: House, name: str = "train", **more: Any) -> Any:
    body = {"name": name, "fabric": "rails-fabric", "nodes": ["rails-1", "rails-2"], **more}
    return house.api.once("POST", PLACE, body=body)


@pytest.fixture(scope="module")
def rails(house: House) -> Iterator[House]:
    apply(house, *documents())
    yield house
    for item in house.api.get(PLACE)["items"]:
        house.api.once("DELETE", f"{PLACE}/{item['metadata']['name']}")
    house.api.once("POST", "/v1/delete", body={"documents": documents()})
