"""``KubernetesExecutor``: the verbs of ``ports.Executor``, each execution a ``batch/v1`` Job with one pod."""

from __future__ import annotations

import asyncio
import functools
import logging
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

from klassd.workflows.crashes import mark
from klassd.workflows.errors import KlassdError, LaunchDelayed
from klassd.workflows.executors.kubernetes import names
from klassd.workflows.executors.kubernetes.api import (
    CONFIG_MAPS,
    JOBS,
    PODS,
    SECRETS,
    Api,
    ApiError,
    Unavailable,
    connect,
    namespace,
)
from klassd.workflows.executors.kubernetes.describe import commands, look
from klassd.workflows.executors.kubernetes.guard import guard
from klassd.workflows.executors.kubernetes.image_follower import follower_class
from klassd.workflows.executors.kubernetes.manifest import Rendered, render
from klassd.workflows.executors.kubernetes.readiness import is_asked, with_readiness
from klassd.workflows.executors.kubernetes.refusals import launch_error
from klassd.workflows.executors.kubernetes.settings import KubernetesSettings, from_settings
from klassd.workflows.executors.kubernetes.sight import unknown_since
from klassd.workflows.executors.kubernetes.tombstone import tombstone
from klassd.workflows.executors.kubernetes.turns import Turns
from klassd.workflows.executors.kubernetes.view import Known, View
from klassd.workflows.model.description import Description
from klassd.workflows.model.execution import Exit, Finished, Told
from klassd.workflows.model.run import Execution
from klassd.workflows.model.states import Cause
from klassd.workflows.order import Order
from klassd.workflows.system import SystemClock

log = logging.getLogger("klassd.workflows")

CREATING = 16  # launches under way at once: each is a request or more
ASKING = 0.25  # seconds between two questions why a Job has no pod, for all of them: a full quota may leave a thousand so


