"""Ways between and out of tenants on random histories: what is stored always holds together."""

from __future__ import annotations

from ipaddress import ip_address, ip_network

from hypothesis import given, settings
from hypothesis import strategies as st

from ipam.contents import Contents, link_name
from ipam.deletion import plan_deletion
from ipam.draft import Draft
from ipam.plan import plan
from ipam.trial import COOL_DOWN_MS
from model.errors import RingfenceError
from model.ids import HostName
from model.intent import Egress
from model.wanted import (
    Kind,
    Reference,
    WantedExternal,
    WantedFloatingIp,
    WantedHypervisor,
    WantedNetwork,
    WantedPeering,
    WantedPort,
    WantedRoute,
    WantedTenant,
)
from tests.property.ipam.test_plan import commit, fresh, uids

TENANTS = ("a", "b", "c")
TENANT, PORT = st.sampled_from(TENANTS), st.sampled_from(("p", "q"))
HOSTS = tuple(HostName(f"g{i}") for i in range(4))
POOLS = (ip_network("203.0.113.0/29"), ip_network("2001:db8::/126"))
FOREIGN = ip_network("192.0.2.128/25")
SHARED = {t: ip_network(f"10.{i}.0.0/24") for i, t in enumerate(TENANTS, 1)}
WANTED = st.one_of(
    st.builds(
        WantedTenant,
        TENANT,
        egress=st.sampled_from([None, *Egress]),
        external=st.sampled_from(["x", "x", "y"]),
        public_prefixes=st.sampled_from([None, None, (), (FOREIGN,), (FOREIGN, POOLS[0])]),
    ),
    st.builds(
        WantedHypervisor,
        st.sampled_from(HOSTS),
        st.integers(1, 4).map(lambda n: ip_address("192.0.2.0") + n),
        gateway=st.sampled_from([None, True, True, False]),
    ),
    st.builds(WantedExternal, st.just("x"), st.sampled_from([POOLS, POOLS[:1], POOLS[1:]])),
    st.builds(WantedExternal, st.just("y"), st.sampled_from([(ip_network("198.51.100.0/30"),), POOLS])),
    TENANT.flatmap(lambda t: st.builds(WantedNetwork, st.just(t), st.just("own"), st.just((SHARED[t],)))),
    st.builds(
        WantedPort,
        TENANT,
        PORT,
        st.just("own"),
        addresses=st.sampled_from([None, None, (), (ip_address("10.1.0.3"),)]),
    ),
    TENANT.flatmap(
        lambda t: st.builds(
            WantedRoute,
            st.just(t),
            st.sampled_from(("r", "s")),
            st.sampled_from([ip_network("172.16.0.0/16"), ip_network("0.0.0.0/0"), SHARED["b"], FOREIGN]),
            st.sampled_from([(2,), (3,), (2, 3)]).map(lambda o: tuple(SHARED[t][n] for n in o)),
        )
    ),
    st.builds(
        WantedFloatingIp,
        TENANT,
        st.sampled_from(("f", "g")),
        st.sampled_from(("x", "y")),
        st.sampled_from([None, None, None, ip_address("203.0.113.2"), ip_address("203.0.113.0")]),
        port=st.sampled_from([None, "", "p", "q"]),
    ),
    TENANT.flatmap(
        lambda t: st.builds(
            WantedPeering,
            st.just(t),
            st.sampled_from(("to", "too")),
            st.sampled_from([other for other in TENANTS if other != t]),
            st.sampled_from([(SHARED[t],), (SHARED[t],), (ip_network("172.16.0.0/16"),)]),
        )
    ),
)
NAMED = {
    Kind.TENANT: TENANTS,
    Kind.HYPERVISOR: HOSTS,
    Kind.EXTERNAL: ("x", "y"),
}
OWNED = {
    Kind.NETWORK: ("n", "own"),
    Kind.PORT: ("p", "q"),
    Kind.ROUTE: ("r", "s"),
    Kind.FLOATING_IP: ("f", "g"),
    Kind.PEERING: ("to", "too"),
}
REFERENCES = st.sampled_from(
    [Reference(kind, name) for kind, names in NAMED.items() for name in names]
    + [Reference(kind, name, t) for kind, names in OWNED.items() for name in names for t in TENANTS]
)
ACTIONS = st.lists(
    st.one_of(
        st.lists(WANTED, min_size=1, max_size=2).map(lambda w: ("apply", w)),
        st.lists(WANTED, min_size=1, max_size=2).map(lambda w: ("apply", w)),
        st.lists(REFERENCES, min_size=1, max_size=3).map(lambda r: ("delete", r)),
        st.sampled_from([1, COOL_DOWN_MS]).map(lambda t: ("wait", t)),
    ),
    min_size=10,
    max_size=50,
)
GROUPS = (
    *("hypervisors", "externals", "tenants", "networks", "ports"),
    *("routes", "floating", "peerings", "links"),
)


