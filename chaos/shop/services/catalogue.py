"""Products and their prices."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, HTTPException

from chaos.shop.services.place import Place

PAGE = 12


def routes(place: Place) -> APIRouter:
    """List products; show one with its stock; price one."""
    router = APIRouter()
    place.database.create(
        "CREATE TABLE IF NOT EXISTS products (id INTEGER PRIMARY KEY, name TEXT, price_cents INTEGER);"
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 60) "
        "INSERT OR IGNORE INTO products SELECT i, 'Product ' || i, 500 + i * 37 FROM n"
    )

    @router.get("/products")
    def products(page: int = 1) -> Any:
        rows = place.database.read(
            "SELECT id, name, price_cents FROM products ORDER BY id LIMIT ? OFFSET ?", (PAGE, PAGE * (page - 1))
        )
        return [{"id": row[0], "name": row[1], "price_cents": row[2]} for row in rows]

    @router.get("/products/{product}")
    def product_with_stock(product: int) -> Any:
        priced = price(product)
        return {**priced, "stock": place.calls.get("inventory", f"/stock/{product}")["units"]}

    @router.get("/prices/{product}")
    def price(product: int) -> dict[str, Any]:
        rows = place.database.read("SELECT id, name, price_cents FROM products WHERE id = ?", (product,))
        if not rows:
            raise HTTPException(404, "no such product")
        return {"id": rows[0][0], "name": rows[0][1], "price_cents": rows[0][2]}

    return router
