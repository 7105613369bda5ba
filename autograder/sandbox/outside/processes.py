"""What the processes around a worker have in common: their environment, and how they end."""

import contextlib
import os
import select
import subprocess

from autograder.sandbox.outside.gpu import HIDDEN, Gpu


def variables(home: str, scratch: str, gpu: Gpu | None = None) -> dict[str, str]:
    """The worker's whole environment, with its home, its folder for temporary files and its `Gpu`."""
    return {
        **(HIDDEN if gpu is None else gpu.variables),
        "PYTORCH_NVML_BASED_CUDA_CHECK": "1",  # asking whether there is a GPU must not initialise CUDA before a fork
        "HOME": home,
        "PATH": "/usr/bin:/bin",
        "LANG": "C.UTF-8",
        "TMPDIR": scratch,
        "MPLBACKEND": "module://matplotlib_inline.backend_inline",
        "MPLCONFIGDIR": f"{scratch}/matplotlib",
        "IPYTHONDIR": f"{scratch}/ipython",
        "JUPYTER_RUNTIME_DIR": f"{scratch}/jupyter",
        "NBGRADER_EXECUTION": "autograde",  # the visible checks print then, and do not raise
        # One thread per worker: parallel submissions use the cores, and a fork must not inherit a pool of threads.
        "OMP_NUM_THREADS": "1",
        "MKL_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYDEVD_DISABLE_FILE_VALIDATION": "1",
    }


def ended(process: "subprocess.Popen[bytes]", seconds: float) -> bool:
    """Waits until a process has ended, at most so long; whether it has. (Popen.wait looks in ever longer intervals.)"""
    if process.poll() is not None:
        return True
    if not hasattr(os, "pidfd_open"):  # Linux alone has it
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(seconds)
        return process.returncode is not None
    pidfd = os.pidfd_open(process.pid)
    try:
        return bool(select.select([pidfd], [], [], seconds)[0])
    finally:
        os.close(pidfd)


def end_and_ask(process: "subprocess.Popen[bytes]") -> str:
    """Ends a process. → what it wrote to stderr"""
    process.kill()
    return process.communicate()[1].decode(errors="replace").strip()[:2000] or "it said nothing"
