"""The archive that Gradescope builds an image from."""

import base64
import dataclasses
import hashlib
import importlib
import importlib.metadata
import io
import json
import pathlib
import re
import sys
from collections.abc import Collection, Iterable, Mapping
from importlib.metadata import Distribution, entry_points

from nbgrader.coursedir import CourseDirectory
from nbgrader.utils import find_all_files
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from autograder.assignment import GROUP, PACKAGE, Assignment
from autograder.errors import CourseError
from autograder.gradescope import MARKING
from autograder.grading.settings import Settings
from autograder.lms import zips
from autograder.sandbox.outside.limits import GIB, Limits

HERE = pathlib.Path(__file__).parent
# In a container of 3 GB that the grader shares: address space of a process, of which torch reserves 1.5 GiB and uses a part;
# and what all processes hold together.
MEMORY, TOGETHER = 5 * GIB // 2, 2 * GIB
Files = Mapping[str, bytes]  # path in an archive → what is in the file


def write(
    to: pathlib.Path,
    coursedir: CourseDirectory,
    assignment: Assignment,
    settings: Settings,
    visibility: str = "visible",
    torch_index: str = "",
) -> None:
    """Writes the archive, closed to other users.

    Args:
        coursedir: of the course, whose own master notebook and files count.
        visibility: when students see criteria and points; one of `VISIBILITIES`.
        torch_index: the index to install torch from, or "" for the usual one.

    Raises:
        CourseError: the assignment's package cannot be packed, or something that it needs is not installed.
    """
    ours, theirs = ours_and(assignment)
    packed = {ours.metadata["Name"]: wheel(ours, [PACKAGE], assignment)}
    if theirs.metadata["Name"] not in packed:
        top = importlib.import_module(assignment.package.split(".")[0])
        packed[theirs.metadata["Name"]] = wheel(theirs, list(map(pathlib.Path, top.__path__)), assignment)
    marking = {
        "assignment": assignment.assignment_id,
        "visibility": visibility,
        "settings": dataclasses.asdict(fitted(settings)),
        "exclude_overwriting": dict(coursedir.config.get("Autograde", {}).get("exclude_overwriting", {})),
    }
    setup = (HERE / "setup.sh").read_text(encoding="utf-8")
    files = {
        "setup.sh": setup.replace('torch_index=""', f"torch_index={json.dumps(torch_index)}", 1).encode(),
        "run_autograder": (HERE / "run_autograder").read_bytes(),
        "requirements.txt": lines(pinned(requirements([ours, theirs], settings.packages))),
        "constraints.txt": lines(pinned(name for d in importlib.metadata.distributions() if (name := d.metadata["Name"]))),
        MARKING: json.dumps(marking, indent=1).encode(),
        **{f"packages/{name}": data for name, data in packed.values()},
        **{f"course/source/{assignment.assignment_id}/{name}": data for name, data in source(coursedir, assignment).items()},
    }
    to.touch(0o600)
    if to.is_file():  # one that was there may be open to others
        to.chmod(0o600)
    to.write_bytes(zipped(files, executable=("setup.sh", "run_autograder")))


def fitted(settings: Settings) -> Settings:
    """Settings for a container: the student's processes end before the memory does, unless the course set its limits."""
    limits = settings.limits
    if limits.memory_bytes == Limits().memory_bytes:
        limits = dataclasses.replace(limits, memory_bytes=MEMORY)
    if limits.total_memory_bytes == Limits().total_memory_bytes:
        limits = dataclasses.replace(limits, total_memory_bytes=TOGETHER)
    return dataclasses.replace(settings, sandbox="uid", device="cpu", limits=limits)


def ours_and(assignment: Assignment) -> tuple[Distribution, Distribution]:
    """(the distribution of this package, that of the assignment)"""
    found = []
    for group, name in (("console_scripts", "autograder"), (GROUP, assignment.name)):
        distributions = [entry.dist for entry in entry_points(group=group, name=name) if entry.dist is not None]
        if not distributions:
            raise CourseError(f"{name} belongs to no installed package: install it with pip, then try again.")
        found.append(distributions[0])
    return found[0], found[1]


