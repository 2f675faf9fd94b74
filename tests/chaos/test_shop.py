"""The shop sells, exports telemetry, and obeys its supervisor."""

from __future__ import annotations

import httpx
import pytest

from chaos.benign_changes import BENIGN_CHANGES
from chaos.shop.topology import PLANS
from chaos.targets.shop import Target
from tests.waiting import until
from watchkeeper.errors import ChaosError

pytestmark = pytest.mark.xdist_group("shop")


def test_every_service_does_real_work(shop: Target) -> None:
    """Each service answers its probe request, on the way that its callers take."""
    for plan in PLANS:
        until(lambda name=plan.name: shop.ask(name).status == 200, what=plan.name)


def test_customers_are_served(shop: Target) -> None:
    """The load's own count shows requests, and no failures, in a calm second."""
    until(lambda: shop.load()["sent"] >= 1 and shop.load()["failed"] == 0)


def test_the_control_api_needs_its_token(shop: Target) -> None:
    """Without the token nothing is answered and nothing is done."""
    assert httpx.get(f"{shop.control_url}/services").status_code == 401
    wrong = {"Authorization": "Bearer wrong"}
    assert httpx.post(f"{shop.control_url}/services/cart/restart", headers=wrong).status_code == 401
    port = shop.service("cart").port
    assert httpx.post(f"http://127.0.0.1:{port}/debug/burn?seconds=1", headers=wrong).status_code == 401


def test_prometheus_pages_are_at_a_stable_address(shop: Target) -> None:
    """A scrape needs no token and survives a restart, which changes the service's own port."""
    before = shop.service("orders").port
    shop.act("orders", "restart")
    assert shop.service("orders").port != before
    assert "shop_orders_placed" in httpx.get(f"{shop.control_url}/metrics/orders").text


def test_a_repeated_key_does_nothing_again(shop: Target) -> None:
    """The same idempotency key gives the same answer and one restart."""
    first = shop.act("cart", "restart", key="once")
    again = shop.act("cart", "restart", key="once")
    assert again == first
    assert shop.service("cart").instance == first["instance"]


def test_a_deploy_loses_no_request(shop: Target) -> None:
    """The new version takes over before the old one stops: nobody sees an error."""
    statuses: list[int] = []
    with BENIGN_CHANGES["harmless_deploy"](shop, "payments", 5.0):
        statuses += [shop.ask("payments").status for _ in range(5)]
    assert statuses == [200] * 5
    assert shop.act("payments", "rollback")["did"].startswith("rolled back")


def test_an_unknown_verb_is_refused_in_words(shop: Target) -> None:
    """The message says what there is."""
    with pytest.raises(ChaosError, match="no verb 'explode'; there are start, restart"):
        shop.act("cart", "explode")


@pytest.mark.parametrize("name", ["load_wave", "batch_job", "cold_deploy"])
def test_a_benign_change_harms_nobody(shop: Target, name: str) -> None:
    """Answers stay healthy through it."""
    with BENIGN_CHANGES[name](shop, "inventory", 1.0):
        assert shop.ask("inventory").ok
