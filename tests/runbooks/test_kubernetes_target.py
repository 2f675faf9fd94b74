"""The kind of target `kubernetes`, against a server that answers the API's paths; there is no cluster behind it."""

from __future__ import annotations

import builtins
import json
import re
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from runbooks.targets.kubernetes import Kubernetes
from runbooks.targets.workloads import KEYS_KEPT, version_of
from tests.runbooks.kubernetes_server import KubernetesServer, kubernetes_server, node, pod, workload
from watchkeeper.conformance import target_suite
from watchkeeper.errors import OutOfReachError, TargetError
from watchkeeper.target import Lease, TargetSettings

DOCUMENT = Path(__file__).parents[2] / "docs" / "kubernetes.md"


def rules() -> list[dict[str, Any]]:
    """Every rule of the Role and the ClusterRole that the documentation gives."""
    text = DOCUMENT.read_text()
    documents = [
        each for block in re.findall(r"```yaml\n(.*?)```", text, re.DOTALL) for each in yaml.safe_load_all(block)
    ]
    return [rule for each in documents for rule in each.get("rules", ())]


def settings(server: KubernetesServer, **values: str | bool) -> TargetSettings:
    return TargetSettings(url=server.url, token="t", values={"namespace": "shop", **values})


@pytest.fixture
def server() -> Iterator[KubernetesServer]:
    """Three kinds of workloads, two pods and a node; what is asked must be allowed by the documented roles."""
    marked = {"annotations": {"watchkeeper/may-break": "true"}}
    with kubernetes_server(
        workload("Deployment", "web", "registry/web:1.4", **marked),
        workload("StatefulSet", "db", "registry:5000/db@sha256:abc", replicas=1),
        workload("DaemonSet", "logs", "logs", replicas=3),
        pod("web-b", "web", "2026-01-02T00:00:00Z"),
        pod("web-a", "web", "2026-01-01T00:00:00Z", ready=False),
        node("n1"),
        rules=rules(),
    ) as each:
        yield each


@pytest.fixture
def cluster(server: KubernetesServer) -> Iterator[Kubernetes]:
    each = Kubernetes(settings(server, nodes=True))
    yield each
    each.close()


class TestConformance(target_suite({"kubernetes": Kubernetes})):  # type: ignore[misc]
    @pytest.fixture(scope="class")
    @classmethod
    def settings(cls) -> Iterator[TargetSettings]:
        """A server that stays for all checks."""
        with kubernetes_server(workload("Deployment", "web", "web:1")) as server:
            yield settings(server)


def test_workloads_are_services(cluster: Kubernetes) -> None:
    """State, version, what can be done, and who has opted in."""
    services = cluster.services()
    assert set(services) == {"web", "db", "logs"}
    assert {name: status.version for name, status in services.items()} == {
        "web": "1.4",
        "db": "sha256:abc",
        "logs": "latest",
    }
    assert {name for name, status in services.items() if status.may_break} == {"web"}
    assert services["web"].capabilities == {"restart", "scale", "delete-pod", "cordon", "uncordon"}
    assert services["logs"].capabilities == {"restart", "delete-pod", "cordon", "uncordon"}
    assert all(status.state == "running" for status in services.values())


def test_states_follow_what_is_wanted_and_ready(server: KubernetesServer, cluster: Kubernetes) -> None:
    """Scaled to nothing is absent, none ready is exited."""
    server.objects["StatefulSet"]["db"]["status"]["readyReplicas"] = 0
    del server.objects["DaemonSet"]["logs"]["status"]["numberReady"]
    cluster.act("web", "scale", key="k", arguments={"replicas": 0})
    states = {name: (status.state, bool(status.instance)) for name, status in cluster.services().items()}
    assert states == {"web": ("absent", False), "db": ("exited", True), "logs": ("exited", True)}


def test_a_name_that_two_kinds_have(server: KubernetesServer, cluster: Kubernetes) -> None:
    """The second one's kind stands before it, so that neither hides the other."""
    server.put(workload("StatefulSet", "web", "web:9"))
    assert {"web", "statefulset.web"} <= set(cluster.services())
    cluster.act("statefulset.web", "scale", key="k", arguments={"replicas": 5})
    assert server.objects["StatefulSet"]["web"]["spec"]["replicas"] == 5
    assert server.objects["Deployment"]["web"]["spec"]["replicas"] == 2


