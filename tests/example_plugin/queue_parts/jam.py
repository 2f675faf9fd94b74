"""A worker takes no jobs any more, and its queue fills up."""

from contextlib import contextmanager

from chaos.fault import do, leased
from watchkeeper.target import LEASE, Lease


class Jam:
    """Jams a worker; the target frees it after the bound, also where the injector was killed."""

    name = "jam"
    mechanism = "hung"
    description = "its worker takes no jobs, and the queue fills up"
    needs = frozenset({"jam", "unjam", LEASE})

    @contextmanager
    def inject(self, target, service, bound_s):
        with leased(target, Lease(service=service, verb="unjam", after_s=bound_s)):
            do(target, service, "jam")
            try:
                yield
            finally:
                do(target, service, "unjam")

    def harmed(self, target, service, before, sample):
        return f"its worker answers {sample.status}" if sample.status == 503 else ""
