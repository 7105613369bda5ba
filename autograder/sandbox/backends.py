"""The sandboxes by name. A backend is a function `start(calls, limits)` → Worker."""

from autograder.errors import SandboxError
from autograder.sandbox import bubblewrap

BACKENDS = {"bubblewrap": bubblewrap.start}


def get(name):
    """The backend of that name; SandboxError names those that exist."""
    try:
        return BACKENDS[name]
    except KeyError:
        raise SandboxError(f"There is no sandbox {name!r}. Known: {', '.join(BACKENDS)}.") from None
