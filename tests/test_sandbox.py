"""What a worker can and cannot do, asked from inside: code runs in its kernel by way of a `calls.py` that evaluates it."""

import os
import pathlib
import shutil
import socket
import subprocess
import sys
import tempfile
import textwrap

import psutil
import pytest

from autograder.errors import SandboxError, TimedOut, WorkerDied
from autograder.grading.session import Kernel
from autograder.sandbox.outside import bubblewrap, conformance
from autograder.sandbox.outside.limits import MIB, Limits
from autograder.sandbox.outside.processes import ended
from autograder.sandbox.outside.warm import Zygote
from tests.commands import PATIENCE
from tests.conftest import ORDINARY_USER, QUICKLY, with_python_open_to_all

pytestmark = pytest.mark.sandboxed


@pytest.fixture(scope="module")
def calls():
    return conformance.PROBES


@pytest.fixture(params=["start_warm", "start_cold"], scope="module")
def start(request):
    return getattr(bubblewrap, request.param)


@pytest.fixture(scope="module")
def inside(start, calls):
    """`inside(code)` → what the code left in `result`, or the exception's text."""
    worker = start(calls, Limits(disk_bytes=32 * MIB, file_bytes=16 * MIB, processes=64))

    def run(code, seconds=20):
        reply, _ = worker.channel.call({"code": textwrap.dedent(code)}, {}, seconds, "the code")
        return reply.get("raised", reply.get("result"))

    yield run
    worker.kill()


def test_no_file_of_the_project_or_the_course_is_in_sight(inside):
    root = str(pathlib.Path(__file__).parent.parent)
    seen = inside(f"""
        import os
        result = []
        for folder, folders, files in os.walk("/"):
            # The libraries' own files are many, and none of ours.
            folders[:] = [name for name in folders if name not in ("proc", "usr", "sys", "site-packages")]
            path = os.path.join(folder, "")
            for name in (*folders, *files):
                ours = name in ("gradebook.db", "reference.py", "nbgrader_config.py", "checks") or name.endswith(".ipynb")
                if ours and ({root!r} in path and ".venv" not in path or "autograder" in path):
                    result.append(path + name)
        for path in ("../../../gradebook.db", {root!r} + "/source", {root!r} + "/autograder", {root!r} + "/gradebook.db"):
            if os.path.exists(path):
                result.append(path)
    """)
    assert seen == []


def test_the_package_cannot_be_imported(inside):
    assert inside("import sys\nresult = [name for name in sys.modules if name.startswith('autograder')]") == []
    for name in ("autograder.grading", "autograder.vae_swiss_roll.reference", "autograder.errors"):
        assert inside(f"import {name}").startswith("ModuleNotFoundError")


def test_no_socket_reaches_anything(inside):
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        code = f"import socket\nsocket.create_connection(('127.0.0.1', {port}), timeout=2)\nresult = 'connected'"
        assert "Connection refused" in inside(code)
    assert "unreachable" in inside("import socket\nsocket.create_connection(('192.0.2.1', 80), timeout=2)")
    assert inside("import socket\nresult = [name for _, name in socket.if_nameindex()]") == ["lo"]


def test_no_privilege_is_left(inside):
    status = inside("result = open('/proc/self/status').read()")
    lines = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
    assert {lines[name] for name in ("CapInh", "CapPrm", "CapEff", "CapAmb")} <= {"0" * 16, "00000000000000c0"}
    assert lines["CapEff"] == lines["CapPrm"] == "0" * 16
    assert lines["NoNewPrivs"] == "1"
    assert int(lines["Uid"].split()[0]) != 0


def test_no_process_of_the_machine_is_in_sight(inside):
    assert len(inside("import os\nresult = [n for n in os.listdir('/proc') if n.isdigit()]")) <= 4
    assert inside(f"import os\nos.kill({os.getpid()}, 0)").startswith(("ProcessLookupError", "PermissionError"))


