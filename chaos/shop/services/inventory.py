"""Stock."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter
from prometheus_client import Counter
from pydantic import BaseModel

from chaos.shop.services.place import Place


class Reservation(BaseModel):
    order: int
    product: int


def routes(place: Place) -> APIRouter:
    """Return how many units there are; reserve one (the warehouse refills at once)."""
    router = APIRouter()
    reserved = Counter("shop_units_reserved", "Units reserved.", registry=place.registry)
    place.database.create(
        "CREATE TABLE IF NOT EXISTS stock (product INTEGER PRIMARY KEY, units INTEGER);"
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 60) "
        "INSERT OR IGNORE INTO stock SELECT i, 100 FROM n"
    )

    @router.get("/stock/{product}")
    def stock(product: int) -> Any:
        rows = place.database.read("SELECT units FROM stock WHERE product = ?", (product,))
        return {"product": product, "units": rows[0][0] if rows else 0}

    @router.post("/reservations")
    def reserve(request: Reservation) -> Any:
        place.database.write(
            "UPDATE stock SET units = CASE WHEN units > 1 THEN units - 1 ELSE 100 END WHERE product = ?",
            (request.product,),
        )
        reserved.inc()
        return {"order": request.order, "product": request.product}

    return router
