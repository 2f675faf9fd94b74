"""`clear-disk`: what it takes away, what it never touches, and what brings files back."""

from __future__ import annotations

import os
import shutil
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from agent.allowed import ServiceSection
from agent.refused import Refused
from agent.verb_sections import ClearDiskSection
from agent.verbs.clear_disk import ClearDisk, RestoreDisk
from agent.verbs.old_files import Folder, OldFile, opened
from agent.verbs.trash import Trash
from agent.verbs.verb import Work
from watchkeeper.errors import AgentError

DAY_S = 86_400


@pytest.fixture
def logs(tmp_path: Path) -> Path:
    folder = tmp_path / "logs" / "orders"
    folder.mkdir(parents=True)
    for day in range(1, 6):
        write(folder / f"app.{day}.log", f"day {day}\n" * 1000, days=day)
    write(folder / "app.log", "now\n", days=0)
    return folder


@pytest.fixture
def elsewhere(tmp_path: Path) -> Iterator[Path]:
    """A folder on another file system."""
    memory = Path("/dev/shm")
    if not memory.is_dir() or memory.stat().st_dev == tmp_path.stat().st_dev:
        pytest.skip("there is no second file system here")
    folder = memory / f"watchkeeper-test-{uuid.uuid4().hex}"
    folder.mkdir()
    yield folder
    shutil.rmtree(folder)


def write(path: Path, text: str, *, days: float) -> None:
    path.write_text(text)
    at = time.time() - days * DAY_S
    os.utime(path, (at, at))


def section_of(folder: Path, **more: Any) -> ServiceSection:
    clear = {"folders": [str(folder)], **more}
    return ServiceSection.model_validate({"find": {"process": {"port": 1}}, "clear_disk": clear})


def work(section: ServiceSection, verb: ClearDisk | RestoreDisk, key: str, arguments: dict[str, Any]) -> dict[str, Any]:
    verb.check("orders", section, arguments)
    unused: Any = None
    return verb.do(
        Work(
            service="orders",
            section=section,
            arguments=arguments,
            key=key,
            finder=unused,
            proxied=unused,
        )
    )


def clear(section: ServiceSection, pattern: Path | str, *, key: str = "k", **arguments: Any) -> dict[str, Any]:
    return work(section, ClearDisk(), key, {"pattern": str(pattern), **arguments})


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_the_old_ones_go_and_the_young_stay(logs: Path) -> None:
    answer = clear(section_of(logs), logs / "app.*.log", older_than_hours=60)
    assert names(logs) == ["app.1.log", "app.2.log", "app.log"]
    assert [Path(each).name for each in answer["files"]] == ["app.5.log", "app.4.log", "app.3.log"]
    assert answer["did"].startswith("3 files (")
    assert answer["did"].endswith("nothing brings them back")
    again = clear(section_of(logs), logs / "app.*.log", older_than_hours=60)
    assert (again["count"], names(logs)) == (0, ["app.1.log", "app.2.log", "app.log"])


def test_the_owners_least_age_counts_whatever_is_asked_for(logs: Path) -> None:
    clear(section_of(logs, least_age_hours=60), logs / "app*.log", older_than_hours=0)
    assert names(logs) == ["app.1.log", "app.2.log", "app.log"]


def test_a_dry_run_lists_and_touches_nothing(logs: Path) -> None:
    before = {path.name: path.stat().st_mtime_ns for path in logs.iterdir()}
    answer = clear(section_of(logs), logs / "app.*.log", dry_run=True)
    assert len(answer["files"]) == 5
    assert "5 files" in answer["did"]
    assert "would be deleted" in answer["did"]
    assert {path.name: path.stat().st_mtime_ns for path in logs.iterdir()} == before


def test_no_more_files_than_the_owner_allows_the_oldest_first(logs: Path) -> None:
    answer = clear(section_of(logs, most_files=2), logs / "app.*.log", older_than_hours=1)
    assert names(logs) == ["app.1.log", "app.2.log", "app.3.log", "app.log"]
    assert "`most_files` of the agent's file allows no more than 2" in answer["did"]


def test_it_stops_below_the_share(logs: Path) -> None:
    """The file system is used to less than this already: nothing has to go."""
    with opened(logs) as folder:
        used = folder.used_share()
    assert 0 < used < 1
    assert clear(section_of(logs), logs / "app.*.log", below=1.0)["count"] == 0
    assert clear(section_of(logs), logs / "app.*.log", below=used / 2)["count"] == 5


