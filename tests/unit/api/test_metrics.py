"""Metrics: the text format, what is counted, and the answer through real HTTP."""

from __future__ import annotations

import http.client
import re
import socket
from dataclasses import replace
from ipaddress import ip_address

import pytest

from controller.api import gauges
from controller.api.app import create
from controller.api.exposition import MEDIA_TYPE, Metric, Sample, expose
from controller.api.gauges import METRICS, OTHER, Words
from controller.api.turns import Tally, Turns
from controller.store.words import Word
from controller.store.writer import clock
from ipam.contents import Contents, FabricRecord, HypervisorRecord, NodeRecord
from ipam.gangs.ledger import Ledger
from model.bearing import FabricWord, HostPart, HostWord, Reached, Wait, format_fabric, format_host
from model.errors import Fault, Unavailable
from model.fabric import Guid
from model.gang import GangState, Progress
from model.hardware import PciAddress
from model.ids import HostName
from model.intent import Hypervisor
from model.sighting import SeenPf, Sighting
from tests.fakes.estate import infiniband, nodes, sku, yard
from tests.meta.tree import ROOT
from tests.unit.api import rails as own
from tests.unit.api.rails import rails
from tests.unit.api.test_hosts import tell

__all__ = ["rails"]

LINE = re.compile(r'([a-z_]+)(?:\{((?:[a-z]+="(?:[^"\\\n]|\\["\\n])*",?)*)\})? (-?[0-9.e+-]+)')
ACTIVE = Progress(GangState.ACTIVE, GangState.ACTIVE)


def values(text: str) -> dict[str, float]:
    """Series to value; every line is a comment or a sample."""
    found = {}
    for line in text.splitlines():
        if not line.startswith("# "):
            match = LINE.fullmatch(line)
            assert match, line
            found[line.rpartition(" ")[0]] = float(match[3])
    return found


def counted(*samples: Sample) -> dict[str, float]:
    return values(expose(METRICS, samples))


def estate(gangs: int = 0, count: int = 4) -> Contents:
    """Gangs of one node each, the first one ten seconds old."""
    fabric = infiniband()
    held = yard(fabric, sku(vfs=64), count)
    ledger = Ledger()
    ledger.set_fabric(fabric)
    for number in range(gangs):
        made = held.reserve(name=f"g{number}", deadline=0)
        ledger.hold(replace(made, progress=ACTIVE if number else made.progress, since=10_000 * (number + 1)))
    there = nodes(count, "ib")
    hosts = [Hypervisor(node.host, ip_address("192.0.2.0") + node.key, node.key) for node in there.values()]
    return Contents(
        fabrics={"ib": FabricRecord(fabric)},
        nodes={name: NodeRecord(node) for name, node in there.items()},
        hypervisors={host.name: HypervisorRecord(host) for host in hosts},
        ledger=ledger,
    )


def test_the_format_escapes_what_it_must() -> None:
    metric = Metric("x", "gauge", ("a", "b"), "one\ntwo\\")
    text = expose((metric,), [Sample("x", ('"\\\n', "é"), 1.5)])
    assert text == '# HELP x one\\ntwo\\\\\n# TYPE x gauge\nx{a="\\"\\\\\\n",b="é"} 1.5\n'


def test_a_sample_of_no_metric_or_with_other_labels_is_a_defect() -> None:
    with pytest.raises(KeyError):
        expose((), [Sample("x", (), 1)])
    with pytest.raises(ValueError, match="zip"):
        expose((Metric("x", "gauge", ("a",), ""),), [Sample("x", (), 1)])


def test_the_page_has_every_metric() -> None:
    page = (ROOT / "docs" / "metrics.md").read_text(encoding="utf-8")
    rows = re.findall(r"(?m)^\| `(ringfence_\w+)` \| (\w+) \| (.*?) \| (.*) \|$", page)
    wanted = [(m.name, m.kind, ", ".join(f"`{x}`" for x in m.labels) or "-", m.text) for m in METRICS]
    assert rows == wanted


def test_every_alert_stands_on_metrics_that_exist_and_in_the_page() -> None:
    rules = (ROOT / "packaging" / "prometheus" / "ringfence.rules.yml").read_text(encoding="utf-8")
    page = (ROOT / "docs" / "metrics.md").read_text(encoding="utf-8")
    used = set(re.findall(r"ringfence_\w+", rules))
    assert len(used) > 10
    assert used <= {metric.name for metric in METRICS}
    alerts = re.findall(r"- alert: (\w+)", rules)
    assert [name for name in alerts if f"`{name}`" not in page] == []