class KubernetesExecutor:
    """Pods of one namespace. ``settings``: which cluster, and what its pods look like unless a job says otherwise.

    Raises ``ConfigurationError`` from ``open`` when no cluster is named. A scheduler may die at any time: whoever opens an
    executor of the same namespace and instance goes on with its executions.
    """

    def __init__(self, settings: KubernetesSettings | None = None) -> None:
        self._settings = settings or KubernetesSettings()
        self._clock = SystemClock()
        self._creating, self._asking = asyncio.Semaphore(CREATING), Turns(ASKING)
        self._api: Api | None = None
        self._view: View | None = None
        self._place = ""

    @classmethod
    def from_settings(cls, settings: Any) -> KubernetesExecutor:
        return cls(from_settings(settings))

    @property
    def place(self) -> str:
        """By name, not by the cluster's address: that differs inside and outside of it."""
        if not self._place:
            self._place = f"kubernetes:{namespace(self._settings)}:{self._settings.instance}"
        return self._place

    @property
    def concurrency(self) -> int:
        return self._settings.concurrency

    @property
    def launches_at_once(self) -> int:
        return CREATING

    @property
    def claims_starts(self) -> bool:
        return self._settings.callback is not None

    async def open(self) -> None:
        self._api = connect(self._settings)
        self._view = View(self._api, names.selector(self._settings.instance))
        self._view.start()

    async def close(self) -> None:
        api, view = self._parts
        await view.close()
        await api.close()

    @property
    def _parts(self) -> tuple[Api, View]:
        assert self._api is not None and self._view is not None, "open() comes first"
        return self._api, self._view

    # -- launch -------------------------------------------------------------------------------------------------

    async def launch(self, order: Order) -> None:
        api, view = self._parts
        rendered = render(order, self._settings)
        async with self._creating:  # the engine never has more; others who call may
            if order.expires is not None and self._clock.monotonic() >= order.expires:
                raise LaunchDelayed(f"the order for {order.execution_id} has expired: nothing was started")
            job = await self._create(api, rendered)
            view.put_job(job)
            mark("inside:launch")
            for each in rendered.objects:
                await _ensure(api, each, job)

    async def _create(self, api: Api, rendered: Rendered) -> Mapping[str, Any]:
        """The Job, ours or the one that stands there already: whoever launched it, it is the same execution."""
        try:
            return await api.create(JOBS, rendered.job)
        except Unavailable as error:
            if error.retry_after is None:
                raise
            raise LaunchDelayed(str(error), error.retry_after) from error
        except ApiError as error:
            if error.reason != "AlreadyExists":
                raise launch_error(error, api.namespace) from error
        return await api.get(f"{JOBS}/{rendered.job['metadata']['name']}")

    # -- follow, stop, reap -------------------------------------------------------------------------------------

    async def follow(self, execution_id: str, cursor: str, seq: int, line: int) -> AsyncIterator[Sequence[Told]]:
        api, view = self._parts
        await view.synced()
        known = view.hold(execution_id)
        try:
            if known.empty:
                await self._bury(api, view, execution_id)
            if known.reaped:
                yield [Finished(exit=Exit(reason=Cause.LOST, message="it is done and forgotten"), at=time.time())]
                return
            async with self._guarded(known, execution_id):
                told = follower_class(known)(api, known, self._asking, execution_id, cursor, seq, line).told()
                async for batch in with_readiness(known, told) if is_asked(known) else told:
                    yield batch
        except ApiError as error:
            raise Unavailable(str(error)) from error
        finally:
            view.release(execution_id)

    @asynccontextmanager
    async def _guarded(self, known: Known, execution_id: str) -> AsyncIterator[None]:
        task = asyncio.create_task(guard(known, functools.partial(self._end, execution_id)), name=f"guard {execution_id}")
        try:
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def _bury(self, api: Api, view: View, execution_id: str) -> None:
        """Nothing is there. Take its name, so that no launch that is under way somewhere starts it after all."""
        try:
            job = await api.create(JOBS, tombstone(execution_id, self._settings))
        except ApiError as error:
            if error.reason != "AlreadyExists":
                raise
            job = await api.get(f"{JOBS}/{names.job_name(execution_id)}")
        view.put_job(job)

    async def stop(self, execution_id: str, grace: float) -> None:
        """Its Job wants no pod any more, so Kubernetes ends the one there is (SIGTERM, the grace of its manifest, SIGKILL). The
        Job itself stays: its name must not be free while somebody may still launch it."""
        await self._end(execution_id, names.ON_REQUEST)

    async def _end(self, execution_id: str, why: str | None) -> None:
        api, view = self._parts
        said = {"metadata": {"annotations": {names.STOPPED: why}}} if why else {}
        try:
            job = await api.patch(JOBS, names.job_name(execution_id), {"spec": {"parallelism": 0}, **said})
        except ApiError as error:
            if error.status != 404:
                raise Unavailable(str(error)) from error
            await self._end_orphans(execution_id)
        else:
            view.put_job(job)

    async def _end_orphans(self, execution_id: str) -> None:
        """Pods whose Job was deleted from above them."""
        api, view = self._parts
        known = view.find(execution_id)
        for pod in list(known.pods.values()) if known else ():
            try:
                await api.delete(PODS, pod["metadata"]["name"], {"preconditions": {"uid": pod["metadata"]["uid"]}})
            except ApiError as error:
                if error.status not in (404, 409):
                    raise Unavailable(str(error)) from error

    async def reap(self, execution_id: str) -> None:
        """Its outcome is stored: from now on the cluster may forget it."""
        api, view = self._parts
        known = view.find(execution_id)
        spec: dict[str, Any] = {"ttlSecondsAfterFinished": self._settings.keep_seconds}
        if known is None or known.unending:
            spec |= {"parallelism": 0, "activeDeadlineSeconds": 1}
        try:
            view.put_job(await api.patch(JOBS, names.job_name(execution_id), {"spec": spec}))
        except ApiError as error:
            if error.status != 404:
                raise Unavailable(str(error)) from error

    # -- for people who look ------------------------------------------------------------------------------------

    def commands(self, execution: Execution) -> Sequence[str]:
        job, pod = names.job_name(execution.id), str(execution.located.get("pod") or "")
        return commands(self._settings, namespace(self._settings), job, pod)

    async def describe(self, execution: Execution) -> Description:
        api = self._api or connect(self._settings)
        try:
            return await look(api, execution)
        except ApiError as error:
            raise KlassdError(f"the Kubernetes API refuses to tell: {error}") from error
        finally:
            if api is not self._api:
                await api.close()

    # -- what is left -------------------------------------------------------------------------------------------

    async def unknown_since(self, execution_id: str) -> float | None:
        """Of the API server itself: what the watches have shown may be old."""
        api, view = self._parts
        known = view.find(execution_id)
        try:
            pods, _ = await api.list(PODS, f"{names.EXECUTION}={names.label_value(execution_id)}")
        except ApiError as error:
            raise Unavailable(str(error)) from error
        view.put_pods(pods)
        return unknown_since(pods, known.heard if known else 0.0, time.time())

    async def unreaped(self) -> Sequence[str]:
        _, view = self._parts
        await view.synced()
        return [execution_id for execution_id, known in view.known() if known.job is not None and not known.reaped]


_PATHS = {"ConfigMap": CONFIG_MAPS, "Secret": SECRETS}


async def _ensure(api: Api, manifest: Mapping[str, Any], owner: Mapping[str, Any]) -> None:
    """What belongs to a Job goes with it."""
    reference = {"apiVersion": "batch/v1", "kind": "Job", "name": owner["metadata"]["name"], "uid": owner["metadata"]["uid"]}
    owned = {**manifest, "metadata": {**manifest["metadata"], "ownerReferences": [reference]}}
    try:
        await api.create(_PATHS[manifest["kind"]], owned)
    except ApiError as error:
        if error.reason != "AlreadyExists":
            raise launch_error(error, api.namespace) from error
