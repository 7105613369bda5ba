"""The checks against weakened copies of themselves: no check, and no part of one, is decoration.

Real answers of the catalogue run through a real sandboxed worker and the real `judge`. A check is removed, one of the
statements that refuse a criterion is disabled, or a number is loosened, and some answer must then earn what it does not deserve
(or lose what it does).
"""

import ast
import contextlib
import dataclasses
import functools
import itertools
import pathlib
import sys

import pytest

from autograder import assignment as assignments
from autograder.course import selftest
from autograder.grading import judge as judging
from autograder.grading.verdict import PASSED
from autograder.rubric import NotEarned
from autograder.vae_swiss_roll import judging as questions
from autograder.vae_swiss_roll import noise, probes, student
from autograder.vae_swiss_roll.samples import ANSWERS

FOLDER = assignments.load("vae_swiss_roll").folder
MODULES = {"judging.py": questions, "noise.py": noise, "student.py": student, "probes.py": probes}
CHECKS = {cell: f"checks/test_{cell}.py" for cell in ("reparameterize", "kl_divergence")}


def text(file):
    return (FOLDER / file).read_text()


def entry_of(target, name):
    return next(entry for entry in entries() if (entry.target, entry.name) == (target, name))


@functools.cache
def entries():
    return selftest.catalogue(assignments.load("vae_swiss_roll"))


# --- a judge that can be weakened ------------------------------------------------------------------------------------


class Collector(judging.Collector):
    """Keeps the exceptions that ended the checks."""

    errors: dict

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(self, item, call):
        if call.excinfo:
            Collector.errors[item.originalname.removeprefix("test_")] = call.excinfo.value
        return (yield from super().pytest_runtest_makereport(item, call))


class Judge:
    """Judges catalogue entries by chosen criteria, in one worker, with the checks as they are or with one file changed.

    Args:
        folder: where copies of the checks go, each in a folder of its own: pytest keeps modules by their path.
    """

    def __init__(self, assignment, release, folder):
        self._assignment, self._release, self._folders = assignment, release, (folder / str(n) for n in itertools.count())
        self._bench = selftest.Bench(assignment, release, ANSWERS, (0,))
        self._defined = None
        self.close = self._bench.close

    def __call__(self, entry, criteria, changed=None, *, policies=None, gpu=None):
        """{criterion: (whether it is earned, sentence, misconception, the exception or None)}

        Args:
            changed: (file, its source) instead of what is there.
            gpu: `gpu(call)` → a call that answers for a GPU, too.
        """
        if self._defined != entry:
            self._bench.define(selftest.submission(self._release, ANSWERS, entry))
            self._defined = entry
        file = CHECKS[entry.target]
        path = next(self._folders) / file
        path.parent.mkdir(parents=True)
        path.write_text(only(changed[1] if changed and changed[0] == file else text(file), criteria))
        call = self._bench.call
        with contextlib.ExitStack() as stack:
            if changed and changed[0] in MODULES:
                stack.enter_context(replaced(*changed))
            fixture = student.Student(gpu(call) if gpu else call, cuda=gpu is not None, policies=policies)
            Collector.errors = {}
            assignment = dataclasses.replace(self._assignment, folder=path.parent.parent)
            results = judging.judge(assignment, fixture, entry.code, cells=[entry.target])
        found = {result.id.split(".")[1]: result for result in results}
        assert set(found) == set(criteria)
        return {
            name: (found[name].outcome == PASSED, found[name].message, found[name].misconception, Collector.errors.get(name))
            for name in criteria
        }

    def case(self, case, changed=None):
        return self(case.entry, case.criteria, changed, policies=case.policies, gpu=case.gpu)


def only(source, criteria):
    """The checks of those criteria alone, each on the lines where it was."""
    lines = source.split("\n")
    for node in ast.parse(source).body:
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_") and node.name[5:] not in criteria:
            first = min(part.lineno for part in (node, *node.decorator_list))
            lines[first - 1 : node.end_lineno] = [""] * (node.end_lineno - first + 1)
    return "\n".join(lines)


@contextlib.contextmanager
def replaced(file, source):
    """The module with another source; afterwards it is what it was, with the very same objects in it."""
    module = MODULES[file]
    before = dict(vars(module))
    try:
        exec(compile(source, module.__file__, "exec"), vars(module))
        yield
    finally:
        vars(module).clear()
        vars(module).update(before)


