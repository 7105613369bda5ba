"""Verdicts that are kept, under a hash of all that determined them: nothing is marked twice, and what broke off goes on.

What determines a verdict: the submitted bytes, the settings, the master notebook, this package, and the libraries that run the
student's code and judge it. A GPU does not: marks are the same with and without.
"""

import dataclasses
import fnmatch
import functools
import gzip
import hashlib
import importlib.metadata
import io
import json
import os
import pathlib
import platform
import secrets
from collections.abc import Iterable, Mapping
from typing import Any

import nbformat

from autograder import assignment as assignments
from autograder.assignment import PACKAGE, Assignment
from autograder.errors import CourseError
from autograder.grading.settings import Settings
from autograder.grading.verdict import Graded, Verdict

LIBRARIES = ("ipykernel", "ipython", "matplotlib", "nbclient", "nbformat", "numpy", "pytest", "safetensors", "torch")


FORMAT = "3"  # of what `pack` makes
# What is not loaded while a submission is marked, below the package and below an assignment's. All other files of Python count.
CHANGES_NO_MARK = (
    "__main__.py",
    "cli.py",
    "doctor.py",
    "quick.py",
    "stock.py",
    "course/*.py",
    "gradescope/*.py",
    "grading/results.py",
    "lms/*.py",
    "nbgrader/*.py",
    "printing.py",
    "sandbox/inside/probe.py",
    "sandbox/outside/conformance.py",
)
CHANGES_NO_MARK_OF_AN_ASSIGNMENT = ("giveaways.py", "remarks.py", "samples.py", "slips.py", "truth.py", "variants.py")


def marking_files(assignment: Assignment) -> list[pathlib.Path]:
    """The files of Python on which a mark depends: this package's, less other assignments', and the assignment's."""
    others = {folder for name in assignments.names() if (folder := folder_of(name))}
    own = [path for path in PACKAGE.rglob("*.py") if not any(path.is_relative_to(folder) for folder in others)]
    return sorted(
        [
            *(path for path in own if not matches(path.relative_to(PACKAGE), CHANGES_NO_MARK)),
            *(
                path
                for path in assignment.folder.rglob("*.py")
                if not matches(path.relative_to(assignment.folder), CHANGES_NO_MARK_OF_AN_ASSIGNMENT)
            ),
        ]
    )


def folder_of(name: str) -> pathlib.Path | None:
    """Of an assignment's package; None where another's is broken, which is nobody's trouble here."""
    try:
        return assignments.load(name).folder
    except CourseError:
        return None


def matches(path: pathlib.PurePath, patterns: Iterable[str]) -> bool:
    return any(fnmatch.fnmatch(path.as_posix(), pattern) for pattern in patterns)


Origin = Mapping[str, Any]  # what determined a verdict, by its parts: JSON


@functools.lru_cache(8)
def marker(name: str, edited: str | None) -> Origin:
    """What marks the assignment of that name, by its parts: versions, and hashes of our files and of the master notebook.

    Args:
        edited: the master notebook as the course has it, or None for the assignment's own.
    """
    assignment = assignments.as_edited(name, edited)
    files = marking_files(assignment)
    own = [path for path in files if path.is_relative_to(assignment.folder)]
    return {
        "python": platform.python_version(),
        "libraries": {library: importlib.metadata.version(library) for library in LIBRARIES},
        "package": hash_of_files(path for path in files if path not in own),
        "checks": hash_of_files(own),
        "master": hashlib.sha256(nbformat.writes(assignment.master).encode()).hexdigest(),
    }


def hash_of_files(paths: Iterable[pathlib.Path]) -> str:
    digest = hashlib.sha256()
    for path in paths:
        digest.update(f"{path.parent.name}/{path.name}\n".encode() + path.read_bytes())
    return digest.hexdigest()


def hash_of(origin: Origin) -> str:
    return hashlib.sha256(json.dumps(origin, sort_keys=True, default=dict).encode()).hexdigest()


def fingerprint(name: str, edited: str | None) -> str:
    """Hash of what marks the assignment of that name."""
    return hash_of(marker(name, edited))


def origin(raw: bytes, assignment: Assignment, settings: Settings, files: Mapping[str, bytes] | None = None) -> Origin:
    """All that determines the verdict on the submitted bytes, and on the files beside them."""
    return {
        "format": FORMAT,
        "assignment": assignment.name,
        **marker(assignment.name, assignment.edited),
        "settings": dataclasses.asdict(settings),
        "submission": hashlib.sha256(raw).hexdigest(),
        "files": {name: hashlib.sha256(data).hexdigest() for name, data in sorted((files or {}).items())},
    }


def key(origin: Origin) -> str:
    """The name under which the verdict is kept that has this origin."""
    return hash_of(origin)


def unmarked(why: str) -> str:
    """The name of a result that is not kept: nothing could be read."""
    return hashlib.sha256(why.encode()).hexdigest()


def pack(graded: Graded) -> bytes:
    """A `Graded` as bytes: two lines of JSON, compressed, so that who needs no outputs reads the first alone."""
    lines = json.dumps(dataclasses.asdict(graded.verdict)), json.dumps(graded.outputs)
    return gzip.compress("\n".join(lines).encode(), compresslevel=1, mtime=0)


def unpack(data: bytes) -> Graded:
    """The `Graded` in what `pack` returned."""
    outputs = json.loads(gzip.decompress(data).splitlines()[1])
    if outputs is not None:
        outputs = {id: [nbformat.from_dict(output) for output in cell] for id, cell in outputs.items()}
    return Graded(verdict_in(data), outputs)


def verdict_in(data: bytes) -> Verdict:
    """The `Verdict` in what `pack` returned."""
    with gzip.GzipFile(fileobj=io.BytesIO(data)) as file:
        return Verdict.from_dict(json.loads(file.readline()))


class Results:
    """A folder of packed results.

    Args:
        folder: made when the first result is put.
    """

    def __init__(self, folder: pathlib.Path) -> None:
        self.folder = pathlib.Path(folder)

    def path(self, key: str) -> pathlib.Path:
        return self.folder / key[:2] / f"{key}.json.gz"

    def __contains__(self, key: str) -> bool:
        return self.path(key).exists()

    def get(self, key: str) -> bytes | None:
        """The packed result of that name, or None where there is none."""
        try:
            return self.path(key).read_bytes()
        except FileNotFoundError:
            return None

    def put(self, key: str, data: bytes) -> None:
        """Keeps a packed result; whoever reads meanwhile sees the whole of it or nothing."""
        path = self.path(key)
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_name(f".{secrets.token_hex(8)}")
        with partial.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
