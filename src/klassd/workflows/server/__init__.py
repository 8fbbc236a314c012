"""HTTP beside a scheduler: probes, and the API under ``/api/v1``.

Whoever reaches the port may ask, so every route is one of two kinds: a probe, which tells nothing but whether we live and are
ready, or one that needs a secret of its own. Nothing else belongs here before there is a way to sign in.
"""

from klassd.workflows.server.listening import Server
from klassd.workflows.server.readiness import Readiness
from klassd.workflows.server.routes import make_asgi

__all__ = ["Readiness", "Server", "make_asgi"]