@pytest.fixture(scope="module")
def judged(assignment, release, tmp_path_factory):
    """The `Judge`. Each NotEarned remembers through which lines it came to be."""
    made = NotEarned.__init__

    def remember(self, *args, **kwargs):
        made(self, *args, **kwargs)
        frame, self.lines = sys._getframe(1), []
        while frame is not None and len(self.lines) < 20:
            self.lines.append(("/".join(pathlib.Path(frame.f_code.co_filename).parts[-2:]), frame.f_lineno))
            frame = frame.f_back

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(judging, "Collector", Collector)
        patch.setattr(NotEarned, "__init__", remember)
        judge = Judge(assignment, release, tmp_path_factory.mktemp("mutants"))
        with contextlib.closing(judge):
            yield judge


# --- sites: the statements that refuse a criterion -------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Site:
    """A statement that raises, or returns to be raised, a NotEarned.

    Attributes:
        name: its function and the condition under which it stands.
    """

    name: str
    file: str
    first: int
    last: int

    def __contains__(self, line):
        return line[0] == "/".join((FOLDER / self.file).parts[-2:]) and self.first <= line[1] <= self.last

    def disabled(self):
        """The file's source with nothing done here: the statement falls through, or returns None."""
        lines = text(self.file).split("\n")
        start = lines[self.first - 1]
        indent = start[: len(start) - len(start.lstrip())]
        instead = "return None" if start.lstrip().startswith("return") else "pass"
        lines[self.first - 1 : self.last] = [indent + instead, *[""] * (self.last - self.first)]
        return "\n".join(lines)


def sites(file):
    """Every site of a file. A function whose result is raised at one place, `raise explain(...)`, is one site with all that it
    may say."""
    found, tree = [], ast.parse(text(file))
    raised = {called(node.exc) for node in ast.walk(tree) if isinstance(node, ast.Raise)} - {"NotEarned"}

    def walk(node, function):
        if isinstance(node, ast.FunctionDef):
            function = node.name
        value = node.exc if isinstance(node, ast.Raise) else node.value if isinstance(node, ast.Return) else None
        refusals = {"NotEarned", "not_earned"} | ({"explain"} if isinstance(node, ast.Raise) else set())
        if called(value) in refusals and function not in raised:
            found.append(Site(f"{pathlib.Path(file).stem}.{function}: {words(value)}", file, node.lineno, node.end_lineno))
        for child in ast.iter_child_nodes(node):
            walk(child, function)

    walk(tree, None)
    return found


def called(node):
    """The last part of the name of what is called."""
    function = node.func if isinstance(node, ast.Call) else None
    return function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", None)


def words(call):
    """How the sentence begins, or how it is made."""
    for node in call.args:
        if isinstance(node, (ast.Constant, ast.JoinedStr)):
            parts = [node] if isinstance(node, ast.Constant) else node.values
            return "".join(part.value if isinstance(part, ast.Constant) else "…" for part in parts)[:40]
    return ast.unparse(call)[:40]


SITES = [site for file in (*CHECKS.values(), "judging.py", "noise.py", "student.py") for site in sites(file)]


@dataclasses.dataclass(frozen=True)
class Case:
    """An answer that should lose these criteria, and under which circumstances."""

    entry: selftest.Entry
    criteria: tuple
    policies: dict | None = None
    gpu: object = None


def coarse_gpu(call):
    """Answers for a GPU as well: one that computes as the CPU does, to one part in a hundred."""

    def answer(header, tensors):
        if header["device"] != "cuda":
            return call(header, tensors)
        reply, returned = call({**header, "device": "cpu"}, tensors)
        reply["returned"]["device"] = "cuda"
        return reply, {name: 1.01 * tensor for name, tensor in returned.items()}

    return answer


def cases():
    """Every wrong answer, and what is wrong under a policy or on a GPU alone."""
    return [
        *(Case(entry, tuple(entry.lost)) for entry in entries() if entry.answer == "wrong"),
        Case(entry_of("reparameterize", "train-only-sampling"), ("noise",), policies={"mean_in_eval_mode": False}),
        Case(entry_of("kl_divergence", "canonical"), ("value",), gpu=coarse_gpu),
    ]


@pytest.fixture(scope="module")
def hits(judged):
    """name of a site → [(Case with one criterion, sentence)] of what was refused there."""
    found = {site.name: [] for site in SITES}
    for case in cases():
        for criterion, (earned, sentence, _, error) in judged.case(case).items():
            assert not earned, (case.entry.name, criterion)
            for site in site_of(error):
                found[site.name].append((dataclasses.replace(case, criteria=(criterion,)), sentence))
    return found


def site_of(error):
    """[the innermost site that a NotEarned came from], or [] for what is no NotEarned."""
    return [site for line in getattr(error, "lines", ()) for site in SITES if line in site][:1]