def test_a_selector_leaves_the_others_alone(server: KubernetesServer) -> None:
    """What does not carry the label is not there."""
    each = Kubernetes(settings(server, selector="app=db"))
    assert set(each.services()) == {"db"}
    with pytest.raises(OutOfReachError, match="has no service 'web'"):
        each.act("web", "restart", key="k")
    each.close()


@pytest.mark.parametrize(("kind", "service"), [("Deployment", "web"), ("StatefulSet", "db"), ("DaemonSet", "logs")])
def test_rollback_puts_the_whole_template_back(
    server: KubernetesServer, cluster: Kubernetes, kind: str, service: str
) -> None:
    """What the newer version added is gone, too; and once for each key."""
    before = json.loads(json.dumps(server.objects[kind][service]["spec"]["template"]))
    with pytest.raises(TargetError, match=f"{service} has no earlier version to go back to"):
        cluster.act(service, "rollback", key="early")
    body = json.loads(json.dumps(server.objects[kind][service]))
    body["spec"]["template"]["spec"]["containers"] = [{"name": "main", "image": "web:bad", "env": [{"name": "X"}]}]
    body["spec"]["template"]["metadata"]["labels"]["added"] = "yes"
    server.put(body)
    status = cluster.status(service)
    assert (status.version, status.previous_version) == ("bad", version_of(before))
    did = cluster.act(service, "rollback", key="k")
    assert did == f"rolled back {service} from bad to {version_of(before)}"
    assert server.objects[kind][service]["spec"]["template"] == before
    assert cluster.act(service, "rollback", key="k") == did
    assert server.objects[kind][service]["spec"]["template"] == before
    assert cluster.status(service).previous_version == "bad"


def test_rollback_waits_for_the_revision_of_the_last_change(server: KubernetesServer, cluster: Kubernetes) -> None:
    """Before the controllers have made it, the one before the newest would be one too old."""
    for image in ("web:2", "web:3"):
        body = json.loads(json.dumps(server.objects["Deployment"]["web"]))
        body["spec"]["template"]["spec"]["containers"][0]["image"] = image
        server.put(body)
    server.objects["Deployment"]["web"]["metadata"]["generation"] = 7
    with pytest.raises(TargetError, match="has not taken up the last change of web yet") as error:
        cluster.act("web", "rollback", key="k")
    assert error.value.retry
    server.objects["Deployment"]["web"]["status"]["observedGeneration"] = 7
    server.objects["Deployment"]["web"]["spec"]["paused"] = True
    with pytest.raises(TargetError, match="web is paused"):
        cluster.act("web", "rollback", key="k")


def test_a_restart_changes_the_template_and_nothing_else(server: KubernetesServer, cluster: Kubernetes) -> None:
    """As kubectl does it, with the memory of the key in the same patch."""
    cluster.act("db", "restart", key="k")
    (patch,) = server.patches
    assert set(patch) == {"spec", "metadata"}
    assert set(patch["spec"]["template"]["metadata"]["annotations"]) == {"kubectl.kubernetes.io/restartedAt"}
    assert json.loads(patch["metadata"]["annotations"]["watchkeeper/done"]) == {
        "k": {"did": "restarted the pods of db"}
    }


@pytest.mark.parametrize("replicas", [-1, 101, "3", 2.5, True, None])
def test_scale_takes_whole_numbers_in_a_range(server: KubernetesServer, cluster: Kubernetes, replicas: object) -> None:
    """Anything else is refused, and nothing is changed."""
    with pytest.raises(TargetError, match="`replicas` must be a whole number from 0 to 100"):
        cluster.act("web", "scale", key="k", arguments={"replicas": replicas})
    assert server.patches == []
    with pytest.raises(TargetError, match="not scale"):
        cluster.act("logs", "scale", key="k", arguments={"replicas": 1})


def test_a_controller_that_was_faster_is_no_failure(server: KubernetesServer, cluster: Kubernetes) -> None:
    """The change is made to what is read anew; one that never succeeds is told."""
    server.conflicts = 3
    assert cluster.act("web", "scale", key="k", arguments={"replicas": 4}) == "scaled web from 2 to 4"
    server.conflicts = 99
    with pytest.raises(TargetError, match="change Deployment web: 409 the object has been modified"):
        cluster.act("web", "scale", key="k2", arguments={"replicas": 5})


