"""Texts, times and numbers that a body may hold, as rules that the API's description shows, too."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from pydantic import BeforeValidator, GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic_core import CoreSchema, core_schema


@dataclass(frozen=True, slots=True)
class Kept:
    """For `Annotated[str, …]`: text that a database keeps. With `is_written`, more than blanks."""

    is_written: bool = False

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """Check after what else is said of the text."""
        return core_schema.no_info_after_validator_function(self._checked, handler(source))

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        """The same as a pattern."""
        pattern = r"^[^\x00]*[^\s\x00][^\x00]*$" if self.is_written else r"^[^\x00]*$"
        return handler(schema) | {"pattern": pattern}

    def _checked(self, text: str) -> str:
        if "\x00" in text:
            raise ValueError("holds NUL, which no database keeps")
        if self.is_written and not text.strip():
            raise ValueError("is blank; write something")
        return text


def _is_text(value: object) -> object:
    if isinstance(value, int | float):
        raise ValueError("must be a text such as 2026-03-01T06:00:00Z, not a number")  # noqa: TRY004 - pydantic's way
    return value


# A time as the description says it: a number is none, although pydantic would take it for seconds since 1970.
AS_TEXT: Final = BeforeValidator(_is_text)


def _is_number(value: object) -> object:
    if isinstance(value, bool | str):
        raise ValueError("must be a whole number")  # noqa: TRY004 - pydantic's way
    return value


# A number as the description says it: 3 and 3.0, but neither "3" nor true.
AS_NUMBER: Final = BeforeValidator(_is_number)
WITHOUT_NUL: Final = Kept()
WRITTEN: Final = Kept(is_written=True)
