"""Carts of customers."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter
from pydantic import BaseModel

from chaos.shop.services.place import Place


class Item(BaseModel):
    product: int


def routes(place: Place) -> APIRouter:
    """Put into a cart, look at one, empty one."""
    router = APIRouter()
    place.database.create(
        "CREATE TABLE IF NOT EXISTS items"
        " (id INTEGER PRIMARY KEY, customer TEXT, product INTEGER, price_cents INTEGER);"
        "CREATE INDEX IF NOT EXISTS items_of ON items (customer)"
    )

    @router.get("/carts/{customer}")
    def look(customer: str) -> Any:
        rows = place.database.read(
            "SELECT product, price_cents FROM items WHERE customer = ? ORDER BY id DESC LIMIT 10", (customer,)
        )
        return {"customer": customer, "items": [{"product": row[0], "price_cents": row[1]} for row in rows]}

    @router.post("/carts/{customer}")
    def put(customer: str, item: Item) -> Any:
        price = place.calls.get("catalogue", f"/prices/{item.product}")["price_cents"]
        place.database.write(
            "INSERT INTO items (customer, product, price_cents) VALUES (?, ?, ?)", (customer, item.product, price)
        )
        return {"customer": customer, "product": item.product, "price_cents": price}

    @router.post("/carts/{customer}/empty")
    def empty(customer: str) -> Any:
        place.database.write("DELETE FROM items WHERE customer = ?", (customer,))
        return {"customer": customer, "items": []}

    return router
