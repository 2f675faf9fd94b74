"""Every role on IPv6: what `validate` takes as a host, each role can listen on and each other role can reach."""

from __future__ import annotations

from pathlib import Path

import grpc
import httpx
import pytest
import yaml
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2_grpc import TraceServiceStub

from chaos.demo.ports import free_port
from watchkeeper.config import load
from watchkeeper.roles.up import Supervisor

pytestmark = [pytest.mark.slow, pytest.mark.end_to_end, pytest.mark.timeout(240)]


def test_every_role_serves_on_ipv6(tmp_path: Path) -> None:
    """Store, receivers, dashboard and stand-in on ::1 become ready, and answer there."""
    try:
        free_port("::1")
    except OSError:
        pytest.skip("this machine has no IPv6")
    tree = {
        "data_dir": "data",
        "store": {"host": "::1", "port": free_port("::1")},
        "ingest": {"host": "::1", "otlp_http_port": free_port("::1"), "otlp_grpc_port": free_port("::1")},
        "web": {"host": "::1", "port": free_port("::1")},
        "slack": {"stand_in": {"host": "::1", "port": free_port("::1")}},
    }
    path = tmp_path / "w.yaml"
    path.write_text(yaml.safe_dump(tree))
    config = load(path)
    supervisor = Supervisor(config, path, notify=lambda _: None)
    try:
        supervisor.start()
        for url in (config.web_url, f"http://[::1]:{config.ingest.otlp_http_port}"):
            assert httpx.get(f"{url}/healthz", timeout=60, trust_env=False).status_code == 200
        auth = httpx.post(
            config.slack_api_url() + "auth.test",
            headers={"Authorization": f"Bearer {config.slack_token()}"},
            timeout=60,
            trust_env=False,
        )
        assert auth.json()["ok"]
        with grpc.insecure_channel(f"[::1]:{config.ingest.otlp_grpc_port}") as channel:
            TraceServiceStub(channel).Export(ExportTraceServiceRequest(), timeout=60)
    finally:
        supervisor.stop()
