"""Whose failure it is.

AutograderError
  SubmissionError      the student's code or file; costs the points that it broke, nothing else
    Raised             a call ended in an exception
    TimedOut           a call or a cell did not end in time
    WorkerDied         the kernel ended in the middle of a call or a cell
    BadReply           what came back is not a reply
    NotCallable        the function is not there
  Ungradable           there is nothing to mark: not a notebook, or none of the assignment's cells
  GraderError          ours; nobody is marked and the run stops, exit code 2
    SandboxError       the worker cannot be started on this machine
    ChecksError        the hidden checks could not be run, or one of them failed by itself
    CourseError        the course folder is not what it should be
"""


class AutograderError(Exception):
    """Base of everything this package raises on purpose."""


class SubmissionError(AutograderError):
    """The submission's failure. `str()` of it may hold the student's own words: never show it unfiltered."""


class Raised(SubmissionError):
    """A call into the submission ended in an exception.

    Attributes:
        kind: the class name, when it is one of Python's or torch's own, else "".
        text: its message, cut; the student's words.
        line: the line of the student's source where it happened, or None.
        device: whether the message speaks of devices: tensors on two of them, or no CUDA here.
    """

    def __init__(self, kind, text="", line=None, device=False):
        super().__init__(f"{kind}: {text}")
        self.kind, self.text, self.line, self.device = kind, text, line, device


class TimedOut(SubmissionError):
    """A call or a cell ran into its time limit (`limit`, seconds)."""

    def __init__(self, what, limit):
        super().__init__(f"{what} did not end within {limit:g} s")
        self.what, self.limit = what, limit


class WorkerDied(SubmissionError):
    """The student's interpreter ended while it worked on `what`."""

    def __init__(self, what):
        super().__init__(f"the interpreter ended during {what}")
        self.what = what


class BadReply(SubmissionError):
    """The worker's reply could not be read as one."""


class NotCallable(SubmissionError):
    """The submission defines no such function or class (`name`)."""

    def __init__(self, name):
        super().__init__(f"{name} is not defined")
        self.name = name


class Ungradable(AutograderError):
    """There is nothing to mark; a person has to look. `str()` says why."""


class GraderError(AutograderError):
    """The grader's own failure: it costs nobody anything and stops loudly."""


class SandboxError(GraderError):
    """The sandbox does not work here; the text names the repair."""


class ChecksError(GraderError):
    """The hidden checks did not run, or one of them broke by itself."""


class CourseError(GraderError):
    """The course folder lacks something; the text says what and which command makes it."""
