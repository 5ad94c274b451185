"""Count, then enforce, through real HTTP and a real store: what hosts saw, what is refused and written."""

from __future__ import annotations

from typing import Any

import pytest

from controller.store import words
from controller.store.wire import Connection, Seat
from controller.store.words import Word
from controller.store.writer import clock
from model.entries import identities, identities_of
from model.evidence import Amount, HostEvidence, Rest, RuleName, RuleSeen, Struck, Watch, render
from model.ids import HostName, Uid
from model.wanted import Kind, Reference
from tests.unit.api.house import House
from tests.unit.api.test_objects import apply, document, refused
from topologies.deadline import until

HOUR = 3_600_000
SAMPLE = "tcp 10.0.0.9:1 > 10.0.0.2:23"
INSIDE = {"name": "inside", "direction": "in", "action": "allow", "from": [{"ports": {}}], "state": "count"}
TELNET = {
    "name": "telnet",
    "direction": "in",
    "action": "deny",
    "services": [{"protocol": "tcp", "port": 23}],
    "state": "count",
}
CLOSED = {"in": {"action": "deny", "state": "count"}}


class Stage:
    """A tenant with two ports on one host, a policy, and a host that says what it saw."""

    def __init__(self, house: House, remote: str, name: str, octet: int, **spec: Any) -> None:
        self.house, self.remote, self.tenant, self.host = house, remote, name, f"{name}-host"
        apply(
            house,
            document("Hypervisor", self.host, vtep=f"192.0.2.{octet}"),
            document("Hypervisor", f"{name}-other", vtep=f"192.0.2.{octet + 1}"),
            document("Tenant", name),
            document("Network", "net", name, subnets=["10.0.0.0/24"]),
            *(document("Port", port, name, network="net", hosts=[self.host]) for port in ("a", "b")),
            document("SecurityPolicy", "web", name, **spec),
        )
        found = (house.api.get(f"/v1/ports/{port}", {"tenant": name}) for port in ("a", "b"))
        self.ports = [Uid(port["metadata"]["uid"]) for port in found]

    def names(self) -> list[RuleName]:
        """Of the policy's rules, then of its defaults out and in."""
        record = self.house.store.contents().find(Reference(Kind.SECURITY_POLICY, "web", self.tenant))
        value = record.value  # type: ignore[union-attr]
        seats = (*value.seats, value.outward, value.inward)  # type: ignore[union-attr]
        told = identities(value.policy)  # type: ignore[union-attr]
        return [RuleName(s.number, i) for s, i in zip(seats, told, strict=True) if s is not None]

    def say(self, said: HostEvidence, host: str = "", age: int = 0) -> None:
        connection = Connection(self.remote, Seat.ANY)
        words.put_evidence(connection, Word(host or self.host, render(said), clock() - age))
        connection.close()

    def watched(
        self, hours: float, *hits: tuple[int, int], rules: list[RuleName] | None = None, host: str = ""
    ) -> None:
        """All rules on both ports for so long; `hits`: (place of the rule, packets) at port a."""
        names = self.names() if rules is None else rules
        now = clock()
        self.say(
            HostEvidence(
                tuple(RuleSeen(one, Amount(5, 500)) for one in sorted(names)),
                (Watch(int(now - hours * HOUR), now, tuple(names), tuple(self.ports)),),
                tuple(
                    Struck(
                        names[at],
                        self.ports[0],
                        Amount(n, 60 * n),
                        now - 5,
                        (SAMPLE,),
                    )
                    for at, n in hits
                ),
            ),
            host,
        )

    def promote(self, policy: str = "web", **query: Any) -> Any:
        asked = {"policy": policy, "tenant": self.tenant, "hours": 24} | query
        return self.house.api.once("POST", "/v1/promotions", asked)

    def refusal(self, **query: Any) -> list[tuple[str, str, str]]:
        faults = refused(lambda: self.promote(**query)).faults
        return [(fault["rule"], fault["object"], fault["message"]) for fault in faults]

    def spec(self) -> Any:
        return self.house.api.get("/v1/securitypolicies/web", {"tenant": self.tenant})["spec"]

    def status(self, **query: Any) -> list[Any]:
        return self.house.api.get("/v1/evidence", {"tenant": self.tenant} | query)["items"]


def test_a_default_is_enforced_with_what_stands_above_it(house: House, remote: str) -> None:
    stage = Stage(house, remote, "grant", 40, rules=[INSIDE, TELNET], defaults=CLOSED)
    stage.watched(25)
    answer = stage.promote(default="in")
    assert answer["promotion"]["rules"] == ["the default of grant/web"]
    assert answer["promotion"]["companions"] == [
        "rule 1 (inside) of grant/web",
        "rule 2 (telnet) of grant/web",
    ]
    assert [(c["verb"], c["kind"], c["name"]) for c in answer["changes"]] == [
        ("change", "SecurityPolicy", "web")
    ]
    spec = stage.spec()
    assert "state" not in spec["rules"][0] and spec["defaults"] == {"in": "deny"}


