"""How often each node showed each anomaly in past incidents: the measure of what is unusual even in trouble.

No label is needed. The prior of a node's frequencies are those of its siblings (instances of one service), and
the prior of these all nodes, each with the weight of `PRIOR_INCIDENTS`; so a handful of incidents already helps.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from rca.case import F64, I64, Text, codes

PRIOR_INCIDENTS = 1.0  # weight of a prior, in incidents: the least that keeps a frequency from zero; by judgement
CERTAIN = 1e-6  # frequencies stay this far from 0 and 1, so that their logarithms are finite


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Anomalies:
    """Anomalies that detectors found, without times or sizes: one row each, all columns `(n,)`.

    `event` names the anomaly independent of its node, `concept` the kind of thing that was unusual
    (`cpu up`, `logs`, `trace`), and `incident` the incident that it belongs to.
    """

    incident: Text
    node: Text
    event: Text
    concept: Text


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PastIncidents:
    """Counts over the incidents of one system: `counts[node, event]`, of `incidents` in all."""

    nodes: dict[str, int]
    events: dict[str, int]
    concepts: tuple[str, ...]  # by event
    seen: dict[str, tuple[I64, I64]]  # incident → its distinct (node, event) codes
    counts: F64
    siblings: tuple[I64, ...]  # node → the other nodes of its service
    incidents: int

    def frequency(self, without: str) -> F64:
        """How often each node shows each event in incidents other than `without`: `(nodes, events)`, 0 to 1."""
        counts = self.counts.copy()
        incidents = self.incidents
        if without in self.seen:
            counts[self.seen[without]] -= 1.0
            incidents -= 1
        everywhere = (self.counts.sum(axis=0) + 0.5) / (self.incidents * max(len(self.nodes), 1) + 1.0)
        out = np.empty_like(counts)
        for node in self.nodes.values():
            others = self.siblings[node]
            prior = everywhere
            if len(others):
                prior = (self.counts[others].sum(axis=0) + PRIOR_INCIDENTS * everywhere) / (
                    self.incidents * len(others) + PRIOR_INCIDENTS
                )
            out[node] = (counts[node] + PRIOR_INCIDENTS * prior) / (incidents + PRIOR_INCIDENTS)
        return np.clip(out, CERTAIN, 1.0 - CERTAIN)


def gather(anomalies: Anomalies, services: dict[str, str], incidents: frozenset[str]) -> PastIncidents:
    """Count the anomalies of all `incidents` of a system; `services` names the service of each node."""
    node_code, node_rows = codes(anomalies.node)
    event_code, event_rows = codes(anomalies.event)
    incident_code, incident_rows = codes(anomalies.incident)
    distinct = np.unique(np.stack([incident_code, node_code, event_code]), axis=1)
    counts = np.zeros((len(node_rows), len(event_rows)))
    np.add.at(counts, (distinct[1], distinct[2]), 1.0)
    concepts = [""] * len(event_rows)
    for code, concept in zip(event_code.tolist(), anomalies.concept, strict=True):
        concepts[code] = str(concept)
    names = [row[0] for row in node_rows]
    service = [services.get(name, name) for name in names]
    seen = {
        incident_rows[code][0]: (distinct[1][distinct[0] == code], distinct[2][distinct[0] == code])
        for code in range(len(incident_rows))
    }
    return PastIncidents(
        nodes={name: code for code, name in enumerate(names)},
        events={row[0]: code for code, row in enumerate(event_rows)},
        concepts=tuple(concepts),
        seen=seen,
        counts=counts,
        siblings=tuple(
            np.array([o for o in range(len(names)) if service[o] == service[n] and o != n], dtype=np.int64)
            for n in range(len(names))
        ),
        incidents=len(incidents | set(seen)),
    )
