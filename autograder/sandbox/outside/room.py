"""What of ours a worker gets to see, and the command that starts it: one list and one command for all backends."""

import pathlib
import sys

SANDBOX = pathlib.Path(__file__).parent.parent
PACKAGE = SANDBOX.parent
INSIDE = SANDBOX / "inside"
OPERATIONS = "operations.py"
DESCRIPTOR = 3  # where a worker finds its channel, and a warm process its control socket


def files(operations: pathlib.Path) -> list[tuple[pathlib.Path, str]]:
    """[(file, its path in the room)]: the package `inside`, and the operations of an assignment."""
    ours = [(path, str(path.relative_to(SANDBOX))) for path in sorted(INSIDE.glob("*.py"))]
    return [*ours, (operations, OPERATIONS)]


def command(module: str, room: str, descriptor: int, operations: str) -> list[str]:
    """The command for a Python that runs `main` of a module of `inside` and has nothing of its parent but one descriptor.

    Args:
        module: "worker" or "zygote".
        room: the folder that holds the package `inside`.
        descriptor: what it finds as its channel.
        operations: path of the assignment's operations.
    """
    code = (
        f"import os, sys; os.dup2({descriptor}, {DESCRIPTOR}); os.closerange({DESCRIPTOR + 1}, 256); "
        f"sys.path.insert(0, {room!r}); from inside import {module}; sys.path.pop(0); "
        f"{module}.main({operations!r})"
    )
    return [sys.executable, "-I", "-c", code]
