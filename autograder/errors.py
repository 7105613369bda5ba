"""Whose failure it is.

AutograderError
  NotEarned            a criterion was judged and is not met; costs its points
  SubmissionError      the student's code or file; costs the points that it broke, nothing else
    Raised             a call ended in an exception
    TimedOut           a call or a cell did not end in time
    WorkerDied         the kernel ended in the middle of a call or a cell
    BadReply           what came back is not a reply
    NotCallable        the function is not there
  Ungradable           there is nothing to mark: not a notebook, or none of the assignment's cells
  Killed               marking a submission ended the grader's own process; a person has to look
  NotRecorded          what was marked could not be recorded for one student, whose matter alone it is
  GraderError          ours; nobody is marked and the run stops, exit code 2
    SandboxError       the worker cannot be started on this machine
      ForkingFails     not from the warm process; a cold worker may still start
    ChecksError        the hidden checks could not be run, or one of them failed by itself
    CourseError        what was asked for cannot be done: the course folder is not what it should be
      SettingError     a setting is wrong
      DeadlineError      a deadline, an extension or what being late costs cannot be
      UnknownAssignment  no assignment has that name
      GradebookLocked  another program writes to the gradebook; it may be over soon

Beside the tree, since a worker gets no file of ours from outside its folder:

FrameError             (sandbox/inside/frames.py) what came over the channel is no frame; the grader makes a BadReply of it
NotDefined             (sandbox/inside/pytorch.py) a NameError of the worker's; it comes back as NotCallable
"""


class AutograderError(Exception):
    """Base of everything this package raises on purpose."""


class NotEarned(AutograderError):
    """The criterion was judged and is not met.

    Attributes:
        sentence: what was seen and what to do next, for the student. Plain text, no part of the submission in it.
        misconception: name of the known mistake that the numbers show, or None.
        device: "cpu" or "cuda" when the device was the reason, else None.
        section: heading in the notebook to read again, where it is not the criterion's own.
    """

    def __init__(
        self, sentence: str, misconception: str | None = None, device: str | None = None, section: str | None = None
    ) -> None:
        super().__init__(sentence)
        self.sentence, self.misconception, self.device, self.section = sentence, misconception, device, section


class SubmissionError(AutograderError):
    """The submission's failure. `str()` of it may hold the student's own words: never show it unfiltered."""


class Raised(SubmissionError):
    """A call into the submission ended in an exception.

    Attributes:
        kind: the class name, when it is one of Python's or torch's own, else "".
        text: its message, cut; the student's words.
        line: the line of the student's source where it happened, or None.
        device: whether the message speaks of devices: tensors on two of them, or no CUDA here.
        where: words of ours before the sentence, for a call that fails under some circumstances only; "" for any.
    """

    def __init__(self, kind: str, text: str = "", line: str | None = None, device: bool = False) -> None:
        super().__init__(f"{kind}: {text}")
        self.kind, self.text, self.line, self.device, self.where = kind, text, line, device, ""


class TimedOut(SubmissionError):
    """A call or a cell ran into its time limit (`limit`, seconds)."""

    def __init__(self, what: str, limit: float) -> None:
        super().__init__(f"{what} did not end within {limit:g} s")
        self.what, self.limit = what, limit


class WorkerDied(SubmissionError):
    """The student's interpreter ended while it worked on `what`."""

    def __init__(self, what: str) -> None:
        super().__init__(f"the interpreter ended during {what}")
        self.what = what


class BadReply(SubmissionError):
    """The worker's reply could not be read as one."""


class NotCallable(SubmissionError):
    """The submission defines no such function or class (`name`)."""

    def __init__(self, name: str) -> None:
        super().__init__(f"{name} is not defined")
        self.name = name


class Ungradable(AutograderError):
    """There is nothing to mark; a person has to look. `str()` says why."""


class Killed(AutograderError):
    """Marking a submission ended the grader's own process, each time that it was tried."""


class NotRecorded(AutograderError):
    """nbgrader could not record what was marked, for one student; `str()` says why."""


class GraderError(AutograderError):
    """The grader's own failure: it costs nobody anything and stops loudly.

    Attributes:
        happened: what of this kind is told as, before `str()` of it.
    """

    happened = "The grader failed"


class SandboxError(GraderError):
    """The sandbox does not work here.

    Attributes:
        repair: the command that mends it, where one is known, else "".
    """

    def __init__(self, text: str, repair: str = "") -> None:
        super().__init__(text)
        self.repair = repair


class ForkingFails(SandboxError):
    """A fork of the warm process cannot join a sandbox here; a cold worker can still be started."""


class ChecksError(GraderError):
    """The hidden checks did not run, or one of them broke by itself."""


class CourseError(GraderError):
    """The course folder lacks something, or what was asked for is impossible; the text says what and what to do."""

    happened = "This cannot be done"


class SettingError(CourseError):
    """A setting does not exist, has an impossible value, or does not fit the assignment."""

    happened = "A setting is wrong"


class DeadlineError(CourseError):
    """Something in a course's `deadlines.toml` cannot be.

    Attributes:
        key: the names of its tables and its own.
        reason: why, in a sentence, without where it stands.
    """

    def __init__(self, text: str, key: tuple[str, ...], reason: str) -> None:
        super().__init__(text)
        self.key, self.reason = key, reason


class UnknownAssignment(CourseError):
    """No assignment has that name; `str()` names those that exist."""


class GradebookLocked(CourseError):
    """Another program writes to the gradebook, and did so for longer than anybody waits."""