def test_numbers_stay_when_the_state_changes(house: House, remote: str) -> None:
    stage = Stage(house, remote, "stays", 42, rules=[TELNET])
    before = stage.names()
    stage.watched(25)
    stage.promote()
    assert stage.names() == before


def test_a_share_comes_first_and_then_all(house: House, remote: str) -> None:
    stage = Stage(house, remote, "share", 44, rules=[TELNET])
    stage.watched(25)
    stage.promote(share=99)
    assert stage.spec()["rules"][0]["share"] == 99
    (row,) = stage.status()
    assert (row["state"], row["share"], row["ports"]) == ("enforce", 99, 2)


def test_too_few_hours_are_refused_with_the_ports_that_lack_them(house: House, remote: str) -> None:
    stage = Stage(house, remote, "short", 46, rules=[TELNET])
    assert stage.refusal() == [
        (
            "promotion-evidence-short",
            "rule 1 (telnet) of short/web",
            "2 of 2 ports were watched for less than 24.0 h: short/a for 0.0 h, short/b for 0.0 h",
        )
    ]
    stage.watched(23)
    ((rule, _, message),) = stage.refusal()
    assert rule == "promotion-evidence-short" and "short/a for 23.0 h" in message
    assert stage.promote(hours=22)["changed"]


def test_hits_are_listed_and_refused_until_they_are_accepted(house: House, remote: str) -> None:
    stage = Stage(house, remote, "hits", 48, rules=[INSIDE, TELNET])
    stage.watched(25, (1, 7))
    assert stage.refusal(rule="telnet") == [
        (
            "promotion-hits",
            "rule 2 (telnet) of hits/web",
            f"it would have dropped 7 packets at 1 ports, 0 are accepted: hits/a 7 ({SAMPLE})",
        )
    ]
    assert stage.refusal(rule="telnet", accept="6")[0][0] == "promotion-hits"
    trial = stage.promote(rule="telnet", accept="7", dryRun="true")
    assert trial["dryRun"] and trial["promotion"]["packets"] == 7
    assert stage.spec()["rules"][1]["state"] == "count"
    answer = stage.promote(rule="2", accept="all")
    assert answer["promotion"]["hits"][0]["port"] == "hits/a"
    assert stage.spec()["rules"][1].get("state", "enforce") == "enforce"
    assert stage.spec()["rules"][0].get("state", "enforce") == "enforce", "its companion went along"


def test_hits_that_no_word_names_count_all_the_same(house: House, remote: str) -> None:
    stage = Stage(house, remote, "rest", 50, rules=[TELNET])
    (name,), now = stage.names(), clock()
    watch = Watch(now - 25 * HOUR, now, (name,), tuple(stage.ports))
    stage.say(HostEvidence((RuleSeen(name),), (watch,), (), (Rest(name, 3, Amount(40, 1), now),)))
    ((rule, _, message),) = stage.refusal()
    assert rule == "promotion-hits" and "40 of them at 3 ports" in message
    assert stage.promote(accept="40")["changed"]


def test_a_host_that_is_silent_is_named(house: House, remote: str) -> None:
    stage = Stage(house, remote, "mute", 52, rules=[TELNET])
    stage.watched(25)
    (name,), now = stage.names(), clock()
    watch = Watch(now - 30 * HOUR, now - HOUR, (name,), tuple(stage.ports))
    house.store.bind(stage.ports[0], HostName(stage.host))
    query = {"tenant": "mute"}
    until("it is bound", lambda: house.api.get("/v1/ports/a", query)["status"]["host"] == stage.host, 20)
    stage.say(HostEvidence((RuleSeen(name),), (watch,)), age=HOUR)
    assert [fault[:2] for fault in stage.refusal()] == [("promotion-host-silent", f"Hypervisor {stage.host}")]
    connection = Connection(remote, Seat.ANY)
    words.put_evidence(connection, Word(stage.host, "}", clock()))
    connection.close()
    assert "can't be read" in stage.refusal()[-1][2]
    stage.watched(25)
    assert stage.promote()["changed"]


def test_a_host_is_not_believed_about_ports_that_may_not_be_there(house: House, remote: str) -> None:
    stage = Stage(house, remote, "liar", 54, rules=[TELNET])
    stage.watched(99, host="liar-other")
    assert stage.refusal()[0][0] == "promotion-evidence-short"


def test_what_was_watched_on_two_hosts_is_joined(house: House, remote: str) -> None:
    stage = Stage(house, remote, "wandering", 56, rules=[TELNET])
    names = stage.names()
    now = clock()
    for port in ("a", "b"):
        hosts = [stage.host, "wandering-other"]
        apply(house, document("Port", port, "wandering", network="net", hosts=hosts))
    for host, since, end in ((stage.host, 30, 20), ("wandering-other", 19, 0)):
        watch = Watch(now - since * HOUR, now - end * HOUR, tuple(names), tuple(stage.ports))
        stage.say(HostEvidence((RuleSeen(names[0]),), (watch,)), host)
    assert "for 29.0 h" in stage.refusal(hours=30)[0][2]
    assert stage.promote(hours=28)["changed"]


