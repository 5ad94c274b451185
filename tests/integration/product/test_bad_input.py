"""Nothing that a VM, a peer or a manifest sends ends a process or leaves half a change.

Real daemons, fixed seeds. After each flood of nonsense all processes are the same ones, none has met an
exception that it did not foresee, every host is in sync, and packets pass.
"""

from __future__ import annotations

import json
import random
import re
import socket
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from scapy.layers.inet import IP, TCP, UDP
from scapy.layers.inet6 import ICMPv6ND_NS, ICMPv6NDOptSrcLLAddr, IPv6
from scapy.layers.l2 import ARP, Dot1Q, Ether
from scapy.packet import Raw

from tests.integration.evpn.rogue import KEEPALIVE, OPEN, UPDATE, exactly, message
from tests.integration.product.attacks import CLASSIFY, GUARD
from tests.integration.product.witness import Witness, drops, risen
from topologies import faults
from topologies.deadline import PATIENCE, until
from topologies.errors import LabError
from topologies.fabrics import ASN
from topologies.scenarios.two_tenants import TwoTenants, Workload
from topologies.traffic.endpoint import open_socket
from topologies.traffic.frames import VXLAN_PORT, inject
from topologies.traffic.udp import UdpStream

pytestmark = pytest.mark.integration

SEED = 20
FRAMES = 2500
_HANDSHAKE = 20
_CRASHES = ("Traceback (most recent call last)", "Segmentation fault", "assertion")


@pytest.fixture(scope="module")
def scenario(two_tenants_lab: Callable[..., TwoTenants]) -> TwoTenants:
    made = two_tenants_lab(2)
    made.await_reachability()
    return made


