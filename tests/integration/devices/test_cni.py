"""The CNI plugin with real namespaces: by itself, and called by the reference plugins of Debian.

Links of pairs (veth) stand for VFs: they move, are named, addressed and routed like a VF's netdev. What a VF
adds, and is not shown: it falls back to the host when its namespace ends (a veth is destroyed), the kernel
says the PCI address of its parent, and its MAC is its PF's to give.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.berths import gang, interface, page
from tests.singular import RUN

pytestmark = pytest.mark.integration
ROOT = Path(__file__).parents[3]
REFERENCE = Path("/usr/lib/cni")
FUNCTIONS = 4
BROKEN = """
import os
from controller.cni.kernel import Kernel
whole, left = Kernel._ask, [{count}]
def ask(self, message):
    left[0] -= 1
    if left[0] == -1:
        {how}
    return whole(self, message)
Kernel._ask = ask
sys.exit(main())
"""


def run(*words: str, **more: Any) -> str:
    """Standard output; an error's text in the failure."""
    ran = subprocess.run(words, capture_output=True, text=True, timeout=60, **more)
    assert ran.returncode == 0, f"{words}: {ran.stdout} {ran.stderr}"
    return ran.stdout


class House:
    """A host's namespace with a bridge (the leaf) and a pair for each VF; containers beside it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.host = f"cni{RUN}h"
        self.spaces: list[str] = []
        self.sys = root / "sys"
        (root / "bin").mkdir()
        plugin = root / "bin" / "ringfence-cni"
        script = (ROOT / "packaging" / "cni" / "ringfence-cni").read_text(encoding="utf-8")
        plugin.write_text(script.replace("/opt/ringfence", str(ROOT)), encoding="utf-8")
        plugin.chmod(0o755)
        for number in range(FUNCTIONS):
            device = self.sys / "bus/pci/devices" / f"0000:18:01.{number}"
            (device / "net" / f"vf{number}").mkdir(parents=True)
            (device / "driver").symlink_to(self.sys)
        run("ip", "netns", "add", self.host)
        self.batch(
            "link set lo up",
            "link add leaf type bridge",
            "link set leaf up",
            "address add 10.128.0.1/24 dev leaf",
            "address add 2001:db8:1::1/64 dev leaf nodad",
        )

    def begin(self) -> None:
        """As if nothing had been asked yet: all VFs on the host, nobody's."""
        present = self.links()
        lines = []
        for number in range(FUNCTIONS):
            if f"vf{number}" not in present:
                # A namespace that was deleted takes its links along some time later.
                subprocess.run(
                    ["ip", "-netns", self.host, "link", "delete", f"cable{number}"], capture_output=True
                )
                lines.append(f"link add vf{number} type veth peer name cable{number}")
                lines.append(f"link set cable{number} master leaf up")
        self.batch(*lines)
        self.write(gang([interface(number) for number in range(FUNCTIONS)]))

    def end_all(self) -> None:
        """Containers and claims of a test."""
        for name in [*self.spaces]:
            self.end(name)
        for path in (self.root / "claims").glob("0*"):
            path.unlink()

    def batch(self, *lines: str, path: str = "") -> None:
        name = os.path.basename(path) or self.host
        run("ip", "-netns", name, "-batch", "-", input="\n".join(lines))

    def write(self, *gangs: dict[str, Any]) -> None:
        (self.root / "berths.json").write_text(page(*gangs), encoding="utf-8")

    def space(self, name: str) -> str:
        """A new namespace; its path."""
        full = f"cni{RUN}{name}"
        run("ip", "netns", "add", full)
        self.spaces.append(full)
        self.batch("link set lo up", path=full)
        return f"/run/netns/{full}"

    def end(self, path: str) -> None:
        self.spaces.remove(os.path.basename(path))
        run("ip", "netns", "delete", os.path.basename(path))

    def close(self) -> None:
        self.end_all()
        run("ip", "netns", "delete", self.host)

    def inside(self, *words: str, path: str = "") -> str:
        return run("ip", "netns", "exec", os.path.basename(path) or self.host, *words)

    def settings(self, **more: Any) -> dict[str, Any]:
        paths = {
            "berths": str(self.root / "berths.json"),
            "dataDir": str(self.root / "claims"),
            "sysfs": str(self.sys),
        }
        return {"type": "ringfence-cni", "tenant": "acme", **paths, **more}

    def config(self, version: str = "1.1.0", **more: Any) -> dict[str, Any]:
        """Of our plugin as the main one."""
        return {"cniVersion": version, "name": "rails", **self.settings(**more)}

    def call(
        self, command: str, container: str, netns: str, config: dict[str, Any], plugin: str = "ringfence-cni"
    ) -> tuple[int, Any]:
        """As a runtime on the host does: environment, configuration on standard input, JSON back."""
        path = self.root / "bin" / plugin if plugin == "ringfence-cni" else REFERENCE / plugin
        return self.execute([str(path)], self.environ(command, container, netns), config)

    def environ(self, command: str, container: str, netns: str) -> dict[str, str]:
        return {
            "CNI_COMMAND": command,
            "CNI_CONTAINERID": container,
            "CNI_IFNAME": "net1",
            "CNI_NETNS": netns,
            "CNI_PATH": f"{self.root / 'bin'}:{REFERENCE}",
            "CNI_ARGS": "IgnoreUnknown=true;K8S_POD_NAME=train-0",
            "PATH": os.environ["PATH"],
        }

    def script(self, how: str, count: int) -> Path:
        """Our plugin, for which the kernel's answer of that number never comes."""
        text = (self.root / "bin" / "ringfence-cni").read_text(encoding="utf-8")
        made = self.root / "broken"
        made.write_text(
            text.replace("sys.exit(main())", BROKEN.format(how=how, count=count)), encoding="utf-8"
        )
        made.chmod(0o755)
        return made

    def execute(self, plugin: list[str], environ: dict[str, str], config: dict[str, Any]) -> tuple[int, Any]:
        # In the mount namespace that `ip netns exec` makes, the reference plugins see our PCI devices.
        mounted = f'mount --bind {self.sys}/bus/pci/devices /sys/bus/pci/devices && exec "$@"'
        words = ("ip", "netns", "exec", self.host, "/bin/sh", "-c", mounted, "-")
        ran = subprocess.run(
            [*words, *plugin],
            input=json.dumps(config),
            env=environ,
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert "Traceback" not in ran.stderr
        return ran.returncode, json.loads(ran.stdout) if ran.stdout else None

    def done(self, *arguments: Any, **more: Any) -> Any:
        code, answer = self.call(*arguments, **more)
        assert code == 0, answer
        return answer

    def links(self, path: str = "") -> dict[str, dict[str, Any]]:
        name = os.path.basename(path) or self.host
        found = json.loads(run("ip", "-netns", name, "-json", "address"))
        return {link["ifname"]: link for link in found}

    def addresses(self, path: str) -> set[str]:
        listed = self.links(path)["net1"]["addr_info"]
        return {f"{each['local']}/{each['prefixlen']}" for each in listed if each["scope"] == "global"}

    def ping(self, path: str, address: str) -> None:
        self.inside("ping", "-c", "1", "-W", "5", address, path=path)

    def held(self) -> list[str]:
        return sorted(path.name for path in (self.root / "claims").glob("0*"))


@pytest.fixture(scope="module")
def _house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    made = House(tmp_path_factory.mktemp("house"))
    yield made
    made.close()


@pytest.fixture
def house(_house: House) -> Iterator[House]:
    _house.begin()
    yield _house
    _house.end_all()


def test_an_interface_moves_in_works_and_comes_back(house: House) -> None:
    one, two = house.space("a"), house.space("b")
    for path in (one, two):
        # As runtimes leave it: without IPv6 until an interface needs it.
        house.inside("sysctl", "-q", "-w", "net.ipv6.conf.default.disable_ipv6=1", path=path)
    ways = [{"dst": "10.128.0.0/10"}, {"dst": "2001:db8::/32", "priority": 7}]
    config = house.config(mtu=1400, routes=ways, dns={"nameservers": ["10.128.0.1"]})
    told = house.root / "told" / "c1.json"
    answer = house.done("ADD", "c1", one, config | {"runtimeConfig": {"CNIDeviceInfoFile": str(told)}})
    assert answer["interfaces"] == [
        {"name": "net1", "mac": "02:00:00:00:00:00", "sandbox": one, "mtu": 1400, "pciID": "0000:18:01.0"}
    ]
    assert [ip["interface"] for ip in answer["ips"]] == [0, 0]
    assert answer["dns"] == {"nameservers": ["10.128.0.1"]}
    assert json.loads(told.read_text()) == {
        "type": "pci",
        "version": "1.1.0",
        "pci": {"pci-address": "0000:18:01.0"},
    }
    link = house.links(one)["net1"]
    assert (link["mtu"], link["address"], "UP" in link["flags"]) == (1400, "02:00:00:00:00:00", True)
    assert house.addresses(one) == {"10.128.0.10/24", "2001:db8:1::10/64"}
    assert "10.128.0.0/10 via 10.128.0.1" in house.inside("ip", "route", path=one)
    assert "via 2001:db8:1::1 dev net1 metric 7" in house.inside("ip", "-6", "route", path=one)
    assert "vf0" not in house.links()
    other = house.config("1.0.0", deviceID="0000:18:01.2")
    assert house.done("ADD", "c2", two, other)["ips"][0]["address"] == "10.128.0.12/24"
    for address in ("10.128.0.12", "2001:db8:1::12"):
        house.ping(one, address)
    assert house.call("CHECK", "c1", one, config | {"prevResult": answer}) == (0, None)

    assert house.call("DEL", "c1", one, config | {"runtimeConfig": {"CNIDeviceInfoFile": str(told)}}) == (
        0,
        None,
    )
    assert "net1" not in house.links(one)
    back = house.links()["vf0"]
    assert (back["mtu"], "UP" in back["flags"], back.get("ifalias", "")) == (1500, False, "")
    assert not told.exists()
    assert house.held() == ["0000:18:01.2.json"]
    assert house.call("DEL", "c1", one, config) == (0, None)
    assert "net1" in house.links(two), "the other one's interface is not touched"


def test_check_says_what_is_amiss(house: House) -> None:
    path = house.space("a")
    config = house.config(routes=[{"dst": "10.128.0.0/10"}])
    answer = house.done("ADD", "c1", path, config)
    config["prevResult"] = answer
    assert house.call("CHECK", "c1", path, config) == (0, None)
    for undo, words in (
        ("replace", ("route", "delete", "10.128.0.0/10")),
        ("address", ("address", "delete", "2001:db8:1::10/64", "dev", "net1")),
        ("link", ("link", "set", "net1", "down")),
        ("name", ("link", "set", "net1", "name", "other")),
    ):
        house.batch(" ".join(words), path=path)
        code, said = house.call("CHECK", "c1", path, config)
        assert (code, said["code"]) == (1, 100), undo
    # Renamed, and still ours to give back.
    assert house.call("DEL", "c1", path, config) == (0, None)
    assert "vf0" in house.links()
    assert set(house.links(path)) == {"lo"}


def test_what_fails_is_undone(house: House) -> None:
    path = house.space("a")
    house.batch("link add net1 type bridge", path=path)
    code, said = house.call("ADD", "c1", path, house.config())
    assert (code, said["code"], "net1 exists" in said["msg"]) == (1, 101, True)
    assert house.call("DEL", "c1", path, house.config()) == (0, None)
    assert "net1" in house.links(path), "another plugin's interface is not touched"
    house.batch("link delete net1", path=path)
    for wrong in ({"mtu": 60}, {"routes": [{"dst": "10.9.0.0/16", "gw": "192.0.2.1"}]}):
        before = house.links()
        code, said = house.call("ADD", "c1", path, house.config(**wrong))
        assert (code, said["code"] in (5, 101)) == (1, True), said
        assert set(house.links(path)) == {"lo"}
        assert house.links().keys() == before.keys()
        assert house.links()["vf0"]["mtu"] == 1500
        assert house.held() == []
    for netns, expected in (
        ("/run/netns/none-such", 3),
        ("/etc/hostname", 4),
        (f"/run/netns/{house.host}", 4),
    ):
        code, said = house.call("ADD", "c1", netns, house.config())
        assert (code, said["code"]) == (1, expected), said
        assert house.held() == []


def test_a_crash_or_a_refusal_at_any_point_leaves_nothing(house: House) -> None:
    """The kernel is asked some twenty times by an ADD; each of these is once the last, and once refused."""
    path = house.space("a")
    config = house.config(mtu=1400, routes=[{"dst": "10.128.0.0/10"}], vf=0)
    for how in ("os._exit(137)", "raise OSError(22, 'Invalid argument')"):
        for count in range(60):
            environ = house.environ("ADD", "c1", path)
            code, answer = house.execute([str(house.script(how, count))], environ, config)
            if code == 0:
                break
            assert how.startswith("os") or answer["code"] in (5, 101), answer
            if how.startswith("os") or house.held():
                assert house.call("DEL", "c1", path, config) == (0, None)
            assert house.held() == [], (how, count)
            assert set(house.links(path)) == {"lo"}, (how, count)
            link = house.links()["vf0"]
            assert (link["mtu"], link.get("ifalias", "")) == (1500, ""), (how, count)
        assert count > 12, "it never got far"
        assert house.call("DEL", "c1", path, config) == (0, None)


def test_a_name_that_the_host_has_given_to_another(house: House) -> None:
    path = house.space("a")
    house.done("ADD", "c1", path, house.config())
    house.batch("link add vf0 type bridge")
    assert house.call("DEL", "c1", path, house.config()) == (0, None)
    assert set(house.links(path)) == {"lo"}
    (name,) = (link["ifname"] for link in house.links().values() if link.get("link") == "cable0")
    assert name in ("vf4", "vf5"), "a number that is free"
    house.batch("link delete vf0", f"link delete {name}")


def test_del_when_the_namespace_is_gone(house: House) -> None:
    path = house.space("a")
    config = house.config()
    house.done("ADD", "c1", path, config)
    house.end(path)
    assert house.call("DEL", "c1", path, config) == (0, None)
    assert house.call("DEL", "c1", "", config) == (0, None)
    assert house.held() == []


def test_containers_race_for_one_vf(house: House) -> None:
    paths = {f"c{number}": house.space(str(number)) for number in range(4)}
    config = house.config(deviceID="0000:18:01.1")
    with ThreadPoolExecutor(4) as pool:
        asked = {name: pool.submit(house.call, "ADD", name, path, config) for name, path in paths.items()}
    answers = {name: each.result() for name, each in asked.items()}
    (winner,) = (name for name, (code, _) in answers.items() if code == 0)
    assert [answer["code"] for code, answer in answers.values() if code] == [11, 11, 11]
    assert [name for name, path in paths.items() if "net1" in house.links(path)] == [winner]
    for name, path in paths.items():
        assert house.call("DEL", name, path, config) == (0, None)
    assert "vf1" in house.links()


def test_who_never_deletes_does_not_keep_a_vf(house: House) -> None:
    """His namespace ended and the netdev is on the host again: two things that are seen."""
    old, new = house.space("a"), house.space("b")
    config = house.config(vf=0)
    house.done("ADD", "c1", old, config)
    code, said = house.call("ADD", "c1", old, config)
    assert (code, said["code"]) == (1, 11), "it has it already"
    house.end(old)
    code, said = house.call("ADD", "c2", new, config)
    assert (code, said["code"], "c1 has it" in said["msg"]) == (1, 11, True)
    house.begin()
    house.done("ADD", "c2", new, config)
    assert house.call("DEL", "c1", old, config) == (0, None)
    assert house.held() == ["0000:18:01.0.json"]
    assert "10.128.0.10/24" in house.addresses(new)


def test_gc_takes_back_what_a_runtime_forgot(house: House) -> None:
    one, two = house.space("a"), house.space("b")
    config = house.config()
    house.done("ADD", "c1", one, config)
    house.done("ADD", "c2", two, config)
    valid = [{"containerID": "c2", "ifname": "net1"}]
    assert house.call("GC", "", "", config | {"cni.dev/valid-attachments": valid}) == (0, None)
    assert "vf0" in house.links()
    assert house.held() == ["0000:18:01.1.json"]
    assert house.addresses(two) == {"10.128.0.11/24", "2001:db8:1::11/64"}


def test_a_late_del_leaves_the_next_owner_alone(house: House) -> None:
    old, new = house.space("a"), house.space("b")
    config = house.config()
    house.done("ADD", "c1", old, config)
    # The agent parks the VF and sets it anew for the next gang: its netdev is on the host again.
    house.batch("link set net1 down", f"link set net1 name vf0 netns {house.host}", path=old)
    house.write(gang([interface(0)], name="next", generation=8))
    house.done("ADD", "c2", new, config)
    assert house.call("DEL", "c1", old, config) == (0, None)
    assert house.addresses(new) == {"10.128.0.10/24", "2001:db8:1::10/64"}
    assert house.held() == ["0000:18:01.0.json"]


@pytest.mark.parametrize(("version", "families"), [("0.4.0", 1), ("1.0.0", 2)])
def test_host_device_asks_us_for_addresses(house: House, version: str, families: int) -> None:
    """The device is named as Multus names it; two containers reach each other."""
    house.write(narrow(families))
    paths = [house.space(name) for name in "ab"]
    for number, path in enumerate(paths):
        config = {
            "cniVersion": version,
            "name": "rail0",
            "type": "host-device",
            "runtimeConfig": {"deviceID": f"0000:18:01.{number + 1}"},
            "ipam": house.settings(routes=[{"dst": "10.128.0.0/10"}]),
        }
        answer = house.done("ADD", f"c{number}", path, config, plugin="host-device")
        wanted = [f"10.128.0.{number + 11}/24", f"2001:db8:1::{number + 11}/64"]
        assert house.addresses(path) == set(wanted[:families])
        house.done("CHECK", f"c{number}", path, config | {"prevResult": answer}, plugin="host-device")
    for address in ("10.128.0.12", "2001:db8:1::12")[:families]:
        house.ping(paths[0], address)
    house.write(gang([interface(number) for number in range(FUNCTIONS)], state="failed"))
    code, said = house.call("CHECK", "c1", paths[1], config | {"prevResult": answer}, plugin="host-device")
    assert (code, "failed" in said["msg"]) == (1, True)
    house.done("DEL", "c1", paths[1], config, plugin="host-device")
    assert house.held() == ["0000:18:01.1.json"]
    assert "vf2" in house.links()


def test_macvlan_and_ptp_ask_us_for_addresses(house: House) -> None:
    house.write(narrow(1))
    one, two = house.space("a"), house.space("b")
    house.batch("link set vf3 up")  # without it the bridge has no carrier
    config = {"cniVersion": "1.0.0", "name": "over", "type": "macvlan", "master": "leaf", "mode": "bridge"}
    config["ipam"] = house.settings()
    pods = {"c1": one, "c2": two}
    answers = [house.done("ADD", name, path, config, plugin="macvlan") for name, path in pods.items()]
    house.ping(one, "10.128.0.11")
    house.done("CHECK", "c1", one, config | {"prevResult": answers[0]}, plugin="macvlan")
    for name, path in pods.items():
        house.done("DEL", name, path, config, plugin="macvlan")
    assert house.held() == []

    house.write(gang([interface(0, addresses=["10.200.0.1/31"], gateway=["10.200.0.0"])]))
    config = {"cniVersion": "1.0.0", "name": "points", "type": "ptp"}
    config["ipam"] = house.settings(routes=[{"dst": "0.0.0.0/0"}])
    house.done("ADD", "c3", one, config, plugin="ptp")
    house.ping(one, "10.200.0.0")
    code, said = house.call("ADD", "c4", two, config, plugin="ptp")
    assert (code, said["code"]) == (1, 11), "our code goes through the main plugin"
    house.done("DEL", "c3", one, config, plugin="ptp")
    assert house.held() == []


def narrow(families: int) -> dict[str, Any]:
    """IPv4 first; the reference plugins wait a second or more for each IPv6 address to be known as single."""
    made = [interface(number) for number in range(FUNCTIONS)]
    return gang([each | {"addresses": each["addresses"][:families]} for each in made])
