"""What each service of the shop does: one file a service, one `routes` function a file."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

from fastapi import APIRouter

from chaos.shop.services import (
    cart,
    catalogue,
    inventory,
    orders,
    payments,
    recommendations,
    shipping,
    web,
)
from chaos.shop.services.place import Place

ROUTES: Mapping[str, Callable[[Place], APIRouter]] = MappingProxyType(
    {
        "web": web.routes,
        "catalogue": catalogue.routes,
        "recommendations": recommendations.routes,
        "cart": cart.routes,
        "orders": orders.routes,
        "payments": payments.routes,
        "inventory": inventory.routes,
        "shipping": shipping.routes,
    }
)
