"""Charges."""

from __future__ import annotations

import hashlib
import logging
from typing import Any

from fastapi import APIRouter
from prometheus_client import Counter
from pydantic import BaseModel

from chaos.shop.services.place import Place

log = logging.getLogger("shop.payments")


class Charge(BaseModel):
    order: int
    amount_cents: int


def routes(place: Place) -> APIRouter:
    """Charge an amount."""
    router = APIRouter()
    charged = Counter("shop_charges", "Charges made.", registry=place.registry)
    place.database.create(
        'CREATE TABLE IF NOT EXISTS charges (id INTEGER PRIMARY KEY, "order" INTEGER, amount_cents INTEGER, proof TEXT)'
    )

    @router.post("/charges")
    def charge(request: Charge) -> Any:
        proof = hashlib.pbkdf2_hmac("sha256", str(request.order).encode(), b"shop", 2000).hex()
        number = place.database.write(
            'INSERT INTO charges ("order", amount_cents, proof) VALUES (?, ?, ?)',
            (request.order, request.amount_cents, proof),
        )
        charged.inc()
        log.info("charge %d of %d cents accepted", number, request.amount_cents)
        return {"charge": number, "proof": proof[:8]}

    return router