def test_old_keys_are_forgotten(server: KubernetesServer, cluster: Kubernetes) -> None:
    """An annotation must not grow without bound; the newest keys stay. One that somebody overwrote is made anew."""
    for number in range(KEYS_KEPT + 5):
        cluster.act("web", "scale", key=f"k{number}", arguments={"replicas": number})
    annotations = server.objects["Deployment"]["web"]["metadata"]["annotations"]
    kept = json.loads(annotations["watchkeeper/done"])
    assert list(kept) == [f"k{number}" for number in range(5, KEYS_KEPT + 5)]
    assert annotations["watchkeeper/may-break"] == "true"
    annotations["watchkeeper/done"] = "no JSON"
    cluster.act("web", "restart", key="new")
    assert list(json.loads(server.objects["Deployment"]["web"]["metadata"]["annotations"]["watchkeeper/done"])) == [
        "new"
    ]


def test_one_pod_is_deleted_for_a_key(server: KubernetesServer, cluster: Kubernetes) -> None:
    """The oldest that is ready; asked again, no other, also not a new one of its name."""
    did = cluster.act("web", "delete-pod", key="k")
    assert did == "deleted the pod web-b of web"
    server.put(pod("web-b", "web", "2026-01-03T00:00:00Z"))
    server.objects["Pod"]["web-b"]["metadata"]["uid"] = "another"
    assert cluster.act("web", "delete-pod", key="k") == did
    assert set(server.objects["Pod"]) == {"web-a", "web-b"}
    cluster.act("web", "delete-pod", key="k2", arguments={"pod": "web-a"})
    assert set(server.objects["Pod"]) == {"web-b"}
    for strange in ("db-0", "../nodes"):
        with pytest.raises(TargetError, match="web has no pod"):
            cluster.act("web", "delete-pod", key="k3", arguments={"pod": strange})
    with pytest.raises(TargetError, match="logs has no pod that runs"):
        cluster.act("logs", "delete-pod", key="k4")


