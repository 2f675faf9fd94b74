"""A YAML file as plain data, with the line of everything in it: configuration, objectives, runbooks.

Whatever a file holds, reading it ends with data or with an error that names file and line. What YAML allows and no
reader of such a file expects is refused: a key written twice, an anchor that multiplies itself, other encodings.
Dates stay text: what they mean is the business of whoever asked for them.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml

from watchkeeper.errors import ConfigError

LARGEST_BYTES: Final = 1 << 20
MOST_NODES: Final = 100_000  # keys and values, with everything that anchors repeat
UTF16_MARKS: Final = (b"\xff\xfe", b"\xfe\xff")
Location = tuple[int | str, ...]


class _Loader(yaml.SafeLoader):
    """Plain data only. A value that its tag does not fit is an error with its place, as any other."""

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        try:
            return super().construct_object(node, deep=deep)
        except yaml.YAMLError:
            raise
        except Exception as error:
            tag = node.tag.removeprefix("tag:yaml.org,2002:")
            raise yaml.constructor.ConstructorError(
                None, None, f"this cannot be read as {tag}; put it in quotes", node.start_mark
            ) from error


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in pairs if tag != "tag:yaml.org,2002:timestamp"]
    for first, pairs in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """One document of a file: its data, and where each part of it stands."""

    path: Path
    data: Any
    node: yaml.Node | None = None

    def line(self, location: Location = ()) -> int:
        """The line of the deepest part of `location` that stands in the file."""
        node = self.node
        line = node.start_mark.line + 1 if node else 1
        for part in location:
            found: yaml.Node | None = None
            if isinstance(node, yaml.MappingNode):
                for key, value in node.value:
                    if key.value == str(part):
                        line, found = key.start_mark.line + 1, value
            elif isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
                found = node.value[part]
                line = found.start_mark.line + 1
            if found is None:
                break
            node = found
        return line

    def where(self, location: Location = ()) -> str:
        """`file:line: key`, as every message about this document begins."""
        return f"{self.path}:{self.line(location)}: {'.'.join(str(part) for part in location) or 'file'}"


def read_documents(path: Path) -> tuple[Document, ...]:
    """Every document of a file that is not empty.

    Raises:
        ConfigError: cannot be read, or is not YAML of this kind; one line a mistake, each with file and line.
    """
    return documents_in(path, _text(path))


def documents_in(path: Path, text: str) -> tuple[Document, ...]:
    """Every document of a text that stands in a file. Raises ConfigError, as `read_documents`."""
    if found := yaml.reader.Reader.NON_PRINTABLE.search(text):
        line = text.count("\n", 0, found.start()) + 1
        raise ConfigError(f"{path}:{line}: holds the character U+{ord(found[0]):04X}, which nobody sees; remove it")
    loader = _Loader(text)
    documents = []
    try:
        while loader.check_node():
            node: Any = loader.get_node()
            _refuse_surprises(path, node)
            documents.append(Document(path=path, data=loader.construct_document(node), node=node))
    except yaml.YAMLError as error:
        raise ConfigError(_not_yaml(path, error)) from error
    except RecursionError as error:
        raise ConfigError(f"{path}:1: is nested too deeply to be meant; check its brackets") from error
    finally:
        loader.dispose()
    return tuple(document for document in documents if document.data is not None)


def read_document(path: Path) -> Document:
    """The one document of a file; an empty file is a document without data.

    Raises:
        ConfigError: as `read_documents`; also for a second document.
    """
    documents = read_documents(path)
    if len(documents) > 1:
        raise ConfigError(f"{path}:{documents[1].line()}: a second document begins (after `---`); keep one")
    return documents[0] if documents else Document(path=path, data=None)


def _text(path: Path) -> str:
    try:
        with path.open("rb") as file:
            raw = file.read(LARGEST_BYTES + 1)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise ConfigError(f"{path}: cannot be read ({reason}). Check the path.") from error
    if len(raw) > LARGEST_BYTES:
        raise ConfigError(f"{path}: is larger than {LARGEST_BYTES >> 20} MiB; that is no such file")
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw[: error.start].count(b"\n") + 1
        what = "is UTF-16" if raw.startswith(UTF16_MARKS) else f"is not UTF-8 text (byte {error.start})"
        raise ConfigError(f"{path}:{line}: {what}; save it as UTF-8") from error


def _not_yaml(path: Path, error: yaml.YAMLError) -> str:
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    problem = getattr(error, "problem", None) or str(error)
    if "\\t" in problem:
        problem += " (indent with spaces, not tabs)"
    return f"{path}:{mark.line + 1 if mark else 1}: is not YAML: {problem}"


def _refuse_surprises(path: Path, root: yaml.Node) -> None:
    """A key that is written twice, and anchors that hold themselves or multiply."""
    sizes: dict[int, int] = {}
    mistakes: list[str] = []

    def measure(node: yaml.Node) -> int:
        known = sizes.get(id(node))
        if known is not None:
            if known < 0:
                raise ConfigError(f"{path}:{node.start_mark.line + 1}: an anchor holds itself; write it out")
            return known
        sizes[id(node)] = -1
        size = 1
        if isinstance(node, yaml.MappingNode):
            seen: dict[str, int] = {}
            for key, value in node.value:
                line = key.start_mark.line + 1
                if isinstance(key, yaml.ScalarNode) and key.value != "<<":
                    if key.value in seen:
                        mistakes.append(
                            f"{path}:{line}: {key.value}: stands in line {seen[key.value]} already; keep one"
                        )
                    seen[key.value] = line
                size += measure(key) + measure(value)
        elif isinstance(node, yaml.SequenceNode):
            size += sum(measure(item) for item in node.value)
        if size > MOST_NODES:
            raise ConfigError(f"{path}:{node.start_mark.line + 1}: anchors multiply this to over {MOST_NODES} values")
        sizes[id(node)] = size
        return size

    measure(root)
    if mistakes:
        raise ConfigError("\n".join(mistakes))