def children(pid: int) -> list[int]:
    """Processes below this one, in order."""
    below = [int(p) for p in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    return [p for child in below for p in (child, *children(child))]


def processes(scenario: TwoTenants, but: str = "rr1/") -> dict[str, list[int]]:
    """Every daemon of the lab with all that it started: those of the product, and Open vSwitch. Not those
    whose names begin with `but`."""
    daemons = {f"{n.name}/{k}": d for n in scenario.lab.nodes.values() for k, d in n.daemons.items()}
    return {
        name: [d.pid, *children(d.pid)] for name, d in daemons.items() if not name.startswith((but, "rr1/"))
    }


def crashes(scenario: TwoTenants) -> list[str]:
    """Lines of the logs that tell of what nobody foresaw."""
    found = []
    for node in scenario.lab.nodes.values():
        for name, daemon in node.daemons.items():
            for line in daemon.log.read_text(errors="replace").splitlines():
                if any(word in line for word in _CRASHES):
                    found.append(f"{node.name}/{name}: {line}")
    return found


def in_sync(scenario: TwoTenants, since: float) -> bool:
    """All hosts say so, and have said it after `since`."""
    age = (time.monotonic() - since) * 1000
    hosts = scenario.control.hosts().values()
    return bool(hosts) and all(
        h["heartbeatAgeMs"] < age
        and h["state"] == "in-sync"
        and h["generation"] == h["wantedGeneration"]
        and not h["evpn"]["missing"]
        for h in hosts
    )


@contextmanager
def unshaken(scenario: TwoTenants, but: str = "rr1/") -> Iterator[None]:
    """All is well before and after the block, and blue's datagrams between the hosts all arrive. Processes
    whose names begin with `but` may be others than before."""
    until("in sync before", lambda: in_sync(scenario, 0.0), 30)
    before = processes(scenario, but)
    blue1, blue2 = scenario.of("blue")
    with UdpStream(blue1.vm, blue2.vm, blue2.ipv4, rate=100) as stream:
        yield
        result = stream.stop()
    assert processes(scenario, but) == before
    until("in sync after", lambda: in_sync(scenario, 0.0), 60)
    assert processes(scenario, but) == before
    assert crashes(scenario) == []
    assert (result.lost, result.duplicates) == (0, 0) and result.sent, result
    scenario.await_reachability()


def stems(me: Workload, friend: Workload) -> list[bytes]:
    """Good frames of all kinds that a flow looks into."""
    head = Ether(src=me.mac, dst=friend.mac)
    six = IPv6(src=me.ipv6, dst=friend.ipv6, hlim=255)
    return [
        bytes(frame)
        for frame in (
            head / IP(src=me.ipv4, dst=friend.ipv4) / UDP() / Raw(bytes(40)),
            head / IP(src=me.ipv4, dst=friend.ipv4, options=[b"\x94\x04\0\0"]) / TCP() / Raw(bytes(9)),
            head / six / ICMPv6ND_NS(tgt=friend.ipv6) / ICMPv6NDOptSrcLLAddr(lladdr=me.mac),
            head / six / UDP() / Raw(bytes(40)),
            head / ARP(hwsrc=me.mac, psrc=me.ipv4, pdst=friend.ipv4),
            head / Dot1Q(vlan=7) / IP(src=me.ipv4, dst=friend.ipv4) / UDP(),
        )
    ]


def mangled(chance: random.Random, stem: bytes) -> bytes:
    """Some bytes changed, something cut off or added, or nothing but noise; 14 to 1,464 bytes."""
    frame = bytearray(stem if chance.random() < 0.9 else chance.randbytes(chance.randint(14, 200)))
    for _ in range(chance.choice((0, 1, 1, 2, 5))):
        frame[chance.randrange(12 if chance.random() < 0.8 else 0, len(frame))] = chance.randrange(256)
    if chance.random() < 0.3:
        del frame[chance.randint(14, len(frame)) :]
    if chance.random() < 0.2:
        frame += chance.randbytes(chance.randint(1, 1464 - len(frame)))
    return bytes(frame)


def test_frames_of_noise(scenario: TwoTenants) -> None:
    chance = random.Random(SEED)
    red1, red2 = scenario.of("red")
    blue1, blue2 = scenario.of("blue")
    good = stems(red1, red2)
    noise = [mangled(chance, chance.choice(good)) for _ in range(FRAMES)]
    with unshaken(scenario), Witness((blue1, blue2), {"blue1": blue2, "blue2": blue1}) as witness:
        witness.control()
        before = drops(scenario.lab.hypervisors[0])
        assert inject(red1.vm, "eth0", noise) == FRAMES
        # It met the switch: most of it is no frame of red1's any more.
        assert risen(scenario.lab.hypervisors[0], before, GUARD, FRAMES // 10) >= FRAMES // 10
        witness.control()
        assert witness.places(bytes.fromhex(red1.mac.replace(":", ""))) == {}


def test_datagrams_of_noise_at_the_tunnel(scenario: TwoTenants) -> None:
    chance = random.Random(SEED)
    red1, red2 = scenario.of("red")
    inside = stems(red2, red1)
    with unshaken(scenario):
        with open_socket(scenario.lab.reflectors[0], socket.AF_INET, socket.SOCK_DGRAM) as sender:
            for host in scenario.lab.hypervisors:
                before = drops(host)
                for _ in range(500):
                    # RFC 7348 section 5: flag I, reserved, VNI, reserved; and what is none of it
                    valid = b"\x08\0\0\0" + chance.randbytes(3) + b"\0"
                    head = chance.choice((valid, valid, chance.randbytes(8)))
                    body = mangled(chance, chance.choice(inside))
                    whole = (head + body)[: chance.choice((0, 1, 7, 8, 9, 21, 22, 1400, 1400, 1400))]
                    sender.sendto(whole, (host.vtep_address, VXLAN_PORT))
                assert risen(host, before, CLASSIFY, 20) >= 20  # others the tunnel refuses


def pour(path: Path, data: bytes, wait: float = 0.3, patience: float = 5) -> bytes:
    """Send all, or as much as is taken in time, to a unix socket; what comes back till silence or the end."""
    got = b""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as link:
        link.settimeout(patience)
        link.connect(str(path))
        with suppress(OSError):
            link.sendall(data)
            link.settimeout(wait)
            while more := link.recv(1 << 16):
                got += more
    return got


def strange_values() -> list[Any]:
    """JSON values in places where none of them belongs."""
    deep: Any = 0
    for _ in range(400):
        deep = [deep]
    return [None, True, -1, 1 << 80, 1e308, "", "\0", "ÿ" * 3000, [], {}, deep, [[]], {"": {"": []}}]


def test_noise_on_the_speakers_socket(scenario: TwoTenants) -> None:
    chance = random.Random(SEED)
    lines = [json.dumps({"op": op, k: v}).encode() for v in strange_values()
             for op in ("begin", "announce", "withdraw", "eor", "refresh", "replay", "nonsense")
             for k in ("id", "routes", "targets")]  # fmt: skip
    routes = [[chance.randbytes(chance.randint(0, 60)).hex() for _ in range(3)] for _ in range(50)]
    routes += [[chance.randbytes(33).hex(), "ac100001", chance.randbytes(20).hex()] for _ in range(50)]
    lines += [json.dumps({"op": "announce", "id": 9, "routes": [r]}).encode() for r in routes]
    floods = [chance.randbytes(200_000), b"{" * 200_000, b"[" * 100_000 + b"\n", b"\n" * 10_000,
              b'{"op":"begin"}' * 1000, b"\xff\xfe\n" * 100, bytes(3_000_000), b""]  # fmt: skip
    path, agent = scenario.control.speaker_socket("hv1"), scenario.control.agents["hv1"]
    with unshaken(scenario, but="hv1/agent"):
        agent.kill()  # the speaker hears one at a time
        for flood in floods:
            pour(path, flood)
        for part in range(0, len(lines), 40):
            pour(path, b"".join(line + b"\n" for line in lines[part : part + 40]))
        for line in chance.sample(lines, 40):
            pour(path, line + b"\n", wait=0.05)
        agent.start()

        def told() -> str:
            return scenario.control.speakers["hv1"].log.read_text()

        until("each flood has ended", lambda: told().count("agent left reason=") >= len(floods), 30)
        log = told()
        print(Counter(re.findall("agent left reason=(.{20})", log)))
        over = time.monotonic()
        until("the agent is heard from", lambda: in_sync(scenario, over), 30)


def ask(path: Path, method: str, target: str, body: bytes = b"", kind: str = "application/json") -> bytes:
    """The whole answer to a well-formed HTTP request, whatever is in it; empty if none came."""
    head = f"{method} {target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: {kind}\r\n"
    return pour(path, head.encode() + b"Content-Length: %d\r\n\r\n" % len(body) + body, PATIENCE, PATIENCE)


def operations(path: Path) -> list[tuple[str, str]]:
    """Method and path of everything that the API says of itself, with names that nobody has."""
    described = json.loads(ask(path, "GET", "/openapi.json").partition(b"\r\n\r\n")[2])
    return sorted(
        (method.upper(), where.replace("{kind}", kind).replace("{name}", name))
        for where, methods in described["paths"].items()
        for method in methods
        for kind in ("ports", "nonsense")
        for name in ("nobody", "%00%0a..%2f", "x" * 3000)
        if not where.endswith("/wait")
    )


def test_noise_on_the_apis_socket(scenario: TwoTenants) -> None:
    chance = random.Random(SEED)
    path = scenario.control.api_socket
    wholes = (
        chance.randbytes(100_000),
        b"GET " + b"/a" * 100_000 + b" HTTP/1.1\r\n\r\n",
        b"\0" * 1000,
        b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 9_000 + b"\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"POST /v1/apply HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"POST /v1/apply HTTP/1.1\r\nHost: x\r\nContent-Length: 99\r\n\r\nhalf",
    )
    bodies = [json.dumps(v).encode() for v in strange_values()]
    bodies += [json.dumps({"documents": v, "records": [v], "items": [v]}).encode() for v in strange_values()]
    bodies += [chance.randbytes(5000), b"[" * 200_000, b"\xff\xfe{}", b'{"a":NaN}', b""]
    with unshaken(scenario):
        before = objects(scenario)
        for whole in wholes:
            pour(path, whole)
        answers = []
        for number, (method, target) in enumerate(operations(path)):
            for body in bodies if method == "POST" and number % 6 == 0 else bodies[number % 7 :: 7]:
                kind = chance.choice(("application/json", "application/yaml", "text/plain", "\xff"))
                line = ask(path, method, target, body, kind).split(b"\r\n")[0]
                answers.append((method, target[:60], body[:60], line))
        print(f"{len(answers)} requests", Counter(a[3].decode() for a in answers))
        assert [a for a in answers if not b"200" <= a[3][9:12] < b"500"] == []
        assert objects(scenario) == before


def hostile_manifests() -> list[tuple[str, bytes]]:
    """Name and text; each must be refused with a clear message."""
    head = "apiVersion: ringfence/v1\nkind: Tenant\nmetadata: {name: evil}\n"
    port = "apiVersion: ringfence/v1\nkind: Port\nmetadata: {name: p%d, tenant: red}\nspec: {network: %s}\n"
    bomb = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
        f"{b}: &{b} [*{a},*{a},*{a},*{a},*{a},*{a},*{a},*{a},*{a}]\n"
        for a, b in zip("abcdefgh", "bcdefghi", strict=True)
    )
    deep = "{x: " * 5000 + "1" + "}" * 5000
    good = head + "---\n"
    return [
        ("noise", random.Random(SEED).randbytes(100_000)),
        ("no UTF-8", b"\xff\xfe\x00\x80"),
        ("NULs", good.encode() + b"\0" * 1000),
        ("bomb", (good + bomb).encode()),
        ("recursion", (good + "metadata: &a {name: x, labels: *a}\nkind: Tenant\n").encode()),
        ("deep flow", (good + deep).encode()),
        ("deep list", (good + "- " * 20_000 + "1").encode()),
        ("Python tag", (good + "!!python/object/apply:os.system ['false']\n").encode()),
        ("merge", (good + "<<: [1, 2]\nkind: Tenant\n").encode()),
        ("keys that are none", (good + "? [a, b]\n: 1\n? {c: d}\n: 2\n").encode()),
        ("numbers", (good + "kind: Network\nmetadata: {name: 0x1F}\nspec: {vni: 1e999, mtu: .inf}").encode()),
        ("dates", (good + "kind: Network\nmetadata: {name: 2001-01-01, tenant: red}\n").encode()),
        ("vast integer", (good + "kind: Network\nspec: {vni: " + "9" * 20_000 + "}\n").encode()),
        ("long name", head.replace("evil", "e" * 200_000).encode()),
        ("controls", json.dumps({"kind": "Tenant", "metadata": {"name": "\x1b[2J\n"}}).encode()),
        ("traversal", head.replace("evil", "../../etc").encode()),
        ("wide", (good + "metadata: {name: a, labels: {" + "k: v, " * 50_000 + "}}\nkind: Tenant").encode()),
        ("everything", (good + "apiVersion: ringfence/v1\nkind: Network\nmetadata: {name: a, tenant: evil}\n"
                        "spec: {subnets: [0.0.0.0/0, '::/0', 10.0.0.0/24, nonsense]}\n").encode()),
        ("many", (good + "---\n".join(port % (i, "nowhere") for i in range(1000))).encode()),
        ("one bad of many", (good + "---\n".join(port % (i, "net" if i else "nowhere") for i in range(300)))
         .encode()),
    ]  # fmt: skip


def objects(scenario: TwoTenants) -> list[Any]:
    kinds = ("tenants", "networks", "ports", "hypervisors", "egressclasses")
    cluster = json.loads(scenario.control.run("status", "-o", "json").stdout)
    pools = [(p["name"], p["used"]) for p in cluster["pools"]]
    return [cluster["cluster"], pools, *(scenario.control.get(kind) for kind in kinds)]


def test_hostile_manifests(scenario: TwoTenants, tmp_path: Path) -> None:
    with unshaken(scenario):
        before = objects(scenario)
        problems = []
        for name, text in hostile_manifests():
            path = tmp_path / f"{name.replace(' ', '-')}.yaml"
            path.write_bytes(text)
            try:
                done = scenario.control.run("apply", "-f", str(path), timeout=120)
            except LabError as error:
                problems.append(f"{name}: {str(error)[:200]}")
                continue
            if done.code not in (1, 2) or "Traceback" in done.stderr or not done.stderr.strip():
                problems.append(f"{name}: code {done.code}: {done.stderr[-300:]}")
        assert problems == []
        assert objects(scenario) == before


def bgp_noise(chance: random.Random) -> list[bytes]:
    """UPDATE bodies: an EVPN reach attribute full of noise, attributes that lie about lengths, nothing."""
    found = []
    for _ in range(40):
        kind, body = chance.randrange(8), chance.randbytes(chance.randrange(60))
        nlri = bytes([kind, chance.choice((len(body), chance.randrange(256)))]) + body
        reach = b"\x00\x19\x46\x04" + bytes((172, 16, 0, 2)) + b"\x00" + nlri
        fixed = bytes.fromhex("40010100" + "400200" + "400504" + "00000064")
        attributes = fixed + b"\x90\x0e" + len(reach).to_bytes(2, "big") + reach
        attributes += b"\xc0\x10\x08" + chance.randbytes(8)
        found.append(b"\x00\x00" + len(attributes).to_bytes(2, "big") + attributes)
    return found


def converse(link: socket.socket, router_id: bytes, bodies: list[bytes]) -> int:
    """Open a session by the book, then send these; how many went out before the peer hung up."""
    link.settimeout(_HANDSHAKE)
    capabilities = bytes.fromhex("0104001900464104") + ASN.to_bytes(4, "big")
    parameters = bytes([2, len(capabilities)]) + capabilities
    fixed = bytes([4]) + ASN.to_bytes(2, "big") + (90).to_bytes(2, "big") + router_id
    link.sendall(message(OPEN, fixed + bytes([len(parameters)]) + parameters))
    for _ in range(2):  # its OPEN, its KEEPALIVE
        head = exactly(link, 19)
        exactly(link, int.from_bytes(head[16:18], "big") - 19)
        link.sendall(message(KEEPALIVE))
    sent = 0
    for body in bodies:
        link.sendall(message(UPDATE, body))
        sent += 1
    link.settimeout(1)
    with suppress(TimeoutError):
        while link.recv(1 << 16):
            pass
    return sent


def test_noise_of_a_bgp_peer(scenario: TwoTenants) -> None:
    """The reflector is gone, and something else sits at its address: bytes that are no BGP, then BGP that is
    none of EVPN. Routes that were learned stay, and so does the traffic."""
    chance = random.Random(SEED)
    (reflector,) = scenario.lab.reflectors
    router_id = socket.inet_aton(reflector.address)
    with unshaken(scenario):
        faults.kill_reflector(reflector)
        with open_socket(reflector, socket.AF_INET, socket.SOCK_STREAM) as server:
            server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            server.bind((reflector.address, 179))
            server.listen(4)
            server.settimeout(PATIENCE)
            sent = 0
            for turn in range(6):
                link, _ = server.accept()
                link.settimeout(1)
                with link, suppress(OSError, EOFError):
                    if turn < 3:
                        noise = (chance.randbytes(10_000), b"\xff" * 16 + b"\x00\x13\x09", b"\xff" * 5000)
                        link.sendall(noise[turn])
                    else:
                        sent += converse(link, router_id, bgp_noise(chance))
        assert sent
        reflector.revive()
        over = time.monotonic()
        until("all is as before", lambda: in_sync(scenario, over), 60)
