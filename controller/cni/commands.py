"""Commands: what the plugin does for ADD, DEL, CHECK, GC and STATUS.

Place: called by `main` with a parsed request; says what is printed, None = nothing. The order is always:
claim, then move; move back, then give the claim up. So a crash leaves a claim, which DEL or GC takes away,
and never a VF that two containers think is theirs. Must not print answers.
"""

from __future__ import annotations

import json
import os
import sys
from typing import Any

from controller.cni import berths as hosts
from controller.cni import looking, moving, result
from controller.cni.addresses import prefix
from controller.cni.berths import ACTIVE, Berth
from controller.cni.claims import Claim, Claims
from controller.cni.kernel import Kernel
from controller.cni.refusal import AMISS, BAD_CONFIG, INPUT_OUTPUT, LATER, LIMITED, UNAVAILABLE, Refusal
from controller.cni.request import Request, attachments
from controller.cni.wish import wish


def add(request: Request) -> dict[str, Any]:
    """The interface in the container, or its addresses."""
    found = hosts.choose(hosts.observe(request.berths), wish(request))
    mtu = result.mtu(request)
    result.previous(request)
    ways = {berth: result.routes(request, berth) for berth in found}
    if request.delegated:
        found = [berth for berth in found if berth.addresses]
        if not found:
            raise Refusal(BAD_CONFIG, "the gang has no addresses on that rail", "Its fabric has no subnets.")
        berth, _ = _claim(request, found)
        return result.success(request, berth, ways[berth], None)
    host = Kernel()
    try:
        berth, claim = _claim(request, found, host)
        try:
            link = moving.move_in(
                host, moving.netdev(host, request.sysfs, berth), berth, claim, ways[berth], mtu
            )
        except BaseException:
            # What could not be taken back keeps its claim, so that DEL finds it.
            if moving.here(host, request.sysfs, berth.pci):
                _give_up(request, claim)
            raise
    finally:
        host.close()
    _tell_device(request, berth)
    shown = result.Link(link.name, link.mac, link.mtu, request.netns, berth.pci)
    return result.success(request, berth, ways[berth], shown)


def delete(request: Request) -> None:
    """What the attachment has in this network, as often as it is asked, and nothing of anybody else."""
    claims = Claims(request.state)
    for claim in _held(claims.observe()[0], request):
        _free(request, claim)
    path = _device_file(request)
    if path:
        _unlink(path)


def collect(request: Request) -> None:
    """GC: what this network's attachments have that are no longer there. Goes on after errors."""
    valid = attachments(request.config)
    found, broken = Claims(request.state).observe()
    faults = []
    for claim in sorted(found.values()):
        if claim.network == request.network and claim.attachment not in valid:
            try:
                _free(request, claim)
            except (Refusal, OSError) as error:
                faults.append(f"{claim.pci}: {error}")
    faults += [f"{Claims(request.state).path(pci)} is garbled" for pci in broken]
    if faults:
        raise Refusal(
            INPUT_OUTPUT, "; ".join(faults), "Remove a garbled claim by hand once no container has that VF."
        )


def check(request: Request) -> None:
    """What the container has is what the gang has, and what ADD answered."""
    claim = next(iter(_held(Claims(request.state).observe()[0], request)), None)
    if claim is None:
        raise Refusal(AMISS, f"{request.attachment.ifname} has no VF here", "It was given back.")
    berth = _berth_of(claim, request)
    before = result.previous(request)
    if not before:
        raise Refusal(BAD_CONFIG, "prevResult is missing", "CHECK needs what ADD answered.")
    told = {prefix(ip.get("address"), AMISS) for ip in before.get("ips") or [] if isinstance(ip, dict)}
    if lost := [address for address in berth.addresses if prefix(address, AMISS) not in told]:
        raise Refusal(AMISS, f"prevResult lacks {', '.join(lost)} of {berth.shown}", "Add it again.")
    if not request.delegated:
        looking.compare(request, claim, berth, before)


def status(request: Request) -> None:
    """Whether ADD can be served. Refusal 50 if not, 51 if interfaces that were given work no more."""
    try:
        berths = hosts.observe(request.berths)
        claims = Claims(request.state)
        with claims.locked():
            held, broken = claims.observe()
    except Refusal as refusal:
        raise Refusal(UNAVAILABLE, refusal.message, refusal.details) from None
    living = {(berth.pci, berth.generation) for berth in berths if berth.state == ACTIVE}
    for claim in sorted(held.values()):
        if claim.network == request.network and (claim.pci, claim.generation) not in living:
            raise Refusal(
                LIMITED,
                f"{claim.container} has {claim.pci}, and gang {claim.gang} of {claim.tenant} is not active",
                "See 'ringfence gang get'.",
            )
    wanted = wish(request)
    mine = [berth for berth in berths if berth.tenant == wanted.tenant and berth.ready]
    mine = [berth for berth in mine if wanted.gang in (None, berth.gang)]
    free = [berth for berth in mine if berth.pci not in broken and not _in_use(held.get(berth.pci), berth)]
    if not free:
        raise Refusal(
            UNAVAILABLE,
            f"tenant {wanted.tenant} has no free interface on this host",
            "Request a gang.",
        )