def test_a_kill_between_choice_and_deletion_deletes_the_pod_that_was_chosen(
    server: KubernetesServer, cluster: Kubernetes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The choice is on the cluster before the pod is deleted."""
    gone: Callable[..., None] = cluster._cluster.delete_pod

    def killed(*_: str) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(cluster._cluster, "delete_pod", killed)
    with pytest.raises(KeyboardInterrupt):
        cluster.act("web", "delete-pod", key="k")
    monkeypatch.setattr(cluster._cluster, "delete_pod", gone)
    server.objects["Pod"]["web-a"]["status"]["conditions"][0]["status"] = "True"
    assert cluster.act("web", "delete-pod", key="k") == "deleted the pod web-b of web"
    assert set(server.objects["Pod"]) == {"web-a"}


def test_nodes_are_cordoned_where_that_is_set(server: KubernetesServer, cluster: Kubernetes) -> None:
    """The service's only node, or the one named; without the setting nobody touches a node."""
    assert cluster.act("web", "cordon", key="c") == "cordoned the node n1"
    assert server.objects["Node"]["n1"]["spec"]["unschedulable"] is True
    assert cluster.act("web", "cordon", key="c2") == "nothing: the node n1 is cordoned already"
    assert cluster.act("web", "uncordon", key="u", arguments={"node": "n1"}) == "uncordoned the node n1"
    assert cluster.act("web", "cordon", key="c") == "cordoned the node n1"
    assert server.objects["Node"]["n1"]["spec"]["unschedulable"] is False
    server.objects["Pod"]["web-a"]["spec"]["nodeName"] = "n2"
    with pytest.raises(TargetError, match="cordon: web runs on n1, n2; name the `node`"):
        cluster.act("web", "cordon", key="c3")
    with pytest.raises(TargetError, match="cordon: logs runs on no node"):
        cluster.act("logs", "cordon", key="c4")
    careful = Kubernetes(settings(server))
    with pytest.raises(TargetError, match="not cordon"):
        careful.act("web", "cordon", key="c5")
    careful.close()


def test_the_documented_roles_grant_what_is_asked_and_nothing_else(
    server: KubernetesServer, cluster: Kubernetes
) -> None:
    """Every request of this file passed them; here each verb is used, and no grant is left over."""
    for service in ("web", "db", "logs"):
        body = json.loads(json.dumps(server.objects[cluster._named(service).kind][service]))
        body["spec"]["template"]["spec"]["containers"][0]["image"] = "x:2"
        server.put(body)
        for verb in ("restart", "rollback"):
            cluster.act(service, verb, key=verb)
    cluster.act("web", "scale", key="s", arguments={"replicas": 1})
    cluster.act("web", "cordon", key="c")
    cluster.act("web", "delete-pod", key="d")
    granted = {(verb, resource) for rule in rules() for resource in rule["resources"] for verb in rule["verbs"]}
    assert server.asked == granted


def test_refusals_are_the_clusters_own_words(server: KubernetesServer, cluster: Kubernetes) -> None:
    """No permission, a wrong token, nobody there: one sentence each."""
    server.rules = []
    with pytest.raises(TargetError, match="list Deployment: 403 deployments is forbidden: User"):
        cluster.services()
    server.token = "other"
    with pytest.raises(TargetError, match="list Deployment: 401 Unauthorized"):
        cluster.services()
    free = socket.create_server(("127.0.0.1", 0))
    port = free.getsockname()[1]
    free.close()
    nobody = Kubernetes(TargetSettings(url=f"http://127.0.0.1:{port}"))
    with pytest.raises(TargetError, match="does not answer") as error:
        nobody.services()
    assert error.value.retry
    nobody.close()


def test_objects_of_another_form_are_an_error(server: KubernetesServer, cluster: Kubernetes) -> None:
    """Nothing is made up for what cannot be read."""
    del server.objects["Deployment"]["web"]["spec"]["template"]
    with pytest.raises(TargetError, match="answers in another form"):
        cluster.services()


def test_it_holds_no_faults_and_no_leases(cluster: Kubernetes) -> None:
    """Nothing that could stay broken is begun; the way is named. There is nothing to stop."""
    with pytest.raises(TargetError, match="Run an agent as a sidecar"):
        cluster.begin_fault("web", "hang", seconds=9, key="k")
    with pytest.raises(TargetError, match="takes no leases"):
        cluster.lease(Lease(service="web", verb="restart", after_s=1))
    cluster.stop()
    cluster.resume()


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({"cluster": "x"}, "kubernetes takes namespace, context, kubeconfig, in_cluster, selector, nodes, not cluster"),
        ({"kubeconfig": "relative"}, "kubeconfig relative must be an absolute path"),
        ({"kubeconfig": "/nowhere/config"}, "kubeconfig /nowhere/config is not there"),
        ({"in_cluster": True}, "no cluster is known: "),
    ],
)
def test_settings_are_checked(values: dict[str, str | bool], reason: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each mistake names the setting."""
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    with pytest.raises(TargetError, match=re.escape(reason)):
        Kubernetes(TargetSettings(values=values))


def test_a_kubeconfig_file_and_its_contexts(server: KubernetesServer, tmp_path: Path) -> None:
    """The cluster, the account and the namespace come from where kubectl has them."""
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "here", "cluster": {"server": server.url}}],
        "users": [{"name": "wk", "user": {"token": "t"}}, {"name": "other", "user": {"token": "no"}}],
        "contexts": [
            {"name": "good", "context": {"cluster": "here", "user": "wk"}},
            {"name": "bad", "context": {"cluster": "here", "user": "other"}},
        ],
        "current-context": "bad",
    }
    file = tmp_path / "config"
    file.write_text(yaml.safe_dump(config))
    values = {"kubeconfig": str(file), "namespace": "shop"}
    good = Kubernetes(TargetSettings(values={**values, "context": "good"}))
    assert good.name == f"{server.url}/namespaces/shop"
    assert "web" in good.services()
    good.close()
    bad = Kubernetes(TargetSettings(values=values))
    with pytest.raises(TargetError, match="401"):
        bad.services()
    bad.close()
    with pytest.raises(TargetError, match="no cluster is known"):
        Kubernetes(TargetSettings(values={**values, "context": "third"}))


def test_without_the_client_library_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is imported when a target of this kind is opened, and not before."""
    real = builtins.__import__

    def absent(name: str, *more: Any, **options: Any) -> Any:
        if name.partition(".")[0] == "kubernetes":
            raise ImportError(name)
        return real(name, *more, **options)

    monkeypatch.setattr(builtins, "__import__", absent)
    with pytest.raises(TargetError, match="install Watchkeeper with its extra `kubernetes`"):
        Kubernetes(TargetSettings(url="http://127.0.0.1:1"))
