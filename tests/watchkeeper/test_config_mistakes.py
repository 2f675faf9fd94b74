"""What could not work later is refused when the file is read: each mistake with its line, its key and a way out."""

from __future__ import annotations

from pathlib import Path

import pytest

from watchkeeper.config import load
from watchkeeper.errors import ConfigError

ANA = "{id: ana, name: Ana, addresses: {slack: U0ANA}}"
SHA, SHB = "a" * 64, "b" * 64
TOKEN = "{name: a, sha256: %s, scopes: [ingest]}"
BEN = "{id: ben, name: Ben, addresses: {slack: U0BEN}}"


def oncall(people: str = f"{ANA}, {BEN}", schedules: str = "", escalation: str = "") -> str:
    """A small on-call section: line 2 is people, 3 the schedules, 4 the escalation."""
    schedules = schedules or "{id: primary, layers: [{people: [ana, ben]}]}"
    escalation = escalation or "{after_s: 0, notify: primary}"
    return f"oncall:\n  people: [{people}]\n  schedules: [{schedules}]\n  escalation: [{escalation}]\n"


def mistakes(folder: Path, content: str | bytes) -> list[str]:
    """What is said about a file, without the file's name: `line: key: message`."""
    file = folder / "w.yaml"
    file.write_bytes(content.encode() if isinstance(content, str) else content)
    with pytest.raises(ConfigError) as caught:
        load(file)
    lines = str(caught.value).splitlines()
    assert all(line.startswith(f"{file}:") for line in lines), lines
    return [line.removeprefix(f"{file}:") for line in lines]


def person(**values: str) -> str:
    """Ana, with other values."""
    known = {"id": "ana", "name": "Ana", "addresses": "{slack: U0ANA}"} | values
    return "{" + ", ".join(f"{key}: {value}" for key, value in known.items()) + "}"


def schedule(**values: str) -> str:
    """A schedule that Ana and Ben share, with other values."""
    known = {"id": "primary", "layers": "[{people: [ana, ben]}]"} | values
    return "{" + ", ".join(f"{key}: {value}" for key, value in known.items()) + "}"


def layer(**values: str) -> str:
    """A schedule whose only layer has other values."""
    known = {"people": "[ana]"} | values
    return schedule(layers="[{" + ", ".join(f"{key}: {value}" for key, value in known.items()) + "}]")


def policy(**values: str) -> str:
    """An on-call section whose only policy, on line 5, has other values."""
    known = {"id": "a", "steps": "[{after_s: 0, notify: ana}]"} | values
    return f"{oncall()}  policies: [{{" + ", ".join(f"{key}: {value}" for key, value in known.items()) + "}]\n"


@pytest.mark.parametrize(
    "zone",
    [
        "IST",
        "Europe/Berln",
        "''",
        "' '",
        "' UTC'",
        "'UTC '",
        "Europe",
        "europe/berlin",
        "../../etc/passwd",
        "/etc/localtime",
        "GMT+25",
        "'+02:00'",
        "CEST",
        "Mars/Olympus",
        "'UTC\\u0000'",
        "no",
        "3",
        "[UTC]",
    ],
)
def test_a_zone_must_be_one_that_this_machine_resolves(tmp_path: Path, zone: str) -> None:
    """Abbreviations, typing errors, blanks, offsets and folders are no zones; of people as of schedules."""
    (found,) = mistakes(tmp_path, oncall(people=f"{person(timezone=zone)}, {BEN}"))
    assert found.startswith("2: oncall.people.0.timezone: ")
    (found,) = mistakes(tmp_path, oncall(schedules=schedule(timezone=zone)))
    assert found.startswith("3: oncall.schedules.0.timezone: ")


def test_a_typing_error_in_a_zone_is_answered_with_the_nearest(tmp_path: Path) -> None:
    """Whoever mistyped sees what they meant."""
    (found,) = mistakes(tmp_path, oncall(schedules=schedule(timezone="Europe/Berln")))
    assert "did you mean Europe/Berlin?" in found


