"""The walls of the house: inside the sandbox and outside; what serves any assignment, and what knows ours."""

import ast
import functools
import importlib
import json
import os
import pathlib
import pkgutil
import re
import shutil
import subprocess
import sys
import sysconfig
import textwrap

import pytest

import autograder
from autograder import assignment as assignments
from autograder import errors
from autograder.grading import results
from autograder.sandbox.outside import bubblewrap, plain, room
from autograder.sandbox.outside.limits import Limits
from autograder.vae_swiss_roll import misconceptions
from tests.commands import PATIENCE
from tests.conftest import QUICKLY

PACKAGE = pathlib.Path(autograder.__file__).parent
OURS = PACKAGE / "vae_swiss_roll"


@functools.cache
def imports(path):
    """[(module, names)] that a file imports, relative ones with their dots, but for what only a type checker reads."""
    tree, found = ast.parse(path.read_text(encoding="utf-8")), []
    unread = {
        part
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
        for part in ast.walk(node)
    }
    for node in ast.walk(tree):
        if node in unread:
            continue
        if isinstance(node, ast.Import):
            found += [(alias.name, []) for alias in node.names]
        if isinstance(node, ast.ImportFrom):
            found.append(("." * node.level + (node.module or ""), [alias.name for alias in node.names]))
    return found


# --- inside and outside ----------------------------------------------------------------------------------------------


def test_what_runs_beside_student_code_imports_nothing_of_ours_but_its_own_folder(assignment):
    own = {path.stem for path in room.INSIDE.glob("*.py")}
    for path in [path for path, _ in room.files(assignment.operations)]:
        for module, names in imports(path):
            assert not module.startswith(("autograder", "inside", "..")), path
            if module.startswith("."):
                assert path.parent == room.INSIDE
                assert {module.removeprefix(".")} <= own if module != "." else set(names) <= own


def test_the_list_of_what_reaches_a_worker_is_the_folder_and_the_operations(assignment):
    listed = room.files(assignment.operations)
    assert {path for path, _ in listed} == {*room.INSIDE.glob("*"), assignment.operations} - {room.INSIDE / "__pycache__"}
    assert {name for _, name in listed} == {f"inside/{path.name}" for path in room.INSIDE.glob("*.py")} | {"operations.py"}


# Files that it could read, and modules that it has, of all that are ours.
SEEN = """
import os, sys
result = {"modules": sorted(name for name in sys.modules if name.split(".")[0] in ("autograder", "inside", "operations"))}
result["files"] = sorted(
    os.path.relpath(os.path.join(at, name), top)
    for top in (ROOM,) if os.path.isdir(top)
    for at, _, names in os.walk(top) for name in names if not name.endswith(".pyc")
)
"""


@pytest.mark.sandboxed
@pytest.mark.parametrize(
    "start", [bubblewrap.start_warm, bubblewrap.start_cold, plain.start_none], ids=["warm", "cold", "none"]
)
def test_a_worker_gets_what_is_on_the_list_and_nothing_else(start):
    probe = room.INSIDE / "probe.py"
    worker = start(probe, Limits())
    where = bubblewrap.ROOM if start is not plain.start_none else f"{pathlib.Path(worker.connection['ip']).parent.parent}/room"
    try:
        reply, _ = worker.channel.call({"code": SEEN.replace("ROOM", repr(where))}, {}, PATIENCE, "the look")
    finally:
        worker.kill()
    listed = sorted(name for _, name in room.files(probe))
    assert reply["result"]["files"] == ([] if start is bubblewrap.start_warm else listed)
    modules = {name.removesuffix(".py").replace("/", ".").removesuffix(".__init__") for name in listed}
    assert set(reply["result"]["modules"]) <= modules
    assert {"inside", "inside.worker", "inside.frames"} <= set(reply["result"]["modules"])


def test_the_grader_takes_only_messages_and_frames_from_inside():
    """But for a stock nbgrader, where there is no outside."""
    for path in PACKAGE.rglob("*.py"):
        if path.is_relative_to(room.INSIDE) or path.name == "stock.py":
            continue
        taken = {module.rpartition(".")[2] for module, _ in imports(path) if module.startswith("autograder.sandbox.inside")}
        taken |= {name for module, names in imports(path) if module == "autograder.sandbox.inside" for name in names}
        assert taken - {"inside"} <= {"messages", "frames"}, path


