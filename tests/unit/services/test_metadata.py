"""Metadata: what a port is told of itself, and how every other request ends."""

from __future__ import annotations

import json
from dataclasses import replace
from ipaddress import ip_address, ip_network

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model.guidance import Guidance
from model.ids import PortKey
from model.seed import Seed
from services.metadata.answering import Asking, Kind, Request, Response, answer
from services.metadata.facts import Facts, make_facts, network_config
from services.metadata.tokens import is_good, make_token
from services.metadata.tree import VERSIONS, Tree, listing, plant
from tests.fakes.tenants import ACME, network, port

PORT = port("web", 11, 1, "10.0.0.2", "fd00:1::2")
HOP = ip_address("10.0.0.9")
NET = network("front", 1, ACME, "10.0.0.0/24", "fd00:1::/64")
KEY = b"k" * 32
HOST = (b"host", b"169.254.169.254")


def facts(**changed: object) -> Facts:
    made = make_facts(PORT, NET, "acme.internal")
    return replace(made, nics=(replace(made.first, **changed),))


ASKING = Asking(PORT.key, plant(facts()), KEY, 1000)


def get(
    target: str, *headers: tuple[bytes, bytes], method: bytes = b"GET", asking: Asking = ASKING
) -> Response:
    return answer(Request(method, target.encode(), (HOST, *headers)), asking)


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("instance-id", "port-11"),
        ("local-hostname", "web.acme.internal"),
        ("local-ipv4", "10.0.0.2"),
        ("ipv6", "fd00:1::2"),
        ("mac", "02:00:00:00:00:0b"),
        ("network/interfaces/macs/", "02:00:00:00:00:0b/"),
        ("network/interfaces/macs/02:00:00:00:00:0b/subnet-ipv4-cidr-block", "10.0.0.0/24"),
        ("network/interfaces/macs/02:00:00:00:00:0b/ipv6s", "fd00:1::2"),
    ],
)
def test_the_shape_of_ec2(version: str, path: str, said: str) -> None:
    found = get(f"/{version}/meta-data/{path}")
    assert (found.kind, found.status, found.body.decode()) == (Kind.ANSWERED, 200, said)


def test_directories_list_what_is_in_them() -> None:
    assert get("/").body.decode().split() == [*(f"{version}/" for version in VERSIONS), "nocloud/"]
    listed = get("/latest/meta-data").body.decode().split("\n")
    assert listed == sorted(listed) and "network/" in listed and "instance-id" in listed
    assert get("/latest/meta-data/").body == get("//latest///meta-data").body == get("/latest/meta-data").body


def test_a_port_with_no_address_says_none() -> None:
    bare = Asking(PORT.key, plant(facts(addresses=())), KEY, 0)
    assert get("/latest/meta-data/local-ipv4", asking=bare).kind is Kind.ABSENT
    assert get("/latest/meta-data/instance-id", asking=bare).kind is Kind.ANSWERED


def test_the_shape_of_nocloud() -> None:
    told = json.loads(get("/nocloud/meta-data").body)
    assert told == {"instance-id": "port-11", "local-hostname": "web.acme.internal"}
    assert get("/nocloud/user-data").body == get("/nocloud/vendor-data").body == b""
    config = json.loads(get("/nocloud/network-config").body)
    (ethernet,) = config["ethernets"].values()
    assert config["version"] == 2
    assert ethernet["match"] == {"macaddress": "02:00:00:00:00:0b"}
    assert ethernet["addresses"] == ["10.0.0.2/24", "fd00:1::2/64"]
    assert ethernet["routes"] == [{"to": "0.0.0.0/0", "via": "10.0.0.1"}, {"to": "::/0", "via": "fd00:1::1"}]
    assert ethernet["mtu"] == NET.mtu
    assert ethernet["nameservers"] == {
        "addresses": ["169.254.169.253", "fd00:ec2::253"],
        "search": ["acme.internal"],
    }


