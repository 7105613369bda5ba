"""A whole class: parallel, interrupted, on a cluster, in another database, always as `nbgrader autograde` marks it."""

import contextlib
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import sys
import time

import nbformat
import psutil
import pytest
import sqlalchemy
from nbgrader.api import Gradebook

from autograder.course.batch import grade_class
from autograder.course.executors import Cluster, Processes
from autograder.course.fill import fill
from autograder.course.folder import Course
from autograder.errors import CourseError, Killed
from autograder.grading import results
from autograder.grading.settings import Settings
from autograder.nbgrader.submitted import look
from autograder.sandbox.outside.limits import Limits
from autograder.vae_swiss_roll.samples import RIGHT, WRITTEN, sampler
from tests.commands import PATIENCE
from tests.conftest import ROOT
from tests.test_cli import COMMAND, run
from tests.test_nbgrader import nbgrader

pytestmark = pytest.mark.sandboxed

NAME = "vae_swiss_roll"
FOREVER = sampler("import time\nwhile True: time.sleep(1)")
LIMITS = {"call_seconds": 2, "cell_seconds": 4}
QUIET = f"c.GradeOutside.limits = {LIMITS}\n"


def nothing(done, total, what):
    pass


@pytest.fixture(scope="module")
def submissions(release):
    """student → bytes: right, wrong, answered in words, untouched, one that never ends, one that is no notebook."""

    def made(**answers):
        return nbformat.writes(fill(release, {**RIGHT, **answers})).encode()

    return {
        "ann": made(),
        "ben": made(vae_model=sampler("return mu + torch.exp(logvar) * torch.randn_like(mu)")),
        "cem": made(vae_model=FOREVER),
        "dov": b'{"cells": [',
        "eva": nbformat.writes(release).encode(),
        "fay": made(**WRITTEN),
        "gus": made(vae_model=sampler("return mu")),
    }


@pytest.fixture(scope="module")
def new_class(tmp_path_factory, submissions, assignment):
    """`new_class()` → the folder of a course with these submissions, released and not yet marked."""
    prepared = tmp_path_factory.mktemp("prepared")
    for part in ("source", "notebooks"):
        shutil.copytree(ROOT / part, prepared / part)
    (prepared / "nbgrader_config.py").write_text((ROOT / "nbgrader_config.py").read_text() + QUIET)
    for student, raw in submissions.items():
        path = prepared / "submitted" / student / NAME / f"{NAME}.ipynb"
        path.parent.mkdir(parents=True)
        path.write_bytes(raw)
    Course(prepared).generate_assignment(assignment)

    def make():
        root = tmp_path_factory.mktemp("class")
        shutil.copytree(prepared, root, dirs_exist_ok=True)
        return root

    return make


def rows(db_url):
    """Everything that the gradebook has of each student's marks."""
    with Gradebook(db_url) as gradebook:
        return {
            submission.student_id: {
                grade.cell.name: (grade.auto_score, grade.manual_score, grade.needs_manual_grade, grade.max_score_gradecell)
                for notebook in submission.notebooks
                for grade in notebook.grades
            }
            for submission in gradebook.assignment_submissions(NAME)
        }


def sqlite(root):
    return f"sqlite:///{root}/gradebook.db"


def told(root):
    """student → what the marked notebook shows, without the ids that are made anew each time."""
    found = {}
    for path in (root / "autograded").glob(f"*/{NAME}/{NAME}.ipynb"):
        nb = nbformat.read(path, as_version=4)
        found[path.parent.parent.name] = [(cell.cell_type, cell.source, cell.get("outputs")) for cell in nb.cells]
    return found


@pytest.fixture(scope="module")
def serial(new_class):
    """The class as `nbgrader autograde` marks it: (gradebook rows, what the notebooks show)."""
    root = new_class()
    nbgrader(root, "autograde", NAME)
    return rows(sqlite(root)), told(root)


def graded(root, *options):
    """`autograder grade` in the course folder, run to its end. → what it printed"""
    done = run("grade", *options, cwd=root)
    assert done.returncode == 1, done.stderr  # one could not be marked
    return done.stdout + done.stderr


def grade(root, *options, **environment):
    """The same, only started; it can be interrupted where whoever started the tests has that ignored, too."""
    return subprocess.Popen(
        ["env", "--default-signal=INT", COMMAND, "grade", *options],
        cwd=root,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
        env={**os.environ, **environment},
    )


