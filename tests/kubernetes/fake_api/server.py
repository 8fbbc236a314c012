"""The API: which request does what to the storage."""

from __future__ import annotations

import base64
import re
import traceback
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any

from fake_api import quota, watching
from fake_api.deletion import delete
from fake_api.faults import Faults
from fake_api.http import Answer, Cut, Request
from fake_api.kubelet import Kubelet
from fake_api.refused import Refused
from fake_api.releases import Release
from fake_api.selecting import fielded, labelled
from fake_api.storage import KINDS, QUALIFIED, Item, Storage, merged

_PATH = re.compile(
    r"/(?:api/v1|apis/batch/v1)(?:/namespaces/(?P<namespace>[^/]+))?/(?P<resource>[a-z]+)(?:/(?P<name>[^/]+)(?:/(?P<sub>[a-z]+))?)?"
)
DROPPED = {"suspend": ("suspend",), "replacement": ("podReplacementPolicy",)}


class Server:
    def __init__(self, storage: Storage, kubelet: Kubelet, release: Release) -> None:
        self._storage, self._kubelet, self._release = storage, kubelet, release
        self.faults = Faults()
        self.calls: Counter[str] = Counter()  # by verb and resource
        self.opened: list[Request] = []  # watches and consoles

    async def handle(self, request: Request) -> Answer:
        try:
            self.faults.admit(request)
            late = await self.faults.before(request)
            answer = await self._answer(request)
            if late:
                late.strike()
            return answer
        except Refused as no:
            headers = {"retry-after": str(no.retry_after)} if no.retry_after is not None else {}
            return Answer(no.status, no.body, headers=headers)
        except Cut:
            raise
        except Exception:
            return Answer(500, Refused(500, traceback.format_exc()).body)

    async def _answer(self, request: Request) -> Answer:
        if request.path == "/version":
            return Answer(body={"gitVersion": self._release.name, "major": "1", "minor": self._release.name.split(".")[1]})
        found = _PATH.fullmatch(request.path)
        if found is None or found["resource"] not in KINDS:
            raise Refused(404, f"the server could not find the requested resource: {request.path}")
        namespace, resource, name, sub = found["namespace"] or "", found["resource"], found["name"] or "", found["sub"] or ""
        verb = sub or _verb(request, name)
        if not hasattr(self, f"_{verb}"):
            raise Refused(404, f"the server could not find the requested resource: {request.path}")
        self.calls[f"{verb} {resource}"] += 1
        return await getattr(self, f"_{verb}")(request, resource, namespace, name)

    # -- verbs --------------------------------------------------------------------------------------------------

    async def _get(self, request: Request, resource: str, namespace: str, name: str) -> Answer:
        return Answer(body=self._storage.get(resource, namespace, name))

    async def _list(self, request: Request, resource: str, namespace: str, name: str) -> Answer:
        items = [item for item in self._storage.all(resource, namespace) if _selected(request, item)]
        start, limit = int(base64.b64decode(request.query.get("continue", "MA=="))), int(request.query.get("limit") or 0)
        end = start + limit if limit else len(items)
        more = base64.b64encode(str(end).encode()).decode() if end < len(items) else ""
        metadata = {"resourceVersion": str(self._storage.version), **({"continue": more} if more else {})}
        version, kind, page = *KINDS[resource], items[start:end]
        if "as=PartialObjectMetadataList" in request.headers.get("accept", ""):
            version, kind, page = "meta.k8s.io/v1", "PartialObjectMetadata", [{"metadata": item["metadata"]} for item in page]
            page = page or None  # as servers of 1.20 answer
        return Answer(body={"apiVersion": version, "kind": f"{kind}List", "metadata": metadata, "items": page})

    async def _watch(self, request: Request, resource: str, namespace: str, name: str) -> Answer:
        self.opened.append(request)
        return Answer(stream=watching.watch(self._storage, self.faults, request, resource, namespace))

    async def _create(self, request: Request, resource: str, namespace: str, name: str) -> Answer:
        item = request.json
        if self.faults.mutate:
            self.faults.mutate(resource, item)
        if namespace:
            self._admit(resource, namespace, item)
        if resource == "namespaces":
            item["status"] = {"phase": "Active"}
        made = self._storage.create(resource, "" if resource == "namespaces" else namespace, item)
        if resource == "namespaces":
            self._storage.create("serviceaccounts", made["metadata"]["name"], {"metadata": {"name": "default"}})
        return Answer(201, made)

    def _admit(self, resource: str, namespace: str, item: Item) -> None:
        place = self._storage.get("namespaces", "", namespace)
        what = f'{QUALIFIED.get(resource, resource)} "{item["metadata"].get("name")}"'
        if place["metadata"].get("deletionTimestamp"):
            because = f"unable to create new content in namespace {namespace} because it is being terminated"
            raise Refused(403, f"{what} is forbidden: {because}")
        quota.check(self._storage, resource, namespace, what)
        if resource == "jobs":
            self._check_job(item, what)

    def _check_job(self, item: Item, what: str) -> None:
        """What an older server does not know is dropped; a few of the things that none accepts."""
        for feature, fields in DROPPED.items():
            for field in fields if not getattr(self._release, feature) else ():
                item["spec"].pop(field, None)
        item["spec"].setdefault("parallelism", 1)
        for number, container in enumerate(item["spec"]["template"]["spec"]["containers"]):
            for limit, amount in ((container.get("resources") or {}).get("limits") or {}).items():
                if not re.fullmatch(r"[0-9.]+([mkMGTPE]i?|)", str(amount)):
                    where = f"spec.template.spec.containers[{number}].resources.limits[{limit}]"
                    raise Refused(422, f"Job.batch {what.rsplit(maxsplit=1)[-1]} is invalid: {where}: Invalid value: {amount}")

    async def _patch(self, request: Request, resource: str, namespace: str, name: str) -> Answer:
        if request.headers.get("content-type") != "application/merge-patch+json":
            raise Refused(415, "only merge patches here", "UnsupportedMediaType")

        def merge(item: Item) -> None:
            patch = request.json
            item.update(merged(item, patch))

        return Answer(body=self._storage.change(resource, namespace, name, merge))

    async def _delete(self, request: Request, resource: str, namespace: str, name: str) -> Answer:
        place = "" if resource == "namespaces" else namespace
        return Answer(body=delete(self._storage, resource, place, name, {**request.query, **request.json}))

    # -- of pods ------------------------------------------------------------------------------------------------

    async def _log(self, request: Request, resource: str, namespace: str, name: str) -> Answer:
        pod = self._storage.get("pods", namespace, name)
        self.opened.append(request)
        return Answer(stream=self._console(pod, request), headers={"content-type": "text/plain"})

    def _console(self, pod: Item, request: Request) -> AsyncIterator[bytes]:
        query = request.query
        console = self._kubelet.console(pod, query.get("container") or pod["spec"]["containers"][0]["name"])
        return console.read(
            follow=query.get("follow") == "true",
            since=query.get("sinceTime", ""),
            times=query.get("timestamps") == "true",
            limit=int(query["limitBytes"]) if "limitBytes" in query else None,
            tail=int(query["tailLines"]) if "tailLines" in query else None,
        )

    async def _eviction(self, request: Request, resource: str, namespace: str, name: str) -> Answer:
        """A delete that says why, from 1.26 on."""
        if self._release.disruption:
            message = "Eviction API: evicting"
            self._kubelet.disrupt(self._storage.get("pods", namespace, name), "EvictionByEvictionAPI", message)
        delete(self._storage, "pods", namespace, name, request.json.get("deleteOptions") or {})
        return Answer(201, {"kind": "Status", "status": "Success"})


def _verb(request: Request, name: str) -> str:
    if request.method == "GET":
        return "get" if name else "watch" if request.query.get("watch") in ("true", "1") else "list"
    return {"POST": "create", "PATCH": "patch", "DELETE": "delete"}.get(request.method, "get")


def _selected(request: Request, item: Any) -> bool:
    return labelled(request.query.get("labelSelector", ""), item) and fielded(request.query.get("fieldSelector", ""), item)
