"""The shop sells, exports telemetry, and obeys its supervisor."""

from __future__ import annotations

import httpx
import pytest

from chaos.benign_changes import BENIGN_CHANGES
from chaos.fault import do
from chaos.shop.topology import PLANS
from tests.running_shop import RunningShop
from tests.waiting import until
from watchkeeper.errors import TargetError

pytestmark = pytest.mark.xdist_group("shop")


def test_every_service_does_real_work(shop: RunningShop) -> None:
    """Each service answers its probe request, on the way that its callers take."""
    for plan in PLANS:
        until(lambda name=plan.name: shop.target.probe(name).status == 200, what=plan.name)


def test_customers_are_served(shop: RunningShop) -> None:
    """The load's own count shows requests, and no failures, in a calm second."""
    until(lambda: (seen := shop.target.experience()) and seen.sent >= 1 and seen.failed == 0)


def test_the_control_api_needs_its_token(shop: RunningShop) -> None:
    """Without the token nothing is answered and nothing is done."""
    assert httpx.get(f"{shop.control_url}/services").status_code == 401
    wrong = {"Authorization": "Bearer wrong"}
    assert httpx.post(f"{shop.control_url}/services/cart/restart", headers=wrong).status_code == 401
    port = shop.host("cart").port
    assert httpx.post(f"http://127.0.0.1:{port}/debug/burn?seconds=1", headers=wrong).status_code == 401


def test_prometheus_pages_are_at_a_stable_address(shop: RunningShop) -> None:
    """A scrape needs no token and survives a restart, which changes the service's own port."""
    before = shop.host("orders").port
    do(shop.target, "orders", "restart")
    assert shop.host("orders").port != before
    assert "shop_orders_placed" in httpx.get(f"{shop.control_url}/metrics/orders").text


def test_a_repeated_key_does_nothing_again(shop: RunningShop) -> None:
    """The same idempotency key gives the same answer and one restart."""
    first = shop.target.act("cart", "restart", key="once")
    instance = shop.target.status("cart").instance
    assert shop.target.act("cart", "restart", key="once") == first
    assert shop.target.status("cart").instance == instance


def test_a_deploy_loses_no_request(shop: RunningShop) -> None:
    """The new version takes over before the old one stops: nobody sees an error."""
    statuses: list[int] = []
    with BENIGN_CHANGES["harmless_deploy"](shop.target, "payments", 5.0):
        statuses += [shop.target.probe("payments").status for _ in range(5)]
    assert statuses == [200] * 5
    assert do(shop.target, "payments", "rollback").startswith("rolled back")


def test_an_unknown_verb_is_refused_in_words(shop: RunningShop) -> None:
    """The message says what there is."""
    with pytest.raises(TargetError, match="no verb 'explode'; there are start, restart"):
        do(shop.target, "cart", "explode")


@pytest.mark.parametrize("name", ["load_wave", "batch_job", "cold_deploy"])
def test_a_benign_change_harms_nobody(shop: RunningShop, name: str) -> None:
    """Answers stay healthy through it."""
    with BENIGN_CHANGES[name](shop.target, "inventory", 1.0):
        assert shop.target.probe("inventory").ok