# --- any assignment and ours -----------------------------------------------------------------------------------------


def general():
    """The package's files that serve any assignment."""
    return [path for path in PACKAGE.rglob("*") if path.suffix in (".py", ".j2") and not path.is_relative_to(OURS)]


def test_nothing_general_speaks_of_what_our_assignment_teaches():
    words = re.compile(
        r"\bmu\b|logvar|\bKL\b|\bkl_|reparam|swiss|\bVAE\b|posterior|\bencoder\b|\bdecoder\b|\bnoise\b", re.IGNORECASE
    )
    # A name of one word (median) may mean something else elsewhere.
    named = {m.name for table in (misconceptions.SCALE, misconceptions.KL) for m in table if "_" in m.name}
    found = [
        (path.relative_to(PACKAGE).as_posix(), line.strip())
        for path in general()
        for line in path.read_text(encoding="utf-8").splitlines()
        if words.search(line) or any(name in line for name in named)
    ]
    assert found == [
        (  # the distribution's own name
            "course/executors.py",
            "\"--scheduler needs Dask, which is not installed: `pip install 'vae-swiss-roll-autograder[cluster]'`.\"",
        ),
    ]


def test_nothing_general_imports_an_assignment():
    for path in [path for path in general() if path.suffix == ".py"]:
        assert not [module for module, _ in imports(path) if module.startswith("autograder.vae_swiss_roll")], path


@pytest.mark.sandboxed
@pytest.mark.parametrize("start", [bubblewrap.start_warm, bubblewrap.start_cold], ids=["warm", "cold"])
def test_a_worker_sees_no_package_of_another_assignment(start, monkeypatch):
    """One that is installed beside the libraries, which are shown, with its master outside the package."""
    name = f"autograder_test_assignment_{os.getpid()}"
    package = pathlib.Path(sysconfig.get_path("purelib")) / name
    master = package.with_name(f"{name}_master") / "other.ipynb"
    other = assignments.Assignment("other", "Another", name, master, {}, (), "x")
    names, load = assignments.names(), assignments.load
    monkeypatch.setattr(assignments, "names", lambda: (*names, "other"))
    monkeypatch.setattr(assignments, "load", lambda name: other if name == "other" else load(name))
    bubblewrap.assignments_folders.cache_clear()
    try:
        for path in (package / "__init__.py", package / "checks" / "one.py", master):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("")
        worker = start(room.INSIDE / "probe.py", Limits())
        places = str(package), str(master.parent)
        code = f"import glob\nresult = [glob.glob(f'{{top}}/**/*', recursive=True) for top in {places!r}]"
        reply, _ = worker.channel.call({"code": code}, {}, PATIENCE, "the look")
        worker.kill()
        assert reply["result"] == [[], []]
    finally:
        bubblewrap.assignments_folders.cache_clear()
        shutil.rmtree(package)
        shutil.rmtree(master.parent)


# --- the tree of errors, and importing -------------------------------------------------------------------------------


def modules():
    return [importlib.import_module(name) for name in names() if name != "autograder.course.preloaded"]


def names():
    found = [module.name for module in pkgutil.walk_packages(autograder.__path__, "autograder.")]
    return [name for name in found if ".checks." not in name and not name.endswith("__main__")]


def test_every_error_of_ours_stands_in_the_printed_tree():
    raised = {
        thing
        for module in modules()
        for thing in vars(module).values()
        if isinstance(thing, type) and issubclass(thing, BaseException) and thing.__module__.startswith("autograder.")
        if not thing.__module__.startswith("autograder.vae_swiss_roll.")  # an assignment's own are its own business
    }
    assert len(raised) > 15
    for error in raised:
        line = re.search(rf"^( *){error.__name__} ", errors.__doc__ + "\nAutograderError ", re.MULTILINE)
        assert line, error
        if error.__module__ == "autograder.errors" and error is not errors.AutograderError:
            above = errors.__doc__[: line.start()].splitlines()
            parent = next(text for text in reversed(above) if len(text) - len(text.lstrip()) < len(line[1]))
            assert parent.split()[0] == error.__base__.__name__, error