def play(actions) -> Contents:
    contents, now, new_uid = fresh(), 1000, uids()
    start = [
        WantedTenant("c"),
        WantedExternal("x", POOLS),
        WantedExternal("y", (ip_network("198.51.100.0/28"),)),
        *(WantedNetwork(t, "own", (SHARED[t],)) for t in TENANTS),
        *(WantedPort(t, n, "own") for t in TENANTS for n in ("p", "q")),
        *(WantedHypervisor(h, ip_address(f"192.0.2.{i}"), gateway=i < 3) for i, h in enumerate(HOSTS, 1)),
    ]
    contents = commit(contents, plan(contents, start, now, new_uid))
    for verb, what in actions:
        if verb == "wait":
            now += what
            continue
        try:
            if verb == "apply":
                made = plan(contents, what, now, new_uid)
            else:
                made = plan_deletion(contents, what, now)
        except RingfenceError as error:
            assert error.faults
            continue
        contents = commit(contents, made)
        check(contents)
    return contents


def check(contents: Contents) -> None:
    tenants = {r.value.key: r.value for r in contents.tenants.values()}
    values = [*tenants.values(), *(r.value for r in (*contents.externals.values(), *contents.links.values()))]
    assert len({v.key for v in values}) == len(values)
    vnis = [v.l3vni for v in values] + [r.value.vni for r in contents.networks.values()]
    assert len(set(vnis)) == len(vnis)
    externals = {r.value.key: r.value for r in contents.externals.values()}
    outside = [(r.value.external, r.value.address) for r in contents.floating.values()]
    for tenant in tenants.values():
        outside += [(tenant.external, address) for address in tenant.egress_addresses]
        assert set(tenant.gateways) <= set(contents.gateways)
        assert bool(tenant.gateways) == bool(tenant.egress_addresses) == (tenant.egress is Egress.SNAT)
        if tenant.egress is Egress.SNAT:
            assert len(tenant.gateways) == min(2, len(contents.gateways))
    assert len(set(outside)) == len(outside)
    for key, address in outside:
        assert any(p.version == address.version and address in p for p in externals[key].pools)
    ports = {r.value.key: (r.tenant, r.value) for r in contents.ports.values()}
    stood = [(r.value.port, r.value.address.version) for r in contents.floating.values() if r.value.port]
    assert len(set(stood)) == len(stood)
    for record in contents.floating.values():
        if record.value.port:
            owner, port = ports[record.value.port]
            assert (owner, port.name) == (
                record.tenant,
                record.port,
            ) and record.value.target in port.addresses
    for (owner, _), record in contents.routes.items():
        own = {a for tenant, port in ports.values() if tenant == owner for a in port.addresses}
        assert set(record.value.next_hops) <= own
    check_told(contents)
    assert set(contents.links) == {link_name(r.tenant, r.peer) for r in contents.peerings.values()}


def check_told(contents: Contents) -> None:
    """Of what is not private, borders hear what is named, and that is of one tenant."""
    named = [(t, p) for t, r in contents.tenants.items() for p in r.value.public_prefixes]
    assert len({prefix for _, prefix in named}) == len(named)
    assert not {p for _, p in named} & {p for r in contents.externals.values() for p in r.value.pools}
    for (owner, _), record in contents.routes.items():
        if contents.tenants[owner].value.egress is Egress.FABRIC and record.value.prefix == FOREIGN:
            assert (owner, FOREIGN) in named


def rebuilt(contents: Contents) -> Contents:
    draft = Draft(Contents())
    draft.set_cluster(contents.cluster)
    for pool in contents.pools.values():
        draft.put_pool(pool)
    for claim, until in contents.tombstones.items():
        draft.bury(claim, until)
    for group in GROUPS:
        for record in getattr(contents, group).values():
            draft.put(record)
    return draft.contents()


@given(ACTIONS)
@settings(max_examples=100, deadline=None)
def test_what_is_stored_holds_together_and_equals_what_is_read_anew(actions) -> None:
    contents = play(actions)
    again = rebuilt(contents)
    for name in ("owners", "needed", "gateways", "members", "networks_of", *GROUPS):
        assert getattr(contents, name) == getattr(again, name), name
