"""What the operator's policies make on a host that is as full as can be: of the tenants that they judge, whom
they name besides, each port once."""

from __future__ import annotations

from ipam.burdens_operator import weigh_operator
from model.labels import EVERYTHING, NAME, matching
from model.policy import Action, Direction, Policy, Rule, Selection, Tier
from model.wanted import WantedPort

OF_ACME = matching([(NAME, "acme")])
OWN, ALL = Selection(), Selection(tenants=EVERYTHING)


def test_each_port_is_counted_once(bench) -> None:
    """acme has 3 ports with 6 addresses, umbra 2 with 2."""
    for tenant, count in (("acme", 3), ("umbra", 2)):
        bench.apply(*(WantedPort(tenant, f"p{n}", "prod") for n in range(count)))
    for tenants, peers, addresses, subjects in (
        (None, (OWN,), 8, 5),
        (OF_ACME, (OWN,), 6, 3),
        (OF_ACME, (ALL,), 8, 3),
        (OF_ACME, (OWN, ALL), 8, 3),
        (matching([(NAME, "umbra")]), (OWN, Selection(tenants=OF_ACME)), 8, 2),
    ):
        rule = Rule(Direction.IN, Action.ALLOW, peers)
        policy = Policy("all", "", Tier.OPERATOR, subject=Selection(tenants=tenants), rules=(rule,))
        (part,) = weigh_operator(bench.contents, (policy,), enough=0)
        assert (part.peers, part.subjects) == (addresses, subjects)
        assert weigh_operator(bench.contents, (policy,), enough=1_000) == ()
