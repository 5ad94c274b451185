"""Whatever is sent as a manifest: an answer in our form, never a 500, and nothing is written."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from controller.cli.client import Refused
from controller.manifest.manifest import Source, parse
from controller.manifest.schema import KINDS
from model.report import parse as parse_report
from tests.unit.api.house import House
from tests.unit.api.test_objects import Raw

# Both: a list of its own takes the place of the profile's.
UNCHECKED = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
QUICK = settings(max_examples=150, deadline=None, suppress_health_check=UNCHECKED)
WORDS = st.one_of(
    st.sampled_from(["", "a", "10.0.0.0/24", "fd00::1", "02:00:00:00:00:01", "::/0", "null", "x" * 70, "é"]),
    st.text(max_size=12),
)
VALUES = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-(2**70), 2**70), st.floats(), WORDS),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(WORDS, inner, max_size=4)),
    max_leaves=12,
)


def objects() -> st.SearchStrategy[Any]:
    """Almost right: true kinds and fields, values of any kind; never a name, so that none can be written."""
    names = sorted({f.name for rule in KINDS for f in rule.fields} - {"name"})
    section = st.dictionaries(st.one_of(st.sampled_from(names), WORDS), VALUES, max_size=6)
    metadata = section.map(lambda made: {k: v for k, v in made.items() if k != "name"})
    return st.fixed_dictionaries(
        {"apiVersion": st.just("ringfence/v1"), "kind": st.sampled_from([r.kind.value for r in KINDS])},
        optional={"metadata": st.one_of(metadata, VALUES), "spec": st.one_of(section, VALUES)},
    )


def untouched(house: House, body: bytes, kind: str) -> None:
    generation = house.store.generation()
    status, answer = Raw(house).ask("POST", "/v1/apply", body, {"Content-Type": kind})
    assert 400 <= status < 500 and answer["faults"], (status, answer)
    assert house.store.generation() == generation


@QUICK
@given(documents=st.lists(st.one_of(VALUES, objects()), max_size=3))
def test_random_documents_are_refused(house, documents: list[Any]) -> None:
    body = json.dumps({"documents": documents}, ensure_ascii=False).encode(errors="surrogatepass")
    untouched(house, body, "application/json")


@QUICK
@given(text=st.one_of(st.text(), st.text(alphabet="-:[]{}&*!|>'\"%@`#,?~ \n\tab0"), VALUES.map(json.dumps)))
def test_random_text_is_refused(house, text: str) -> None:
    untouched(house, text.encode(errors="surrogatepass"), "application/yaml")


@QUICK
@given(body=st.binary(max_size=200))
def test_random_bytes_are_refused(house, body: bytes) -> None:
    untouched(house, body, "application/json")


@settings(max_examples=300, deadline=None)
@given(documents=st.lists(st.one_of(VALUES, objects()), max_size=3))
def test_every_fault_is_complete_and_printable(documents: list[Any]) -> None:
    for fault in parse([], documents).faults:
        assert fault.object and fault.rule and fault.message and fault.remedy
        assert all(text.isprintable() for text in (fault.object, fault.message, fault.remedy, fault.path))


@settings(max_examples=200, deadline=None)
@given(value=VALUES)
def test_a_value_has_the_same_faults_as_its_text(value: Any) -> None:
    document = {"apiVersion": "ringfence/v1", "kind": "Port", "metadata": {"name": "p"}, "spec": value}
    text = json.dumps(document)
    if "NaN" in text or "Infinity" in text or "\\ud" in text:
        return  # numbers that JSON has no text for; pairs of escapes that YAML does not join
    found = parse([Source("x", text)]).faults
    assert sorted((f.path, f.rule) for f in found) == sorted(
        (f.path, f.rule) for f in parse([], [document]).faults
    )


@settings(max_examples=200, deadline=None)
@given(value=VALUES)
def test_reports_of_any_content_raise_nothing_but_value_errors(value: Any) -> None:
    text = json.dumps(value)
    with pytest.raises(ValueError):
        parse_report(text)


def test_a_good_document_is_not_refused(house) -> None:
    """Positive control of this file."""
    good = {"apiVersion": "ringfence/v1", "kind": "Tenant", "metadata": {"name": "fuzz"}}
    generation = house.store.generation()
    try:
        house.api.post("/v1/apply", body={"documents": [good]})
    except Refused as error:
        raise AssertionError(error.faults) from error
    assert house.store.generation() == generation + 1


NAMES = st.sampled_from(["zip", "zap", "zop"])
SUBNETS = st.sampled_from(["10.7.0.0/24", "10.7.0.0/30", "10.7.1.0/24", "fd00:7::/64", "fd00:7::/126"])
ADDRESSES = st.sampled_from(["10.7.0.1", "10.7.0.2", "10.7.0.3", "10.7.1.9", "fd00:7::1", "fd00:7::2"])
HOSTS = st.sampled_from(["zh1", "zh2", "zh3"])


def optional(**fields: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.fixed_dictionaries({}, optional=fields)


def named(
    kind: str, metadata: st.SearchStrategy[Any], spec: st.SearchStrategy[Any]
) -> st.SearchStrategy[Any]:
    head = {"apiVersion": st.just("ringfence/v1"), "kind": st.just(kind)}
    return st.fixed_dictionaries(head | {"metadata": metadata, "spec": spec})


OWN = st.fixed_dictionaries({"name": NAMES})
OWNED = st.fixed_dictionaries({"name": NAMES, "tenant": NAMES})
LINKS = st.sampled_from(["infiniband", "roce"])
GPUS = st.sampled_from([[], [{"pci": "1b:00.0", "numa": 0}], [{"pci": "1b:00.0"}, {"pci": "18:00.0"}]])
PFS = st.fixed_dictionaries(
    {
        "name": st.sampled_from(["p0", "p1"]),
        "pci": st.sampled_from(["18:00.0", "19:00.0"]),
        "kind": LINKS,
    },
    optional={
        "rail": st.integers(0, 1),
        "numa": st.integers(0, 1),
        "gpu": st.just(0),
        "vfs": st.integers(0, 2),
        "pkeys": st.just(128),
        "eswitch": st.sampled_from(["legacy", "switchdev"]),
    },
)
RAILS = st.fixed_dictionaries(
    {"name": st.sampled_from(["r0", "r1"])}, optional={"ipv4": SUBNETS, "leaf": st.just("leaf0")}
)
PLAUSIBLE = st.one_of(
    named("Tenant", OWN, st.just({})),
    named(
        "Network",
        OWNED,
        optional(
            subnets=st.lists(SUBNETS, max_size=2, unique=True),
            vni=st.integers(9000, 9003),
            mtu=st.sampled_from([1279, 1400]),
            replicate=st.booleans(),
        ),
    ),
    named(
        "Port",
        OWNED,
        st.builds(
            lambda network, more: more | {"network": network},
            NAMES,
            optional(
                mac=st.sampled_from(["02:77:00:00:00:01", "02:77:00:00:00:02"]),
                addresses=st.lists(ADDRESSES, max_size=2, unique=True),
                hosts=st.lists(HOSTS, max_size=2, unique=True),
            ),
        ),
    ),
    named(
        "EgressClass",
        OWN,
        st.fixed_dictionaries({"prefixes": st.lists(SUBNETS, min_size=1, max_size=2, unique=True)}),
    ),
    named(
        "Hypervisor",
        st.fixed_dictionaries({"name": HOSTS}),
        st.fixed_dictionaries(
            {"vtep": st.sampled_from(["192.0.2.231", "192.0.2.232", "2001:db8::1"])},
            optional={
                "routerId": st.sampled_from(["192.0.2.231", "192.0.2.240"]),
                "external": st.booleans(),
            },
        ),
    ),
    named(
        "Sku",
        OWN,
        st.fixed_dictionaries({"pfs": st.lists(PFS, min_size=1, max_size=3)}, optional={"gpus": GPUS}),
    ),
    named(
        "Fabric",
        OWN,
        st.fixed_dictionaries(
            {"kind": LINKS, "rails": st.lists(RAILS, min_size=1, max_size=2)},
            optional={
                "pkeys": st.sampled_from(["0x7001-0x7010", "0x7010-0x7020", "0x7020-0x7001"]),
                "guids": st.sampled_from(
                    [["0200:0000:0000:0001-0200:0000:0000:0009"], ["0x0200000000000009"]]
                ),
                "addressing": st.sampled_from(["link", "node", "tenant"]),
                "block4": st.sampled_from([20, 28]),
                "coolDown": st.sampled_from([0, 300]),
            },
        ),
    ),
    named(
        "Node",
        OWN,
        st.fixed_dictionaries(
            {"sku": NAMES, "fabric": NAMES, "host": HOSTS},
            optional={"leaves": st.just([{"rail": "r0", "leaf": "leaf9"}])},
        ),
    ),
)


@settings(max_examples=250, deadline=None, suppress_health_check=UNCHECKED)
@given(
    documents=st.lists(PLAUSIBLE, min_size=1, max_size=6),
    target=st.sampled_from(["apply", "apply", "delete"]),
)
def test_plausible_manifests_are_written_whole_or_not_at_all(
    house, documents: list[Any], target: str
) -> None:
    generation = house.store.generation()
    body = json.dumps({"documents": documents}).encode()
    status, answer = Raw(house).ask("POST", f"/v1/{target}", body)
    event(f"{target} {status}")
    if status == 200:
        changed = int(answer["changed"])
        assert house.store.generation() == generation + changed == answer["generation"]
        # A plan of the same manifest finds nothing left to do.
        if target == "apply":
            again = house.api.post("/v1/apply", body={"documents": documents, "dryRun": True})
            assert not again["changed"], again
    else:
        assert 400 <= status < 500 and answer["faults"]
        assert house.store.generation() == generation
    # The cache that grew step by step equals one read afresh.
    fresh, grown = house.store.read_all(), house.store.contents()
    for table in ("tenants", "networks", "ports", "classes", "hypervisors", "owners", "members", "uses"):
        assert dict(getattr(fresh, table)) == dict(getattr(grown, table)), table