def test_parallel_marks_are_the_serial_ones_and_nothing_is_marked_twice(new_class, serial):
    root = new_class()
    said = graded(root, "--workers", "2")
    assert "dov could not be marked" in said
    assert "7 submissions" in said
    assert (rows(sqlite(root)), told(root)) == serial
    marked = list(root.rglob("*.json.gz"))
    assert len(marked) == 7
    times = {path: path.stat().st_mtime_ns for path in [*marked, *root.glob("autograded/*/*/*.ipynb")]}
    assert "7 of them known from before" in graded(root)
    assert {path: path.stat().st_mtime_ns for path in times} == times


def test_only_what_changed_is_marked_again_and_what_is_missing_is_recorded(new_class, submissions, assignment):
    root = new_class()
    for student in ("cem", "fay", "gus"):
        shutil.rmtree(root / "submitted" / student)
    with Processes(assignment, 2) as executor:
        first = list(grade_class(Course(root), assignment, executor, nothing))
        assert len(first) == 4
        assert not any(marked.known for marked in first)
        (root / "submitted" / "eva" / NAME / f"{NAME}.ipynb").write_bytes(submissions["ann"])
        shutil.rmtree(root / "autograded" / "ben")
        second = list(grade_class(Course(root), assignment, executor, nothing))
        # Eva hands in what Ann did: the same bytes, the same result.
        assert [marked.student for marked in second if not marked.known] == []
        third = list(grade_class(Course(root), assignment, executor, nothing, again=True))
        assert not any(marked.known for marked in third)
    assert (root / "autograded" / "ben").exists()
    assert rows(sqlite(root))["eva"]["reparameterize"][0] == 5


def test_a_killed_driver_leaves_nothing_running_and_the_next_run_goes_on(new_class, serial):
    root = new_class()
    running = grade(root, "--workers", "2")
    wait_until(lambda: len(list(root.glob("autograded/*/*/*.ipynb"))) >= 2)
    below = psutil.Process(running.pid).children(recursive=True)
    running.kill()
    running.wait()
    assert below
    _, alive = psutil.wait_procs(below, timeout=PATIENCE)
    assert alive == []
    kept = {path: path.stat().st_mtime_ns for path in root.rglob("*.json.gz")}
    assert 1 <= len(kept) < 7
    assert "known from before" in graded(root, "--workers", "2")
    assert (rows(sqlite(root)), told(root)) == serial
    assert {path: path.stat().st_mtime_ns for path in kept} == kept


def test_an_interrupted_run_ends_and_says_how_to_go_on(new_class):
    root = new_class()
    running = grade(root, "--workers", "2")
    wait_until(lambda: list(root.glob("autograded/*/*/*.ipynb")))
    below = psutil.Process(running.pid).children(recursive=True)
    os.killpg(running.pid, signal.SIGINT)
    said, _ = running.communicate(timeout=PATIENCE)
    assert running.returncode == 130
    assert "are marked and recorded. The same command goes on" in said
    assert "Traceback" not in said
    _, alive = psutil.wait_procs(below, timeout=PATIENCE)
    assert alive == []


def wait_until(what):
    """What `what()` gives, once it is something."""
    end = time.monotonic() + PATIENCE
    while not (found := what()):
        assert time.monotonic() < end
        time.sleep(0.1)
    return found


def graders():
    """The processes that mark for this one."""
    servers = [child for child in alive(psutil.Process()) if "forkserver" in " ".join(child.cmdline())]
    return [process for server in servers for process in alive(server)]


def alive(process):
    """Its children, without those that have ended and whose end nobody has asked for yet."""
    return [child for child in process.children() if child.status() != psutil.STATUS_ZOMBIE]


def affinities(processes):
    """The cores of each that has not ended meanwhile."""
    found = []
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            found.append(process.cpu_affinity())
    return sorted(found)


def busy(process):
    """Whether it has a sandbox."""
    with contextlib.suppress(psutil.Error):
        return any(child.name() == "bwrap" for child in process.children())
    return False


def slowest(processes):
    """Of these, the one whose sandbox has stood for longer than any honest submission takes; None while there is none."""
    for process in processes:
        with contextlib.suppress(psutil.Error):
            if any(child.name() == "bwrap" and time.time() - child.create_time() > 1.5 for child in process.children()):
                return process
    return None


def test_killing_what_marks_the_slowest_submission_changes_no_mark(new_class, serial):
    root = new_class()
    running = grade(root, "--workers", "2")
    driver = psutil.Process(running.pid)
    wait_until(lambda: slowest(driver.children(recursive=True))).kill()
    said, _ = running.communicate()
    assert "7 submissions" in said, said
    assert (rows(sqlite(root)), told(root)) == serial