def test_what_is_open_or_mapped_stays(logs: Path) -> None:
    """By anybody, for reading or writing: here the test itself."""
    import mmap

    reads = (logs / "app.5.log").open("rb")
    writes = (logs / "app.4.log").open("ab")
    with (logs / "app.3.log").open("r+b") as file:
        mapped = mmap.mmap(file.fileno(), 0)
    try:
        answer = clear(section_of(logs), logs / "app.*.log", older_than_hours=1)
    finally:
        reads.close()
        writes.close()
        mapped.close()
    assert names(logs) == ["app.3.log", "app.4.log", "app.5.log", "app.log"]
    assert "3 left alone: is open" in answer["did"]


def test_links_lead_nowhere(logs: Path, tmp_path: Path) -> None:
    """Neither a link to a file, nor a link to a folder, nor another name of a file; nor what is no file."""
    outside = tmp_path / "outside"
    outside.mkdir()
    write(outside / "app.9.log", "precious", days=9)
    (logs / "app.link.log").symlink_to(outside / "app.9.log")
    (logs / "old").symlink_to(outside)
    os.link(logs / "app.5.log", outside / "other-name")
    os.mkfifo(logs / "app.fifo.log")
    os.utime(logs / "app.fifo.log", (0, 0))
    answer = clear(section_of(logs), logs / "app.*.log", older_than_hours=1)
    clear(section_of(logs), logs / "*" / "app.*.log", older_than_hours=1)
    assert names(outside) == ["app.9.log", "other-name"]
    assert names(logs) == ["app.5.log", "app.fifo.log", "app.link.log", "app.log", "old"]
    assert "1 left alone: has another name (hard link)" in answer["did"]


def test_a_folder_that_became_a_link_is_not_followed(logs: Path, tmp_path: Path) -> None:
    """Between looking and deleting."""
    inner, outside = logs / "inner", tmp_path / "outside"
    inner.mkdir()
    outside.mkdir()
    write(inner / "a.log", "a", days=5)
    write(outside / "a.log", "a", days=5)
    with opened(logs) as folder:
        (file,) = folder.files(("inner", "a.log"))
        inner.rename(logs / "moved")
        inner.symlink_to(outside)
        with pytest.raises(Exception, match=r"Not a directory|Too many levels"):
            folder.remove(file)
    assert names(outside) == ["a.log"]


