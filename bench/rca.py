"""`watchkeeper bench rca`: the engine beside simple baselines, on labelled packs, in one run.

Labels are read here, to score, and by the label curve, to learn; the engine never sees them.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bench import rca_live, rca_peers
from bench.rca_calibration import Judged, print_calibration
from bench.rca_simulated import VARIANTS, incidents
from rca.calibration import Signs, signs
from rca.case import Case, codes
from rca.evidence_kind import NO_COMMIT
from rca.learning.judged import JudgedCase, accuracy
from rca.learning.packs import judged_packs
from rca.learning.training import train
from rca.levels import groups
from rca.packs.case import pack_case
from rca.packs.labels import read_labels
from rca.packs.reader import Pack
from rca.registry import read_engine
from watchkeeper.errors import DiagnosisError

SIMULATED = "simulated: "
Ranker = Callable[[Case], list[str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Scored:
    """One case: where the truth stands in each method's ranking (0 is first), and what its certainty goes by."""

    system: str
    ranks: Mapping[str, int]
    signs: Signs
    seconds: float


def run(*, data: Path | None = None, as_json: bool = False, curve: bool = True, live_spans: int = 0) -> None:
    """Print AC@1, AC@3 by system and method, time per case, calibration, and the label curve.

    `data` is a pack, or a folder of packs. With `live_spans` a live diagnosis over so many spans is timed instead.
    Raises DiagnosisError where there is no pack.
    """
    if live_spans:
        print(json.dumps(rca_live.rows(live_spans), indent=2))
        return
    packs = find_packs(data)
    scored = [*measure(packs), *simulated()]
    if as_json:
        print(json.dumps(summary(scored), indent=2))
        return
    _accuracy(scored)
    _times(scored)
    recorded = [one for one in scored if not one.system.startswith(SIMULATED)]
    print_calibration(
        [Judged(system=one.system, signs=one.signs, right=one.ranks["watchkeeper"] == 0) for one in recorded]
    )
    if curve:
        for root in packs:
            label_curve(root)


def find_packs(data: Path | None) -> list[Path]:
    """The labelled packs in or at `data`."""
    roots = [] if data is None else [data, *sorted(data.iterdir())] if data.is_dir() else []
    packs = [root for root in roots if (root / "cases.jsonl").is_file() and (root / "labels.jsonl").is_file()]
    if not packs:
        raise DiagnosisError("no labelled packs to measure on: name a folder of packs with --data")
    return packs


def measure(packs: Sequence[Path]) -> list[Scored]:
    """Every case of every pack, ranked by the engine and the baselines."""
    scored: list[Scored] = []
    peers, engine = rca_peers.installed(), read_engine()
    for root in packs:
        pack = Pack(root)
        labels = read_labels(root)
        for header in pack.headers:
            began = time.perf_counter()
            case = pack_case(pack, pack.tables(header))
            commits = any(change.kind == "commit" for change in case.changes)
            ranked = (engine.rank_commits(case) if commits else engine.rank(case)).ranked
            seconds = time.perf_counter() - began
            label = labels[header.id]
            truth = label["commit"] if commits else label["instance"] if header.instances else label["root_cause"]
            rankings = {"watchkeeper": [one.candidate for one in ranked]}
            rankings |= {name: method(case) for name, method in baselines(case).items()}
            if case.past is None and not commits:
                rankings |= {name: rca_peers.ranking(method, case) for name, method in peers.items()}
            ranks = {name: names.index(truth) if truth in names else len(names) for name, names in rankings.items()}
            system = f"{root.name}/{header.system.split('/')[0]}"
            scored.append(
                Scored(
                    system=system,
                    ranks=ranks,
                    signs=signs([one.score for one in ranked], ranked[0].terms),
                    seconds=seconds,
                )
            )
    return scored


def simulated() -> list[Scored]:
    """The made-up systems of `rca_simulated`, ranked by the engine and the same baselines."""
    peers, engine = rca_peers.installed(), read_engine()
    scored = []
    for variant in VARIANTS:
        for case, culprit in incidents(variant):
            began = time.perf_counter()
            ranked = engine.rank(case).ranked
            seconds = time.perf_counter() - began
            rankings = {"watchkeeper": [one.candidate for one in ranked]}
            rankings |= {name: method(case) for name, method in baselines(case).items()}
            rankings |= {name: rca_peers.ranking(method, case) for name, method in peers.items()}
            ranks = {name: names.index(culprit) for name, names in rankings.items()}
            found = signs([one.score for one in ranked], ranked[0].terms)
            scored.append(Scored(system=f"{SIMULATED}{variant.name}", ranks=ranks, signs=found, seconds=seconds))
    return scored


