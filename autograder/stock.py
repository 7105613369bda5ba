"""The hidden checks where there is nobody outside: a stock nbgrader without this course's configuration.

The hidden region of a test cell calls `score`. Under our configuration that region never reaches the student's kernel; where
it does, it runs the same checks in the kernel itself. Marks are the same for an honest submission that runs to its end, but
nothing keeps a dishonest one from reading or changing them, and the output says so.
"""

import contextlib
import os
import sys
import time
from collections.abc import Iterator
from typing import Any

from autograder import assignment as assignments
from autograder.grading import feedback
from autograder.grading.judge import judge
from autograder.grading.pytorch import Caller, reply_to
from autograder.grading.verdict import Status, Verdict
from autograder.sandbox.inside import pytorch
from autograder.sandbox.inside.messages import Call, Reply

WARNING = (
    "These checks ran inside the notebook's own kernel, because nbgrader was started without this course's "
    "nbgrader_config.py. Do not rely on this mark where a submission may be dishonest."
)


def score(assignment: str, cell: str, namespace: dict[str, Any]) -> float:
    """Judges the functions in `namespace` for one test cell and prints the feedback.

    Args:
        assignment: its name.
        cell: grade_id of the test cell.
        namespace: the notebook's globals.

    Returns:
        The points, a plain float: nbgrader takes the cell's result for the score.
    """
    chosen = assignments.load(assignment)
    autograding = os.environ.get("NBGRADER_EXECUTION") == "autograde"
    if autograding:
        forget_output()
    student = chosen.student(caller(chosen, namespace), cuda=pytorch.GPU)
    checks = judge(chosen, student, own_source(namespace), cells=[cell])
    verdict = Verdict(Status.GRADED, checks, notes=(WARNING,) if autograding else (), sandbox="none")
    print(feedback.text(verdict, cell))
    return float(verdict.score)


def caller(assignment: assignments.Assignment, namespace: dict[str, Any]) -> Caller:
    """Calls the functions in a namespace of this process."""
    answer = pytorch.answer_of(str(assignment.operations))

    def call(asked: Call) -> Reply:
        answer.prepare()
        with quiet_descriptors():
            return reply_to(asked, *answer(*asked.write(), namespace))

    return call


def own_source(namespace: dict[str, Any]) -> str:
    """The notebook's code so far, from IPython's history of inputs."""
    return "\n".join(str(source) for source in namespace.get("In", []))


def forget_output() -> None:
    """Takes back what the visible checks printed: nbgrader reads text on stderr, a warning say, as zero points."""
    try:
        from IPython.display import clear_output
    except ImportError:
        return
    sys.stdout.flush()
    sys.stderr.flush()
    time.sleep(0.1)  # what was written to descriptor 2 travels through a thread of the kernel
    clear_output()


@contextlib.contextmanager
def quiet_descriptors() -> Iterator[None]:
    """Sends what the student's functions write to descriptors 1 and 2 nowhere."""
    saved = os.dup(1), os.dup(2)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 1)
        os.dup2(nowhere, 2)
        yield
    finally:
        for descriptor, original in zip(saved, (1, 2), strict=True):
            os.dup2(descriptor, original)
            os.close(descriptor)
        os.close(nowhere)
