"""What this machine has, for `autograder doctor`."""

import contextlib
import dataclasses
import importlib.metadata
import importlib.util
import json
import os
import pathlib
import platform
import shlex
import shutil
import sys
import time
from collections.abc import Callable, Sequence

from jupyter_core.paths import jupyter_config_path

from autograder import assignment as assignments
from autograder.assignment import PACKAGE
from autograder.errors import CourseError, GraderError, SandboxError, SettingError
from autograder.grading.session import Kernel
from autograder.grading.settings import absent
from autograder.nbgrader import configuration, recognition
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


def examine(course: pathlib.Path) -> list[Finding]:
    """All findings, those about the machine first.

    Args:
        course: a folder; if it is a course's, there are findings about that, too.
    """
    machine = [system(), versions(), packages(), alembic(), unreadable(), bwrap(), *sandbox(), checks(), solutions(), cuda()]
    return [*machine, postgresql(), *(about(course) if (course / configuration.CONFIG).exists() else [])]


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


def unreadable() -> Finding:
    """Whether nbgrader's commands stop at a configuration that they cannot read: `nbgrader/unread.py` says how."""
    from autograder.nbgrader.unread import INSTALLED

    guard = json.loads(INSTALLED.read_text())["BaseConverter"]["exporter_class"]
    for place in (pathlib.Path(folder, INSTALLED.name) for folder in jupyter_config_path()):
        with contextlib.suppress(OSError, ValueError, AttributeError):
            if json.loads(place.read_text(encoding="utf-8")).get("BaseConverter", {}).get("exporter_class") == guard:
                return Finding("unreadable settings", f"nbgrader stops there: {place}", needed=False)
    place = pathlib.Path(sys.prefix, "etc", "jupyter", INSTALLED.name)
    if os.environ.get("JUPYTER_NO_CONFIG"):
        repair = "unset JUPYTER_NO_CONFIG"
    elif place.exists():
        repair = f"take over into {place} what stands in {INSTALLED}"
    else:
        repair = "pip install --force-reinstall --no-deps .   (in this package's clone)"
    found = "nbgrader goes on without what it cannot read, and so without a sandbox"
    return Finding("unreadable settings", found, False, needed=False, repair=repair)


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


def checks() -> Finding:
    """The hidden checks are files of the package: on a machine shared with students, they must not be able to read them."""
    return closed("hidden checks", "the hidden checks", [PACKAGE])


def solutions() -> Finding:
    """The same of the master notebooks, which in a clone are not in the package."""
    masters = [assignment.path.resolve() for assignment in installed() if assignment.path.exists()]
    folders = dict.fromkeys(PACKAGE if path.is_relative_to(PACKAGE) else path.parent.parent for path in masters)
    return closed("solutions", "the master notebooks, with solutions", list(folders))


def installed() -> list[assignments.Assignment]:
    """The assignments that can be loaded; another's package may be broken."""
    found = []
    for name in assignments.names():
        with contextlib.suppress(CourseError):
            found.append(assignments.load(name))
    return found


# What a course's folder has that is not for students.
PRIVATE = ("source", "submitted", "autograded", "feedback", ".autograder", "gradebook.db")


def about(course: pathlib.Path) -> list[Finding]:
    """Whether a course is marked as it is configured, and closed to others."""
    course = course.resolve()
    found, repair = f"{configuration.CONFIG} can be read, and students' code runs in the sandbox", ""
    try:
        config = configuration.read(course)
        configuration.settings(config)
        coursedir = configuration.CourseDirectory(course, config)
        for name in recognition.names(coursedir):
            configuration.settings(config, recognition.in_course(coursedir, name))
        if "GradeOutside" not in str(config.Autograde.get("autograde_preprocessors")):
            found = f"{configuration.CONFIG} says nothing of our marking: nbgrader runs students' code without a sandbox"
            repair = f"put `configure(c)` and its import into {course / configuration.CONFIG}"
    except CourseError as error:
        wrong = configuration.CONFIG if isinstance(error, SettingError) else "source"
        found, repair = str(error), f"mend {course / wrong} before you start nbgrader"
    finding = Finding("this course", found, not repair, repair=repair)
    return [finding, closed("its files", "its solutions, submissions or marks", [course / name for name in PRIVATE], course)]


def closed(what: str, which: str, places: Sequence[pathlib.Path], folder: pathlib.Path | None = None) -> Finding:
    """Whether other users of this machine get to files or folders that students must not read.

    Args:
        which: they are, in words.
        places: they are; not all need be there.
        folder: to be closed where one of them is open; those that are open themselves by default.
    """
    found = [place for place in places if place.exists() and open_to_others(place)]
    if not found:
        return Finding(what, f"other users cannot read {which}", needed=False)
    names = " ".join(shlex.quote(str(place)) for place in ([folder] if folder else found))
    return Finding(what, f"other users of this machine can read {which}", False, needed=False, repair=f"chmod o-rwx {names}")


def open_to_others(place: pathlib.Path) -> bool:
    """Whether all users may open a file, or go into a folder; the names in it may be known, as those of this package are."""
    wanted = 0o001 if place.is_dir() else 0o004
    return bool(place.stat().st_mode & wanted) and all(parent.stat().st_mode & 0o001 for parent in place.resolve().parents)


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