def test_gangs_by_state_with_the_oldest_on_its_way() -> None:
    found = counted(*gauges.gangs(estate(3), 25_000))
    assert found['ringfence_gangs{fabric="ib",state="reserved"}'] == 1
    assert found['ringfence_gangs{fabric="ib",state="active"}'] == 2
    assert found['ringfence_gangs{fabric="ib",state="failed"}'] == 0
    assert found['ringfence_gang_oldest_seconds{fabric="ib",state="reserved"}'] == 15
    assert found['ringfence_gang_oldest_seconds{fabric="ib",state="failed"}'] == 0
    assert 'ringfence_gang_oldest_seconds{fabric="ib",state="active"}' not in found


def said(rule: str, age: int = 0, reached: Reached = Reached.SET) -> tuple[HostWord, int]:
    fault = Fault("x", rule, "m", "r")
    return HostWord((HostPart(1, GangState.ACTIVE, GangState.ACTIVE, reached, (fault,)),)), age


def test_words_of_hosts_and_fabrics() -> None:
    alarms = tuple(Fault("ib", rule, "m", "r") for rule in ("stranger", "stranger", "left", "No rule\n"))
    word = FabricWord("ib", "opensm", "me", alarms, (Wait(1, "why"),), read=5_000)
    hosts = {
        "hv1": said("vf-missing"),
        "hv9": said("of-nobody"),
        "hv2": said("vf-missing", 31_000, Reached.UP),
    }
    contents = estate(3)
    heard = Words(hosts, {"ib": (word, 7_500), "north": (word, 1)}, (2, 1))
    found = counted(*gauges.words(contents, heard, 25_000))
    assert found['ringfence_fabric_read_age_seconds{fabric="ib"}'] == 20
    assert found['ringfence_fabric_told{fabric="ib"}'] == 1
    assert found['ringfence_fabric_word_age_seconds{fabric="ib",driver="opensm"}'] == 7.5
    assert found['ringfence_fabric_alarms{fabric="ib",rule="stranger"}'] == 2
    assert found[f'ringfence_fabric_alarms{{fabric="ib",rule="{OTHER}"}}'] == 1
    assert found['ringfence_gang_waits{fabric="ib"}'] == 1
    assert found['ringfence_host_faults{rule="vf-missing"}'] == 2
    assert [found[f'ringfence_host_parts{{reached="{r}"}}'] for r in ("set", "up", "parked")] == [1, 1, 0]
    assert found['ringfence_words_unreadable{speaker="host"}'] == 2
    assert not [series for series in found if "north" in series or "nobody" in series]
    bearing = {berth.host for gang in contents.ledger.gangs.values() for berth in gang.berths}
    assert found["ringfence_hosts_mute"] == len(bearing - {"hv1"})


def test_what_hosts_call_their_rules_does_not_grow_without_end() -> None:
    faults = tuple(Fault("x", f"rule-{n}", "m", "r") for n in range(500))
    word = HostWord((HostPart(1, GangState.ACTIVE, GangState.ACTIVE, Reached.SET, faults),))
    found = counted(*gauges.words(estate(1), Words({"hv1": (word, 0)}, {}), 0))
    rules = [series for series in found if series.startswith("ringfence_host_faults")]
    assert len(rules) == 65
    assert found[f'ringfence_host_faults{{rule="{OTHER}"}}'] == 500 - 64


def test_series_do_not_follow_the_size() -> None:
    def series(contents: Contents) -> set[str]:
        differs = dict.fromkeys(contents.nodes, ("vfs-fewer",))
        parts = (
            gauges.gangs(contents, 1),
            gauges.words(contents, Words({}, {}), 1),
            gauges.cluster(contents),
        )
        return set(counted(*(s for part in parts for s in part), *gauges.inventory(contents, differs)))

    assert series(estate(1, 2)) == series(estate(40, 20))


def test_inventory_tells_what_was_not_read_yet() -> None:
    found = counted(*gauges.inventory(estate(), {"n1": (), "n2": ("vfs-fewer", "pf-missing"), "n3": None}))
    states = [found[f'ringfence_inventory_nodes{{fabric="ib",state="{s}"}}'] for s in ("matches", "differs")]
    assert states == [1, 1]
    assert found['ringfence_inventory_nodes{fabric="ib",state="unseen"}'] == 1
    assert found['ringfence_inventory_nodes{fabric="ib",state="unread"}'] == 1
    assert found['ringfence_inventory_differences{rule="pf-missing"}'] == 1


