"""Reports and dubs of this workspace by HTTP on the loopback, for the links in Prefect's pages: ``python -m flows.results_server PORT``.

A browser opens no ``file:`` address from a page that came by HTTP. ``make up`` starts this beside Prefect; without it (no
``TALKHEAD_RESULTS_URL``) links are plain ``file:`` addresses.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from urllib.parse import quote

import uvicorn
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import FileResponse
from starlette.routing import Route

from flows.workspace import Workspace

__all__ = ["VARIABLE", "link_to", "results_app"]

VARIABLE = "TALKHEAD_RESULTS_URL"
_HOST = "127.0.0.1"
_SHOWN = (".html", ".mp4")


def link_to(workspace: Workspace, path: Path) -> str:
    """The address at which a browser finds a report or dub: at this server where it runs, else its ``file:`` address."""
    place, server = path.resolve(), os.environ.get(VARIABLE)
    if not server or not place.is_relative_to(workspace.root) or not _is_shown(place.relative_to(workspace.root)):
        return place.as_uri()
    return f"{server}/{quote(str(place.relative_to(workspace.root)))}"


def results_app(workspace: Workspace) -> Starlette:
    """Serves ``data/<speaker>/report/report.html`` and the videos and pages under ``out/``, and nothing else."""

    async def send(request: Request) -> FileResponse:
        asked = workspace.root / request.path_params["path"]
        path = asked.resolve()
        if not path.is_relative_to(workspace.root) or not _is_shown(path.relative_to(workspace.root)) or not path.is_file():
            raise HTTPException(404, "no such report or dub")
        return FileResponse(path)

    # a page elsewhere whose name is made to lead here is refused
    ours = Middleware(TrustedHostMiddleware, allowed_hosts=[_HOST, "localhost"])
    return Starlette(routes=[Route("/{path:path}", send, methods=["GET"])], middleware=[ours])


def _is_shown(path: Path) -> bool:
    is_report = len(path.parts) == 4 and path.match("data/*/report/report.html")
    return is_report or (path.parts[:1] == ("out",) and path.suffix in _SHOWN)


if __name__ == "__main__":
    uvicorn.run(results_app(Workspace.here()), host=_HOST, port=int(sys.argv[1]), log_level="warning")
