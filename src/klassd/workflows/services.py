"""Services: nodes that stay up for the nodes that use them.

db = wf.service("db", Database(), ready=Tcp(), port=0)
wf.add("load", Load(database=db.address))
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast

from klassd.workflows.errors import ConfigurationError
from klassd.workflows.nodes import AnyNode
from klassd.workflows.options import Service, seconds
from klassd.workflows.order import ContainerSpec
from klassd.workflows.references import Reference

READY_WITHIN = "5m"  # of its start, unless it says otherwise
BACKSTOP = 24 * 3600.0  # seconds a service may run that has no timeout
_PORTS = "a port from 1 to 65535, or 0 for a free one that ctx.port tells"


@dataclass(frozen=True)
class Tcp:
    """A service is ready when its port accepts connections."""


@dataclass(frozen=True)
class Http:
    """A service is ready when ``GET path`` at its port is answered with a status from 200 to 399."""

    path: str = "/"


class ServiceNode(AnyNode):
    """A node of a workflow that others use while it runs. Made by ``Workflow.service``."""

    __klassd_node__ = ".address"

    @property
    def address(self) -> str:
        """``"host:port"`` of where it can be reached; the host alone where it told no port."""
        return cast(str, self._part("address", str))

    @property
    def host(self) -> str:
        return cast(str, self._part("host", str))

    @property
    def port(self) -> int:
        return cast(int, self._part("port", int))

    def _part(self, part: str, type_: Any) -> Reference:
        return Reference(self._wire({"$ref": self._name, "service": part}, f"{self._name}.{part}", type_))

    def __repr__(self) -> str:
        return f"<service {self._name!r}>"

    def _missing(self, name: str) -> str:
        if name in ("output", "outputs"):
            return f"{self!r} has no {name}: it gives its .address, .host and .port to those that use it while it runs"
        if name == "succeeded":
            return f"{self!r} has no 'succeeded': it ends after all that use it; after=[...] waits until it is ready"
        return f"{self!r} has no {name!r}: it has .address, .host, .port and .failed"


def service_of(name: str, ready: object, port: object, ready_within: str | float | None) -> Service:
    """As data. Raises ``ConfigurationError``."""
    if ready is not None and not isinstance(ready, Tcp | Http):
        raise ConfigurationError(f"service {name!r}: ready is {ready!r}: expected Tcp(), Http('/path'), or None for a signal")
    if isinstance(ready, Http) and not (ready.path.startswith("/") and ready.path.isascii() and ready.path.isprintable()):
        raise ConfigurationError(f"service {name!r}: ready is {ready!r}: expected a path such as '/health'")
    if port is not None and (not isinstance(port, int) or isinstance(port, bool) or not 0 <= port <= 65535):
        raise ConfigurationError(f"service {name!r}: port is {port!r}: expected {_PORTS}")
    return Service(
        ready="tcp" if isinstance(ready, Tcp) else "http" if isinstance(ready, Http) else "signal",
        path=ready.path if isinstance(ready, Http) else "",
        port=port,
        ready_within=_within(name, ready_within),
    )


def check_image(name: str, spec: ContainerSpec, service: Service) -> None:
    """Nothing of ours runs beside an image: others ask it, where it listens by itself. Raises ``ConfigurationError``."""
    what = f"service {name!r} is the image {spec.image}"
    if service.ready == "signal":
        raise ConfigurationError(f"{what}, which cannot signal: expected ready=Tcp() or ready=Http('/path')")
    if not service.port:
        raise ConfigurationError(f"{what}: port is {service.port!r}: expected the port that it listens at, from 1 to 65535")
    if spec.outputs:
        raise ConfigurationError(f"{what} with file outputs: expected none, as a service is stopped and nobody gets its files")


def _within(name: str, ready_within: str | float | None) -> float | None:
    if ready_within is None:
        return None
    try:
        return seconds(ready_within, "ready_within")
    except ValueError as error:
        raise ConfigurationError(f"service {name!r}: {error}") from None