def test_turns_are_counted() -> None:
    turns = Turns(1)
    with turns.turn("a", 1):
        assert turns.tally().there == 1
        with pytest.raises(Unavailable), turns.turn("b", 1):
            pass
    two = Turns(2)
    with two.turn("a", 1), pytest.raises(Unavailable), two.turn("b", 0):
        pass
    assert replace(turns.tally(), seconds=0.0) == Tally(taken=1, full=1)
    assert replace(two.tally(), seconds=0.0) == Tally(taken=1, late=1)
    assert counted(*gauges.turns(two.tally()))['ringfence_gang_turns_total{outcome="late"}'] == 1


def fetch(house) -> tuple[str, str]:
    connection = http.client.HTTPConnection("x", timeout=30)
    connection.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    connection.sock.connect(str(house.socket))
    try:
        connection.request("GET", "/metrics")
        answer = connection.getresponse()
        assert answer.status == 200
        return answer.headers["content-type"], answer.read().decode()
    finally:
        connection.close()


def test_the_answer_over_the_socket(rails) -> None:
    made = own.ask(rails)["metadata"]["generation"]
    now = clock()
    rails.store.say_of_fabric(
        Word(
            "rails-fabric",
            format_fabric(FabricWord("rails-fabric", "none", "me", tables={Guid(7): None})),
            now,
        )
    )
    rails.store.say_of_host(Word("rails-hv1", format_host(said("vf-missing")[0]), now))
    rails.store.say_of_host(Word("rails-hv2", "{", now))
    tell(rails, "rails-hv1", 1, devices=Sighting((SeenPf(PciAddress(0x1800)),)))
    # Another file may have told of its devices, in the same house.
    tell(rails, "rails-hv2", 1)
    media, text = fetch(rails)
    assert media == MEDIA_TYPE
    found = values(text)
    assert found["ringfence_generation"] >= made
    assert found['ringfence_gangs{fabric="rails-fabric",state="reserved"}'] == 1
    assert found['ringfence_pool_size{fabric="rails-fabric",what="vf",rail="plane0"}'] == 8
    assert found['ringfence_pool_held{fabric="rails-fabric",what="vf",rail="plane0"}'] == 2
    assert found['ringfence_fabric_told{fabric="rails-fabric"}'] == 1
    assert found['ringfence_host_faults{rule="vf-missing"}'] == 1
    assert found['ringfence_words_unreadable{speaker="host"}'] == 1
    assert found['ringfence_inventory_nodes{fabric="rails-fabric",state="differs"}'] == 1
    assert found['ringfence_inventory_nodes{fabric="rails-fabric",state="unseen"}'] == 1
    assert found['ringfence_hosts{state="in-sync"}'] >= 1
    rails.api.once("DELETE", f"{own.PLACE}/train")
    assert values(fetch(rails)[1])['ringfence_gangs{fabric="rails-fabric",state="reserved"}'] == 0


def test_a_word_is_parsed_once(rails, monkeypatch: pytest.MonkeyPatch) -> None:
    """By a second application in front of the same store."""
    from controller.api import metrics

    parsed: list[str] = []
    monkeypatch.setattr(metrics, "parse_host", lambda text: parsed.append(text) or HostWord())
    answers = metrics.Answers(rails.service, metrics.Memory(), Turns(1))
    rails.store.say_of_host(Word("rails-hv1", "{}", clock()))
    answers.make()
    before = len(parsed)
    rails.store.say_of_host(Word("rails-hv1", "{}", clock() + 1))
    answers.make()
    assert len(parsed) == before > 0
    rails.store.say_of_host(Word("rails-hv1", '{"parts":[]}', clock()))
    answers.make()
    assert len(parsed) == before + 1


def test_who_comes_while_an_answer_is_made_gets_the_one_before(rails) -> None:
    from controller.api import metrics

    answers = metrics.Answers(rails.service, metrics.Memory(), Turns(1))
    first = answers.make()
    with answers._lock:
        assert answers.make() is first
    assert answers.make() is not first
    assert create(rails.service).url_path_for("read") is not None
    assert HostName("rails-hv1") in rails.store.contents().hypervisors
