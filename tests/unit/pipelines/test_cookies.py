"""Cookies: the layout is a contract with accounting and audits, so it is written out here."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.ids import COOKIE_MARK, ClassId, Mac, NetworkKey, PortKey, TenantKey
from pipelines import cookies
from pipelines.cookies import Cookie, Kind, Reason


def test_layout() -> None:
    assert cookies.host(table=9) == 0x52F1_0_00000000009
    assert cookies.host(cls=3) == 0x52F1_0_00000000300
    assert cookies.network(NetworkKey(0xABCD)) == 0x52F1_1_0000000ABCD
    assert cookies.port(PortKey(0xABCDEF)) == 0x52F1_2_00000ABCDEF
    assert cookies.remote(NetworkKey(0xABCD), Mac(0x02FFF1234567)) == 0x52F1_3_ABCD1234567
    assert cookies.vrf(TenantKey(0xABCD)) == 0x52F1_5_0000000ABCD
    assert cookies.told(TenantKey(0xABCD), Reason.NO_HOST, NetworkKey(0x17)) == 0x52F1_6_004_0017_ABCD
    assert cookies.account(PortKey(0xABCDEF), ClassId(0x12), 0x345) == 0x52F1_4_ABCDEF12345
    assert cookies.asked(PortKey(0xABCDEF)) == 0x52F1_9_00000ABCDEF
    assert cookies.policy(0x12345, PortKey(0xABCDEF)) == 0x52F1_D_12345ABCDEF
    assert cookies.group(0xFEDC_BA98_7654_3210) == 0x52F1_E_A9876543210


@given(st.integers(1, (1 << 24) - 1), st.integers(0, 255), st.integers(0, 4095))
def test_an_account_is_read_back(port: int, cls: int, epoch: int) -> None:
    cookie = cookies.account(PortKey(port), ClassId(cls), epoch)
    assert cookies.parse(cookie) == Cookie(Kind.ACCOUNT, port=PortKey(port), cls=ClassId(cls), epoch=epoch)


@given(st.integers(1, (1 << 24) - 1), st.integers(0, 255), st.integers(0, 4095))
def test_the_account_of_what_comes_in_is_another(port: int, cls: int, epoch: int) -> None:
    cookie = cookies.account_in(PortKey(port), ClassId(cls), epoch)
    assert cookies.parse(cookie) == Cookie(Kind.ACCOUNT_IN, PortKey(0), PortKey(port), 0, ClassId(cls), epoch)
    assert cookie != cookies.account(PortKey(port), ClassId(cls), epoch)


def test_the_others_are_read_back() -> None:
    assert cookies.parse(cookies.host(table=7)) == Cookie(Kind.HOST, table=7)
    assert cookies.parse(cookies.network(NetworkKey(5))) == Cookie(Kind.NETWORK, network=NetworkKey(5))
    assert cookies.parse(cookies.port(PortKey(6))) == Cookie(Kind.PORT, port=PortKey(6))
    assert cookies.parse(cookies.vrf(TenantKey(5))) == Cookie(Kind.VRF, tenant=TenantKey(5))
    assert cookies.parse(cookies.told(TenantKey(5), Reason.TTL)) == Cookie(
        Kind.TOLD, tenant=TenantKey(5), reason=Reason.TTL
    )
    assert cookies.parse(cookies.asked(PortKey(6))) == Cookie(Kind.ASKED, port=PortKey(6))
    assert cookies.parse(cookies.policy(7, PortKey(6))) == Cookie(Kind.POLICY, port=PortKey(6), rule=7)
    assert cookies.parse(cookies.group(5)) == Cookie(Kind.GROUP, digest=5)
    remote = cookies.parse(cookies.remote(NetworkKey(5), Mac(0x020000000007)))
    assert remote == Cookie(Kind.REMOTE, network=NetworkKey(5), mac=7)


@pytest.mark.parametrize("alien", [0, 1, (COOKIE_MARK ^ 1) << 48, COOKIE_MARK << 48 | 7 << 44])
def test_what_is_not_ours_is_none(alien: int) -> None:
    assert cookies.parse(alien) is None


@pytest.mark.parametrize("epoch", [-1, 4096])
def test_an_epoch_has_12_bits(epoch: int) -> None:
    with pytest.raises(ValueError, match="outside"):
        cookies.account(PortKey(1), ClassId(0), epoch)


@pytest.mark.parametrize("rule", [-1, 1 << 20])
def test_the_number_of_a_rule_has_20_bits(rule: int) -> None:
    with pytest.raises(ValueError, match="outside"):
        cookies.policy(rule)
