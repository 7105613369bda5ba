"""A GPU for a worker: the device nodes and driver libraries that it needs, one submission per GPU at a time.

CUDA does not survive a fork: whoever forks workers must not have touched it. What is asked here asks NVIDIA's management
library at most, which leaves no trace.
"""

import contextlib
import dataclasses
import fcntl
import os
import pathlib
import time
from collections.abc import Iterator, Sequence
from typing import IO, Any

from autograder.errors import SandboxError

CHOICES = ("auto", "cpu", "cuda")
SHARED = ("/dev/nvidiactl", "/dev/nvidia-uvm", "/dev/nvidia-uvm-tools")  # by all GPUs of a machine
WSL = "/dev/dxg"
DRIVER = ("libcuda.so.1", "libnvidia-ml.so.1")
SECONDS = 0.05  # between two attempts to get a GPU


@dataclasses.dataclass(frozen=True)
class Gpu:
    """One GPU.

    Attributes:
        nodes: device nodes that a worker needs.
        libraries: folders of the driver's libraries that only LD_LIBRARY_PATH leads to.
    """

    nodes: tuple[str, ...]
    libraries: tuple[str, ...] = ()

    @property
    def variables(self) -> dict[str, str]:
        """The environment that leads to it; CUDA looks no further than to the nodes that it can open."""
        return {"LD_LIBRARY_PATH": os.pathsep.join(self.libraries)} if self.libraries else {}


HIDDEN = {"CUDA_VISIBLE_DEVICES": ""}  # the environment of a worker without a GPU, also where files hide nothing


def available() -> list[str]:
    """The device nodes of the GPUs that torch can use here; none where torch was built without CUDA."""
    import torch

    # Unlike is_available(), device_count() does not initialise CUDA.
    if torch.version.cuda is None or torch.cuda.device_count() == 0:
        return []
    nodes = [path for path in pathlib.Path("/dev").glob("nvidia*") if path.name.removeprefix("nvidia").isdigit()]
    return sorted(map(str, nodes)) or [WSL]


@contextlib.contextmanager
def lease(device: str, nodes: Sequence[str] | None = None) -> Iterator[Gpu | None]:
    """A Gpu that nobody else marks on meanwhile, or None where the device parts are judged on pretended CUDA tensors.

    Args:
        device: "auto" for a GPU where the machine has one, "cpu", or "cuda".
        nodes: of the GPUs; the machine's by default.

    Raises:
        SandboxError: a GPU is asked for and there is none, or the word means nothing.
    """
    if device not in CHOICES:
        raise SandboxError(f"There is no device {device!r} to mark on. Known: {', '.join(CHOICES)}.")
    nodes = [] if device == "cpu" else available() if nodes is None else nodes
    if not nodes:
        if device == "cuda":
            raise SandboxError(
                "c.GradeOutside.device asks for a GPU, and torch finds none here: mark on another machine, mend the driver "
                '(`nvidia-smi` tells), or set it to "auto".'
            )
        yield None
        return
    with contextlib.ExitStack() as stack:
        # A lock on the device itself holds for every user and container that sees it, and ends with this process.
        files = [stack.enter_context(pathlib.Path(node).open("rb")) for node in nodes]
        node = nodes[first_free(files)]
        yield Gpu((node, *SHARED), libraries())


def first_free(files: Sequence[IO[Any]]) -> int:
    """Locks one of the files, waiting until one is free. → its number"""
    while True:
        for number, file in enumerate(files):
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                continue
            return number
        time.sleep(SECONDS)


def libraries() -> tuple[str, ...]:
    """The folders on LD_LIBRARY_PATH that hold the driver: some containers and WSL put it there."""
    folders = filter(None, os.environ.get("LD_LIBRARY_PATH", "").split(os.pathsep))
    return tuple(folder for folder in folders if any((pathlib.Path(folder) / name).exists() for name in DRIVER))
