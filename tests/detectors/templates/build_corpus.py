"""Build the labelled corpus again: run every program, label its lines, write one compressed file each.

python tests/detectors/templates/build_corpus.py [PROGRAM ...]
"""

from __future__ import annotations

import gzip
import sys
import tempfile
from pathlib import Path

if __package__ in (None, ""):
    sys.path.insert(0, str(Path(__file__).parent))

from formats import label
from programs import PROGRAMS

CORPUS = Path(__file__).parent / "corpus"
MOST = 4_000


def main(names: list[str]) -> None:
    """Run programs and write their files."""
    for name in names or PROGRAMS:
        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
            Path(folder).chmod(0o777)
            lines = PROGRAMS[name](Path(folder))[:MOST]
        rows = [f"{label(name, line) or ''}\t{line}" for line in lines]
        (CORPUS / f"{name}.tsv.gz").write_bytes(gzip.compress("\n".join(rows).encode(), mtime=0))
        labelled = sum(not row.startswith("\t") for row in rows)
        print(f"{name}: {len(rows)} lines, {labelled} labelled")


if __name__ == "__main__":
    main(sys.argv[1:])
