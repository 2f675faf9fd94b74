"""The connection to a Kubernetes API server, by the optional client library: objects as they are, errors in words.

Objects stay the mappings that the server sends: a pod template must go back into it without a field lost.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from watchkeeper.errors import TargetError
from watchkeeper.target import TargetSettings
from watchkeeper.text import one_line

if TYPE_CHECKING:
    from kubernetes.client import ApiClient, Configuration

Object = Mapping[str, Any]
TIMEOUT_S: Final = 30.0
MISSING: Final = (
    "the kind kubernetes needs the Kubernetes client: install Watchkeeper with its extra `kubernetes` "
    "(in a clone: .venv/bin/uv pip install --python .venv/bin/python 'kubernetes>=37')"
)
WORKLOADS: Final = ("Deployment", "StatefulSet", "DaemonSet")
# Kind → how the client's methods name it.
_NOUNS: Final = {
    "Deployment": "deployment",
    "StatefulSet": "stateful_set",
    "DaemonSet": "daemon_set",
    "ReplicaSet": "replica_set",
    "ControllerRevision": "controller_revision",
    "Pod": "pod",
}


class ClusterError(TargetError):
    """The API server refused; `status` is HTTP's."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message, retry=status >= 500 or status == 429)
        self.status = status


class Cluster:
    """One namespace of a cluster, and its nodes."""

    def __init__(self, settings: TargetSettings) -> None:
        try:
            from kubernetes.client import AppsV1Api, CoreV1Api
        except ImportError as error:
            raise TargetError(MISSING) from error
        self._client = _connected(settings)
        self._apps, self._core = AppsV1Api(self._client), CoreV1Api(self._client)
        self.host = str(self._client.configuration.host)
        self.namespace = str(settings.values.get("namespace") or "default")

    def close(self) -> None:
        self._client.rest_client.pool_manager.clear()

    def list(self, kind: str, selector: str = "", timeout_s: float = TIMEOUT_S) -> list[Object]:
        """Every object of a kind in the namespace."""
        api = self._core if kind == "Pod" else self._apps
        method = getattr(api, f"list_namespaced_{_NOUNS[kind]}")
        more = {"label_selector": selector} if selector else {}
        listed = self._ask(f"list {kind}", method, self.namespace, timeout_s=timeout_s, **more)
        return list(listed["items"])

    def node(self, name: str) -> Object:
        return self._ask(f"read node {name}", self._core.read_node, name)

    def patch(self, kind: str, name: str, body: Object) -> Object:
        """Merge into an object; refused with status 409 if it has another `resourceVersion` than the body."""
        if kind == "Node":
            return self._ask(f"change node {name}", self._core.patch_node, name, dict(body))
        method = getattr(self._apps, f"patch_namespaced_{_NOUNS[kind]}")
        return self._ask(f"change {kind} {name}", method, name, self.namespace, dict(body))

    def delete_pod(self, name: str, uid: str) -> None:
        """Delete this pod, and no later one of its name; nothing happens where it is gone."""
        from kubernetes.client import V1DeleteOptions, V1Preconditions

        options = V1DeleteOptions(preconditions=V1Preconditions(uid=uid))
        try:
            self._ask(f"delete pod {name}", self._core.delete_namespaced_pod, name, self.namespace, body=options)
        except ClusterError as error:
            if error.status not in (404, 409):
                raise

    def _ask(
        self, what: str, method: Callable[..., Any], *given: Any, timeout_s: float = TIMEOUT_S, **more: Any
    ) -> Object:
        from kubernetes.client.exceptions import ApiException
        from urllib3.exceptions import HTTPError

        try:
            response = method(*given, _preload_content=False, _request_timeout=timeout_s, **more)
            status, body = int(response.status), response.read()
        except ApiException as error:
            status, body = int(error.status or 0), error.body or error.reason or ""
        except (HTTPError, OSError) as error:
            words = f"the cluster at {self.host} does not answer: {one_line(str(error))}"
            raise TargetError(words, retry=True) from error
        try:
            answer = json.loads(body)
        except ValueError:
            answer = None
        if not 200 <= status < 300:
            said = answer.get("message") if isinstance(answer, dict) else body
            raise ClusterError(f"{what}: {status} {one_line(str(said))}", status)
        if not isinstance(answer, dict):
            raise TargetError(f"the cluster at {self.host} answers {what} in another form: {one_line(str(body))}")
        return answer


def _connected(settings: TargetSettings) -> ApiClient:
    """By address and token, by the account of the pod that we run in, or by a kubeconfig file."""
    from kubernetes import config
    from kubernetes.client import ApiClient, Configuration
    from kubernetes.config.config_exception import ConfigException

    values = settings.values
    if settings.url and (values.get("in_cluster") or values.get("context") or values.get("kubeconfig")):
        raise TargetError("settings: url names the API server already; leave in_cluster, context and kubeconfig out")
    made = Configuration()
    try:
        if settings.url:
            made.host = settings.url
            if settings.token:
                made.api_key = {"BearerToken": settings.token}
                made.api_key_prefix = {"BearerToken": "Bearer"}
            for name in ("ca_file", "cert_file", "key_file"):
                path = getattr(settings, name)
                if path and not path.is_file():
                    raise TargetError(f"{name}: {path} is not there")
                setattr(made, {"ca_file": "ssl_ca_cert"}.get(name, name), str(path) if path else None)
        elif values.get("in_cluster"):
            config.load_incluster_config(client_configuration=made)  # type: ignore[no-untyped-call]
        else:
            _load_file(made, str(values.get("kubeconfig") or ""), str(values.get("context") or "") or None)
    except ConfigException as error:
        raise TargetError(f"settings: no cluster is known: {one_line(str(error))}") from error
    # A request is asked again by whoever knows its key, and not twice without anybody's knowledge.
    made.retries = 0
    return ApiClient(made)


def _load_file(made: Configuration, path: str, context: str | None) -> None:
    from kubernetes import config

    file = Path(path).expanduser() if path else None
    if file and not file.is_absolute():
        raise TargetError(f"settings: kubeconfig {path} must be an absolute path")
    if file and not file.is_file():
        raise TargetError(f"settings: kubeconfig {path} is not there")
    config.load_kube_config(  # type: ignore[no-untyped-call]
        str(file) if file else None, context, client_configuration=made, persist_config=False
    )
