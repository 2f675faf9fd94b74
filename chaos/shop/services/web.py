"""The front door: pages made of the other services' answers."""

from __future__ import annotations

import logging
from typing import Any

from fastapi import APIRouter
from prometheus_client import Counter
from pydantic import BaseModel

from chaos.shop.services.place import Place

log = logging.getLogger("shop.web")


class Put(BaseModel):
    product: int


def routes(place: Place) -> APIRouter:
    """Home, product, cart, checkout, order."""
    router = APIRouter()
    pages = Counter("shop_pages_served", "Pages served, by kind.", ["page"], registry=place.registry)
    place.database.create("CREATE TABLE IF NOT EXISTS visits (id INTEGER PRIMARY KEY, page TEXT)")

    def visit(page: str) -> None:
        place.database.write("INSERT INTO visits (page) VALUES (?)", (page,))
        pages.labels(page).inc()

    @router.get("/")
    def home() -> Any:
        visit("home")
        return {"products": place.calls.get("catalogue", "/products?page=1")}

    @router.get("/product/{product}")
    def product_page(product: int) -> Any:
        visit("product")
        return {
            "product": place.calls.get("catalogue", f"/products/{product}"),
            "others": place.calls.get("recommendations", f"/recommendations/{product}"),
        }

    @router.post("/cart/{customer}")
    def put_in_cart(customer: str, put: Put) -> Any:
        visit("cart")
        return place.calls.post("cart", f"/carts/{customer}", {"product": put.product})

    @router.post("/checkout/{customer}")
    def checkout(customer: str) -> Any:
        visit("checkout")
        order = place.calls.post("orders", "/orders", {"customer": customer})
        log.info("customer %s placed order %s", customer, order["order"])
        return order

    @router.get("/order/{order}")
    def order_page(order: int) -> Any:
        visit("order")
        return place.calls.get("orders", f"/orders/{order}")

    return router
