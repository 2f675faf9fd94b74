"""The fault `bad_deploy`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from chaos.fault import Baseline, do, leased
from watchkeeper.target import LEASE, Lease, ProbeSample, Target
from watchkeeper.vocabulary import Mechanism


@dataclass(frozen=True, slots=True, kw_only=True)
class BadDeploy:
    """Deploys a version that fails most requests.

    Its change event goes out as usual. An agent runs the pair of commands that its file calls `bad_deploy`.
    """

    name: str = "bad_deploy"
    held_as: str = "command"
    mechanism: Mechanism = "deploy"
    description: str = "a new version goes out, and most of its requests fail"
    needs: frozenset[str] = frozenset({"deploy", "rollback", LEASE})

    @property
    def held_arguments(self) -> Mapping[str, float | str]:
        """What an agent is asked for."""
        return {"command": "bad_deploy"}

    @contextmanager
    def inject(self, target: Target, service: str, bound_s: float) -> Iterator[None]:
        """Deploy; roll back on exit, unless somebody did so already."""
        good = target.status(service).version
        with leased(target, Lease(service=service, verb="rollback", after_s=bound_s, unless_version=good)):
            try:
                do(target, service, "deploy", defect="errors")
                yield
            finally:
                if target.status(service).version != good:
                    do(target, service, "rollback")

    def harmed(self, target: Target, service: str, before: Baseline, sample: ProbeSample) -> str:
        if sample.status < 500:
            return ""
        version = target.status(service).version
        if version == before.state.version:
            return ""
        return f"version {version} answers {sample.status}; {before.state.version} did not"