def test_no_variable_of_the_grader_is_passed_on(inside, monkeypatch):
    assert set(inside("import os\nresult = list(os.environ)")) & set(os.environ) <= {
        "HOME", "PATH", "LANG", "PWD", "TERM", "TMPDIR", "PYTHONDONTWRITEBYTECODE", "MPLBACKEND", "OMP_NUM_THREADS",
        "NBGRADER_EXECUTION", "PYDEVD_USE_FRAME_EVAL", "PYDEVD_DISABLE_FILE_VALIDATION", "PAGER", "GIT_PAGER", "CLICOLOR",
        "CLICOLOR_FORCE", "FORCE_COLOR",
    }  # fmt: skip


def test_no_descriptor_of_the_grader_is_passed_on(inside):
    links = inside("""
        import os
        paths = [f"/proc/self/fd/{n}" for n in os.listdir("/proc/self/fd")]
        result = [os.readlink(path) for path in paths if os.path.lexists(path)]
    """)
    assert [link for link in links if link.startswith("/") and not link.startswith(("/dev", "/proc", "/tmp"))] == []


def test_the_disk_is_small_private_and_the_rest_read_only(inside):
    fill = "for n in range(9):\n    open(f'{folder}/{n}', 'wb').write(b'1' * 8 * 2**20)"
    for folder in ("/home/student", "/tmp", "/dev/shm"):
        assert "No space left" in inside(f"folder = {folder!r}\n{fill}")
        inside(f"import glob, os\nfor path in glob.glob({folder!r} + '/[0-9]'):\n    os.unlink(path)")
    for folder in ("/", "/usr", "/dev", "/etc", sys.prefix):
        said = inside(f"open({folder!r} + '/PWNED', 'w')")
        assert "Read-only" in said or "Permission denied" in said


def test_a_file_larger_than_the_limit_is_refused(inside):
    assert "File too large" in inside(
        "import signal\nsignal.signal(signal.SIGXFSZ, signal.SIG_IGN)\nopen('x', 'wb').write(b'1' * 20 * 2**20)"
    )
    inside("import os\nos.unlink('x')")


def test_memory_is_limited(inside):
    assert inside("b = bytearray(5 * 2**30)").startswith("MemoryError")


def test_pythons_garbage_is_collected_and_the_libraries_are_not_looked_at_for_it(inside):
    assert inside("import gc\nresult = [gc.isenabled(), gc.get_freeze_count() > 100_000]") == [True, True]


def test_processes_are_limited_and_end_with_the_sandbox(start, calls, monkeypatch):
    """However long the grader is kept waiting after it has closed the channel, which is when a kernel ends by itself."""
    worker = start(calls, Limits(processes=40))
    code = """
        import os, time
        result = 0
        try:
            while result < 200:
                if os.fork() == 0:
                    time.sleep(30)
                    os._exit(0)
                result += 1
        except OSError:
            pass
    """
    reply, _ = worker.channel.call({"code": textwrap.dedent(code)}, {}, PATIENCE, "forks")
    assert 0 < reply["result"] < 45
    inside = set(pathlib.Path(f"/proc/{worker.pid}/task/{worker.pid}/children").read_text().split())
    close = worker.channel.close
    monkeypatch.setattr(worker.channel, "close", lambda: (close(), ended(worker.process, 2)))
    worker.kill()
    assert not [pid for pid in {str(worker.pid), *inside} if pathlib.Path(f"/proc/{pid}").exists()]


def test_a_call_that_never_ends_is_told_from_one_that_dies(start, calls):
    for code, seconds, error in (("while True: pass", 0.1, TimedOut), ("import os; os._exit(3)", PATIENCE, WorkerDied)):
        worker = start(calls, Limits())
        with pytest.raises(error):
            worker.channel.call({"code": code}, {}, seconds, "the code")
        worker.kill()


def test_workers_share_nothing(start, calls):
    first, second = start(calls, Limits()), start(calls, Limits())
    try:
        for code in ("open('/tmp/left', 'w')", "import torch\ntorch.left = 1", "import os\nos.environ['LEFT'] = '1'"):
            first.channel.call({"code": code}, {}, PATIENCE, "the code")
        code = "import os, torch\nresult = [os.path.exists('/tmp/left'), hasattr(torch, 'left'), 'LEFT' in os.environ]"
        reply, _ = second.channel.call({"code": code}, {}, PATIENCE, "the code")
        assert reply["result"] == [False, False, False]
    finally:
        first.kill()
        second.kill()