def wheel(distribution: Distribution, folders: Iterable[pathlib.Path], assignment: Assignment) -> tuple[str, bytes]:
    """(name, bytes) of a wheel of an installed package, editable or not, with the master notebook where the package looks.

    Args:
        folders: the package's own.
    """
    name, version = re.sub(r"[-_.]+", "_", distribution.metadata["Name"]).lower(), distribution.version
    paths: dict[pathlib.Path, pathlib.Path] = {}  # → what they are named from
    for folder in folders:
        paths |= {path: folder.parent for path in sorted(folder.rglob("*")) if path.is_file()}
        if assignment.folder.is_relative_to(folder):
            paths[assignment.path] = folder.parent
    files = {}
    for path, parent in paths.items():
        if not path.is_relative_to(parent):
            raise CourseError(f"The master notebook {path} lies outside of {parent}, so {name} cannot be packed with it.")
        relative = path.relative_to(parent)
        if "__pycache__" not in relative.parts and not any(part.startswith(".") for part in relative.parts):
            files[relative.as_posix()] = path.read_bytes()
    info = f"{name}-{version}.dist-info"
    for about in ("METADATA", "entry_points.txt"):
        files[f"{info}/{about}"] = (distribution.read_text(about) or "").encode()
    files[f"{info}/WHEEL"] = b"Wheel-Version: 1.0\nGenerator: autograder\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    files[f"{info}/RECORD"] = lines([*(recorded(path, data) for path, data in files.items()), f"{info}/RECORD,,"])
    return f"{name}-{version}-py3-none-any.whl", zipped(files)


def recorded(path: str, data: bytes) -> str:
    digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
    return f"{path},sha256={digest},{len(data)}"


def requirements(distributions: Iterable[Distribution], imported: Iterable[str]) -> set[str]:
    """Names of what these packages need, and of those that students may import beyond that."""
    distributions = list(distributions)
    found = [Requirement(line) for distribution in distributions for line in distribution.requires or ()]
    needed = {each.name for each in found if each.marker is None or each.marker.evaluate({"extra": ""})}
    names = importlib.metadata.packages_distributions()
    needed |= {name for module in set(imported) - sys.stdlib_module_names for name in names.get(module, [module])}
    packed = {canonicalize_name(distribution.metadata["Name"]) for distribution in distributions}
    return {name for name in needed if canonicalize_name(name) not in packed}


def pinned(names: Iterable[str]) -> list[str]:
    """`name==version`, as installed here, without what only says how it was built (2.1+cpu); CourseError where one is not."""
    found = set()
    for name in names:
        try:
            version = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            raise CourseError(
                f"{name} is needed for marking and not installed here, so nothing says which version Gradescope should "
                f"install. Install it with `pip install {name}`, then try again."
            ) from None
        found.add(f"{name}=={version.partition('+')[0]}")
    return sorted(found, key=str.lower)


def lines(found: Iterable[str]) -> bytes:
    return "".join(f"{line}\n" for line in found).encode()


def source(coursedir: CourseDirectory, assignment: Assignment) -> dict[str, bytes]:
    """The assignment's folder in the course's source: the master notebook, and the files that students get with it."""
    folder = pathlib.Path(coursedir.format_path(coursedir.source_directory, ".", assignment.assignment_id))
    if not folder.is_dir():  # a course may keep its release alone
        return {f"{assignment.notebook_id}.ipynb": assignment.path.read_bytes()}
    found = map(pathlib.Path, find_all_files(str(folder), coursedir.ignore))
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in sorted(found)}


def zipped(files: Files, executable: Collection[str] = ()) -> bytes:
    """An archive of these files."""
    made = io.BytesIO()
    zips.write(made, files.items(), executable)
    return made.getvalue()
