"""Column types that accept any value from outside, and mean the same on SQLite and PostgreSQL.

They are named like SQLAlchemy's own, which they stand for in `schema`. A value is made to fit when it is written and
when it is compared, so that what was kept under a name is found under it.
"""

from __future__ import annotations

from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.types import TypeDecorator

from watchkeeper.names import bounded, storable

LARGEST: Final = 2**63 - 1


class String(TypeDecorator[str]):
    """A name of a bounded length; a longer one is cut and ends with a hash."""

    impl = sa.String
    cache_ok = True

    def __init__(self, length: int) -> None:
        super().__init__(length)
        self.length = length

    def process_bind_param(self, value: str | None, dialect: Any) -> str | None:  # noqa: ARG002
        return value if value is None else bounded(str(value), self.length)


class Text(TypeDecorator[str]):
    """Text of any length, without the characters that PostgreSQL or UTF-8 cannot hold."""

    impl = sa.Text
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Any) -> str | None:  # noqa: ARG002
        return value if value is None else storable(str(value))


class BigInteger(TypeDecorator[int]):
    """A whole number of 64 bits; what is out of range becomes the largest or smallest one."""

    impl = sa.BigInteger
    cache_ok = True

    def process_bind_param(self, value: int | None, dialect: Any) -> int | None:  # noqa: ARG002
        return value if value is None else max(-LARGEST - 1, min(LARGEST, int(value)))