def test_what_a_port_cannot_reach_is_not_configured() -> None:
    four = json.loads(network_config(facts(addresses=(ip_address("10.0.0.2"), ip_address("192.0.2.9")))))
    (ethernet,) = four["ethernets"].values()
    assert ethernet["addresses"] == ["10.0.0.2/24", "192.0.2.9/32"]
    assert ethernet["routes"] == [{"to": "0.0.0.0/0", "via": "10.0.0.1"}]
    assert ethernet["nameservers"]["addresses"] == ["169.254.169.253"]


ON_LINK = [
    *({"to": f"169.254.169.{last}/32", "via": "0.0.0.0"} for last in (253, 254)),
    *({"to": f"fd00:ec2::{last}/128", "via": "::"} for last in (253, 254)),
]


def test_without_a_gateway_what_serves_is_on_the_link() -> None:
    """As DHCP and router advertisements say, too."""
    alone = replace(NET, routed=False)
    (ethernet,) = json.loads(network_config(make_facts(PORT, alone, "acme.internal")))["ethernets"].values()
    assert ethernet["routes"] == ON_LINK
    four = replace(PORT, addresses=(ip_address("10.0.0.2"),))
    (ethernet,) = json.loads(network_config(make_facts(four, alone, "acme.internal")))["ethernets"].values()
    assert ethernet["routes"] == ON_LINK[:2]
    quiet = replace(alone, guidance=Guidance(names=False))
    (ethernet,) = json.loads(network_config(make_facts(PORT, quiet, "acme.internal")))["ethernets"].values()
    assert ethernet["routes"] == ON_LINK[1::2], "metadata alone"
    own = replace(alone, guidance=Guidance(routes=((ip_network("169.254.169.254/32"), HOP),)))
    (ethernet,) = json.loads(network_config(make_facts(PORT, own, "acme.internal")))["ethernets"].values()
    declared = {"to": "169.254.169.254/32", "via": str(HOP)}
    assert ethernet["routes"] == [ON_LINK[0], *ON_LINK[2:], declared], "what is declared stands"


def test_of_two_nics_without_a_gateway_one_leads_there() -> None:
    alone, beside = replace(NET, routed=False), replace(STORAGE, routed=False)
    made = make_facts(PORT, alone, "acme.internal", Seed(), [(SECOND, beside)])
    one, other = json.loads(network_config(made))["ethernets"].values()
    assert (one["routes"], other["routes"]) == (ON_LINK, [])


def test_what_the_network_declares_stands_in_the_place_of_ours() -> None:
    told = Guidance(
        resolvers=(ip_address("10.0.0.53"),),
        domain="office.example",
        search=("example", "office.example"),
        routes=((ip_network("192.0.2.0/24"), ip_address("10.0.0.9")),),
    )
    (ethernet,) = json.loads(network_config(facts(guidance=told)))["ethernets"].values()
    assert ethernet["routes"][-1] == {"to": "192.0.2.0/24", "via": "10.0.0.9"}
    assert ethernet["nameservers"] == {"addresses": ["10.0.0.53"], "search": ["office.example", "example"]}


def token(life: bytes = b"60", **more: object) -> Response:
    header = (b"x-aws-ec2-metadata-token-ttl-seconds", life)
    return get("/latest/api/token", header, method=b"PUT", **more)  # type: ignore[arg-type]


def shown(said: bytes, asking: Asking = ASKING) -> Kind:
    return get("/latest/meta-data/mac", (b"x-aws-ec2-metadata-token", said), asking=asking).kind


