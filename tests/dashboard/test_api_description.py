"""The API as its own description says: schemathesis sends what fits it and what does not, to the web role as served."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from tests.dashboard.api_site import TOKENS, Site, api_site

HERE: Final = Path(__file__).parent
# More of it: WATCHKEEPER_API_MINUTES=10 pytest tests/dashboard/test_api_description.py
MINUTES: Final = float(os.environ.get("WATCHKEEPER_API_MINUTES", "0"))
METHODS: Final = ("get", "put", "post", "delete")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder: Path = tmp_path_factory.mktemp("api")
    with api_site(folder) as running:
        yield running


@pytest.fixture(scope="module")
def described(site: Site) -> dict[str, Any]:
    with site.client() as reader:
        tree: dict[str, Any] = reader.get("/api/openapi.json").json()
    return tree


def operations(described: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, methods in described["paths"].items():
        for method in METHODS:
            if method in methods:
                yield method, path, methods[method]


def known_ids(site: Site) -> dict[str, list[str]]:
    """A record of each kind, made over the API."""
    with site.client("full") as program:

        def made(path: str, body: Any = None) -> dict[str, Any]:
            answer = program.post(f"/api/v1/{path}", json=body)
            assert answer.status_code in (200, 201), answer.text
            tree: dict[str, Any] = answer.json()
            return tree

        one = site.incident_id
        made(f"postmortems/{one}/begin")
        entry = {"at": "2026-03-01T06:00:00Z", "text": "called the bank"}
        made(f"postmortems/{one}/timeline", entry)
        action = made(f"postmortems/{one}/actions", {"text": "add a limit", "owner": "ana"})["action"]["id"]
        lines = program.get(f"/api/v1/postmortems/{one}").json()["timeline"]
        update = made(f"status/incidents/{one}/post", {"audience": "internal", "text": "we look into it"})["id"]
        now = program.get("/api/v1/oncall/rota").json()["since"]
        soon = now[:10] + "T23:59:59Z"
        silence = made("silences", {"service": "cart", "reason": "deploy", "end": soon})["id"]
        later = {"start": "2027-01-01T00:00:00Z", "end": "2027-01-01T01:00:00Z"}
        override = made("oncall/overrides", {"schedule": "primary", "person": "ben"} | later)["id"]
    return {
        "incident_id": [one],
        "action_id": [action],
        "entry_id": [line["id"] for line in lines],
        "update_id": [update],
        "silence_id": [silence],
        "override_id": [override],
        "name": ["ana", "primary"],
    }


@pytest.mark.timeout(900 + 60 * MINUTES)
@pytest.mark.parametrize("token", ["full", ""])
def test_schemathesis_finds_nothing(site: Site, tmp_path: Path, token: str) -> None:
    """With every scope and without any: no 5xx, only answers that are described, and nothing wrong is taken."""
    head = ["-H", f"Authorization: Bearer wk_{token}"] if token else []
    much = ["-n", "1000", "--max-time", str(int(MINUTES * 60))] if MINUTES else ["-n", "6", "--seed", "1"]
    environment = {
        **os.environ,
        "WATCHKEEPER_KNOWN_IDS": json.dumps(known_ids(site)) if token else "{}",
        "SCHEMATHESIS_HOOKS": "tests.dashboard.api_hooks",
        "PYTHONPATH": str(HERE.parents[1]),
    }
    done = subprocess.run(
        [
            *(sys.executable, "-m", "schemathesis.cli", "--no-color", "--config-file", str(HERE / "schemathesis.toml")),
            *("run", f"{site.config.web_url}/api/openapi.json", *head, *much),
            *("--phases", "examples,coverage,fuzzing", "--warnings", "off", "--suppress-health-check", "all"),
            # Wrong tokens cost their sender more and more time, as they should; who may what is tested below.
            *("--exclude-checks", "ignored_auth" if token else "ignored_auth,positive_data_acceptance"),
        ],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[:20_000] + done.stderr[-5_000:]
    print(done.stdout[-600:])


def test_every_operation_says_who_may(described: dict[str, Any], site: Site) -> None:
    """Without a credential nobody acts; a token without the scope is a 403; each as the description says."""
    for method, path, operation in operations(described):
        needs = operation["security"]
        assert ({} in needs) == (method == "get"), f"{method} {path}"
        scopes = next(each["token"] for each in needs if "token" in each)
        place = path.replace("{command}", "note").replace("{answer}", "accept")
        place = "/".join("0" if part.startswith("{") else part for part in place.split("/"))
        with site.client() as nobody:
            status = nobody.request(method, place, json=_fitting(described, operation)).status_code
            assert (status == 401) == (method != "get"), f"{method} {path} answers {status} without a token"
        for token, may in TOKENS.items():
            if set(scopes) <= set(may):
                continue
            with site.client(token) as program:
                status = program.request(method, place, json=_fitting(described, operation)).status_code
            assert status == 403, f"{method} {path} answers {status} to a token for {token}"


def _fitting(described: dict[str, Any], operation: dict[str, Any]) -> Any:
    """A body that fits, with what must be there only."""
    if "requestBody" not in operation:
        return None
    schema = operation["requestBody"]["content"]["application/json"]["schema"]
    schema = schema if "$ref" in schema else next((s for s in schema["anyOf"] if "$ref" in s), {})
    tree = described["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
    samples = {"start": "2027-01-01T00:00:00Z", "end": "2027-01-01T01:00:00Z", "at": "2026-03-01T00:00:00Z"}
    body: dict[str, Any] = {}
    for name in tree.get("required", ()):
        kind = tree["properties"][name]
        body[name] = (
            samples.get(name)
            or {"revision": 1, "fields": {"summary": "x"}, "audience": "internal", "shift": samples | {}}.get(name)
            or ({} if kind.get("type") == "object" else [] if kind.get("type") == "array" else "x")
        )
    if "shift" in body:
        body["shift"] = {key: samples[key] for key in ("start", "end")}
    return body


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"])
def test_another_method_is_a_405_with_those_that_there_are(site: Site, method: str) -> None:
    with site.client("full") as program:
        answer = program.request(method, "/api/v1/incidents")
        assert (answer.status_code, answer.headers["allow"]) == (405, "GET, POST")
        assert "takes GET and POST" in answer.json()["error"]
        assert program.request(method, "/api/v1/nothing").status_code == 404


@pytest.mark.parametrize("path", ["incidents/x/resolve", "oncall/swaps", "silences", "postmortems/x/edit"])
def test_a_field_that_nobody_knows_is_refused_with_its_path(site: Site, path: str) -> None:
    with site.client("full") as program:
        answer = program.post(f"/api/v1/{path}", json={"surprise": 1})
    assert answer.status_code == 422
    assert "body.surprise" in answer.json()["error"]
