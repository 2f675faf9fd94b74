"""One thing done by a forked process, which may enter what this one must not: a namespace, a control group."""

from __future__ import annotations

import os
from collections.abc import Callable

from watchkeeper.errors import AgentError


def in_child(do: Callable[[], str], what: str) -> str:
    """What a function returns that a forked process runs. `what` names it, should the process die.

    Raises:
        AgentError: the function raised OSError or AgentError, with its words, or the process died.
    """
    answers, answer = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(answers)
        try:
            try:
                said = f"={do()}"
            except AgentError as error:
                said = error.message
            except OSError as error:
                said = f"{error.strerror or error}"
            os.write(answer, said.encode(errors="surrogateescape"))
        finally:
            os._exit(0)
    os.close(answer)
    with os.fdopen(answers, "rb") as lines:
        said = lines.read().decode(errors="surrogateescape")
    os.waitpid(child, 0)
    if not said.startswith("="):
        raise AgentError(said or f"{what} died")
    return said[1:]