def test_a_token_is_good_for_its_port_and_its_time() -> None:
    granted = token()
    assert (granted.kind, granted.status, granted.life) == (Kind.TOKEN, 200, 60)
    assert shown(granted.body) is Kind.ANSWERED
    for stale in (
        replace(ASKING, now=1060),
        replace(ASKING, port=PortKey(12)),
        replace(ASKING, key=b"another life of the process"),
    ):
        assert shown(granted.body, stale) is Kind.STALE
    assert shown(granted.body, replace(ASKING, now=1059)) is Kind.ANSWERED
    assert shown(b"") is shown(b"\xff" * 40) is shown(granted.body[:-4] + b"AAA=") is Kind.STALE
    twice = (b"x-aws-ec2-metadata-token", granted.body)
    assert get("/latest/meta-data/mac", twice, twice).kind is Kind.STALE


@pytest.mark.parametrize("life", [b"0", b"21601", b"-1", b"1e3", b"", b"999999999999", "٣".encode()])
def test_a_token_for_no_such_time_is_not_granted(life: bytes) -> None:
    assert token(life).status == 400


@given(st.binary(max_size=80), st.integers(0, 1 << 40))
def test_no_octets_are_a_token(said: bytes, now: int) -> None:
    assert not is_good(KEY, PORT.key, said, now)
    good = make_token(KEY, PORT.key, now + 1).encode()
    assert is_good(KEY, PORT.key, good, now) and not is_good(KEY, PORT.key, good, now + 1)


@pytest.mark.parametrize("header", [b"x-forwarded-for", b"x-forwarded-host", b"forwarded", b"via", b"origin"])
def test_what_somebody_relays_is_refused(header: bytes) -> None:
    assert get("/latest/meta-data/mac", (header, b"")).status == 403
    assert get("/latest/api/token", (header, b"x"), method=b"PUT").kind is Kind.RELAYED


@pytest.mark.parametrize(
    ("host", "status"),
    [
        (b"169.254.169.254", 200),
        (b"169.254.169.254:80", 200),
        (b"[FD00:EC2::254]", 200),
        (b"[fd00:ec2::254]:80", 200),
        (b"metadata.evil.example", 400),
        (b"169.254.169.254:8080", 400),
        (b"169.254.169.253", 400),
        (b"", 400),
    ],
)
def test_only_our_own_name_is_answered_to(host: bytes, status: int) -> None:
    request = Request(b"GET", b"/latest/meta-data/mac", ((b"host", host),))
    assert answer(request, ASKING).status == status
    assert answer(replace(request, headers=()), ASKING).kind is Kind.HOST
    assert answer(replace(request, headers=request.headers * 2), ASKING).kind is Kind.HOST


@pytest.mark.parametrize("method", [b"POST", b"DELETE", b"OPTIONS", b"TRACE", b"PUT", b"CONNECT"])
def test_nothing_can_be_changed(method: bytes) -> None:
    assert get("/latest/meta-data/mac", method=method).status == 405


@pytest.mark.parametrize(
    "target",
    ["latest", "http://169.254.169.254/latest", "/latest?x", "/latest#x", "*", "/" + "a" * 512, "/lätest"],
)
def test_a_target_that_is_no_path_is_refused(target: str) -> None:
    assert get(target).kind is Kind.GARBLED


@pytest.mark.parametrize(
    "target",
    ["/latest/user-data", "/latest/meta-data/../../", "/latest/meta-data/mac/x", "/%6catest", "/1.0"],
)
def test_what_there_is_not_is_not_found(target: str) -> None:
    assert get(target).kind is Kind.ABSENT


def documents(tree: Tree) -> set[bytes]:
    """All that there is to be told, and nothing."""
    found = {b"", listing(tree).encode()}
    for below in tree.values():
        found |= {below.encode()} if isinstance(below, str) else documents(below)
    return found


DOCUMENTS = documents(ASKING.tree)


@given(
    st.binary(max_size=12),
    st.one_of(st.binary(max_size=60), st.text(max_size=40).map(str.encode)),
    st.lists(
        st.tuples(
            st.sampled_from([b"host", b"via", b"x-aws-ec2-metadata-token", b"a"]), st.binary(max_size=40)
        )
    ),
)
@settings(max_examples=40)
def test_no_request_raises_or_tells_of_another_port(method: bytes, target: bytes, headers: list) -> None:
    said = answer(Request(method, target, (HOST, *headers)), ASKING)
    assert said.status in (200, 400, 401, 403, 404, 405)
    assert said.body in DOCUMENTS or said.kind is Kind.TOKEN


