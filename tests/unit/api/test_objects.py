"""Apply, plan, get and delete through real HTTP and a real store."""

from __future__ import annotations

import http.client
import json
import socket
from pathlib import Path
from typing import Any

import pytest

from controller.api.service import Mode, Service, Ticket
from controller.cli.client import Refused
from controller.manifest.manifest import parse
from controller.store.writer import clock, random_uid
from model.errors import Fault, Invalid, Unavailable
from tests.unit.api.house import House


def document(kind: str, name: str, tenant: str | None = None, **spec: Any) -> dict[str, Any]:
    metadata = {"name": name} | ({"tenant": tenant} if tenant else {})
    return {"apiVersion": "ringfence/v1", "kind": kind, "metadata": metadata, "spec": spec}


def apply(house: House, *documents: dict[str, Any], **more: Any) -> Any:
    return house.api.post("/v1/apply", body={"documents": documents, **more})


def refused(call: Any) -> Refused:
    with pytest.raises(Refused) as caught:
        call()
    return caught.value


class Away:
    """A store that does not answer."""

    def contents(self, *_ignored: Any) -> Any:
        raise Unavailable(Fault("store", "store-unavailable", "no server answers", "Start it."))

    reports = change = contents


class Raw:
    """Requests that the client would never send."""

    def __init__(self, house: House) -> None:
        self.path = str(house.socket)

    def ask(
        self, method: str, target: str, body: bytes | None = None, headers: dict[str, str] | None = None
    ) -> tuple[int, Any]:
        connection = http.client.HTTPConnection("x", timeout=30)
        connection.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        connection.sock.settimeout(30)
        connection.sock.connect(self.path)
        try:
            connection.request(method, target, body, headers or {})
            answer = connection.getresponse()
            return answer.status, json.loads(answer.read())
        finally:
            connection.close()


def test_apply_allocates_and_get_shows_it_in_a_form_that_applies_again(house) -> None:
    answer = apply(
        house,
        document("Tenant", "alpha"),
        document("Network", "net", "alpha", subnets=["10.1.0.0/24", "fd00:1::/64"]),
        document("Port", "p1", "alpha", network="net"),
    )
    assert answer["counts"]["create"] == 3 and answer["changed"] and not answer["dryRun"]
    shown = house.api.get("/v1/ports/p1", {"tenant": "alpha"})
    assert shown["spec"]["addresses"] == ["10.1.0.2", "fd00:1::2"]
    assert shown["spec"]["mac"].startswith("02:")
    assert shown["status"]["state"] == "unbound"
    again = apply(house, shown, *house.api.get("/v1/networks", {"tenant": "alpha"})["items"])
    assert not again["changed"] and again["generation"] == answer["generation"]


def test_a_dry_run_allocates_and_writes_nothing(house) -> None:
    before, generation = house.store.read_all(), house.store.generation()
    wanted = (
        document("Tenant", "dry"),
        document("Network", "net", "dry", subnets=["10.2.0.0/24"]),
        document("Port", "p1", "dry", network="net"),
    )
    answer = apply(house, *wanted, dryRun=True)
    assert answer["dryRun"] and answer["counts"]["create"] == 3
    assert answer["changes"][-1]["spec"]["addresses"] == ["10.2.0.2"]
    assert house.store.generation() == generation
    assert dict(house.store.read_all().tenants) == dict(before.tenants)
    # Positive control: the same request without dryRun is seen.
    apply(house, *wanted)
    assert "dry" in house.store.read_all().tenants


def test_one_bad_object_keeps_all_others_out(house) -> None:
    error = refused(
        lambda: apply(
            house,
            document("Tenant", "half"),
            document("Network", "net", "half", subnets=["10.3.0.0/24"]),
            document("Port", "good", "half", network="net"),
            document("Port", "bad", "half", network="net", addresses=["10.9.9.9"]),
        )
    )
    assert error.status == 422 and [f["rule"] for f in error.faults] == ["address-out-of-subnet"]
    assert "half" not in house.store.read_all().tenants


