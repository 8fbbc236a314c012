"""What can be asked for."""

from __future__ import annotations

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from klassd.workflows.ports import Store
from klassd.workflows.server.readiness import Readiness
from klassd.workflows.server.starts import Starts


def make_asgi(store: Store, readiness: Readiness) -> ASGIApp:
    async def ready(_: Request) -> Response:
        why_not = await readiness.why_not()
        return JSONResponse({"ready": not why_not, "why": why_not or None}, 503 if why_not else 200)

    return Starlette(
        routes=[
            Route("/healthz", _lives),
            Route("/readyz", ready),
            Route("/api/v1/executions/{execution_id}/start", Starts(store).answer, methods=["POST"]),
        ]
    )


async def _lives(_: Request) -> Response:
    return JSONResponse({"lives": True})