KEYS = ("ssh-ed25519 AAAA me", "ssh-rsa BBBB")
STORAGE = network("storage", 2, ACME, "10.7.0.0/24", "fd00:7::/64")
SECOND = port("web-storage", 12, 2, "10.7.0.2", "fd00:7::2")


def instance() -> Asking:
    seed = Seed(keys=KEYS, data="#cloud-config\n")
    return Asking(PORT.key, plant(make_facts(PORT, NET, "acme.internal", seed, [(SECOND, STORAGE)])), KEY, 0)


def text(path: str, asking: Asking) -> str:
    found = get(path, asking=asking)
    assert found.kind is Kind.ANSWERED, found
    return found.body.decode()


def test_user_data_and_keys_in_both_shapes() -> None:
    both = instance()
    assert text("/latest/user-data", both) == text("/nocloud/user-data", both) == "#cloud-config\n"
    assert json.loads(text("/nocloud/meta-data", both))["public-keys"] == list(KEYS)
    assert text("/latest/meta-data/public-keys/", both) == "0=key-0\n1=key-1"
    assert text("/latest/meta-data/public-keys/1/", both) == "openssh-key"
    assert text("/latest/meta-data/public-keys/1/openssh-key", both) == f"{KEYS[1]}\n"
    assert "public-keys/" in text("/latest/meta-data/", both).split("\n")
    assert "user-data" in text("/latest/", both).split("\n")
    for path in ("/latest/user-data", "/latest/meta-data/public-keys/", "/latest/meta-data/public-keys/0/"):
        assert get(path).kind is Kind.ABSENT


def test_all_nics_of_an_instance_are_told_by_their_macs() -> None:
    both = instance()
    first, second = "02:00:00:00:00:0b", "02:00:00:00:00:0c"
    assert text("/latest/meta-data/network/interfaces/macs/", both) == f"{first}/\n{second}/"
    for number, mac in enumerate((first, second)):
        place = f"/latest/meta-data/network/interfaces/macs/{mac}"
        assert text(f"{place}/device-number", both) == str(number)
    assert text(f"{place}/local-ipv4s", both) == "10.7.0.2"
    assert text(f"{place}/local-hostname", both) == "web-storage.acme.internal"
    assert text("/latest/meta-data/mac", both) == first
    ethernets = json.loads(text("/nocloud/network-config", both))["ethernets"]
    assert [each["match"]["macaddress"] for each in ethernets.values()] == [first, second]
    one, other = ethernets.values()
    assert [route["to"] for route in one["routes"]] == ["0.0.0.0/0", "::/0"]
    assert other["routes"] == [] and other["addresses"] == ["10.7.0.2/24", "fd00:7::2/64"]
    assert "nameservers" not in other, "ours are told of once"


def test_a_further_nic_routes_what_the_first_cannot_and_tells_what_its_network_declares() -> None:
    told = Guidance(resolvers=(ip_address("10.7.0.53"),), search=("storage.example",))
    alone = replace(NET, routed=False)
    made = make_facts(PORT, alone, "acme.internal", Seed(), [(SECOND, replace(STORAGE, guidance=told))])
    one, other = json.loads(network_config(made))["ethernets"].values()
    assert one["routes"] == ON_LINK[0::2], "resolvers are asked by the NIC that is told of them"
    assert other["routes"] == [{"to": "0.0.0.0/0", "via": "10.7.0.1"}, {"to": "::/0", "via": "fd00:7::1"}]
    assert other["nameservers"] == {"addresses": ["10.7.0.53"], "search": ["storage.example"]}