def test_a_killed_grader_costs_nothing_but_a_second_attempt(submissions, assignment):
    settings = Settings(limits=Limits(**LIMITS))
    with Processes(assignment, 2) as executor:
        slow = executor.submit(submissions["cem"], {}, assignment, settings)
        wait_until(lambda: next(filter(busy, graders()), None)).kill()
        others = [executor.submit(submissions[name], {}, assignment, settings) for name in ("ann", "ben")]
        scores = [results.unpack(future.result()[1]).verdict.score for future in (slow, *others)]
    assert scores == [3, 8, 7]


@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="needs two cores")
def test_graders_that_use_all_cores_keep_to_one_each_with_all_that_they_start(submissions, assignment):
    cores = sorted(os.sched_getaffinity(0))
    with Processes(assignment) as executor:
        for _ in cores:
            executor.submit(submissions["cem"], {}, assignment, Settings())
        wait_until(lambda: sum(map(busy, graders())) == len(cores))
        assert sorted(grader.cpu_affinity() for grader in graders()) == [[core] for core in cores]
        for grader in graders():
            assert [child for child in grader.children(recursive=True) if child.cpu_affinity() != grader.cpu_affinity()] == []
        zygote = psutil.Process(executor._zygote.process.pid)
        wait_until(lambda: affinities(zygote.children()) == [[core] for core in cores])
    with Processes(assignment, len(cores) + 1) as executor:
        executor.submit(submissions["ann"], {}, assignment, Settings()).result()
        assert [grader.cpu_affinity() for grader in graders()] == [cores] * (len(cores) + 1)


def test_a_class_is_recorded_through_lasting_connections(new_class, serial, assignment):
    root, made = new_class(), []
    listen = (sqlalchemy.engine.Engine, "connect", lambda *_: made.append(1))
    sqlalchemy.event.listen(*listen)
    try:
        course = Course(root)
        for handed_in in look(course.coursedir, assignment)[:2]:
            course.autograde(assignment, handed_in)
    finally:
        sqlalchemy.event.remove(*listen)
    assert 1 <= len(made) <= 2  # nbgrader names the course in some places
    assert {student: row for student, row in rows(sqlite(root)).items() if student in ("ann", "ben")} == {
        student: serial[0][student] for student in ("ann", "ben")
    }


@pytest.mark.parametrize("broken", ["raise ImportError('libtorch_cpu.so cannot be opened')", "import os; os._exit(1)"])
def test_graders_that_do_not_start_are_no_submissions_failure(broken, new_class, tmp_path):
    root = new_class()
    (tmp_path / "torch.py").write_text(broken)
    running = grade(root, "--workers", "2", PYTHONPATH=str(tmp_path))
    said, _ = running.communicate(timeout=PATIENCE)
    assert running.returncode == 2
    assert "The grader failed; nobody was marked. The processes that mark do not start" in " ".join(said.split())
    assert not [*root.glob("autograded/*/*/*.ipynb"), *root.rglob("*.json.gz")]


def test_a_submission_that_ends_its_grader_twice_is_reported_and_waits_for_a_person(new_class, assignment):
    root = new_class()
    for student in ("ann", "ben", "dov", "eva", "fay", "gus"):
        shutil.rmtree(root / "submitted" / student)
    with Processes(assignment, 1) as executor:
        marking = grade_class(Course(root), assignment, Killer(executor), nothing)
        (marked,) = list(marking)
    assert marked.verdict.status == "ungradable"
    assert "ended the grader's own process twice" in marked.verdict.message
    assert rows(sqlite(root))["cem"]["reparameterize"][:3] == (None, None, True)


class Killer:
    """An executor whose processes are killed as soon as they work on something."""

    def __init__(self, executor):
        self._executor, self.slots = executor, executor.slots

    def submit(self, *task):
        future = self._executor.submit(*task)
        while not future.done():
            for process in filter(busy, graders()):
                process.kill()
            time.sleep(0.02)
        with pytest.raises(Killed):
            future.result()
        return future


def test_an_unknown_assignment_and_an_empty_class_are_told_before_anything_is_marked(new_class, assignment):
    root = new_class()
    (root / "gradebook.db").unlink()
    with pytest.raises(CourseError, match="run `autograder release vae_swiss_roll`"):
        list(grade_class(Course(root), assignment, None, nothing))
    Course(root).generate_assignment(assignment)
    shutil.rmtree(root / "submitted")
    with pytest.raises(CourseError, match=r"nothing to mark: .*at submitted/STUDENT/vae_swiss_roll/vae_swiss_roll.ipynb"):
        list(grade_class(Course(root), assignment, None, nothing))


