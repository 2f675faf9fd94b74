"""OpenSLO files as people write them: what can be done is right, all else is refused by file, line and key."""

from __future__ import annotations

from pathlib import Path

import pytest

from detectors.slo.openslo import read
from watchkeeper.errors import ConfigError

CASES = Path(__file__).resolve().parents[2].parent / "shared" / "cases" / "34-openslo"
SOURCE = "{metricSource: {type: watchkeeper, spec: {service: checkout, signal: %s}}}"
RATIO = f"{{ratioMetric: {{counter: true, good: {SOURCE % 'successes'}, total: {SOURCE % 'calls'}}}}}"
FILE = f"""apiVersion: openslo/v1
kind: SLO
metadata: {{name: checkout, displayName: Checkout works}}
spec:
  service: checkout
  budgetingMethod: Occurrences
  timeWindow: [{{duration: 28d, isRolling: true}}]
  indicator: {{metadata: {{name: i}}, spec: {RATIO}}}
  objectives:
    - {{target: 0.99}}
"""
RATIO_KEY = "8: spec.indicator.spec.ratioMetric"
SLI = f"apiVersion: openslo/v1\nkind: SLI\nmetadata: {{name: my-sli}}\nspec: {RATIO}\n"
BY_NAME = FILE.replace(f"indicator: {{metadata: {{name: i}}, spec: {RATIO}}}", "indicatorRef: my-sli")
# Of the recorded files, those that can be done: the objective's name, target and window in days.
RIGHT = {
    "bad-total": ("b", 0.99, 28),
    "bom": ("v", 0.99, 28),
    "good-total-28d": ("a", 0.99, 28),
    "indicatorref": ("o", 0.99, 28),
    "percent": ("i", 0.999, 28),
    "with-service-doc": ("s", 0.99, 28),
}
# All others, and the line and key that their refusal names.
REFUSED = {
    "calendar": "7: spec.timeWindow.0.calendar",
    "composite": "10: spec.objectives.0.compositeWeight",
    "empty": "1: document",
    "latin1": "3: is not UTF-8",
    "list": "1: apiVersion",
    "metadata-null": "3: metadata",
    "no-objectives": "9: spec.objectives",
    "prometheus-source": "8: spec.indicator.spec.ratioMetric.good.metricSource.type",
    "ratiotimeslices": "6: spec.budgetingMethod",
    "raw": "8: spec.indicator.spec.ratioMetric.raw",
    "short-window": "7: spec.timeWindow.0.duration",
    "sli-no-spec": "1: spec",
    "sloth": "1: apiVersion",
    "spec-null": "4: spec",
    "target-1": "10: spec.objectives.0.target",
    "target-99.9": "10: spec.objectives.0.target",
    "threshold": "8: spec.indicator.spec.thresholdMetric",
    "timeslices": "10: spec.objectives.0.timeSliceTarget",
    "two-windows": "7: spec.timeWindow",
    "utf16": "1: is UTF-16",
    "v1alpha": "1: apiVersion",
    "window-365d": "7: spec.timeWindow.0.duration",
    "yaml-alias-dup": "14: metadata.name",
    "yaml-broken": "3: is not YAML",
}


def write(path: Path, content: str | bytes) -> Path:
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def refusal(*paths: Path) -> list[str]:
    """What is said, a line a mistake."""
    with pytest.raises(ConfigError) as caught:
        read(paths)
    return caught.value.message.splitlines()


@pytest.mark.parametrize("name", sorted(RIGHT | REFUSED))
def test_a_recorded_file_is_done_or_refused_by_name(name: str) -> None:
    """Files after public reports: ratios of good or bad to all are read; the rest names file, line and key."""
    path = CASES / f"{name}.yaml"
    if not path.exists():
        pytest.skip("the recorded files are not here; the same kinds stand below")
    if name in RIGHT:
        (slo,) = read([path])
        assert (slo.name, slo.target, slo.window_s / 86_400) == RIGHT[name]
    else:
        assert any(line.startswith(f"{path}:{REFUSED[name]}") for line in refusal(path))


def test_every_recorded_file_is_judged_here() -> None:
    """None is left out."""
    if not CASES.exists():
        pytest.skip("the recorded files are not here")
    assert {path.stem for path in CASES.glob("*.yaml")} == set(RIGHT | REFUSED)


