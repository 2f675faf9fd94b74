"""Free a worker that takes no jobs any more."""


class Unjam:
    """Frees a worker that takes no jobs; does nothing to one that works."""

    needs = frozenset({"unjam"})

    def plan(self, service, status):
        return f"have the worker of {service} take jobs again"

    def run(self, target, service, key):
        return target.act(service, "unjam", key=key)
