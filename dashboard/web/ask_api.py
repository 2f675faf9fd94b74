"""Questions in plain words, as JSON. Reading only: no credential is needed where reading needs none."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query

from alerting.ask.answer import as_json
from alerting.ask.asker import LONGEST, Asker
from dashboard.web.values import WITHOUT_NUL

Question = Annotated[str, Query(min_length=1, max_length=LONGEST), WITHOUT_NUL]


def router(asker: Asker) -> APIRouter:
    """The route under /api/v1."""
    api = APIRouter(prefix="/api/v1")

    @api.get("/ask")
    def ask(q: Question) -> dict[str, Any]:
        """Answer a question such as `why is checkout slow?`, with every query that the answer rests on.

        `understood` is false where it was not understood; then `suggestions` are questions that can be asked.
        """
        return as_json(asker.ask(q))

    return api