def _claim(request: Request, found: list[Berth], host: Kernel | None = None) -> tuple[Berth, Claim]:
    """The first that nobody has, claimed; the one that this attachment has already, if it crashed before."""
    claims = Claims(request.state)
    with claims.locked():
        held, broken = claims.observe()
        before = _held(held, request)
        for berth in found:
            claim = held.get(berth.pci)
            if claim in before and _in_use(claim, berth):
                return berth, _take(claims, request, berth, host)
        if before:
            raise Refusal(
                LATER,
                f"{request.attachment.ifname} of {request.attachment.container} has {before[0].pci} already",
                "It has to be deleted before it is added again.",
            )
        for berth in found:
            if berth.pci not in broken and not _in_use(held.get(berth.pci), berth, request, host):
                return berth, _take(claims, request, berth, host)
    raise Refusal(LATER, _taken(found, held, broken, claims), "It is free once its container is deleted.")


def _take(claims: Claims, request: Request, berth: Berth, host: Kernel | None) -> Claim:
    link, mtu, parent = "", 0, ""
    if host is not None:
        device = moving.netdev(host, request.sysfs, berth)
        link, mtu, parent = device.name, device.mtu, device.parent
    claim = Claim(
        request.network,
        request.attachment.container,
        request.attachment.ifname,
        request.netns,
        berth.pci,
        berth.tenant,
        berth.gang,
        berth.generation,
        link,
        mtu,
        parent,
    )
    claims.put(claim)
    return claim


def _in_use(
    claim: Claim | None, berth: Berth, request: Request | None = None, host: Kernel | None = None
) -> bool:
    """Whether a claim counts. That of another generation does not: the gang was undone on this host, VF and
    all, before another one got it. Nor that of a container whose namespace is gone while the netdev is here.
    """
    if claim is None or claim.generation != berth.generation:
        return False
    if request is None or host is None or os.path.exists(claim.netns):
        return True
    return not moving.here(host, request.sysfs, berth.pci)


def _taken(found: list[Berth], held: dict[str, Claim], broken: tuple[str, ...], claims: Claims) -> str:
    said = []
    for berth in found:
        if berth.pci in broken:
            said.append(f"{berth.shown}: {claims.path(berth.pci)} is garbled")
        elif (claim := held.get(berth.pci)) is not None:
            said.append(f"{berth.shown}: container {claim.container} has it")
    return "; ".join(said[:4])


def _held(found: dict[str, Claim], request: Request) -> list[Claim]:
    return [
        claim
        for claim in sorted(found.values())
        if claim.network == request.network and claim.attachment == request.attachment
    ]


def _free(request: Request, claim: Claim) -> None:
    """Device first: as long as the claim stands, nobody else is given the VF."""
    if claim.link:
        moving.move_out(claim, request.netns)
        moving.settle(claim, request.sysfs)
    _give_up(request, claim)


def _give_up(request: Request, claim: Claim) -> None:
    claims = Claims(request.state)
    with claims.locked():
        if claim.same(claims.observe()[0].get(claim.pci)):
            claims.drop(claim.pci)


def _berth_of(claim: Claim, request: Request) -> Berth:
    berths = hosts.observe(request.berths)
    found = [each for each in berths if (each.pci, each.generation) == (claim.pci, claim.generation)]
    if not found or found[0].state != ACTIVE:
        state = found[0].state if found else "gone"
        raise Refusal(
            AMISS, f"gang {claim.gang} of tenant {claim.tenant} is {state}", "Its interfaces carry nothing."
        )
    return found[0]


def _device_file(request: Request) -> str:
    runtime = request.config.get("runtimeConfig")
    path = runtime.get("CNIDeviceInfoFile") if isinstance(runtime, dict) and not request.delegated else ""
    return path if isinstance(path, str) and path.startswith("/") and "\0" not in path else ""


def _tell_device(request: Request, berth: Berth) -> None:
    """What Multus hands on to the pod (Device Information Specification 1.1.0); pods work without it."""
    path = _device_file(request)
    if not path:
        return
    told = {"type": "pci", "version": "1.1.0", "pci": {"pci-address": berth.pci}}
    try:
        os.makedirs(os.path.dirname(path), 0o755, exist_ok=True)
        _unlink(path)
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o444), "w") as file:
            json.dump(told, file)
    except OSError as error:
        print(f"{path} can't be written: {error.strerror}", file=sys.stderr)


def _unlink(path: str) -> None:
    try:
        os.unlink(path)
    except FileNotFoundError:
        return
    except OSError as error:
        print(f"{path} can't be removed: {error.strerror}", file=sys.stderr)
