"""`ringfence reflector`: from what is declared to the text that FRR reads."""

from __future__ import annotations

import json

import pytest

from controller.cli.commands import OK, USAGE
from tests.unit.api.test_objects import apply, document
from tests.unit.cli.test_commands import ringfence


@pytest.fixture(scope="module")
def declared(house):
    apply(house, document("Hypervisor", "rf1", vtep="192.0.2.141"))
    apply(house, document("Hypervisor", "rf2", vtep="192.0.2.142", external=True))
    apply(house, document("Hypervisor", "rf3", vtep="192.0.2.143", gateway=True))
    apply(house, document("Tenant", "rf-a"))
    apply(house, document("Network", "net", "rf-a", subnets=["10.0.0.0/24"], vni=141001))
    mac = "02:14:10:00:00:01"
    pairs = [{"prefix": "10.0.0.200/32", "mac": "00:00:5e:00:01:0a"}]
    apply(house, document("Port", "p", "rf-a", network="net", mac=mac, hosts=["rf1"], allowedAddresses=pairs))
    return house


def lines(declared, *more: str) -> list[str]:
    ran = ringfence(declared, "reflector", "--source", "192.0.2.140", *more)
    assert ran.returncode == OK, ran.stderr
    return ran.stdout.splitlines()


def test_each_host_is_a_client_with_its_own_next_hop(declared) -> None:
    said = lines(declared)
    for name, vtep in (("rf1", "192.0.2.141"), ("rf2", "192.0.2.142")):
        assert f" neighbor {vtep} peer-group CLIENTS" in said
        assert f"  neighbor {vtep} route-map from-{name} in" in said
    assert not [x for x in said if "access-list" in x or "extcommunity" in x]


def test_macs_are_those_of_ports_that_may_be_there(declared) -> None:
    found = [x for x in lines(declared, "--macs") if "access-list macs-rf" in x]
    assert [(x.split()[2], x.split()[-1]) for x in found] == [
        ("macs-rf1", "00:00:5e:00:01:0a"),
        ("macs-rf1", "02:14:10:00:00:01"),
    ]


def test_imports_leave_external_and_gateway_hosts_alone(declared) -> None:
    found = [x for x in lines(declared, "--imports") if "targets-rf" in x and "permit rt" in x]
    assert {x.split()[3] for x in found} == {"targets-rf1"}
    assert any(x.endswith(":141001") for x in found)
    tenants = json.loads(ringfence(declared, "get", "tenant", "rf-a", "-o", "json").stdout)
    assert any(x.endswith(f":{tenants['spec']['l3vni']}") for x in found)


def test_secrets_come_from_a_file_and_wrong_arguments_are_named(declared, tmp_path) -> None:
    path = tmp_path / "md5"
    path.write_text("s3cret\n")
    said = lines(declared, "--md5-file", str(path), "--hops", "1", "--hold", "9", "--keepalive", "3")
    assert {" neighbor CLIENTS password s3cret", " neighbor CLIENTS ttl-security hops 1"} <= set(said)
    path.write_text("two words\n")
    for words, part in ((("--md5-file", str(path)), "one word"), (("--hold", "2"), "--hold 2")):
        ran = ringfence(declared, "reflector", "--source", "192.0.2.140", *words)
        assert ran.returncode == USAGE and part in ran.stderr
    assert ringfence(declared, "reflector", "--source", "nowhere").returncode == USAGE
