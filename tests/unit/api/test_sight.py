"""Traces and flows over the real API and store, with agents that answer as they are told."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from controller.api.tracing import MOST_HOSTS
from controller.cli.client import Refused
from controller.store.questions import Question, Questions
from controller.store.wire import Connection
from controller.store.writer import clock
from model.errors import Unavailable
from model.ids import HostName
from tests.unit.api.house import House
from tests.unit.api.test_hosts import tell, tenant_on
from tests.unit.api.test_objects import apply, document

Reply = Callable[[Question], Any]
AGREES = {"verdict": "agrees", "text": "as compiled"}


@contextmanager
def agent(house: House, remote: str, host: str, reply: Reply) -> Iterator[list[tuple[str, Any]]]:
    """An agent of `host`; what it is asked, in order."""
    heard, stopping, connection = list[tuple[str, Any]](), threading.Event(), Connection(remote)
    questions = Questions(connection, HostName(host))

    def run() -> None:
        try:
            for question in questions.session(stopping):
                heard.append((question.kind, json.loads(question.text)))
                answer = reply(question)
                questions.answer(question, answer if isinstance(answer, str) else json.dumps(answer))
        except Unavailable:
            assert stopping.is_set()

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    # Ahead, so that it is not taken for dead while a busy machine asks it one thing after the other.
    tell(house, host, 1, stamp_ms=clock() + 600_000)
    try:
        yield heard
    finally:
        # Dead from now on: whoever asks all hosts need not wait for it.
        tell(house, host, 1, stamp_ms=clock() - 60_000)
        stopping.set()
        questions.close()
        thread.join(60)


def leg(*ends: dict[str, str], onward: list[dict[str, Any]] = [], **more: Any) -> dict[str, Any]:  # noqa: B006
    step = {
        "table": "classify",
        "number": 0,
        "flow": "f",
        "owner": "o",
        "cookie": "0x1",
        "text": "t",
        "did": ["d"],
    }
    return {"title": "t", "packet": {"eth_type": "0x800"}, "steps": [step], "ends": list(ends),
            "onward": onward, "ways": [], "switch": AGREES} | more  # fmt: skip


def end(what: str) -> dict[str, str]:
    return {"what": what, "text": f"{what}!", "remedy": "r"}


def away(vtep: str, source: str = "192.0.2.150") -> dict[str, Any]:
    return {"from": source, "vtep": vtep, "vni": 77, "packet": {"eth_type": 0x800, "ip_dst": 7}}


def trace(house: House, tenant: str, **more: Any) -> Any:
    return house.api.get("/v1/trace", {"tenant": tenant, "port": "p", "to": "10.0.0.7"} | more)


def test_a_packet_is_followed_from_host_to_host(house, remote) -> None:
    uid = tenant_on(house, "tr-a", 150, "ta1")
    apply(house, document("Hypervisor", "ta2", vtep="192.0.2.151"))
    first = {"ok": {"legs": [leg(end("answered")), leg(end("tunnelled"), onward=[away("192.0.2.151")])]}}
    second = {"ok": {"legs": [leg(end("delivered"))]}}
    with (
        agent(house, remote, "ta1", lambda _: first) as one,
        agent(house, remote, "ta2", lambda _: second) as two,
    ):
        told = trace(house, "tr-a", proto="tcp", dport=443, to="2001:db8:0::7")
    assert (told["from"], told["to"]) == ("tr-a/p", "2001:db8::7")
    assert (told["verdict"], told["switch"]) == ("delivered", "agrees")
    assert [each["host"] for each in told["legs"]] == ["ta1", "ta1", "ta2"]
    assert [(e["what"], e["host"]) for e in told["ends"]] == [("delivered", "ta2")]
    sent = {"port": uid, "to": "2001:db8::7", "proto": "tcp", "sport": 0, "dport": 443, "size": 0}
    assert one == [("trace", sent)]
    arrival = {"vtep": "192.0.2.150", "vni": 77, "packet": {"eth_type": 0x800, "ip_dst": 7}}
    assert two == [("arrival", arrival)]


def test_where_it_leaves_us_and_what_is_silent(house, remote) -> None:
    tenant_on(house, "tr-b", 152, "tb1")
    apply(house, document("Hypervisor", "tb2", vtep="192.0.2.153", external=True),
          document("Hypervisor", "tb3", vtep="192.0.2.154"))  # fmt: skip
    onward: list[str] = []

    def reply(_: Question) -> Any:
        return {"ok": {"legs": [leg(end("tunnelled"), onward=[away(vtep) for vtep in onward])]}}

    with agent(house, remote, "tb1", reply):
        onward[:] = ["192.0.2.153"]
        told = trace(house, "tr-b")
        assert told["verdict"] == "left" and "external host tb2" in told["ends"][0]["text"]
        onward[:] = ["203.0.113.9"]
        assert "no declared host" in trace(house, "tr-b")["ends"][0]["text"]
        onward[:] = ["192.0.2.154"]
        told = trace(house, "tr-b")
        assert told["verdict"] == "unanswered" and "Hypervisor tb3" in told["ends"][0]["text"]
        assert "agent on tb3" in told["ends"][0]["remedy"]
        onward[:] = ["192.0.2.152"] * 3  # in circles
        told = trace(house, "tr-b")
        assert len(told["legs"]) == MOST_HOSTS + 1 and "not followed" in told["ends"][-1]["text"]


@pytest.mark.parametrize(
    ("verdict", "whole"), [("differs", "differs"), ("unasked", "unasked"), ("fine", "unasked")]
)
def test_one_switch_that_differs_is_enough(house, remote, verdict: str, whole: str) -> None:
    tenant_on(house, "tr-c", 155, "tc1")
    odd = leg(end("delivered"), switch={"verdict": verdict, "text": "x"})
    with agent(house, remote, "tc1", lambda _: {"ok": {"legs": [leg(end("answered")), odd]}}):
        assert trace(house, "tr-c")["switch"] == whole


def refused(house: House, path: str, query: dict[str, Any]) -> tuple[int, dict[str, Any]]:
    with pytest.raises(Refused) as caught:
        house.api.get(path, query)
    return caught.value.status, caught.value.faults[0]


def test_mistakes_are_named(house) -> None:
    tenant_on(house, "tr-d", 156, "td1")
    apply(house, document("Port", "loose", "tr-d", network="net"))
    ask = {"tenant": "tr-d", "port": "p", "to": "10.0.0.7"}
    for change, status, rule in (
        ({"port": "pp"}, 404, "not-found"),
        ({"tenant": "nobody"}, 404, "not-found"),
        ({"port": "loose"}, 409, "port-unbound"),
        ({"to": "10.0.0.300"}, 422, "address-syntax"),
        ({"to": "10.0.0.0/24"}, 422, "address-syntax"),
        ({"to": "fe80::1%eth0"}, 422, "address-syntax"),
        ({"to": ""}, 422, "address-syntax"),
        ({"proto": "sctp"}, 422, "malformed-request"),
        ({"dport": 65536}, 422, "malformed-request"),
        ({"to": "x" * 101}, 422, "malformed-request"),
    ):
        got, fault = refused(house, "/v1/trace", ask | change)
        assert (got, fault["rule"]) == (status, rule), change
        assert fault["remedy"]
    assert "p" in refused(house, "/v1/trace", ask | {"port": "pp"})[1]["remedy"], "the nearest name"


def test_a_dead_host_is_not_asked_at_all(house) -> None:
    tenant_on(house, "tr-e", 157, "te1")
    told = trace(house, "tr-e")
    assert told["verdict"] == "unanswered" and "never reported" in told["ends"][0]["text"]
    tell(house, "te1", 1, stamp_ms=clock() - 60_000)
    told = trace(house, "tr-e")
    # How long it takes to ask is this machine's affair.
    assert told["legs"] == [] and re.search(r"no heartbeat for [6-9]\d s", told["ends"][0]["text"])
    status, fault = refused(house, "/v1/flows/te1", {})
    assert (status, fault["rule"], fault["object"]) == (503, "host-silent", "Hypervisor te1")


@pytest.mark.parametrize(
    "answer",
    [
        "nonsense", "[]", "{}", '{"ok": []}', '{"ok": {"legs": [1, null]}}', "[" * 9_000,
        {"ok": {"legs": [{"steps": 7, "ends": [{"what": 3}], "packet": [], "switch": 1, "onward": {}}]}},
        {"ok": {"legs": [leg(onward=[{"vtep": 4, "packet": {"eth_type": -1, "x": "y"}}])]}},
        '{"ok": {"legs": [{"title": NaN, "steps": [{"number": 1e999, "did": [1]}]}]}}',
        {"faults": [1]}, {"faults": [{"rule": 5, "message": "\\u001b[2J"}]},
    ],
)  # fmt: skip
def test_whatever_an_agent_answers_the_api_goes_on(house, remote, answer: Any) -> None:
    tenant_on(house, "tr-f", 158, "tf1")
    with agent(house, remote, "tf1", lambda _: answer):
        for path, query in (
            ("/v1/trace", {"tenant": "tr-f", "port": "p", "to": "10.0.0.7"}),
            ("/v1/flows/tf1", {}),
        ):
            try:
                assert isinstance(house.api.get(path, query), dict)
            except Refused as error:
                assert error.status in (409, 503), error.faults


def test_faults_of_an_agent_are_passed_on(house, remote) -> None:
    tenant_on(house, "tr-g", 159, "tg1")
    fault = {"object": "Port a/b", "rule": "port-unplugged", "message": "m", "remedy": "r"}
    with agent(house, remote, "tg1", lambda _: {"faults": [fault]}):
        status, got = refused(house, "/v1/trace", {"tenant": "tr-g", "port": "p", "to": "10.0.0.7"})
    assert status == 409 and {key: got[key] for key in fault} == fault


def test_flows_of_a_host(house, remote) -> None:
    tenant_on(house, "tr-h", 160, "th1")
    flow = {"table": "route", "number": 24, "priority": 7, "match": "m", "actions": "a", "owner": "o",
            "ours": True, "cookie": "0x1", "packets": 5, "octets": 500, "seconds": 1.5}  # fmt: skip
    count = {"table": "route", "flows": 9, "strangers": 1, "packets": 5, "octets": 500}
    with agent(
        house, remote, "th1", lambda _: {"ok": {"flows": [flow], "counts": [count], "left": 8}}
    ) as heard:
        query = {"tenant": "tr-h", "port": "tr-h/p", "network": "net", "table": "route", "limit": 1}
        told = house.api.get("/v1/flows/th1", query)
    assert told == {"host": "th1", "flows": [flow], "counts": [count], "left": 8, "unseen": 0}
    ((kind, asked),) = heard
    assert kind == "flows" and asked["table"] == 24 and asked["limit"] == 1
    assert asked["port"] and asked["network"] and asked["tenant"]


def test_mistakes_about_flows_are_named(house) -> None:
    tenant_on(house, "tr-i", 161, "ti1")
    apply(house, document("Hypervisor", "ti2", vtep="192.0.2.162", external=True))
    for host, query, status, rule in (
        ("nohost", {}, 404, "not-found"),
        ("ti2", {}, 409, "external-host"),
        ("ti1", {"table": "rout"}, 422, "unknown-table"),
        ("ti1", {"port": "tr-i/q"}, 404, "not-found"),
        ("ti1", {"network": "tr-i/q"}, 404, "not-found"),
        ("ti1", {"tenant": "q"}, 404, "not-found"),
        ("ti1", {"limit": 0}, 422, "malformed-request"),
    ):
        got, fault = refused(house, f"/v1/flows/{host}", query)
        assert (got, fault["rule"]) == (status, rule), query
    assert '"route"' in refused(house, "/v1/flows/ti1", {"table": "rout"})[1]["remedy"]
