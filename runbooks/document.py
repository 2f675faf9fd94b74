"""A runbook or policy file as a model; a mistake names the file, the line and the key."""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from watchkeeper.config_messages import plain
from watchkeeper.errors import ConfigError, RunbookError
from watchkeeper.yaml_file import Document, read_document

Model = TypeVar("Model", bound=BaseModel)


def read_as(model: type[Model], path: Path) -> tuple[Model, Document]:
    """The file's content, and the document, which knows on which line each key stands.

    Raises:
        RunbookError: it cannot be read, or is not what the model wants.
    """
    try:
        document = read_document(path)
    except ConfigError as error:
        raise RunbookError(error.message) from error
    return validated(model, document), document


def validated(model: type[Model], document: Document) -> Model:
    """A document as a model. Raises RunbookError, with a line for each mistake."""
    try:
        return model.model_validate({} if document.data is None else document.data)
    except ValidationError as error:
        mistakes = "\n".join(f"{document.where(each['loc'])}: {plain(each)}" for each in error.errors())
        raise RunbookError(mistakes) from error
