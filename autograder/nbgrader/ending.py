"""How nbgrader's own commands end where the course is the matter: in a sentence, as `autograder`'s do."""

import contextlib
from collections.abc import Iterator

from traitlets.config import Application, LoggingConfigurable

from autograder.errors import CourseError


@contextlib.contextmanager
def told(part: LoggingConfigurable, nothing: str) -> Iterator[None]:
    """Ends nbgrader's command with a CourseError's sentence in its log and exit code 2, in place of a traceback.

    formgrader, which runs the same commands in its server, shows that log. `autograder`'s commands get the error.

    Args:
        part: a part of the command.
        nothing: what was not done, in words.
    """
    try:
        yield
    except CourseError as error:
        if not is_of_a_program(part):
            raise
        part.log.error("%s; %s. %s", error.happened, nothing, error)
        raise SystemExit(2) from error


def is_of_a_program(part: LoggingConfigurable) -> bool:
    """Whether a program of nbgrader's or Jupyter's has made it; we make the parts of a command without one."""
    while part is not None and not isinstance(part, Application):
        part = part.parent
    return part is not None
