"""`autograder` and `nbgrader` for tests, without the seconds that each start takes for imports.

test ── socket, a request per command ──► server, which has imported what the commands need ── fork ──► the command itself

A command runs as from a terminal: its own process, folder, environment, arguments and streams. What takes seconds to start is
started once, by the server: the warm process from which its sandboxes come, and multiprocessing's fork server. The program that
nbgrader asks for the version of a new gradebook is not started at all. What is about starting itself (README's commands,
interrupts, a broken installation, a variable that a library reads when it is imported) is tested with the real thing.
"""

import contextlib
import functools
import json
import multiprocessing.forkserver
import os
import pathlib
import socket
import subprocess
import sys
import tempfile
import traceback

ROOT = pathlib.Path(__file__).parent.parent
BIN = pathlib.Path(sys.executable).parent
PATIENCE = 600  # seconds that a test waits for what comes: no test depends on how fast the machine is


def run(name, *arguments, cwd=None, env=None, timeout=1800):
    """Runs a command to its end. → subprocess.CompletedProcess, with text"""
    request = {"name": name, "arguments": list(map(str, arguments)), "cwd": str(cwd or pathlib.Path.cwd())}
    request["env"] = dict(os.environ if env is None else env)
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        status, theirs = os.pipe()
        try:
            socket.send_fds(server(), [json.dumps(request).encode()], [out.fileno(), err.fileno(), theirs])
        finally:
            os.close(theirs)
        with os.fdopen(status, "rb") as ended:
            code = int(ended.read() or -1)
        out.seek(0), err.seek(0)
        texts = [stream.read().decode("utf-8", "replace") for stream in (out, err)]
    return subprocess.CompletedProcess([name, *request["arguments"]], code, *texts)


@functools.cache
def server():
    """The socket of this process's server, which ends with it."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
    with theirs:
        subprocess.Popen(
            [sys.executable, "-m", "tests.commands", str(theirs.fileno())],
            pass_fds=(theirs.fileno(),),
            cwd=ROOT,
            env=os.environ,  # which are the commands' too: below it, readline has added some that Python does not know of
            stdin=subprocess.DEVNULL,
        )
    return ours


def serve(requests):
    """In the server: forks for each request until the other end is closed."""
    import autograder.cli
    import autograder.course.batch
    import autograder.course.preloaded
    import autograder.course.release
    import autograder.printing
    import autograder.vae_swiss_roll.student  # noqa: F401
    from autograder import assignment as assignments

    assignment = assignments.load("vae_swiss_roll")
    warm = start_what_commands_share(assignment)
    while True:
        data, descriptors, _, _ = socket.recv_fds(requests, 1 << 20, 3)
        if not data:
            return
        if os.fork() == 0:
            # The command is a child of this process, which outlives it by a moment and says how it ended.
            requests.close()
            child = os.fork()
            if child == 0:
                os.close(descriptors[2])
                become(json.loads(data), descriptors, assignment.operations, warm)
            _, status = os.waitpid(child, 0)
            os.write(descriptors[2], str(os.waitstatus_to_exitcode(status)).encode())
            os._exit(0)
        for descriptor in descriptors:
            os.close(descriptor)
        with contextlib.suppress(ChildProcessError):  # those that have ended
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass


def start_what_commands_share(assignment):
    """In the server. → the warm process"""
    from nbgrader import api

    from autograder.course.executors import context
    from autograder.course.folder import gradebook_version
    from autograder.sandbox.outside.warm import Zygote

    warm = Zygote.start(assignment.operations)
    context(assignment)  # says what the fork server imports
    multiprocessing.forkserver.ensure_running()
    api.get_alembic_version = functools.cache(gradebook_version)
    api.get_alembic_version()
    return warm


def take_what_commands_share(env, operations, warm):
    """In a command, before it becomes one."""
    from autograder.sandbox.outside.warm import Zygote

    class Twin(Zygote):
        """A twin of the warm process, made when it is first needed."""

        def __init__(self):
            """Leaves it to __getattr__."""

        def __getattr__(self, name):
            super().__init__(warm.twin())
            return vars(self)[name]

        def alive(self):
            return "_control" not in vars(self) or super().alive()

        def twin(self, core=None):
            return warm.twin(core)

    Zygote._living[os.getpid(), str(operations), None] = Twin()
    ours = multiprocessing.forkserver._forkserver
    if without_looks(env) == without_looks(os.environ):
        ours.ensure_running = lambda: None  # it would wait for the fork server as for a child of its own
    else:
        ours.__init__()  # the processes of a fork server have its environment


def without_looks(env):
    """The variables that may say something to the processes that mark."""
    return {name: value for name, value in env.items() if name not in ("COLUMNS", "PATH", "PYTEST_CURRENT_TEST")}


def become(request, descriptors, operations, warm):
    """The command. Never returns."""
    code = 1
    try:
        take_what_commands_share(request["env"], operations, warm)
        nothing = os.open(os.devnull, os.O_RDONLY)
        for descriptor, stream in zip((nothing, *descriptors[:2]), (0, 1, 2), strict=True):
            os.dup2(descriptor, stream)
        os.environ.clear()
        os.environ.update(request["env"])
        os.chdir(request["cwd"])
        sys.modules["__main__"].__package__ = None  # help would name this module
        sys.argv = [str(BIN / request["name"]), *request["arguments"]]
        if request["name"] == "autograder":
            from autograder import cli, printing

            # Made when the server was, for its streams and its terminal's width.
            for console in (printing.out, printing.err):
                console.__init__(stderr=console.stderr, highlight=False)
            cli.main()
        else:
            from nbgrader.apps import nbgraderapp

            nbgraderapp.main()
        code = 0
    except SystemExit as error:
        code = error.code if isinstance(error.code, int) else 0 if error.code is None else 1
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush(), sys.stderr.flush()
        os._exit(code)


if __name__ == "__main__":
    serve(socket.socket(fileno=int(sys.argv[1])))