def test_importing_a_module_changes_nothing_of_its_process():
    code = f"""
        import gc, importlib, signal, sys, threading, warnings
        warnings.simplefilter("ignore")
        def state():
            return gc.get_threshold(), gc.isenabled(), signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGCHLD)
        before, threads = repr(state()), threading.active_count()
        for name in {[name for name in names() if name != "autograder.course.preloaded"]!r}:
            importlib.import_module(name)
        assert repr(state()) == before, state()
        assert threading.active_count() == threads
        assert sys.modules.get("rfc3987_syntax", True) is not None
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_a_command_imports_only_what_it_needs():
    """nbgrader takes half a second of every run, torch and pytest a second; where submissions are handed out and recorded, the
    processes that mark import these two meanwhile."""
    code = f"""
        import importlib, pathlib, sys
        from autograder import assignment, cli, printing
        from autograder.nbgrader import configuration
        configuration.settings(configuration.read(pathlib.Path({str(PACKAGE.parent)!r})))
        print({{"torch", "pytest", "nbgrader"}} & set(sys.modules))
        for name in ("executors", "batch"):
            importlib.import_module(f"autograder.course.{{name}}")
            print({{"torch", "pytest"}} & set(sys.modules))
        printing.out.quiet = True
        printing.show_archive(pathlib.Path("gradescope.zip"), assignment.load("vae_swiss_roll"))
        print({{"torch", "pytest"}} & set(sys.modules))
    """
    done = subprocess.run([sys.executable, "-c", QUICKLY + textwrap.dedent(code)], capture_output=True, text=True)
    assert done.stdout == "set()\n" * 4, done.stderr


# --- what a kept result depends on -----------------------------------------------------------------------------------

LOADED = """
import json, pathlib, sys
sys.modules["rfc3987_syntax"] = None  # as quick.py, which is not to be loaded here
from autograder import assignment as assignments
from autograder.grading.settings import Settings
from autograder.grading.submission import grade
assignment = assignments.load("vae_swiss_roll")
grade(pathlib.Path(sys.argv[1]).read_bytes(), assignment, Settings(points={"reparameterize.scale": 1}))
print(json.dumps([module.__file__ for module in list(sys.modules.values()) if getattr(module, "__file__", None)]))
"""


@pytest.mark.sandboxed
def test_results_depend_on_what_is_loaded_while_marking_and_on_nothing_else(submission, assignment, tmp_path):
    """Each file of Python is either loaded while a submission is marked, or excluded by name; none is both, or neither."""
    (tmp_path / "good.ipynb").write_bytes(submission())
    done = subprocess.run([sys.executable, "-c", LOADED, tmp_path / "good.ipynb"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    loaded = {pathlib.Path(path) for path in map(str, json.loads(done.stdout))}
    # The worker's, and the other sandboxes and the GPU's driver, which another machine would load.
    elsewhere = {path for path, _ in room.files(assignment.operations)} | {PACKAGE / "sandbox/outside/plain.py"}
    hashed = set(results.marking_files(assignment)) - {room.INSIDE / "probe.py"}
    assert hashed == {path for path in loaded | elsewhere if path.is_relative_to(PACKAGE)} - {room.INSIDE / "probe.py"}
    everything = set(PACKAGE.rglob("*.py"))
    excluded = {
        path
        for path in everything
        if results.matches(path.relative_to(PACKAGE), results.CHANGES_NO_MARK)
        or (path.is_relative_to(OURS) and results.matches(path.relative_to(OURS), results.CHANGES_NO_MARK_OF_AN_ASSIGNMENT))
    }
    assert everything == hashed | excluded
    assert not hashed & excluded


def test_an_exclusion_that_names_no_file_is_noticed():
    for pattern in results.CHANGES_NO_MARK:
        assert list(PACKAGE.glob(pattern)), pattern
    for pattern in results.CHANGES_NO_MARK_OF_AN_ASSIGNMENT:
        assert list(OURS.glob(pattern)), pattern


# --- assignments -----------------------------------------------------------------------------------------------------


def test_our_assignment_is_found_by_its_entry_point():
    assert "vae_swiss_roll" in assignments.names()
    with pytest.raises(errors.CourseError, match=r"no assignment 'gan'. Known: .*vae_swiss_roll"):
        assignments.load("gan")
