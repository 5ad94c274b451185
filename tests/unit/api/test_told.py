"""What a network tells its ports, through real HTTP and a real store: in the form that applies again, and
back to what is usual."""

from __future__ import annotations

from typing import Any

from tests.unit.api.test_objects import apply, document
from tests.unit.api.test_policies import delete

TOLD: dict[str, Any] = {
    "dhcp": False,
    "resolvers": ["10.0.0.53"],
    "names": False,
    "domain": "a.example",
    "search": ["b.example"],
    "guestRoutes": [{"prefix": "192.0.2.0/24", "nextHop": "10.66.0.9"}],
    "lease": 900,
}
USUAL: dict[str, Any] = {
    **{name: [] for name, said in TOLD.items() if isinstance(said, list)},
    "dhcp": True,
    "names": True,
    "domain": "none",
    "lease": 86400,
}


def test_it_is_shown_where_it_is_not_the_usual(house) -> None:
    tenant = document("Tenant", "told")

    def network(**spec: Any) -> dict[str, Any]:
        return document("Network", "n", "told", subnets=["10.66.0.0/24"], **spec)

    apply(house, tenant, network(**TOLD))
    try:
        shown = house.api.get("/v1/networks/n", {"tenant": "told"})
        assert {name: shown["spec"][name] for name in TOLD} == TOLD
        assert not apply(house, shown)["changed"]
        assert not apply(house, network())["changed"], "not written means left as it is"
        assert apply(house, network(**USUAL))["changed"]
        assert not TOLD.keys() & house.api.get("/v1/networks/n", {"tenant": "told"})["spec"].keys()
    finally:
        delete(house, network(), tenant)
