"""The registered sources: Watchkeeper's own and those of other packages, by entry point."""

from __future__ import annotations

import inspect
from collections.abc import Iterable
from importlib.metadata import EntryPoint

from collectors.source import RegisteredSource
from watchkeeper.parts import Registry, read_registry


def sources(declared: Iterable[EntryPoint] | None = None) -> Registry[RegisteredSource]:
    """Every source that can be loaded, and those that cannot, with the reason."""
    return read_registry("source", accept, declared)


def accept(name: str, loaded: object) -> RegisteredSource:
    """A source from its entry point's object.

    Raises:
        TypeError: it is no source; says what is missing.
    """
    if not callable(loaded):
        raise TypeError("a source is a class (or a function) that is called with a SourceContext")
    if inspect.isclass(loaded) and not callable(getattr(loaded, "run", None)):
        raise TypeError(f"a source needs a method run(self), and {loaded.__name__} has none")
    try:
        inspect.signature(loaded).bind(None)
    except TypeError as error:
        raise TypeError(f"a source is called with one argument, its SourceContext: {error}") from None
    section = getattr(loaded, "section", f"sources.{name}")
    if not isinstance(section, str) or not section:
        raise TypeError("`section` must be the dotted key of a configuration section, such as 'ingest.scrape'")
    return RegisteredSource(name=name, section=section, make=loaded)
