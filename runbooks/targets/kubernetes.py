"""A target that is a namespace of a Kubernetes cluster: its Deployments, StatefulSets and DaemonSets are the services.

restart      a rolling restart, as `kubectl rollout restart` does it
rollback     the template of the revision before, as `kubectl rollout undo` does it
scale        {"replicas": n}
delete-pod   {"pod": name}, or the oldest ready one
cordon, uncordon   {"node": name}, or the one that all of the service's pods run on; where `nodes` is set

It takes no leases and holds no faults: an agent beside a service, as a sidecar, does (kind: agent).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Final

from runbooks.targets.cluster import TIMEOUT_S, WORKLOADS, Cluster, ClusterError
from runbooks.targets.workloads import (
    NODE_VERBS,
    Change,
    Object,
    Workload,
    change,
    done,
    remembering,
    schedulable,
    services_of,
)
from watchkeeper.errors import OutOfReachError, TargetError
from watchkeeper.target import Experience, HoldsNoFaults, Lease, ProbeSample, ServiceStatus, TargetSettings
from watchkeeper.text import one_line

SETTINGS: Final = ("namespace", "context", "kubeconfig", "in_cluster", "selector", "nodes")
# Controllers write to the same objects all the time.
TRIES: Final = 6
CONFLICT: Final = 409
# An object as it is now, and what makes the change to it.
Look = tuple[Object, Callable[[], Change]]


class Kubernetes(HoldsNoFaults):
    """A namespace of a Kubernetes cluster. Settings: namespace, selector, nodes; context, kubeconfig or in_cluster."""

    called = "kubernetes"
    agents_place = "as a sidecar of it"

    def __init__(self, settings: TargetSettings) -> None:
        if unknown := sorted(set(settings.values) - set(SETTINGS)):
            raise TargetError(f"settings: kubernetes takes {', '.join(SETTINGS)}, not {', '.join(unknown)}")
        self._cluster = Cluster(settings)
        self._selector = str(settings.values.get("selector") or "")
        self._nodes = settings.values.get("nodes") is True

    @property
    def name(self) -> str:
        return f"{self._cluster.host}/namespaces/{self._cluster.namespace}"

    def close(self) -> None:
        self._cluster.close()

    def services(self) -> Mapping[str, ServiceStatus]:
        return {name: each.status(nodes=self._nodes) for name, each in self._workloads(TIMEOUT_S).items()}

    def status(self, service: str, *, timeout_s: float = TIMEOUT_S) -> ServiceStatus:
        return self._named(service, timeout_s).status(nodes=self._nodes)

    def act(self, service: str, verb: str, *, key: str, arguments: Mapping[str, object] | None = None) -> str:
        workload = self._named(service)
        verbs = workload.status(nodes=self._nodes).capabilities | {"rollback"}
        if verb not in verbs:
            raise TargetError(f"kubernetes takes {', '.join(sorted(verbs))} for {service}, not {one_line(verb, 60)}")
        given = dict(arguments or {})
        if verb == "delete-pod":
            return self._delete_pod(workload, key, str(given.get("pod") or ""))
        if verb in NODE_VERBS:
            return self._set_schedulable(workload, key, verb, str(given.get("node") or ""))

        def look() -> Look:
            current = self._named(service)
            return current.body, lambda: change(current, verb, given, datetime.now(UTC))

        return self._once(workload.kind, workload.name, key, look)["did"]

    def lease(self, lease: Lease) -> str:
        raise TargetError(f"kubernetes takes no leases, such as {lease.verb} of {lease.service}; an agent does")

    def end_lease(self, lease_id: str) -> None:
        """There are none."""

    def probe(self, service: str, *, timeout_s: float = 1.5) -> ProbeSample:  # noqa: ARG002
        raise TargetError(f"kubernetes sends no requests to {service}; an agent beside it does")

    def experience(self) -> Experience | None:
        return None

    def _workloads(self, timeout_s: float) -> dict[str, Workload]:
        try:
            bodies = [
                (kind, body) for kind in WORKLOADS for body in self._cluster.list(kind, self._selector, timeout_s)
            ]
            revisions = [
                revision
                for kind in ("ReplicaSet", "ControllerRevision")
                for revision in self._cluster.list(kind, timeout_s=timeout_s)
            ]
            services = services_of(bodies, revisions)
            for each in services.values():
                each.status(nodes=self._nodes)  # what cannot be read as a service is found here
            return services
        except (AttributeError, KeyError, IndexError, TypeError, ValueError) as error:
            raise TargetError(f"{self.name} answers in another form: {error!r}") from error

    def _named(self, service: str, timeout_s: float = TIMEOUT_S) -> Workload:
        workloads = self._workloads(timeout_s)
        if service not in workloads:
            raise OutOfReachError(f"{self.name} has no service {one_line(service, 100)!r}")
        return workloads[service]

    def _once(self, kind: str, name: str, key: str, look: Callable[[], Look]) -> Mapping[str, str]:
        """Change an object once for a key; what was done, now or before."""
        for attempt in range(1, TRIES + 1):
            body, make = look()
            if (before := done(body, key)) is not None:
                return before
            made = make()
            try:
                self._cluster.patch(kind, name, remembering(body, made, key))
            except ClusterError as error:
                if error.status == CONFLICT and attempt < TRIES:
                    continue
                raise
            return made.facts
        raise AssertionError

    def _delete_pod(self, workload: Workload, key: str, name: str) -> str:
        """What is going to be deleted is remembered first: asked again, the same pod is meant, and no other."""

        def choose() -> Change:
            pod = _chosen_pod(workload, self._cluster.list("Pod", workload.selector), name)["metadata"]
            facts = {
                "did": f"deleted the pod {pod['name']} of {workload.service}",
                "pod": pod["name"],
                "uid": pod["uid"],
            }
            return Change(body={}, facts=facts)

        facts = self._once(workload.kind, workload.name, key, lambda: (self._named(workload.service).body, choose))
        self._cluster.delete_pod(facts["pod"], facts["uid"])
        return facts["did"]

    def _set_schedulable(self, workload: Workload, key: str, verb: str, node: str) -> str:
        if not node:
            pods = self._cluster.list("Pod", workload.selector)
            nodes = sorted({str(pod["spec"]["nodeName"]) for pod in pods if pod["spec"].get("nodeName")})
            if len(nodes) != 1:
                where = f"runs on {', '.join(nodes)}" if nodes else "runs on no node"
                raise TargetError(f"{verb}: {workload.service} {where}; name the `node`")
            node = nodes[0]

        def look() -> Look:
            body = self._cluster.node(node)
            return body, lambda: schedulable(body, verb)

        return self._once("Node", node, key, look)["did"]


def _chosen_pod(workload: Workload, pods: list[Object], name: str) -> Object:
    """The pod of a name, else the oldest that is ready, else the oldest.

    Raises:
        TargetError: the workload has no such pod.
    """
    if name:
        pods = [pod for pod in pods if pod["metadata"]["name"] == name]
    alive = [pod for pod in pods if not pod["metadata"].get("deletionTimestamp")]
    if not alive:
        raise TargetError(f"{workload.service} has no pod{f' {one_line(name, 100)!r}' if name else ''} that runs")

    def rank(pod: Object) -> tuple[bool, str, str]:
        conditions = (pod.get("status") or {}).get("conditions") or ()
        ready = any(each["type"] == "Ready" and each["status"] == "True" for each in conditions)
        return not ready, str(pod["metadata"].get("creationTimestamp") or ""), str(pod["metadata"]["name"])

    return min(alive, key=rank)