def test_status_codes_follow_the_kind_of_refusal(house) -> None:
    apply(house, document("Tenant", "codes"), document("Network", "net", "codes", vni=4001))
    taken = refused(lambda: apply(house, document("Network", "other", "codes", vni=4001)))
    assert (taken.status, taken.faults[0]["rule"]) == (409, "already-taken")
    gone = refused(lambda: house.api.get("/v1/ports/none", {"tenant": "codes"}))
    assert (gone.status, gone.faults[0]["rule"]) == (404, "not-found")
    kind = refused(lambda: house.api.get("/v1/prots"))
    assert kind.status == 404 and 'Did you mean "ports"?' in kind.faults[0]["remedy"]
    nameless = refused(lambda: house.api.get("/v1/ports/none"))
    assert (nameless.status, nameless.faults[0]["rule"]) == (422, "tenant-missing")
    used = refused(lambda: house.api.once("DELETE", "/v1/tenants/codes"))
    assert (used.status, used.faults[0]["rule"]) == (409, "still-used")


def test_an_idempotency_key_gives_the_first_answer_again_and_belongs_to_one_request(house) -> None:
    raw = Raw(house)
    body = json.dumps({"documents": [document("Tenant", "once")]}).encode()
    headers = {"Idempotency-Key": "k-1", "Content-Type": "application/json"}
    status, first = raw.ask("POST", "/v1/apply", body, headers)
    assert status == 200 and first["counts"]["create"] == 1 and not first["replayed"]
    status, second = raw.ask("POST", "/v1/apply", body, headers)
    assert status == 200 and second["counts"]["create"] == 1 and second["replayed"]
    assert house.store.generation() == first["generation"]
    other = json.dumps({"documents": [document("Tenant", "twice")]}).encode()
    status, third = raw.ask("POST", "/v1/apply", other, headers)
    assert status == 409 and third["faults"][0]["rule"] == "idempotency-key-reused"
    assert "twice" not in house.store.read_all().tenants
    status, bad = raw.ask("POST", "/v1/apply", body, {"Idempotency-Key": "x" * 200})
    assert status == 422 and bad["faults"][0]["rule"] == "idempotency-key"


def test_delete_by_manifest_looks_at_names_only_and_is_all_or_nothing(house) -> None:
    apply(
        house,
        document("Tenant", "away"),
        document("Network", "net", "away", subnets=["10.4.0.0/24"]),
        document("Port", "p", "away", network="net"),
    )
    tenant, network = document("Tenant", "away"), document("Network", "net", "away", vni="nonsense")
    port = document("Port", "p", "away")
    error = refused(lambda: house.api.once("POST", "/v1/delete", body={"documents": [tenant, network]}))
    assert error.status == 409
    assert "away" in house.store.read_all().tenants
    answer = house.api.once("POST", "/v1/delete", body={"documents": [tenant, network, port]})
    assert answer["counts"]["delete"] == 3
    assert "away" not in house.store.read_all().tenants


def test_yaml_bodies_are_taken_as_they_are(house) -> None:
    text = b"apiVersion: ringfence/v1\nkind: Tenant\nmetadata: {name: yams}\n"
    status, answer = Raw(house).ask(
        "POST", "/v1/apply?dryRun=true", text, {"Content-Type": "application/yaml"}
    )
    assert status == 200 and answer["dryRun"] and answer["counts"]["create"] == 1
    body = json.dumps({"documents": [document("Tenant", "yams")]}).encode()
    status, answer = Raw(house).ask("POST", "/v1/apply?dryRun=true", body)
    assert status == 200 and answer["dryRun"]
    assert Raw(house).ask("POST", "/v1/apply?dryRun=yes", body)[0] == 422
    assert "yams" not in house.store.read_all().tenants
    status, answer = Raw(house).ask("POST", "/v1/apply", b"a: \xff", {"Content-Type": "application/yaml"})
    assert status == 422 and answer["faults"][0]["rule"] == "character"


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"null",
        b"[]",
        b"5",
        b'{"documents": 5}',
        b'{"sources": [{"text": 5}]}',
        b'{"surprise": 1}',
        b'{"documents": [' + b"[" * 50_000,
        b'{"documents": [' + b"[" * 5_000 + b"]" * 5_000 + b"]}",
        b'{"documents": [' + b'{"a":' * 3_000 + b"1" + b"}" * 3_000 + b"]}",
        b'{"documents": ["\\ud800"]}',
        b'{"documents": [' + b"9" * 20_000 + b"]}",
        b'{"documents": [NaN, Infinity, -0.0, 1e999]}',
        b"\x00\xff\xfe",
        b'{"sources": [{"name": "\\u001b[31m", "text": "a: ["}]}',
    ],
    ids=range(16),
)
def test_bodies_that_make_no_sense_are_refused_in_the_same_form(house, body: bytes) -> None:
    status, answer = Raw(house).ask("POST", "/v1/apply", body, {"Content-Type": "application/json"})
    assert 400 <= status < 500
    assert answer["faults"] and all(f["rule"] and f["message"] for f in answer["faults"])
    assert "Traceback" not in json.dumps(answer)
    assert "\x1b" not in answer["faults"][0]["source"]


