"""The sandboxes by name. Each is imported only when it is asked for: a process that only hands out work needs none."""

import importlib
import pathlib
from typing import TYPE_CHECKING, Protocol

from autograder.errors import SandboxError

if TYPE_CHECKING:
    from autograder.sandbox.outside.gpu import Gpu
    from autograder.sandbox.outside.handle import Worker
    from autograder.sandbox.outside.limits import Limits


class Backend(Protocol):
    """A sandbox: what starts a worker in it."""

    def __call__(self, operations: pathlib.Path, limits: "Limits", gpu: "Gpu | None" = None) -> "Worker":
        """A worker whose kernel answers.

        Args:
            operations: the assignment's operations, which it calls.
            limits: what it may use.
            gpu: the GPU that it may use, or None.

        Raises:
            SandboxError: no worker can be had on this machine.
        """


_STARTS = {"bubblewrap": ("bubblewrap", "start"), "uid": ("plain", "start_uid"), "none": ("plain", "start_none")}
NAMES = tuple(_STARTS)
WARNINGS = {
    "uid": "The student's code ran under a user id of its own, without a sandbox around its files and the network.",
    "none": "The student's code ran WITHOUT a sandbox, with all rights of the user who marked it.",
}


def get(name: str) -> Backend:
    """The backend of that name; SandboxError names those that exist."""
    if name not in _STARTS:
        raise SandboxError(f"There is no sandbox {name!r}. Known: {', '.join(NAMES)}.")
    module, function = _STARTS[name]
    backend: Backend = getattr(importlib.import_module(f"autograder.sandbox.outside.{module}"), function)
    return backend
