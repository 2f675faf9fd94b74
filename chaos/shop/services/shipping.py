"""Shipments."""

from __future__ import annotations

import logging
from typing import Any

from fastapi import APIRouter
from pydantic import BaseModel

from chaos.shop.services.place import Place

log = logging.getLogger("shop.shipping")


class Parcel(BaseModel):
    order: int
    items: int


def routes(place: Place) -> APIRouter:
    """Quote, book and track a shipment."""
    router = APIRouter()
    place.database.create(
        'CREATE TABLE IF NOT EXISTS shipments (id INTEGER PRIMARY KEY, "order" INTEGER, items INTEGER);'
        'CREATE INDEX IF NOT EXISTS shipments_of ON shipments ("order");'
        "CREATE TABLE IF NOT EXISTS rates (items INTEGER PRIMARY KEY, cents INTEGER);"
        "INSERT OR IGNORE INTO rates VALUES (1, 490), (2, 690), (3, 890)"
    )

    @router.post("/quotes")
    def quote(parcel: Parcel) -> Any:
        rows = place.database.read("SELECT cents FROM rates WHERE items = ?", (min(max(parcel.items, 1), 3),))
        return {"order": parcel.order, "cents": rows[0][0]}

    @router.post("/shipments")
    def book(parcel: Parcel) -> Any:
        cents = quote(parcel)["cents"]
        number = place.database.write(
            'INSERT INTO shipments ("order", items) VALUES (?, ?)', (parcel.order, parcel.items)
        )
        log.info("shipment %d booked for %d cents", number, cents)
        return {"shipment": number, "cents": cents}

    @router.get("/shipments/{order}")
    def track(order: int) -> Any:
        rows = place.database.read('SELECT id FROM shipments WHERE "order" = ? LIMIT 1', (order,))
        return {"order": order, "shipment": rows[0][0] if rows else None}

    return router