# --- a cluster -------------------------------------------------------------------------------------------------------


@pytest.fixture
def cluster(tmp_path):
    """Address of a Dask scheduler with two workers, started by Dask's own commands, far from any course folder."""
    pytest.importorskip("distributed")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    address = f"tcp://127.0.0.1:{port}"
    dask = [
        sys.executable,
        "-m",
        "distributed.cli.dask_scheduler",
        "--host",
        "127.0.0.1",
        "--port",
        str(port),
        "--no-dashboard",
    ]
    # Without a nanny, which would start a worker anew that died: the others go on, too.
    worker = [sys.executable, "-m", "distributed.cli.dask_worker", address, "--nthreads=1", "--no-dashboard", "--no-nanny"]
    started = []
    with (tmp_path / "log").open("w") as log:
        for command in (dask, worker, worker):
            started.append(subprocess.Popen(command, cwd=tmp_path, stdout=log, stderr=log))
        yield address, started[1:]
        for process in started:
            process.kill()  # one that is asked to end takes its time
            process.wait(PATIENCE)


def test_a_cluster_whose_busiest_worker_dies_gives_the_serial_marks(new_class, serial, cluster):
    address, workers = cluster
    root = new_class()
    marking = [psutil.Process(worker.pid) for worker in workers]
    running = grade(root, "--scheduler", address)
    wait_until(lambda: slowest(marking)).kill()
    said, _ = running.communicate()
    assert "7 submissions" in said, said
    assert (rows(sqlite(root)), told(root)) == serial


def test_a_cluster_that_is_not_there_is_the_graders_failure():
    pytest.importorskip("distributed")
    with pytest.raises(CourseError, match="No Dask scheduler answers at tcp:"):
        Cluster("tcp://127.0.0.1:9", timeout=1)


# --- PostgreSQL ------------------------------------------------------------------------------------------------------


@pytest.fixture
def server():
    """A PostgreSQL server of our own with an empty database: (its URL, `start()`, `stop()`)."""
    pytest.importorskip("psycopg")
    found = sorted(pathlib.Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    if not found:
        pytest.skip("PostgreSQL is not installed")
    folder = pathlib.Path("/tmp") / f"autograder-postgresql-{os.getpid()}"
    folder.mkdir()
    become = []
    if os.geteuid() == 0:  # the server refuses to run as root
        shutil.chown(folder, "postgres", "postgres")
        become = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups", "env", f"HOME={folder}"]

    def run(command, *options):
        return subprocess.run([*become, found[-1].parent / command, *options], cwd=folder, check=True, capture_output=True)

    def start():
        options = f"-k {folder} -c listen_addresses='' -c fsync=off"
        run("pg_ctl", "-D", folder / "data", "-o", options, "-l", folder / "log", "-w", "start")

    def stop():
        run("pg_ctl", "-D", folder / "data", "-m", "immediate", "stop")

    run("initdb", "-D", folder / "data", "-U", "grader", "--auth=trust", "--no-sync")
    start()
    run("createdb", "-h", folder, "-U", "grader", "course")
    yield f"postgresql+psycopg://grader@/course?host={folder}", start, stop
    stop()
    shutil.rmtree(folder)


def on_postgresql(root, url, assignment):
    """The course, with its gradebook there, released."""
    (root / "gradebook.db").unlink()
    config = root / "nbgrader_config.py"
    config.write_text(config.read_text() + f"c.CourseDirectory.db_url = {url!r}\n")
    course = Course(root)
    course.generate_assignment(assignment)
    return course


def test_a_gradebook_on_postgresql_has_the_same_rows(new_class, serial, server, assignment):
    root = new_class()
    course = on_postgresql(root, server[0], assignment)
    with Processes(assignment, 2) as executor:
        assert len(list(grade_class(course, assignment, executor, nothing))) == 7
    assert (rows(server[0]), told(root)) == serial
    assert not (root / "gradebook.db").exists()


def test_a_server_that_goes_away_in_the_middle_stops_the_run_which_then_goes_on(new_class, serial, server, assignment):
    root, (url, start, stop) = new_class(), server
    course = on_postgresql(root, url, assignment)
    with Processes(assignment, 2) as executor:
        marking = grade_class(course, assignment, executor, nothing)
        first = next(marking)
        stop()
        with pytest.raises(CourseError, match=r"The gradebook does not answer: .* Then give the same command again"):
            list(marking)
        start()
        assert rows(url).keys() == {first.student}
        assert len(list(grade_class(Course(root), assignment, executor, nothing))) == 7
    assert (rows(url), told(root)) == serial
