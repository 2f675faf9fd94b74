"""An HTTP server that answers some paths of the Kubernetes API, with objects in the shapes of its reference.

It is no cluster: it schedules nothing. It keeps objects, versions and generations, merges patches, checks
preconditions, and makes the ReplicaSets and ControllerRevisions that the controllers would make. It allows what a Role
and a ClusterRole allow, when it is given some.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from tests.served import served

Object = dict[str, Any]
PLURALS = {
    "deployments": "Deployment",
    "statefulsets": "StatefulSet",
    "daemonsets": "DaemonSet",
    "replicasets": "ReplicaSet",
    "controllerrevisions": "ControllerRevision",
    "pods": "Pod",
    "nodes": "Node",
}
VERBS = {"GET": "get", "PATCH": "patch", "DELETE": "delete"}


def workload(kind: str, name: str, image: str, *, replicas: int = 2, **metadata: Any) -> Object:
    """A Deployment, StatefulSet or DaemonSet whose pods are ready, as a GET shows it."""
    labels = {"app": name}
    count = {"desiredNumberScheduled": replicas, "currentNumberScheduled": replicas, "numberReady": replicas}
    status = count if kind == "DaemonSet" else {"replicas": replicas, "readyReplicas": replicas}
    spec: Object = {
        "selector": {"matchLabels": labels},
        "template": {
            "metadata": {"labels": labels},
            "spec": {"containers": [{"name": "main", "image": image}], "restartPolicy": "Always"},
        },
    }
    if kind != "DaemonSet":
        spec["replicas"] = replicas
    return {
        "apiVersion": "apps/v1",
        "kind": kind,
        "metadata": {
            "name": name,
            "namespace": "shop",
            "uid": f"{kind.lower()}-{name}-0000-0000",
            "resourceVersion": "1",
            "generation": 1,
            "labels": labels,
            **metadata,
        },
        "spec": spec,
        "status": {"observedGeneration": 1, **status},
    }


def pod(name: str, app: str, created: str, *, node: str = "n1", ready: bool = True) -> Object:
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": name,
            "uid": f"uid-{name}",
            "labels": {"app": app},
            "creationTimestamp": created,
        },
        "spec": {"nodeName": node, "containers": [{"name": "main", "image": "x"}]},
        "status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True" if ready else "False"}]},
    }


def node(name: str) -> Object:
    metadata = {"name": name, "uid": f"uid-{name}", "resourceVersion": "1"}
    return {"apiVersion": "v1", "kind": "Node", "metadata": metadata, "spec": {}, "status": {}}


@dataclass
class KubernetesServer:
    """What there is by kind and name, and what was asked: (verb, resource)."""

    objects: dict[str, dict[str, Object]] = field(default_factory=dict)
    rules: Sequence[Object] | None = None
    token: str = "t"
    url: str = ""
    asked: set[tuple[str, str]] = field(default_factory=set)
    patches: list[Object] = field(default_factory=list)
    # How many patches are answered with a conflict, since a controller was faster.
    conflicts: int = 0

    def put(self, *objects: Object) -> None:
        for each in objects:
            self.objects.setdefault(each["kind"], {})[each["metadata"]["name"]] = each
            if each["kind"] in ("Deployment", "StatefulSet", "DaemonSet"):
                self._revise(each)

    def application(self) -> web.Application:
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._answer)
        return app

    async def _answer(self, request: web.Request) -> web.Response:
        if request.headers.get("Authorization") != f"Bearer {self.token}":
            return _status(401, "Unauthorized")
        group, resource, name = _parts(request.path)
        verb = VERBS[request.method] if name or request.method != "GET" else "list"
        self.asked.add((verb, resource))
        if self.rules is not None and not any(
            group in rule["apiGroups"] and resource in rule["resources"] and verb in rule["verbs"]
            for rule in self.rules
        ):
            return _status(403, f'{resource} is forbidden: User "system:serviceaccount:shop:wk" cannot {verb} it')
        found = self.objects.get(PLURALS[resource], {})
        if verb == "list":
            terms = [term.partition("=") for term in request.query.get("labelSelector", "").split(",") if term]
            items = [
                each
                for each in found.values()
                if all(each["metadata"].get("labels", {}).get(label) == value for label, _, value in terms)
            ]
            return web.json_response({"kind": f"{PLURALS[resource]}List", "items": items, "metadata": {}})
        if name not in found:
            return _status(404, f'{resource} "{name}" not found')
        if verb == "delete":
            options = await request.json()
            if options["preconditions"]["uid"] != found[name]["metadata"]["uid"]:
                return _status(409, "the UID in the precondition does not match the UID in record")
            return web.json_response(found.pop(name))
        if verb == "patch":
            return self._patch(found, name, await request.json(), request.headers["Content-Type"])
        return web.json_response(found[name])

    def _patch(self, found: dict[str, Object], name: str, patch: Object, content_type: str) -> web.Response:
        assert content_type == "application/strategic-merge-patch+json"
        body = found[name]
        if self.conflicts:
            self.conflicts -= 1
            body["metadata"]["resourceVersion"] += "0"
        if patch.get("metadata", {}).get("resourceVersion") not in (None, body["metadata"]["resourceVersion"]):
            return _status(409, "the object has been modified; please apply your changes to the latest version")
        self.patches.append(copy.deepcopy(patch))
        patch["metadata"].pop("resourceVersion", None)
        merged = _merged(copy.deepcopy(body), patch)
        merged["metadata"]["resourceVersion"] = str(int(body["metadata"]["resourceVersion"]) + 1)
        if merged["spec"] != body["spec"] and "generation" in body["metadata"]:
            merged["metadata"]["generation"] += 1
            merged["status"]["observedGeneration"] = merged["metadata"]["generation"]
        found[name] = merged
        if merged["kind"] != "Node":
            self._revise(merged)
        return web.json_response(merged)

    def _revise(self, body: Object) -> None:
        """The revision that the controllers make of each new template; an old one that is used again becomes newest."""
        kind = "ReplicaSet" if body["kind"] == "Deployment" else "ControllerRevision"
        metadata, template = body["metadata"], copy.deepcopy(body["spec"]["template"])
        kept = self.objects.setdefault(kind, {})
        mine = [each for each in kept.values() if each["metadata"]["ownerReferences"][0]["uid"] == metadata["uid"]]
        newest = max([_number(each) for each in mine], default=0)
        for each in mine:
            if _template(each) == template:
                if _number(each) != newest:
                    _renumber(each, newest + 1)
                return
        name = f"{metadata['name']}-{newest + 1:04}"
        owner = {"kind": body["kind"], "name": metadata["name"], "uid": metadata["uid"], "controller": True}
        made: Object = {"kind": kind, "metadata": {"name": name, "uid": f"uid-{name}", "ownerReferences": [owner]}}
        if kind == "ReplicaSet":
            template["metadata"]["labels"] = {**template["metadata"]["labels"], "pod-template-hash": name[-4:]}
            made["metadata"]["annotations"] = {}
            made["spec"] = {"template": template}
        else:
            made["data"] = {"spec": {"template": {**template, "$patch": "replace"}}}
        _renumber(made, newest + 1)
        kept[name] = made


def _parts(path: str) -> tuple[str, str, str]:
    """API group, resource and name of a path of the API."""
    words = path.strip("/").split("/")
    group, rest = ("", words[2:]) if words[0] == "api" else (words[1], words[3:])
    if rest[0] == "namespaces":
        assert rest[1] == "shop"
        rest = rest[2:]
    return group, rest[0], rest[1] if len(rest) > 1 else ""


def _status(code: int, message: str) -> web.Response:
    body = {"kind": "Status", "apiVersion": "v1", "status": "Failure", "message": message, "code": code}
    return web.json_response(body, status=code)


def _merged(body: Object, patch: Object) -> Object:
    """A strategic merge of mappings: lists are not patched here; `$patch: replace` replaces."""
    if patch.get("$patch") == "replace":
        return {name: value for name, value in patch.items() if name != "$patch"}
    for name, value in patch.items():
        assert not isinstance(value, list)
        if value is None:
            body.pop(name, None)
        else:
            body[name] = _merged(dict(body.get(name) or {}), value) if isinstance(value, dict) else value
    return body


def _number(revision: Object) -> int:
    own = revision.get("revision")
    return int(own or revision["metadata"]["annotations"]["deployment.kubernetes.io/revision"])


def _renumber(revision: Object, number: int) -> None:
    if revision["kind"] == "ControllerRevision":
        revision["revision"] = number
    else:
        revision["metadata"]["annotations"]["deployment.kubernetes.io/revision"] = str(number)


def _template(revision: Object) -> Object:
    template: Object = json.loads(json.dumps((revision.get("data") or revision)["spec"]["template"]))
    template.pop("$patch", None)
    template["metadata"]["labels"].pop("pod-template-hash", None)
    return template


@contextmanager
def kubernetes_server(*objects: Object, rules: Sequence[Object] | None = None) -> Iterator[KubernetesServer]:
    server = KubernetesServer(rules=rules)
    server.put(*objects)
    with served(server.application()) as url:
        server.url = url
        yield server
