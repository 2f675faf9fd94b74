"""The fault `disk_read_only`."""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

from agent.holders import marked
from agent.holders.put_back import stand_by
from agent.mounts import (
    has_own_root,
    inside,
    make_read_only,
    mount_of,
    mounts,
    namespace,
    real_folder,
    somebody_in,
    unmount,
    why_not,
)
from watchkeeper.errors import AgentError

if TYPE_CHECKING:
    from agent.fault import Record
    from agent.instance import Instance

FOLDER: Final = "read_only_folder"


class DiskReadOnly:
    """`read_only_folder` of the agent's file becomes read-only, in the service's own mount namespace.

    The folder is mounted over itself, read-only; the end takes that mount away. What the service opens from then on
    cannot be written; what it has open already still can. A service without a mount namespace of its own shares it with
    the host: then every process of the host finds the folder read-only.
    """

    name = "disk_read_only"
    description = "the folder that it writes to is read-only"
    arguments: Mapping[str, float | str] = MappingProxyType({})

    def lacks(self, instance: Instance) -> str:
        folder = instance.settings.get(FOLDER, "")
        if not instance.pids:
            return "it does not run"
        if not folder:
            return f"the agent's file names no folder that may become read-only; set `{FOLDER}`"
        if missing := why_not():
            return missing
        try:
            if has_own_root(instance.pid):
                return "it has another root than its mount namespace (chroot)"
            path = real_folder(instance.pid, folder)
            inner = [each.point for each in mounts(instance.pid) if Path(path) in Path(each.point).parents]
            options = mount_of(instance.pid, path).options
        except AgentError as error:
            return f"{folder}: {error.message}"
        if path == "/":
            return f"`{FOLDER}` must not be the root of the file system"
        if inner:
            return f"another file system is mounted in {folder}, at {inner[0]}"
        return f"{folder} is read-only already" if "ro" in options else ""

    def plan(self, instance: Instance, seconds: float, arguments: Mapping[str, float | str]) -> dict[str, Any]:  # noqa: ARG002
        path = real_folder(instance.pid, instance.settings[FOLDER])
        around = mount_of(instance.pid, path)
        root = str(Path(around.root) / Path(path).relative_to(around.point))
        return {
            "mark": marked.new_mark(),
            "path": path,
            "namespace": namespace(instance.pid),
            "options": list(around.options),
            "source": [around.device, root],
            "before": [each.id for each in mounts(instance.pid) if each.point == path],
            "until": time.time() + seconds,
        }

    def begin(self, record: Record) -> None:
        facts = {name: record[name] for name in ("mark", "path", "namespace", "source", "before")}
        stand_by(record["mark"], f"{__name__}:{type(self).__name__}", record["until"] - time.time(), facts)
        pid = somebody_in(record["namespace"])
        if not pid:
            raise AgentError("the service is gone, and its mount namespace with it")
        inside(pid, lambda: make_read_only(record["path"], tuple(record["options"])))
        record.note(mounted=True)  # which fails where the agent's own state is in the folder: then this ends at once

    def effect(self, record: Record) -> str:
        pid = somebody_in(record["namespace"])
        if not pid or not self._own(record, pid):
            return ""
        refused = inside(pid, lambda: _refusal(record["path"]))
        return f"a write into {record['path']} is refused: {refused}" if refused else ""

    def end(self, record: Record) -> None:
        while (pid := somebody_in(record["namespace"])) and (own := self._own(record, pid)):
            top = [each.id for each in mounts(pid) if each.point == record["path"]][-1]
            if top not in own:
                raise AgentError(f"somebody has mounted something else on {record['path']} meanwhile; unmount it")
            inside(pid, lambda: unmount(record["path"]))
        marked.end(record["mark"])

    def remains(self, record: Record) -> tuple[str, ...]:
        pid = somebody_in(record["namespace"])
        mounted = [f"a mount at {record['path']}"] if pid and self._own(record, pid) else []
        return (*marked.remaining(record["mark"]), *mounted)

    @staticmethod
    def _own(record: Record, pid: int) -> list[int]:
        """The mounts at the path that were not there before, and are of the very folder."""
        here = [each for each in mounts(pid) if each.point == record["path"] and each.source == record["source"]]
        return [each.id for each in here if each.id not in record["before"]]


def _refusal(path: str) -> str:
    """Why nothing can be written there, in words; empty: something can. Leaves no file."""
    try:
        os.close(os.open(path, os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, 0o600))
    except OSError as error:
        return os.strerror(error.errno) if error.errno == errno.EROFS else ""
    return ""
