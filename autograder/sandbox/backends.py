"""The sandboxes by name. A backend is a function `start(calls, limits, gpu=None)` → Worker."""

from autograder.errors import SandboxError
from autograder.sandbox import bubblewrap, plain

BACKENDS = {"bubblewrap": bubblewrap.start, "uid": plain.start_uid, "none": plain.start_none}
WARNINGS = {
    "uid": "The student's code ran under a user id of its own, without a sandbox around its files and the network.",
    "none": "The student's code ran WITHOUT a sandbox, with all rights of the user who marked it.",
}


def get(name):
    """The backend of that name; SandboxError names those that exist."""
    try:
        return BACKENDS[name]
    except KeyError:
        raise SandboxError(f"There is no sandbox {name!r}. Known: {', '.join(BACKENDS)}.") from None
