"""What this machine has, for `autograder doctor`."""

import dataclasses
import importlib.metadata
import importlib.util
import os
import pathlib
import platform
import shutil
import sys
import time
from collections.abc import Callable

from autograder import assignment as assignments
from autograder.assignment import PACKAGE
from autograder.errors import GraderError, SandboxError
from autograder.grading.session import Kernel
from autograder.grading.settings import absent
from autograder.sandbox.outside import backends, bubblewrap, conformance, gpu
from autograder.sandbox.outside.limits import Limits


@dataclasses.dataclass(frozen=True)
class Finding:
    """One line of the report.

    Attributes:
        what, found: what was looked at and what was seen.
        ok: whether it is as it should be.
        needed: whether marking needs it.
        repair: the command that mends it, or "".
    """

    what: str
    found: str
    ok: bool = True
    needed: bool = True
    repair: str = ""


def examine() -> list[Finding]:
    """All findings, the necessary ones first."""
    return [system(), versions(), packages(), alembic(), bwrap(), *sandbox(), readable(), cuda(), postgresql()]


def system() -> Finding:
    ok = platform.system() == "Linux"
    repair = "" if ok else "mark on Linux, or on Windows in WSL2: wsl --install"
    return Finding("system", f"{platform.system()} {platform.release()}", ok, repair=repair)


def versions() -> Finding:
    names = ("torch", "nbgrader", "nbclient", "ipykernel", "pytest")
    found = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in names)
    return Finding("libraries", f"Python {platform.python_version()}, {found}")


def alembic() -> Finding:
    there = (pathlib.Path(sys.executable).parent / "alembic").exists() or shutil.which("alembic") is not None
    found = "found: nbgrader makes new gradebooks with it" if there else "not found: nbgrader cannot make a gradebook"
    return Finding("alembic", found, there, repair="" if there else "pip install alembic")


# What students of such courses import beyond the lesson's own packages.
COMMON = ("pandas", "scipy", "seaborn", "sklearn", "ipywidgets", "ipympl")


def packages() -> Finding:
    """What students commonly import. A line that imports what is not there fails, and costs nothing by itself."""
    missing = absent(COMMON)
    there = [name for name in COMMON if name not in missing]
    found = f"here: {', '.join(there) or 'none'}; not here, so a line that imports it fails: {', '.join(missing) or 'none'}"
    return Finding("students' packages", found, needed=False)


def bwrap() -> Finding:
    path = shutil.which("bwrap")
    return Finding("bubblewrap", path or "not installed", path is not None, repair="" if path else bubblewrap.INSTALL)


def sandbox() -> list[Finding]:
    """Starts real workers, warm and cold."""
    findings = []
    for what, start in (("sandbox, warm", bubblewrap.start_warm), ("sandbox, cold", bubblewrap.start_cold)):
        started = time.monotonic()
        try:
            start(conformance.PROBES, Limits()).kill()
        except SandboxError as error:
            said, repair = str(error).splitlines()[0], error.repair or bubblewrap.LOOK
            findings.append(Finding(what, said, False, needed="cold" in what, repair=repair))
        else:
            user = "root, each worker under a uid of its own" if os.geteuid() == 0 else "an ordinary user"
            findings.append(Finding(what, f"works, as {user}; {time.monotonic() - started:.1f} s to start the first"))
    return findings


def guarantees(
    progress: Callable[[int, int, str], None] = lambda done, total, what: None,
) -> list[tuple[str, list[conformance.Result] | None, str]]:
    """What each sandbox guarantees on this machine.

    Returns:
        list of (backend, its `conformance.Result`s or None, why it does not work here or "").
    """
    found: list[tuple[str, list[conformance.Result] | None, str]] = []
    for number, name in enumerate(backends.NAMES):
        progress(number, len(backends.NAMES), f"sandbox {name}")
        try:
            found.append((name, conformance.examine(backends.get(name)), ""))
        except GraderError as error:
            found.append((name, None, str(error).splitlines()[0]))
    progress(len(found), len(found), "done")
    return found


def readable() -> Finding:
    """The hidden checks are files of the package: on a machine shared with students, they must not be able to read them."""
    folder = PACKAGE
    parents = [folder, *folder.parents]
    open_to_all = all(parent.stat().st_mode & 0o005 == 0o005 for parent in parents)
    found = "other users of this machine can read the hidden checks" if open_to_all else "other users cannot read them"
    return Finding("hidden checks", found, not open_to_all, needed=False, repair=f"chmod o-rx {folder}" if open_to_all else "")


def cuda() -> Finding:
    """Looks for a GPU that torch can use, and uses it in a sandbox."""
    nodes = gpu.available()
    if not nodes:
        unused = pathlib.Path("/dev/nvidia0").exists() or shutil.which("nvidia-smi") is not None
        why = "a GPU that this torch cannot use" if unused else "no GPU"
        return Finding("CUDA", f"{why}: device mistakes are found with pretended CUDA tensors", needed=False)
    try:
        with gpu.lease("cuda") as leased:
            Kernel(bubblewrap.start, assignments.load(assignments.names()[0]).operations, Limits(), leased).close()
    except SandboxError as error:
        return Finding("CUDA", str(error), False, repair=error.repair)
    return Finding("CUDA", f"{len(nodes)} GPU: works in the sandbox, and device mistakes are looked for on it", needed=False)


def postgresql() -> Finding:
    there = importlib.util.find_spec("psycopg") is not None
    found = "SQLite and PostgreSQL" if there else "SQLite; PostgreSQL needs a driver"
    return Finding("gradebooks", found, needed=False, repair="" if there else "pip install 'psycopg[binary]'")