def test_too_large_a_body_is_refused_before_it_is_read(house) -> None:
    raw = Raw(house)
    big = b" " * ((1 << 20) + 1)
    status, answer = raw.ask("POST", "/v1/apply", big)
    assert status == 413 and answer["faults"][0]["rule"] == "too-large"
    # A body without a declared length, in chunks.
    connection = http.client.HTTPConnection("x", timeout=30)
    connection.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    connection.sock.connect(raw.path)
    connection.request("POST", "/v1/apply", iter([b" " * (1 << 19)] * 3), encode_chunked=True)
    assert connection.getresponse().status == 413
    connection.close()
    assert raw.ask("GET", "/v1/health")[0] == 200


def test_addresses_and_methods_that_do_not_exist_are_refused_in_the_same_form(house) -> None:
    raw = Raw(house)
    for method, target, expected in (
        ("GET", "/nowhere", 404),
        ("PUT", "/v1/apply", 405),
        ("GET", "/v1/ports/%00?tenant=a", 404),
        ("GET", "/v1/tenants/" + "x" * 5000, 404),
        ("GET", "/v1/tenants/..%2f..%2fetc", 404),
        ("GET", "/v1/wait?generation=-1", 422),
        ("GET", "/v1/wait?generation=9999999999999999999999", 422),
        ("GET", "/v1/wait?generation=1&timeout=1e9", 422),
        ("GET", "/v1/wait?generation=1&timeout=nan", 422),
    ):
        status, answer = raw.ask(method, target)
        assert status == expected, target
        assert answer["faults"][0]["rule"]


def test_openapi_describes_every_route(house) -> None:
    status, answer = Raw(house).ask("GET", "/openapi.json")
    assert status == 200
    paths = set(answer["paths"])
    assert {"/v1/apply", "/v1/delete", "/v1/{kind}", "/v1/{kind}/{name}", "/v1/status", "/v1/wait"} <= paths
    schema = answer["paths"]["/v1/apply"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    assert set(schema["properties"]) == {"sources", "documents", "dryRun"}


def test_the_socket_is_for_owner_and_group_only(house) -> None:
    assert house.socket.stat().st_mode & 0o777 == 0o660


def test_the_examples_apply_and_can_be_taken_away_again(house) -> None:
    folder = Path(__file__).parents[3] / "examples"
    sources = [{"name": p.name, "text": p.read_text()} for p in sorted(folder.glob("*.yaml"))]
    answer = house.api.post("/v1/apply", body={"sources": sources})
    # Tenants of other tests may change with the gateway hosts.
    made = [change for change in answer["changes"] if change["verb"] != "change"]
    assert answer["counts"]["create"] == len(made) > 10
    assert not house.api.post("/v1/apply", body={"sources": sources, "dryRun": True})["changed"]
    acme, globex = (house.api.get("/v1/ports/web-1", {"tenant": t})["spec"] for t in ("acme", "globex"))
    assert acme["addresses"] == globex["addresses"] and acme["mac"] != globex["mac"]
    gone = house.api.once("POST", "/v1/delete", body={"sources": sources})
    assert gone["counts"]["delete"] == answer["counts"]["create"]


def test_without_its_store_the_api_says_so_and_still_finds_mistakes() -> None:
    service = Service(Away(), clock, random_uid)
    good = parse([], [document("Tenant", "a")])
    with pytest.raises(Unavailable):
        service.apply(good, Mode.WRITE, Ticket("", ""))
    bad = parse([], [document("Tenant", "A")])
    with pytest.raises(Invalid) as caught:
        service.apply(bad, Mode.WRITE, Ticket("", ""))
    assert [f.rule for f in caught.value.faults] == ["name-rule"]
