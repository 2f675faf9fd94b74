"""Orders: a checkout reads the cart, reserves stock, charges, and books the shipment."""

from __future__ import annotations

import logging
from typing import Any

from fastapi import APIRouter
from prometheus_client import Counter
from pydantic import BaseModel

from chaos.shop.services.place import Place

log = logging.getLogger("shop.orders")


class Checkout(BaseModel):
    customer: str


def routes(place: Place) -> APIRouter:
    """Place an order; show one."""
    router = APIRouter()
    placed = Counter("shop_orders_placed", "Orders placed.", registry=place.registry)
    revenue = Counter("shop_revenue_cents", "Money charged, in cents.", registry=place.registry)
    place.database.create(
        "CREATE TABLE IF NOT EXISTS orders (id INTEGER PRIMARY KEY, customer TEXT, amount_cents INTEGER, state TEXT);"
        "INSERT OR IGNORE INTO orders VALUES (1, 'first', 100, 'shipped')"
    )

    @router.post("/orders")
    def checkout(request: Checkout) -> Any:
        items = place.calls.get("cart", f"/carts/{request.customer}")["items"] or [{"product": 1, "price_cents": 537}]
        amount = sum(item["price_cents"] for item in items)
        order = place.database.write(
            "INSERT INTO orders (customer, amount_cents, state) VALUES (?, ?, 'new')", (request.customer, amount)
        )
        place.calls.post("inventory", "/reservations", {"order": order, "product": items[0]["product"]})
        place.calls.post("payments", "/charges", {"order": order, "amount_cents": amount})
        place.calls.post("shipping", "/shipments", {"order": order, "items": len(items)})
        place.calls.post("cart", f"/carts/{request.customer}/empty", {})
        place.database.write("UPDATE orders SET state = 'shipped' WHERE id = ?", (order,))
        placed.inc()
        revenue.inc(amount)
        log.info("order %d placed for %d cents", order, amount)
        return {"order": order, "amount_cents": amount}

    @router.get("/orders/{order}")
    def show(order: int) -> Any:
        rows = place.database.read("SELECT id, amount_cents, state FROM orders WHERE id = ?", (order,))
        if not rows:
            return {"order": order, "state": "unknown"}
        shipment = place.calls.get("shipping", f"/shipments/{order}")
        return {"order": rows[0][0], "amount_cents": rows[0][1], "state": rows[0][2], "shipment": shipment}

    return router
