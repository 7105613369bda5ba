"""Jupyter's extension point for kernels that live elsewhere: ours lives in a sandbox."""

import uuid
from collections.abc import Callable
from typing import Any

from jupyter_client.provisioning import KernelProvisionerBase

from autograder.sandbox.outside.handle import Worker


class SandboxProvisioner(KernelProvisionerBase):
    """Starts a sandboxed worker where jupyter_client expects to start a kernel.

    Args:
        start: `start()` → Worker.

    Attributes:
        worker: the running Worker, or None.
    """

    def __init__(self, start: Callable[[], Worker], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.kernel_id = str(uuid.uuid4())
        self._start_worker = start
        self.worker: Worker | None = None

    @property
    def has_process(self) -> bool:
        return self.worker is not None

    async def poll(self) -> int | None:
        return None if self.worker and self.worker.alive() else 0

    async def wait(self) -> int | None:
        return self.worker.process.wait() if self.worker else 0

    async def send_signal(self, signum: int) -> None:
        """Signals do not cross the sandbox; the kernel is interrupted by message and ended by `kill`."""

    async def kill(self, restart: bool = False) -> None:
        self.close()

    async def terminate(self, restart: bool = False) -> None:
        self.close()

    async def cleanup(self, restart: bool = False) -> None:
        self.close()

    async def pre_launch(self, **kwargs: Any) -> dict[str, Any]:
        kwargs.pop("extra_arguments", None)
        return {**kwargs, "cmd": []}

    async def launch_kernel(self, cmd: list[str], **kwargs: Any) -> dict[str, Any]:
        self.worker = self._start_worker()
        self.connection_info = self.worker.connection
        return self.connection_info

    def close(self) -> None:
        """Ends the worker and everything in it."""
        if self.worker is not None:
            self.worker.kill()
            self.worker = None
