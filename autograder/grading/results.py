"""Verdicts that are kept, under a hash of all that determined them: nothing is marked twice, and what broke off goes on.

What determines a verdict: the submitted bytes, the settings, the master notebook, this package, and the libraries that run the
student's code and judge it. A GPU does not: marks are the same with and without.
"""

import dataclasses
import functools
import gzip
import hashlib
import importlib.metadata
import json
import os
import pathlib
import platform
import secrets

import nbformat

from autograder import assignment as assignments
from autograder.grading.verdict import CheckResult, Graded, Verdict

PACKAGE = pathlib.Path(__file__).parent.parent
LIBRARIES = ("ipykernel", "ipython", "matplotlib", "nbclient", "nbformat", "numpy", "pytest", "safetensors", "torch")


@functools.cache
def fingerprint(name):
    """Hash of what marks the assignment of that name: this package, the libraries, the master notebook."""
    digest = hashlib.sha256(platform.python_version().encode())
    for library in LIBRARIES:
        digest.update(f"{library} {importlib.metadata.version(library)}\n".encode())
    for path in sorted(PACKAGE.rglob("*.py")):
        digest.update(f"{path.relative_to(PACKAGE)}\n".encode() + path.read_bytes())
    digest.update(nbformat.writes(assignments.load(name).master).encode())
    return digest.hexdigest()


def key(raw, assignment, settings):
    """The name under which the verdict on the submitted bytes is kept."""
    about = json.dumps(dataclasses.asdict(settings), sort_keys=True, default=dict)
    parts = (assignment.name, fingerprint(assignment.name), about, hashlib.sha256(raw).hexdigest())
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def pack(graded):
    """A `Graded` as bytes: compressed JSON."""
    found = {"verdict": dataclasses.asdict(graded.verdict), "notebook": graded.notebook}
    return gzip.compress(json.dumps(found).encode(), compresslevel=1, mtime=0)


def unpack(data):
    """The `Graded` in what `pack` returned."""
    found = json.loads(gzip.decompress(data))
    return Graded(verdict_of(found), None if found["notebook"] is None else nbformat.from_dict(found["notebook"]))


def verdict_in(data):
    """The `Verdict` in what `pack` returned."""
    return verdict_of(json.loads(gzip.decompress(data)))


def verdict_of(found):
    verdict = dict(found["verdict"])
    checks, notes = tuple(CheckResult(**check) for check in verdict.pop("checks")), tuple(verdict.pop("notes"))
    return Verdict(**verdict, checks=checks, notes=notes)


class Results:
    """A folder of packed results.

    Args:
        folder: made when the first result is put.
    """

    def __init__(self, folder):
        self.folder = pathlib.Path(folder)

    def path(self, key):
        return self.folder / key[:2] / f"{key}.json.gz"

    def __contains__(self, key):
        return self.path(key).exists()

    def get(self, key):
        """The packed result of that name, or None where there is none."""
        try:
            return self.path(key).read_bytes()
        except FileNotFoundError:
            return None

    def put(self, key, data):
        """Keeps a packed result; whoever reads meanwhile sees the whole of it or nothing."""
        path = self.path(key)
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_name(f".{secrets.token_hex(8)}")
        with partial.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
