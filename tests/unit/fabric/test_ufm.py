"""`ringfenced fabric --driver ufm`: its flags, and a gang's life by it, from reserved to active and back."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from controller.daemon.fabric import _parse
from controller.fabric.drivers import DRIVERS, Ready
from controller.store.writer import Store
from ipam.fabric.opensm import Clock
from ipam.fabric.ufm import Ufm
from model.bearing import parse_fabric
from model.errors import Invalid
from model.fabric import Fabric, FabricKind, Guid
from model.gang import GangState
from tests.fakes.ufm import PASSWORD, USER, Fake, Mischief, Ticks, Wire
from tests.unit.fabric.stage import Stage, let_go, request, stage

SM = "0x0002c90300000001"


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    path = tmp_path / "credential"
    path.write_text(f"basic {USER}:{PASSWORD}\n")
    path.chmod(0o600)
    return path


def ready(*argv: str) -> Ready:
    given = _parse(["--fabric", "east", "--driver", "ufm", *argv])
    return next(kind for kind in DRIVERS if kind.name == "ufm").ready(given)


def test_flags(secret: Path) -> None:
    made = ready("--ufm", "https://ufm.example", "--ufm-credential", str(secret), "--manager", SM)
    assert isinstance(made.driver, Ufm)
    assert made.managers == (Guid(int(SM, 16)),)
    assert made.driver.ports is not None, "ports themselves are asked, unless somebody says otherwise"
    assert made.driver.server.context is not None
    assert made.driver.server.context.check_hostname
    assert PASSWORD not in repr(made)
    word = ready(
        *("--ufm", "https://ufm.example:8443", "--ufm-credential", str(secret), "--manager", SM),
        *("--ufm-evidence", "ufm", "--ufm-pin", "ab" * 32),
    )
    assert isinstance(word.driver, Ufm)
    assert (word.driver.ports, word.driver.server.pin) == (None, "ab" * 32)


@pytest.mark.parametrize(
    ("argv", "rule"),
    [
        ((), "ufm-missing"),
        (("--ufm", "https://ufm.example"), "ufm-missing"),
        (("--ufm", "http://ufm.example", "--ufm-credential", "C", "--manager", SM), "address-form"),
        (("--ufm", "http://127.0.0.1", "--ufm-credential", "C", "--manager", SM), "address-form"),
        (("--ufm", "https://ufm.example", "--ufm-credential", "C"), "manager-missing"),
        (("--ufm", "https://u", "--ufm-credential", "/none", "--manager", SM), "credential-file"),
        (("--ufm", "https://u", "--ufm-credential", "C", "--manager", SM, "--ufm-pin", "x"), "pin-form"),
        (
            ("--ufm", "https://u", "--ufm-credential", "C", "--manager", SM, "--ufm-timeout", "0"),
            "ufm-timeout",
        ),
        (
            ("--ufm", "https://u", "--ufm-credential", "C", "--manager", SM, "--ufm-authorities", "/none"),
            "authorities-file",
        ),
    ],
)
def test_what_it_does_not_begin_with(secret: Path, argv: tuple[str, ...], rule: str) -> None:
    with pytest.raises(Invalid) as caught:
        ready(*(str(secret) if word == "C" else word for word in argv))
    assert {fault.rule for fault in caught.value.faults} == {rule}


@pytest.fixture
def fake() -> Fake:
    return Fake({0x7000: {"946dae03005985c8": ("full", True)}})


@pytest.fixture
def made(
    store: Store, directory: Path, monkeypatch: pytest.MonkeyPatch, secret: Path, fake: Fake
) -> Iterator[Stage]:
    found, ticks = stage(store, directory, monkeypatch, FabricKind.INFINIBAND), Ticks()
    wire: Any = Wire(fake)
    clock = Clock(ticks.now, ticks.sleep)
    driver = Ufm(wire, secret, Fabric("ib", FabricKind.INFINIBAND, ()), (), None, clock)
    monkeypatch.setattr(found.subnet, "driver", lambda: driver)
    found.begin()
    yield found
    found.end()


@pytest.mark.parametrize("mischief", [None, Mischief.AFTER, Mischief.HALF, Mischief.BUSY])
def test_from_reserved_to_active_and_back(made: Stage, fake: Fake, mischief: Mischief | None) -> None:
    """Also when each second request fails: a change was done and not answered, half done, or not done."""
    fake.mischief = [None, mischief] * 50
    gang = request(made)
    made.until(made.is_(GangState.ACTIVE))
    fake.mischief = [None, mischief] * 50
    ports = {f"{i.port_guid:016x}" for berth in gang.berths for i in berth.interfaces}
    assert set(fake.state) == {gang.pkey, 0x7000}
    assert set(fake.state[gang.pkey]) == ports
    let_go(made)
    made.until(made.gone())
    assert set(fake.state) == {0x7000}, "and nobody else's partition was touched"


def test_its_own_reasons_are_alarms_of_the_fabric(made: Stage, fake: Fake) -> None:
    fake.base = "full"
    request(made)

    def told() -> set[str]:
        words = [parse_fabric(word.text) for word in made.store.fabric_words() if word.name == "ib"]
        return {fault.rule for word in words for fault in word.alarms}

    # How many rounds that takes is the store's cache's affair.
    made.until(lambda: told() == {"fabric-left", "ufm-open"})
