"""For schemathesis: of the ids that it invents, half become ids of records that there are."""

from __future__ import annotations

import json
import os
import re
import zlib
from typing import Any

import schemathesis

KNOWN = json.loads(os.environ.get("WATCHKEEPER_KNOWN_IDS", "{}"))


@schemathesis.hook
def map_path_parameters(_context: Any, path_parameters: dict[str, Any] | None) -> dict[str, Any] | None:
    """Only for a value that would be an id: what is wrong on purpose stays wrong."""
    for name, known in KNOWN.items():
        value = (path_parameters or {}).get(name)
        if isinstance(value, str) and re.fullmatch("[a-z0-9-]{1,16}", value) and zlib.crc32(value.encode()) % 2:
            path_parameters[name] = known[zlib.crc32(value.encode()) // 2 % len(known)]  # type: ignore[index]
    return path_parameters