def summary(scored: Sequence[Scored]) -> dict[str, dict[str, dict[str, float]]]:
    """AC@1 and AC@3 by system and method."""
    out: dict[str, dict[str, dict[str, float]]] = {}
    for system in dict.fromkeys(one.system for one in scored):
        of_system = [one for one in scored if one.system == system]
        out[system] = {
            method: {
                "cases": len(of_system),
                "AC@1": float(np.mean([one.ranks[method] < 1 for one in of_system])),
                "AC@3": float(np.mean([one.ranks[method] < 3 for one in of_system])),
            }
            for method in of_system[0].ranks
        }
    return out


def baselines(case: Case) -> dict[str, Ranker]:
    """The simple methods that can be tried on what the case holds."""
    if any(change.kind == "commit" for change in case.changes):
        return {"latest commit": _latest_commit}
    if case.past is not None:
        return {"most events": _most_events}
    return {"largest robust z (BARO-style)": robust_z}


def robust_z(case: Case) -> list[str]:
    """BARO's scorer: the largest |after - median| / IQR over all metrics of a node, before against after."""
    best = dict.fromkeys(case.candidates, 0.0)
    if case.series is not None:
        key, names = codes(case.series.node, case.series.metric)
        for code, rows in groups(key):
            after = case.series.time[rows] >= case.onset
            early, late = case.series.value[rows[~after]], case.series.value[rows[after]]
            if len(early) == 0 or len(late) == 0:
                continue
            low, middle, high = np.percentile(early, [25, 50, 75])
            z = float(np.abs(late - middle).max() / max(high - low, 1e-9 + 0.01 * abs(middle)))
            best[names[code][0]] = max(best.get(names[code][0], 0.0), z)
    return sorted(case.candidates, key=lambda name: (-best[name], name))


def _most_events(case: Case) -> list[str]:
    count = dict.fromkeys(case.candidates, 0)
    past = case.past
    if past is not None and case.id in past.seen:
        names = {code: name for name, code in past.nodes.items()}
        for node in past.seen[case.id][0].tolist():
            count[names[node]] = count.get(names[node], 0) + 1
    return sorted(case.candidates, key=lambda name: (-count[name], name))


def _latest_commit(case: Case) -> list[str]:
    commits = [change for change in case.changes if change.kind == "commit"]
    late = [change for change in commits if change.at.timestamp() > case.onset]
    early = sorted((c for c in commits if c.at.timestamp() <= case.onset), key=lambda c: (-c.at.timestamp(), c.id))
    return [change.id for change in early] + [NO_COMMIT] + [change.id for change in late]


def _accuracy(scored: Sequence[Scored]) -> None:
    print(f"{'system':<32} {'method':<32} {'cases':>5} {'AC@1':>6} {'AC@3':>6}")
    for system, methods in summary(scored).items():
        for method, found in methods.items():
            row = f"{found['cases']:>5.0f} {found['AC@1']:>6.3f} {found['AC@3']:>6.3f}"
            print(f"{system:<32} {method:<32} {row}")


def _times(scored: Sequence[Scored]) -> None:
    seconds = np.array([one.seconds for one in scored])
    shown = ", ".join(f"p{q} {np.percentile(seconds, q) * 1000:.0f} ms" for q in (50, 90, 99, 100))
    print(f"\nseconds a case, reading included: {shown}")


def label_curve(root: Path, counts: Sequence[int] = (5, 10, 20, 50), repeats: int = 5) -> None:
    """AC@1 by weights trained on some labels of a system, on its other incidents; the shipped weights beside them."""
    engine = read_engine()
    pack = Pack(root)
    systems: dict[str, list[JudgedCase]] = {}
    system_of = {header.id: header.system.split("/")[0] for header in pack.headers}
    for case in judged_packs(root, engine):
        systems.setdefault(system_of[case.id], []).append(case)
    print(f"\n{root.name}: AC@1 by own labels, on the rest: shipped → trained")
    print(f"{'system':<20} " + " ".join(f"{f'{count} own':>14}" for count in counts))
    for system, cases in systems.items():
        cells = []
        for count in (count for count in counts if count < len(cases)):
            pairs = []
            for seed in range(repeats):
                order = np.random.default_rng(seed).permutation(len(cases))
                weights = train([cases[i] for i in order[:count]], engine.weights)
                rest = [cases[i] for i in order[count:]]
                pairs.append([accuracy([case.right(by) for case in rest]) for by in (engine.weights, weights)])
            shipped, trained = np.mean(pairs, axis=0)
            cells.append(f"{shipped:.3f} → {trained:.3f}")
        print(f"{system:<20} " + " ".join(f"{cell:>14}" for cell in cells))