def test_a_name_that_was_given_to_another_file_stays(logs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Logs are rotated at any time: also between the look and the deletion."""
    with opened(logs) as folder:
        (file,) = folder.files(("app.5.log",))
        write(logs / "fresh", "fresh", days=0)
        (logs / "fresh").replace(logs / "app.5.log")
        with pytest.raises(Exception, match="changed meanwhile"):
            folder.remove(file)
    assert (logs / "app.5.log").read_text() == "fresh"


@pytest.mark.parametrize(
    ("pattern", "status", "words"),
    [
        ("{logs}/../secret/a.log", 422, "without `..`"),
        ("logs/app.log", 422, "must be an absolute path"),
        ("/etc/pass*", 403, "services.orders.clear_disk.folders"),
        ("{logs}-other/app.log", 403, "services.orders.clear_disk.folders"),
        ("{logs}", 403, "services.orders.clear_disk.folders"),
        ("{logs}/*", 422, "too wide"),
        ("{logs}/**/a.log", 422, "`**`"),
        ("{logs}/a\n.log", 422, "must be a line of text"),
        (7, 422, "must be a line of text"),
    ],
)
def test_patterns_beyond_what_is_allowed_are_refused(logs: Path, pattern: Any, status: int, words: str) -> None:
    given = pattern.format(logs=logs) if isinstance(pattern, str) else pattern
    with pytest.raises(Refused, match=words.replace("*", r"\*").replace(".", r"\.")) as refused:
        ClearDisk().check("orders", section_of(logs), {"pattern": given})
    assert refused.value.status == status


@pytest.mark.parametrize(
    "arguments", [{"older_than_hours": -1}, {"below": 2}, {"below": True}, {"keep": 1}, {"force": True}]
)
def test_wrong_arguments_are_refused(logs: Path, arguments: dict[str, Any]) -> None:
    with pytest.raises(Refused) as refused:
        ClearDisk().check("orders", section_of(logs), {"pattern": f"{logs}/app.*.log", **arguments})
    assert refused.value.status == 422


@pytest.mark.parametrize("folders", [["/"], ["/var"], ["/var/log/../../etc"]])
def test_a_wide_folder_is_a_mistake_in_the_file(folders: list[str]) -> None:
    with pytest.raises(ValueError, match="too wide"):
        ClearDiskSection.model_validate({"folders": folders}, context={"folder": Path("/")})


def test_what_is_kept_comes_back_as_it_was(logs: Path, elsewhere: Path) -> None:
    (logs / "app.5.log").chmod(0o640)
    before = {path.name: (path.read_text(), path.stat().st_mtime_ns, path.stat().st_mode) for path in logs.iterdir()}
    section = section_of(logs, trash=str(elsewhere))
    answer = clear(section, logs / "app.*.log", older_than_hours=60, keep=True, batch="run-7:3")
    assert names(logs) == ["app.1.log", "app.2.log", "app.log"]
    assert "moved to the trash" in answer["did"]
    assert "brings" not in answer["did"]
    assert work(section, RestoreDisk(), "u", {"batch": "run-7:3"}) == {"did": "brought back 3 files", "files": 3}
    after = {path.name: (path.read_text(), path.stat().st_mtime_ns, path.stat().st_mode) for path in logs.iterdir()}
    assert after == before
    assert names(elsewhere) == []
    assert work(section, RestoreDisk(), "u2", {"batch": "run-7:3"})["did"].startswith("nothing")


def test_a_name_that_is_taken_again_is_not_overwritten(logs: Path, elsewhere: Path) -> None:
    section = section_of(logs, trash=str(elsewhere))
    clear(section, logs / "app.*.log", older_than_hours=60, keep=True, batch="b")
    write(logs / "app.4.log", "new", days=0)
    with pytest.raises(AgentError, match=r"brought back 2 files, but not 1: .*app\.4\.log: there is another file"):
        work(section, RestoreDisk(), "u", {"batch": "b"})
    assert (logs / "app.4.log").read_text() == "new"
    (logs / "app.4.log").unlink()
    assert work(section, RestoreDisk(), "u", {"batch": "b"})["files"] == 1


def test_whoever_dies_between_copy_and_deletion_left_both(
    logs: Path, elsewhere: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Asked again, it goes on; brought back instead, the file that never went is no other one."""
    section = section_of(logs, trash=str(elsewhere))

    def dies(_self: Folder, _file: OldFile, _parent: int) -> None:
        raise KeyboardInterrupt

    for again in (True, False):
        with monkeypatch.context() as patched:
            patched.setattr(Folder, "unlink", dies)
            with pytest.raises(KeyboardInterrupt):
                clear(section, logs / "app.*.log", older_than_hours=60, keep=True, batch="b")
        assert "app.5.log" in names(logs)
        if again:
            assert clear(section, logs / "app.*.log", older_than_hours=60, keep=True, batch="b")["count"] == 3
        assert work(section, RestoreDisk(), "u", {"batch": "b"})["files"] == (3 if again else 0)
        assert names(logs) == ["app.1.log", "app.2.log", "app.3.log", "app.4.log", "app.5.log", "app.log"]
        assert names(elsewhere) == []


def test_a_trash_that_frees_nothing_is_refused(logs: Path, tmp_path: Path) -> None:
    trash = tmp_path / "trash"
    trash.mkdir()
    with pytest.raises(AgentError, match=r"nothing was cleared: the trash .* is on the same file system"):
        clear(section_of(logs, trash=str(trash)), logs / "app.*.log", keep=True)
    assert len(names(logs)) == 6
    with pytest.raises(Refused, match=r"services\.orders\.clear_disk\.trash"):
        clear(section_of(logs), logs / "app.*.log", keep=True)


def test_the_trash_is_emptied_of_what_is_old_and_of_nothing_else(logs: Path, elsewhere: Path) -> None:
    section = section_of(logs, trash=str(elsewhere), trash_hours=2)
    (elsewhere / "somebody's").mkdir()
    clear(section, logs / "app.*.log", older_than_hours=60, keep=True, batch="b")
    trash = Trash.of(section)
    assert trash is not None
    trash.expire()
    assert trash.has_batch("b")
    (rows,) = elsewhere.glob("cleared-*/rows.jsonl")
    os.utime(rows, (time.time() - 7300, time.time() - 7300))
    trash.expire()
    assert names(elsewhere) == ["somebody's"]
