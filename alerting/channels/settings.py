"""The settings of a channel: checked against a model, with one sentence for the first mistake."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from watchkeeper.config_messages import plain


class Settings(BaseModel):
    """What a channel reads from its entry of `channels:`; an unknown key is a mistake."""

    model_config = ConfigDict(frozen=True, extra="forbid")


S = TypeVar("S", bound=Settings)


def read_settings(model: type[S], given: Mapping[str, Any]) -> S:
    """The settings that a channel was given.

    Raises:
        ValueError: one of them is missing, unknown or wrong; names it.
    """
    try:
        return model.model_validate(dict(given))
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        raise ValueError(f"`{key}` {plain(first)}" if key else plain(first)) from None
