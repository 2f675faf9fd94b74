"""A shop made of numbers: roll-ups as the store gives them, with faults put in."""

from __future__ import annotations

import pytest
from shop_of_numbers import Shop


@pytest.fixture
def shop() -> Shop:
    """A shop of eight services that is well, for half an hour."""
    return Shop(seed=1, seconds=1800)
