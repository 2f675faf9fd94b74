"""What else a customer may like: neighbours that were shown together before."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter

from chaos.shop.services.place import Place
from chaos.shop.topology import PRODUCTS


def routes(place: Place) -> APIRouter:
    """Recommend one product for another."""
    router = APIRouter()
    place.database.create("CREATE TABLE IF NOT EXISTS shown (product INTEGER PRIMARY KEY, times INTEGER)")

    @router.get("/recommendations/{product}")
    def recommend(product: int) -> Any:
        place.database.write(
            "INSERT INTO shown VALUES (?, 1) ON CONFLICT (product) DO UPDATE SET times = times + 1", (product,)
        )
        best = place.database.read(
            "SELECT product FROM shown WHERE product <> ? ORDER BY times DESC LIMIT 1", (product,)
        )
        other = best[0][0] if best else product % PRODUCTS + 1
        return [place.calls.get("catalogue", f"/prices/{other}")]

    return router