# What a submission finds when it starts: generators, modules, threads, files, variables, objects of its own kinds, memory.
STATE = """
import builtins, gc, os, random, sys, threading
import numpy, torch
result = {
    "generators": [torch.rand(1).item(), float(numpy.random.rand()), torch.initial_seed()],
    "python": random.getstate()[1][:5],
    "modules": sorted(name for name in sys.modules if name != "builtins"),
    "switches": [str(torch.get_default_dtype()), torch.is_grad_enabled(), torch.get_num_threads(), len(sys.path)],
    "threads": sorted(thread.name.rstrip("0123456789") for thread in threading.enumerate()),
    "files": sorted(os.path.join(at, name) for top in ("/tmp", "/home", "/dev/shm") for at, _, names in os.walk(top)
                    for name in names if not name.startswith("k") and not at.startswith(sys.prefix)),
    "variables": sorted(os.environ),
    "names": sorted(vars(builtins)),
    "large": sum(isinstance(thing, torch.Tensor) and thing.numel() > 10**6 for thing in gc.get_objects()),
}
"""
TRACES = """
import builtins, os, random, sys, threading, time, types
import numpy, torch
torch.manual_seed(1), numpy.random.seed(1), random.seed(1)
torch.set_default_dtype(torch.float64), torch.set_grad_enabled(False)
sys.modules["left"], builtins.left, torch.left = types.ModuleType("left"), 1, torch.zeros(5_000_000)
sys.path.insert(0, "/tmp")
threading.Thread(target=time.sleep, args=(60,), name="left", daemon=True).start()
for folder in ("/tmp", "/home/student", "/dev/shm"):
    open(folder + "/left", "w").write("left")
os.environ["LEFT"] = "1"
result = "done"
"""


def test_nothing_of_a_submission_is_left_for_the_next(start, calls):
    def ask(worker, code):
        reply, _ = worker.channel.call({"code": code}, {}, PATIENCE, "the code")
        return reply["result"]

    states, left = [], []
    for traces in (None, TRACES, None):
        worker = start(calls, Limits())
        states.append(ask(worker, STATE))
        if traces:
            assert ask(worker, traces) == "done"
            changed = ask(worker, STATE)
            left += [changed["generators"], changed["python"]]
            same = {name for name in changed if changed[name] == states[-1][name]}
            assert same == set(), "the test looks where nothing shows"
        worker.kill()
    for state in states:  # generators that nobody has seeded start anywhere
        assert state.pop("generators") not in left
        assert state.pop("python") not in left
    for state in states[1:]:
        assert {name for name in state if state[name] != states[0][name]} == set()


def test_a_notebook_can_make_temporary_files_and_is_asked_for_by_the_shells_name(start, assignment):
    kernel = Kernel(start, assignment.operations, Limits())
    try:
        code = "import tempfile\nwith tempfile.NamedTemporaryFile() as file:\n    print(file.name)"
        (output,) = kernel.execute(code + "\nprint(type(get_ipython()).__name__)", 10)
    finally:
        kernel.close()
    name, shell = output.text.split()
    assert name.startswith("/tmp/tmp")
    assert shell == "ZMQInteractiveShell"  # libraries look for a notebook by it


def test_a_message_that_is_too_large_leaves_what_later_cells_show(start, assignment):
    kernel = Kernel(start, assignment.operations, Limits(message_bytes=100_000))
    try:
        shown = [kernel.execute(code, 60) for code in ("print('x' * 100_001)", "print('later')")]
    finally:
        kernel.close()
    assert [[output.text for output in outputs] for outputs in shown] == [[], ["later\n"]]


def test_one_warm_process_serves_many_slots_through_twins(calls):
    zygote = Zygote.start(calls)
    twins = [Zygote(zygote.twin()) for _ in range(2)]
    key = os.getpid(), str(calls), None
    own, started = Zygote._living.get(key), set(psutil.Process(zygote.process.pid).children())
    try:
        for twin in (*twins, zygote):
            Zygote._living[key] = twin
            worker = bubblewrap.start_warm(calls, Limits())
            reply, _ = worker.channel.call({"code": "result = 1 + 1"}, {}, PATIENCE, "the code")
            assert reply["result"] == 2
            assert Zygote.of(calls, None) is twin
            worker.kill()
        # A twin that is gone is replaced by a warm process of this one's own.
        children = [child for child in psutil.Process(zygote.process.pid).children() if child not in started]
        for child in children:
            child.kill()
        psutil.wait_procs(children, timeout=PATIENCE)
        Zygote._living[key] = twins[0]
        worker = bubblewrap.start(calls, Limits())
        worker.kill()
        assert Zygote._living[key] not in (zygote, *twins)
    finally:
        Zygote._living.pop(key)
        if own is not None:
            Zygote._living[key] = own
    zygote._control.close()
    assert zygote.process.wait(PATIENCE) == 0