@pytest.mark.parametrize(
    "start",
    [
        "next monday",
        "''",
        "2026-13-01",
        "2026-02-30T09:00",
        "0001-01-01T00:00",
        "9999-12-31T23:59",
        "09:00",
        "2026-01-05T25:00",
        "'2026-01-05T09:00Z'",
        "'2026-01-05T09:00+01:00'",
        "1767603600",
        "null",
        "05.01.2026",
        "2026-W99-1",
    ],
)
def test_a_turn_begins_at_a_local_time(tmp_path: Path, start: str) -> None:
    """Words, impossible dates, offsets and the ends of the calendar can't be counted from."""
    (found,) = mistakes(tmp_path, oncall(schedules=layer(start=start)))
    assert found.startswith("3: oncall.schedules.0.layers.0.start: ")


@pytest.mark.parametrize("start", ["2026-01-05", "2026-01-05T09:00", "2026-01-05T09:00:00", "2026-01-05 09:00"])
def test_a_time_needs_no_quotes(tmp_path: Path, start: str) -> None:
    """YAML would make dates of some of these: they are read as they are written."""
    file = tmp_path / "w.yaml"
    file.write_text(oncall(schedules=layer(start=start)))
    assert load(file).oncall.schedules[0].layers[0].start == start


@pytest.mark.parametrize(
    ("text", "key"),
    [
        (
            oncall(people=f"{ANA}, {person(name='Other', addresses='{slack: U0X}')}", schedules=layer()),
            "2: oncall.people.1.id",
        ),
        (oncall(people=f"{ANA}, {person(id='ben', name='Ben')}"), "2: oncall.people.1.addresses.slack"),
        (
            oncall(people=f"{ANA}, {person(id='ben', name='Ben', addresses='{slack: u0ana}')}"),
            "2: oncall.people.1.addresses.slack",
        ),
        (
            oncall(people=f"{ANA}, {person(id='ben', name='ANA', addresses='{slack: U0BEN}')}"),
            "2: oncall.people.1.name",
        ),
        (oncall(people=f"{{id: ana, name: Ana, slack_id: U0ANA}}, {BEN}"), "2: oncall.people.0.slack_id"),
        (oncall(people=f"{person(addresses='{}')}, {BEN}"), "2: oncall.people.0.addresses"),
        (oncall(people=f"{person(addresses='{pager: 1}')}, {BEN}"), "2: oncall.people.0.addresses.pager"),
        (
            oncall(people=f"{person(notification_rules='[{channel: pager}]')}, {BEN}"),
            "2: oncall.people.0.notification_rules.0.channel",
        ),
        (
            oncall(people=f"{person(notification_rules='[{channel: slack, after_s: 9}, {channel: slack}]')}, {BEN}"),
            "2: oncall.people.0.notification_rules.1.after_s",
        ),
        (
            oncall(people=f"{person(notification_rules='[{channel: slack}, {channel: slack}]')}, {BEN}"),
            "2: oncall.people.0.notification_rules.1",
        ),
        (f"{oncall()}channels: {{}}\n", "5: channels"),
        (f"{oncall()}channels: {{slack: 3}}\n", "5: channels.slack"),
        (oncall(people=f"{person(name='   ')}, {BEN}"), "2: oncall.people.0.name"),
        (oncall(people=person(id="a" * 65)), "2: oncall.people.0.id"),
        (oncall(people=f"{person(id='no')}, {BEN}"), "2: oncall.people.0.id"),
        (oncall(people=""), "2: oncall.people"),
        (oncall(schedules=f"{schedule()}, {schedule()}"), "3: oncall.schedules.1.id"),
        (oncall(schedules=schedule(id="ana"), escalation="{after_s: 0, notify: ana}"), "3: oncall.schedules.0.id"),
        (oncall(schedules=schedule(layers="[]")), "3: oncall.schedules.0.layers"),
        (oncall(schedules=schedule(layers="[{people: []}]")), "3: oncall.schedules.0.layers.0.people"),
        (oncall(schedules=schedule(layers="[{people: [ana, bob]}]")), "3: oncall.schedules.0.layers.0.people.1"),
        (oncall(schedules=schedule(fallback="bob")), "3: oncall.schedules.0.fallback"),
        (oncall(schedules=schedule(fallback="''")), "3: oncall.schedules.0.fallback"),
        (oncall(schedules=layer(turn_hours="0")), "3: oncall.schedules.0.layers.0.turn_hours"),
        (oncall(schedules=layer(turn_hours="1e-9")), "3: oncall.schedules.0.layers.0.turn_hours"),
        (oncall(schedules=layer(turn_hours="1e300")), "3: oncall.schedules.0.layers.0.turn_hours"),
        (oncall(schedules=layer(turn_hours=".nan")), "3: oncall.schedules.0.layers.0.turn_hours"),
        (oncall(escalation="{after_s: 0, notify: nightwatch}"), "4: oncall.escalation.0.notify"),
        (oncall(escalation="{after_s: 0, notify: []}"), "4: oncall.escalation.0.notify"),
        (oncall(escalation="{after_s: 0, notify: [ana, ana2]}"), "4: oncall.escalation.0.notify.1"),
        (oncall(escalation="{after_s: 0, notify: ana, round_robin: true}"), "4: oncall.escalation.0"),
        (oncall(schedules=layer(hours="9-17")), "3: oncall.schedules.0.layers.0.hours"),
        (oncall(schedules=layer(hours="'09:00-09:00'")), "3: oncall.schedules.0.layers.0.hours"),
        (oncall(schedules=layer(hours="'09:00-24:30'")), "3: oncall.schedules.0.layers.0.hours"),
        (oncall(schedules=layer(days="[]")), "3: oncall.schedules.0.layers.0.days"),
        (oncall(schedules=layer(days="[monday]")), "3: oncall.schedules.0.layers.0.days.0"),
        (oncall(schedules=layer(holidays="[2026-02-30]")), "3: oncall.schedules.0.layers.0.holidays.0"),
        (oncall(schedules=layer(end="2024-01-01")), "3: oncall.schedules.0.layers.0"),
        (oncall(schedules=layer(timezone="Berlin")), "3: oncall.schedules.0.layers.0.timezone"),
        (oncall(schedules=schedule(shadows="[{people: [bob]}]")), "3: oncall.schedules.0.shadows.0.people.0"),
        (policy(id="''"), "5: oncall.policies.0.id"),
        (policy(steps="[]"), "5: oncall.policies.0.steps"),
        (policy(steps="[{after_s: 0, notify: bob}]"), "5: oncall.policies.0.steps.0.notify"),
        (
            policy(steps="[{after_s: 9, notify: ana}, {after_s: 0, notify: ben}]"),
            "5: oncall.policies.0.steps.1.after_s",
        ),
        (policy(fallback="bob"), "5: oncall.policies.0.fallback"),
        (policy(repeat="-1"), "5: oncall.policies.0.repeat"),
        (policy(timeout_s="0"), "5: oncall.policies.0.timeout_s"),
        (policy(teams="[checkout]"), "5: oncall.policies.0.teams.0"),
        (policy(id="a, steps: [{after_s: 0, notify: ana}]}, {id: b"), "5: oncall.policies.0"),
        (
            oncall(escalation="{after_s: 0, notify: ana}, {after_s: 9, notify: ana}, {after_s: 5, notify: ben}"),
            "4: oncall.escalation.2.after_s",
        ),
        (
            oncall(escalation="{after_s: 0, notify: ana}, {after_s: .inf, notify: ana}"),
            "4: oncall.escalation.1.after_s",
        ),
        (oncall(escalation="{after_s: 0, notify: ana}, {after_s: 5m, notify: ana}"), "4: oncall.escalation.1.after_s"),
        ("oncall:\n  escalation: []\n", "2: oncall.escalation"),
        (f"oncall:\n  people: [{ANA}]\n", "1: oncall.schedules"),
        ("watch:\n  tick_s: .nan\n", "2: watch.tick_s"),
        ("watch:\n  tick_s: -.inf\n", "2: watch.tick_s"),
        ("watch:\n  tick_s: yes\n", "2: watch.tick_s"),
        ("watch:\n  ack_timeout_s: 1e300\n", "2: watch.ack_timeout_s"),
        ("watch:\n  history_minutes: .inf\n", "2: watch.history_minutes"),
        ("watch:\n  tick_s: 1e-12\n", "2: watch.tick_s"),
        ("store:\n  retention_days: 1e-9\n", "2: store.retention_days"),
        ("ingest:\n  max_request_mib: 512\n  max_backlog_mib: 64\n", "2: ingest.max_request_mib"),
        ("store:\n  retention_days: 1e12\n", "2: store.retention_days"),
        ("store:\n  memory_mib: 99999999999999999999999\n", "2: store.memory_mib"),
        ("store:\n  database: 'otel; DROP'\n", "2: store.database"),
        ("store:\n  url: clickhouse:9000\n", "2: store.url"),
        ("store:\n  url: 'http://:8123'\n", "2: store.url"),
        ("store:\n  url: http://a b:8123\n", "2: store.url"),
        ("store:\n  url: http://a:99999\n", "2: store.url"),
        ("store:\n  url: 'http://[::1'\n", "2: store.url"),
        ("store:\n  url: http://me:secret@host\n", "2: store.url"),
        ("store:\n  url: ''\n", "2: store.url"),
        ("store:\n  host: 127.0.0.256\n", "2: store.host"),
        ("web:\n  host: 127.0.0.1:80\n", "2: web.host"),
        ("web:\n  host: http://here\n", "2: web.host"),
        ("web:\n  host: ''\n", "2: web.host"),
        ("web:\n  public_url: watch.example.org\n", "2: web.public_url"),
        ("web:\n  public_url: ftp://watch.example.org\n", "2: web.public_url"),
        ("web:\n  port: 65536\n", "2: web.port"),
        ("web:\n  port: true\n", "2: web.port"),
        ("web:\n  port: 4318\n", "2: web.port"),
        ("ingest:\n  otlp_grpc_port: 4318\n", "2: ingest.otlp_grpc_port"),
        ("store:\n  host: 0.0.0.0\n  port: 8050\n", "3: store.port"),
        ("state:\n  url: mysql://a/b\n", "2: state.url"),
        ("state:\n  url: postgres://a/b\n", "2: state.url"),
        ("state:\n  url: sqlite://\n", "2: state.url"),
        ("state:\n  url: 'sqlite:///:memory:'\n", "2: state.url"),
        ("state:\n  url: 'postgresql://:5432/x'\n", "2: state.url"),
        ("targets:\n  shop: {url: localhost}\n", "2: targets.shop.url"),
        ("ingest:\n  scrape: [{job: a, targets: []}]\n", "2: ingest.scrape.0.targets"),
        ("ingest:\n  scrape: [{job: a, targets: ['h:x']}]\n", "2: ingest.scrape.0.targets.0"),
        ("ingest:\n  scrape: [{job: a, targets: ['h:1', 'h:1']}]\n", "2: ingest.scrape.0.targets.1"),
        ("ingest:\n  scrape: [{job: a, targets: ['h:1'], path: metrics}]\n", "2: ingest.scrape.0.path"),
        (
            "ingest:\n  scrape:\n  - {job: a, targets: ['h:1']}\n  - {job: a, targets: ['i:1']}\n",
            "4: ingest.scrape.1.job",
        ),
        ("tokens: [{name: a, sha256: abc, scopes: [ingest]}]\n", "1: tokens.0.sha256"),
        (f"tokens: [{{name: a, sha256: {SHA}, scopes: []}}]\n", "1: tokens.0.scopes"),
        (
            f"tokens:\n- {TOKEN % SHA}\n- {TOKEN % SHB}",
            "3: tokens.1.name",
        ),
        ("learning:\n  teams: {'': [cart]}\n", "2: learning.teams."),
        ("data_dir: ''\n", "1: data_dir"),
        ("data_dir: ~nobody-of-that-name/data\n", "1: data_dir"),
        ("data_dir: [a]\n", "1: data_dir"),
        ("slo: [a.yaml, ./a.yaml]\n", "1: slo.1"),
        ("slo: a.yaml\n", "1: slo"),
        ("slack:\n  channel: ' '\n", "2: slack.channel"),
        ('web:\n  host: "\\ud800"\n', "2: web.host"),
        ("7: x\n", "1: 7"),
        ("web:\n  port: ${PORT}\n", "2: web.port"),
        ("data_dir: ${HOME}/data\n", "1: data_dir"),
        ("slo:\n- a.yaml\n- ${DIR:-slo}/b.yaml\n", "3: slo.1"),
    ],
)
def test_what_could_not_work_is_refused_with_its_line_and_key(tmp_path: Path, text: str, key: str) -> None:
    """Names, references, numbers, addresses and ports are checked as run time will need them."""
    (found,) = mistakes(tmp_path, text)
    assert found.startswith(f"{key}: ") or (key.endswith(".") and found.startswith(key)), found