@pytest.mark.parametrize(
    ("content", "key"),
    [
        ("", "1: document"),
        ("# nothing\n---\n", "1: document"),
        ("- a\n", "1: apiVersion"),
        ("just words\n", "1: apiVersion"),
        (FILE.replace("ff", "\xff").encode("utf-16"), "1: is UTF-16"),
        (FILE.replace("works", "f\xfcr alle").encode("latin-1"), "3: is not UTF-8"),
        (FILE.split("spec:")[0] + "spec:\n", "4: spec"),
        (FILE.split("spec:")[0], "1: spec"),
        (FILE.replace("metadata: {name: checkout, displayName: Checkout works}\n", "metadata:\n"), "3: metadata"),
        (FILE.replace("name: checkout, ", ""), "3: metadata.name"),
        (FILE.replace("name: checkout,", "name: ' ',"), "3: metadata.name"),
        (FILE.replace("name: checkout,", f"name: {'x' * 49},"), "3: metadata.name"),
        (FILE.replace("name: checkout,", "name: [a],"), "3: metadata.name"),
        (FILE.replace("    - {target: 0.99}\n", "    []\n"), "9: spec.objectives"),
        (FILE.replace("- {target: 0.99}", "- {}"), "10: spec.objectives.0"),
        (FILE.replace("- {target: 0.99}", "- 0.99"), "10: spec.objectives.0"),
        (FILE.replace("target: 0.99", "target: .nan"), "10: spec.objectives.0.target"),
        (FILE.replace("target: 0.99", "target: .inf"), "10: spec.objectives.0.target"),
        (FILE.replace("target: 0.99", "target: yes"), "10: spec.objectives.0"),
        (FILE.replace("target: 0.99", "target: 0.99, targetPercent: 99"), "10: spec.objectives.0"),
        (FILE.replace("target: 0.99", "targetPercent: 100"), "10: spec.objectives.0.targetPercent"),
        (FILE.replace("target: 0.99", "target: 0.99, op: lte, value: 3"), "10: spec.objectives.0.op"),
        (FILE.replace("28d", "0d"), "7: spec.timeWindow.0.duration"),
        (FILE.replace("28d", "9999999999999d"), "7: spec.timeWindow.0.duration"),
        (FILE.replace("28d", "28 days"), "7: spec.timeWindow.0.duration"),
        (FILE.replace("[{duration: 28d, isRolling: true}]", "{duration: 28d}"), "7: spec.timeWindow"),
        (FILE.replace("[{duration: 28d, isRolling: true}]", ""), "7: spec.timeWindow"),
        (FILE.replace(", isRolling: true", ""), "7: spec.timeWindow.0.isRolling"),
        (FILE.replace("checkout, signal: successes", "cart, signal: successes"), RATIO_KEY),
        (FILE.replace("good:", "bad:"), RATIO_KEY),
        (FILE.replace("{service: checkout, signal: calls}", ""), RATIO_KEY + ".total.metricSource.spec"),
        (FILE + "  alertPolicies: [{kind: AlertPolicy}]\n", "11: spec.alertPolicies"),
        (FILE + "  indicatorRef: other\n", "4: spec"),
        (FILE + "---\napiVersion: openslo/v1\nkind: AlertPolicy\nmetadata: {name: a}\nspec: {}\n", "13: kind"),
        (FILE + "---\napiVersion: openslo/v1\nkind: [SLO]\n", "13: kind"),
        (FILE + "---\n- a\n", "12: apiVersion"),
        (FILE + "---\n" + FILE, "14: metadata.name"),
        (SLI.split("spec:")[0] + "---\n" + FILE, "1: spec"),
        (BY_NAME, "8: spec.indicatorRef"),
    ],
)  # fmt: skip
def test_what_cannot_be_done_names_its_line_and_key(tmp_path: Path, content: str | bytes, key: str) -> None:
    """Whatever a file holds, there is a refusal and no traceback, and nothing is believed that is not measured."""
    path = write(tmp_path / "slo.yaml", content)
    lines = refusal(path)
    assert any(line.startswith(f"{path}:{key}") for line in lines), lines


def test_a_missing_file_and_a_folder_are_told(tmp_path: Path) -> None:
    """Both, and the mistakes of a third file, in one answer."""
    broken = write(tmp_path / "broken.yaml", FILE.replace("0.99", "99"))
    assert len(refusal(tmp_path / "nowhere.yaml", tmp_path, broken)) == 3


def test_an_sli_may_stand_in_another_file(tmp_path: Path) -> None:
    """Repositories keep indicators apart from objectives."""
    paths = [write(tmp_path / "slo.yaml", BY_NAME), write(tmp_path / "sli.yaml", SLI)]
    (slo,) = read(paths)
    assert (slo.service, slo.target) == ("checkout", 0.99)


def test_two_files_can_not_share_a_name(tmp_path: Path) -> None:
    """The refusal names both places."""
    one, other = write(tmp_path / "a.yaml", FILE), write(tmp_path / "b.yaml", FILE)
    (line,) = refusal(one, other)
    assert line.startswith(f"{other}:3: metadata.name: ")
    assert f"{one}:1" in line


def test_several_objectives_and_percent_are_read(tmp_path: Path) -> None:
    """99.9 % is 0.999 exactly; each objective has a name of its own; a title is one printable line."""
    content = FILE.replace("- {target: 0.99}", "- {targetPercent: 99.9}\n    - {target: 0.95, displayName: Soft}")
    slos = read([write(tmp_path / "slo.yaml", content.replace("Checkout works", '"Checkout\\n<!channel>"'))])
    assert [(slo.name, slo.target) for slo in slos] == [("checkout:0", 0.999), ("checkout:1", 0.95)]
    assert "\n" not in slos[0].title
