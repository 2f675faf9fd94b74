"""The routes of signing in and out."""

from __future__ import annotations

from fastapi import APIRouter, Request
from fastapi.responses import Response

from dashboard.web.session import Sessions, onward_of


def router(sessions: Sessions) -> APIRouter:
    """`/sign-in` and `/sign-out`."""
    routes = APIRouter()

    @routes.get("/sign-in", include_in_schema=False)
    async def show_form(request: Request) -> Response:
        return sessions.asked(request)

    @routes.post("/sign-in", include_in_schema=False)
    async def sign_in(request: Request) -> Response:
        fields = await request.form(max_files=0, max_fields=10)
        form = {key: value for key, value in fields.items() if isinstance(value, str)}
        onward = onward_of(form.get("onward", "/"))
        return await sessions.sign_in(request, form.get("token", ""), form.get("as", ""), onward)

    @routes.post("/sign-out", include_in_schema=False)
    async def sign_out() -> Response:
        return sessions.sign_out()

    return routes