@pytest.mark.parametrize(
    ("content", "line", "says"),
    [
        ("web:\n  port: 1\n  port: 2\n", 3, "line 2 already"),
        ("web:\n\tport: 1\n", 2, "spaces, not tabs"),
        ("a: \xfc\n".encode("latin-1"), 1, "UTF-8"),
        ("web: {}\n# f\xfcr\n".encode("latin-1"), 2, "UTF-8"),
        ("web: {}\n".encode("utf-16"), 1, "UTF-16"),
        ("web: {}\nx: a\x00b\n", 2, "U+0000"),
        (
            "a: &a [x, x]\n"
            + "".join(f"k{i}: &{chr(98 + i)} [{', '.join(['*' + chr(97 + i)] * 9)}]\n" for i in range(9)),
            6,
            "anchors",
        ),
        ("a: &a [*a]\n", 1, "anchor"),
        ("[" * 50_000, 1, "nested"),
        ("web: {}\n---\nweb: {}\n", 3, "second document"),
        ("web: !!python/object:os.system {}\n", 1, "not YAML"),
        ("web: {port: " + "9" * 5000 + "}\n", 1, "quotes"),
        ("web: *nothing\n", 1, "alias"),
    ],
)
def test_a_file_that_yaml_allows_or_not_ends_with_a_line(
    tmp_path: Path, content: str | bytes, line: int, says: str
) -> None:
    """Keys written twice, tabs, encodings, control characters, anchors that multiply: never a traceback."""
    (found,) = mistakes(tmp_path, content)
    assert found.startswith(f"{line}: ")
    assert says in found


def test_a_file_that_is_no_text_at_all_ends_with_one_line(tmp_path: Path) -> None:
    """A folder, an endless device and a path that can't be are told like any other mistake."""
    for path in (tmp_path, Path("/dev/zero"), Path("a\0b"), tmp_path / ("x" * 300)):
        with pytest.raises(ConfigError):
            load(path)


def test_a_byte_order_mark_is_no_mistake(tmp_path: Path) -> None:
    """Editors on Windows write one."""
    file = tmp_path / "w.yaml"
    file.write_bytes(b"\xef\xbb\xbfweb: {port: 8051}\n")
    assert load(file).web.port == 8051


@pytest.mark.parametrize(
    "text",
    [
        "slack: {token_env: xoxb-1234-secret}\n",
        "tokens: [{name: a, sha256: wk_secret, scopes: [ingest]}]\n",
        "store: {url: 'http://me:secret@host'}\n",
        "store: {password_env: 'p4ss secret'}\n",
    ],
)
def test_a_secret_in_the_wrong_place_is_not_repeated(tmp_path: Path, text: str) -> None:
    """Messages go to terminals and logs: what may be a secret is not quoted."""
    (found,) = mistakes(tmp_path, text)
    assert "secret" not in found.replace("secrets don't", "")