def test_a_rule_that_changed_has_no_evidence(house: House, remote: str) -> None:
    stage = Stage(house, remote, "anew", 58, rules=[TELNET])
    former = stage.names()
    apply(house, document("SecurityPolicy", "web", "anew", rules=[INSIDE, TELNET]))
    assert stage.names()[1] == former[0], "the rule that moved is the same"
    apply(house, document("SecurityPolicy", "web", "anew", rules=[TELNET | {"name": "other"}]))
    stage.watched(25, rules=former)
    assert stage.refusal()[0][0] == "promotion-evidence-short"


@pytest.mark.parametrize(
    ("query", "rule"),
    [
        ({"rule": "tel"}, "promotion-unknown"),
        ({"rule": "9"}, "promotion-unknown"),
        ({"default": "out"}, "promotion-unknown"),
        ({"policy": "none"}, "not-found"),
        ({"tenant": "nobody"}, "not-found"),
        ({"hours": "x"}, "malformed-request"),
        ({"share": 0}, "malformed-request"),
        ({"accept": "few"}, "malformed-request"),
    ],
)
def test_mistakes_are_named(house: House, remote: str, query: dict[str, Any], rule: str) -> None:
    stage = Stage(house, remote, "wrong", 60, rules=[TELNET])
    stage.watched(25)
    assert stage.refusal(**query)[0][0] == rule


def test_what_counts_nowhere_cannot_be_promoted(house: House, remote: str) -> None:
    enforced = {key: value for key, value in TELNET.items() if key != "state"}
    stage = Stage(house, remote, "done", 62, rules=[enforced])
    assert stage.refusal()[0][:2] == ("promotion-of-nothing", "SecurityPolicy done/web")


def test_a_tenants_own_default_is_promoted_with_its_policies(house: House, remote: str) -> None:
    stage = Stage(house, remote, "owned", 64, rules=[INSIDE])
    apply(house, document("Tenant", "owned", defaults=CLOSED))
    tenant = house.store.contents().tenants["owned"].value
    names = [*stage.names(), RuleName(tenant.seats[1], identities_of("owned", tenant.defaults)[1])]
    stage.watched(25, rules=names)
    answer = stage.promote(policy="", default="in")
    assert sorted(c["kind"] for c in answer["changes"]) == ["SecurityPolicy", "Tenant"]
    shown = house.api.get("/v1/tenants/owned")["spec"]["defaults"]
    assert shown == {"in": "deny"}


def test_an_operators_rule_is_never_enforced_for_a_tenants_sake(house: House, remote: str) -> None:
    stage = Stage(house, remote, "below", 66, rules=[TELNET])
    above = document("OperatorPolicy", "over-below", tier="operator", rules=[TELNET])
    above["spec"]["subject"] = {"tenants": {"matchLabels": {"ringfence/name": "below"}}}
    apply(house, above)
    try:
        stage.watched(25)
        assert [fault[:2] for fault in stage.refusal()] == [
            ("promotion-companion", "rule 1 (telnet) of below/web")
        ]
    finally:
        house.api.once("DELETE", "/v1/operatorpolicies/over-below")


def test_status_says_what_was_seen(house: House, remote: str) -> None:
    stage = Stage(house, remote, "shown", 68, rules=[INSIDE, TELNET], defaults=CLOSED)
    stage.watched(12.5, (1, 3))
    inside, telnet, closed = stage.status(policy="web")
    assert [one["rule"] for one in (inside, telnet, closed)] == [1, 2, 0]
    assert (telnet["ports"], telnet["counting"], telnet["watched"], telnet["hours"]) == (2, 2, 2, 12.5)
    assert telnet["hits"]["packets"] == 3 and telnet["hits"]["ports"] == 1
    assert telnet["hitPorts"][0]["port"] == "shown/a"
    assert telnet["hitPorts"][0]["samples"] == [SAMPLE]
    assert inside["hours"] is None and inside["counting"] == 2
    assert inside["decided"] == {"packets": 5, "octets": 500} and inside["hits"]["packets"] == 0
    assert closed["direction"] == "in" and closed["action"] == "deny"
    assert refused(lambda: stage.status(policy="wbe")).faults[0]["rule"] == "not-found"
    assert refused(lambda: stage.status(tenant="nobody")).faults[0]["rule"] == "not-found"


def test_the_same_key_gives_the_same_answer(house: House, remote: str) -> None:
    stage = Stage(house, remote, "again", 70, rules=[TELNET])
    stage.watched(25)
    asked = {"policy": "web", "tenant": "again", "hours": 24}
    first = house.api.once("POST", "/v1/promotions", asked, key="again-1")
    second = house.api.once("POST", "/v1/promotions", asked, key="again-1")
    assert first["changed"] and second["replayed"] and second["generation"] == first["generation"]
