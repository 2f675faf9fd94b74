"""What Kubernetes' workloads are as services, and the changes that verbs make to them. Pure.

A change and the memory of its key are one patch, with the version that was read: it happens once, or not at all.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from watchkeeper.errors import TargetError
from watchkeeper.target import ServiceStatus

Object = Mapping[str, Any]
# An annotation of what was changed: the keys that were done, each with what was done.
DONE: Final = "watchkeeper/done"
KEYS_KEPT: Final = 20
# A label or an annotation of a workload: its owner has opted in to experiments.
MAY_BREAK: Final = "watchkeeper/may-break"
RESTARTED_AT: Final = "kubectl.kubernetes.io/restartedAt"
REVISION: Final = "deployment.kubernetes.io/revision"
VERSION: Final = "app.kubernetes.io/version"
MOST_REPLICAS: Final = 100
NODE_VERBS: Final = frozenset({"cordon", "uncordon"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    """One Deployment, StatefulSet or DaemonSet, as the API server sent it. `previous`: the template before, if any."""

    service: str
    kind: str
    body: Object
    previous: Object | None = None

    @property
    def name(self) -> str:
        return str(self.body["metadata"]["name"])

    @property
    def selector(self) -> str:
        """The label selector of its pods."""
        given = self.body["spec"]["selector"]
        terms = [f"{name}={value}" for name, value in sorted((given.get("matchLabels") or {}).items())]
        operators = {"In": "in", "NotIn": "notin"}
        for each in given.get("matchExpressions") or ():
            if each["operator"] in operators:
                terms.append(f"{each['key']} {operators[each['operator']]} ({','.join(each['values'])})")
            else:
                terms.append(each["key"] if each["operator"] == "Exists" else f"!{each['key']}")
        return ",".join(terms)

    @property
    def wanted(self) -> int:
        """How many pods should run."""
        if self.kind == "DaemonSet":
            return int(self.body.get("status", {}).get("desiredNumberScheduled") or 0)
        replicas = self.body["spec"].get("replicas")
        return 1 if replicas is None else int(replicas)

    @property
    def ready(self) -> int:
        status = self.body.get("status") or {}
        return int(status.get("numberReady" if self.kind == "DaemonSet" else "readyReplicas") or 0)

    def status(self, *, nodes: bool) -> ServiceStatus:
        """As a service: `absent` where no pod is wanted, `exited` where none is ready."""
        metadata = self.body["metadata"]
        marks = {**(metadata.get("labels") or {}), **(metadata.get("annotations") or {})}
        verbs = {"restart", "delete-pod"}
        verbs |= {"scale"} if self.kind != "DaemonSet" else set()
        verbs |= {"rollback"} if self.previous else set()
        return ServiceStatus(
            service=self.service,
            state="absent" if not self.wanted else "running" if self.ready else "exited",
            version=version_of(self.body["spec"]["template"]),
            previous_version=version_of(self.previous) if self.previous else "",
            # Each change of what should run has a generation of its own.
            instance=f"{str(metadata['uid'])[:13]}-{metadata.get('generation', 0)}" if self.wanted else "",
            capabilities=frozenset(verbs) | (NODE_VERBS if nodes else frozenset()),
            may_break=str(marks.get(MAY_BREAK, "")).lower() == "true",
        )


def version_of(template: Object) -> str:
    """The version that a pod template names by label, else the tag or digest of its first image."""
    labelled = (template.get("metadata", {}).get("labels") or {}).get(VERSION)
    if labelled:
        return str(labelled)
    image = str(template["spec"]["containers"][0].get("image") or "")
    path, at, digest = image.partition("@")
    if at:
        return digest
    return path.rpartition("/")[2].partition(":")[2] or "latest"


def services_of(workloads: Iterable[tuple[str, Object]], revisions: Iterable[Object]) -> dict[str, Workload]:
    """Workloads by the name of their service: their own, with the kind before it where another kind has it, too.

    Args:
        workloads: kind and body, in the order in which kinds take names.
        revisions: every ReplicaSet and ControllerRevision.
    """
    by_owner: dict[str, list[Object]] = {}
    for revision in revisions:
        for owner in revision["metadata"].get("ownerReferences") or ():
            if owner.get("controller"):
                by_owner.setdefault(str(owner["uid"]), []).append(revision)
    services: dict[str, Workload] = {}
    for kind, body in workloads:
        name = str(body["metadata"]["name"])
        service = f"{kind.lower()}.{name}" if name in services else name
        earlier = _previous_template(by_owner.get(str(body["metadata"]["uid"]), []))
        services[service] = Workload(service=service, kind=kind, body=body, previous=earlier)
    return services


def _previous_template(revisions: Iterable[Object]) -> Object | None:
    """The template of the revision before the newest."""

    def number(revision: Object) -> int:
        own = revision.get("revision")
        return int(own if own is not None else (revision["metadata"].get("annotations") or {}).get(REVISION) or 0)

    ordered = sorted(revisions, key=number)
    if len(ordered) < 2:
        return None
    holder = ordered[-2].get("data") or ordered[-2]
    template: dict[str, Any] = json.loads(json.dumps(holder["spec"]["template"]))
    template.pop("$patch", None)
    (template.get("metadata", {}).get("labels") or {}).pop("pod-template-hash", None)
    return template


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """What a verb makes of an object: the patch, and what is remembered of it; `did` describes it."""

    body: Object
    facts: Mapping[str, str]


def change(workload: Workload, verb: str, arguments: Mapping[str, object], now: datetime) -> Change:
    """The change that a verb makes to a workload.

    Raises:
        TargetError: an argument is missing or out of its range, or there is nothing to go back to.
    """
    if verb == "restart":
        template = {"metadata": {"annotations": {RESTARTED_AT: now.isoformat(timespec="microseconds")}}}
        return Change(body={"spec": {"template": template}}, facts={"did": f"restarted the pods of {workload.service}"})
    if verb == "scale":
        replicas = arguments.get("replicas")
        if isinstance(replicas, bool) or not isinstance(replicas, int) or not 0 <= replicas <= MOST_REPLICAS:
            raise TargetError(f"scale: `replicas` must be a whole number from 0 to {MOST_REPLICAS}, not {replicas!r}")
        did = f"scaled {workload.service} from {workload.wanted} to {replicas}"
        return Change(body={"spec": {"replicas": replicas}}, facts={"did": did})
    if workload.previous is None:
        raise TargetError(f"{workload.service} has no earlier version to go back to")
    if workload.body["spec"].get("paused"):
        raise TargetError(f"{workload.service} is paused: resume its rollout before it is rolled back")
    observed = (workload.body.get("status") or {}).get("observedGeneration", 0)
    if observed < workload.body["metadata"].get("generation", 0):
        # Its newest revision is not there yet: the one before the newest would be one too old.
        raise TargetError(f"the cluster has not taken up the last change of {workload.service} yet", retry=True)
    before, after = version_of(workload.body["spec"]["template"]), version_of(workload.previous)
    replacement = {"$patch": "replace", **workload.previous}
    did = f"rolled back {workload.service} from {before} to {after}"
    return Change(body={"spec": {"template": replacement}}, facts={"did": did})


def schedulable(node: Object, verb: str) -> Change:
    """The change that `cordon` or `uncordon` makes to a node."""
    name, wanted = node["metadata"]["name"], verb == "cordon"
    if bool(node["spec"].get("unschedulable")) == wanted:
        return Change(body={}, facts={"did": f"nothing: the node {name} is {verb}ed already"})
    return Change(body={"spec": {"unschedulable": wanted}}, facts={"did": f"{verb}ed the node {name}"})


def done(body: Object, key: str) -> Mapping[str, str] | None:
    """What was done to an object with a key."""
    kept: Mapping[str, str] | None = _kept(body).get(key)
    return kept


def remembering(body: Object, made: Change, key: str) -> Object:
    """A change with the memory of its key, for the version of the object that was read."""
    kept = dict(list({**_kept(body), key: dict(made.facts)}.items())[-KEYS_KEPT:])
    version = body["metadata"]["resourceVersion"]
    return {**made.body, "metadata": {"resourceVersion": version, "annotations": {DONE: json.dumps(kept)}}}


def _kept(body: Object) -> dict[str, dict[str, str]]:
    text = (body["metadata"].get("annotations") or {}).get(DONE)
    try:
        kept = json.loads(text) if text else {}
    except ValueError:
        return {}  # somebody else wrote it
    return kept if isinstance(kept, dict) else {}
