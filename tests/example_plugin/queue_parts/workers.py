"""A target of queue workers that take requests over HTTP."""

from dataclasses import asdict
from time import time

import httpx

from watchkeeper.errors import TargetError
from watchkeeper.target import LEASE, PROBE, ProbeSample, ServiceStatus

CAN = frozenset({"jam", "unjam", LEASE, PROBE})


class Workers:
    """Queue workers behind one address, the setting `url`. They take the verbs `jam` and `unjam`."""

    def __init__(self, settings):
        self.name = str(settings.values["url"])

    def ask(self, path, **fields):
        try:
            return httpx.post(self.name + path, json=fields, timeout=5).raise_for_status().json()
        except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
            raise TargetError(f"{self.name}{path}: {error}", retry=isinstance(error, httpx.TransportError)) from error

    def services(self):
        return {row["service"]: ServiceStatus(capabilities=CAN, may_break=True, **row) for row in self.ask("/status")}

    def status(self, service, *, timeout_s=30.0):
        if service not in (services := self.services()):
            raise TargetError(f"{self.name} has no queue {service!r}; there are {', '.join(services)}")
        return services[service]

    def act(self, service, verb, *, key, arguments=None):
        return self.ask(f"/{service}/{verb}", key=key)

    def lease(self, lease):
        return self.ask(f"/{lease.service}/lease", **asdict(lease))

    def end_lease(self, lease_id):
        self.ask(f"/{lease_id}/end-lease")

    def probe(self, service, *, timeout_s=1.5):
        at = time()
        status = httpx.get(f"{self.name}/{service}", timeout=timeout_s).status_code
        return ProbeSample(at=at, seconds=time() - at, status=status)

    def experience(self): ...

    def close(self): ...