def test_without_bubblewrap_the_repair_is_named_and_nothing_is_started(calls, monkeypatch):
    monkeypatch.setattr(bubblewrap.shutil, "which", lambda name: None)
    monkeypatch.setattr(Zygote, "_living", {})
    with pytest.raises(SandboxError, match="apt-get install bubblewrap"):
        bubblewrap.start(calls, Limits())
    assert Zygote._living == {}


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to become somebody else")
def test_an_ordinary_user_gets_the_same_sandbox():
    """In a mount namespace of its own, where /root lets the interpreter be reached, as a uid without any rights."""
    folder = pathlib.Path(tempfile.mkdtemp())  # pytest's own folders are closed to other users
    folder.chmod(0o755)
    calls = folder / "calls.py"
    shutil.copy(conformance.PROBES, calls)
    code = f"""
        from autograder.sandbox.outside import bubblewrap
        for start in (bubblewrap.start_warm, bubblewrap.start_cold):
            worker = start({str(calls)!r}, bubblewrap.Limits())
            reply, _ = worker.channel.call({{"code": "result = open('/proc/self/status').read()"}}, {{}}, {PATIENCE}, "status")
            assert "CapEff:\\t0000000000000000" in reply["result"] and "NoNewPrivs:\\t1" in reply["result"]
            worker.kill()
        print("same")
    """
    done = with_python_open_to_all(code, ORDINARY_USER, {"PATH": os.environ["PATH"]})
    shutil.rmtree(folder)
    assert done.stdout == "same\n", done.stderr


def test_a_warm_worker_has_imported_what_the_lesson_needs_before_it_was_forked(calls):
    worker = bubblewrap.start_warm(calls, Limits())
    code = "import sys\nresult = [name for name in ('torch', 'matplotlib.pyplot', 'tqdm', 'psutil') if name not in sys.modules]"
    reply, _ = worker.channel.call({"code": code}, {}, PATIENCE, "the code")
    worker.kill()
    assert reply["result"] == []


def test_what_right_answers_do_with_pretended_tensors_was_found_out_before_the_fork(assignment):
    """Anew for each submission it would take a tenth of the marking time."""
    code = f"""
        from torch._subclasses.fake_tensor import FakeTensorMode
        from autograder import assignment as assignments
        from autograder.course.fill import cell
        from autograder.grading.judge import judge
        from autograder.stock import caller
        assignment, namespace = assignments.load({assignment.name!r}), {{"__name__": "__main__"}}
        for grade_id in ("vae_model", "vae_loss"):
            exec("import torch; from torch import nn\\n" + cell(assignment.master, grade_id).source, namespace)
        call = caller(assignment, namespace)
        before, asked = FakeTensorMode.cache_info(), []
        student = assignment.student(lambda made: asked.append(made.device) or call(made))
        checks = judge(assignment, student, "")
        after = FakeTensorMode.cache_info()
        print(asked.count("pretend"), sum(check.points for check in checks))
        print(after.misses - before.misses, after.hits > before.hits)
    """
    done = subprocess.run([sys.executable, "-c", QUICKLY + textwrap.dedent(code)], capture_output=True, text=True)
    assert done.stdout == "2 8.0\n0 True\n", done.stderr


def test_a_sandbox_ends_with_its_grader_even_if_it_was_not_told(calls):
    """A bwrap that has only just started misses its parent's end; the pipe to it does not."""
    worker = bubblewrap.start_warm(calls, Limits())
    worker.process.stdin.close()
    assert worker.process.wait(PATIENCE) is not None
    assert not worker.alive()
    worker.kill()
