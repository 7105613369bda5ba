"""The checks against weakened copies of themselves: no check, and no part of one, is decoration.

Real answers of the catalogue go through a real sandboxed worker and the real `judge`. A check is removed, a statement that
refuses a criterion is disabled, or a number is loosened; each time some answer must then earn what it does not deserve, or
lose what it does.
"""

import ast
import contextlib
import dataclasses
import functools
import itertools
import pathlib
import shutil
import sys

import pytest

from autograder import assignment as assignments
from autograder.course import selftest
from autograder.criteria import NotEarned
from autograder.errors import ChecksError
from autograder.grading import judge as grading
from autograder.grading import pytorch
from autograder.grading.verdict import Outcome
from autograder.vae_swiss_roll import noise, probes, student
from autograder.vae_swiss_roll.samples import ANSWERS
from tests.conftest import in_folder

pytestmark = pytest.mark.sandboxed

FOLDER = assignments.load("vae_swiss_roll").folder
MODULES = {"pytorch.py": pytorch, "noise.py": noise, "student.py": student, "probes.py": probes}
CRITERIA = {
    "reparameterize": ("tensor", "centre", "scale", "noise", "gradient_mu", "gradient_logvar"),
    "kl_divergence": ("prior", "value", "gradient"),
}
TARGETS = {criterion: target for target, criteria in CRITERIA.items() for criterion in criteria}
CHECKS = {target: f"checks/{target}.py" for target in CRITERIA}


@functools.cache
def text(file):
    path = pathlib.Path(MODULES[file].__file__) if file in MODULES else FOLDER / file
    return path.read_text()


@functools.cache
def entries():
    """(target, name) → Entry, for the whole catalogue."""
    return {(entry.target, entry.name): entry for entry in selftest.catalogue(assignments.load("vae_swiss_roll"))}


@dataclasses.dataclass(frozen=True)
class Case:
    """An answer and the criteria by which it is judged, under some policies, and with a GPU or without."""

    entry: selftest.Entry
    criteria: tuple
    policies: dict | None = None
    gpu: object = None


def coarse_gpu(call):
    """Answers for a GPU as well: one that computes what the CPU does, to one part in a hundred."""

    def answer(asked):
        if asked.device != "cuda":
            return call(asked)
        reply = call(dataclasses.replace(asked, device="cpu"))
        coarse = {name: 1.01 * tensor for name, tensor in reply.tensors.items()}
        return dataclasses.replace(reply, device="cuda", tensors=coarse)

    return answer


def half_on_the_gpu(call):
    """Answers for a GPU as well: in half precision there."""

    def answer(asked):
        reply = call(dataclasses.replace(asked, device="cpu"))
        return dataclasses.replace(reply, device="cuda", dtype="float16") if asked.device == "cuda" else reply

    return answer


def always_on_the_gpu(call):
    """Answers as a function would that puts all it makes on a GPU."""

    def answer(asked):
        return dataclasses.replace(call(dataclasses.replace(asked, device="cpu")), device="cuda")

    return answer


# --- a judge that can be weakened ------------------------------------------------------------------------------------


class Collector(grading.Collector):
    """Keeps the exceptions that ended the checks."""

    errors = {}  # noqa: RUF012

    def report(self, item, call):
        if call.excinfo:
            self.errors[item.originalname.removeprefix("test_")] = call.excinfo.value
        super().report(item, call)


class Judge:
    """Judges cases in one worker, by the checks as they are or with one file changed.

    Args:
        folder: where copies of the checks go, each in a folder of its own: pytest keeps modules by their path.
    """

    def __init__(self, assignment, release, folder):
        self._assignment, self._release = assignment, release
        self._folders = (folder / str(number) for number in itertools.count())
        self._bench = selftest.Bench(assignment, release, ANSWERS, (0,))
        self._defined = None
        self.close = self._bench.close

    def __call__(self, case, changed=None):
        """{criterion: (whether it is earned, the sentence, the exception or None)}

        Args:
            changed: (file, what stands in it instead).
        """
        if self._defined != case.entry:
            self._bench.define(selftest.submission(self._release, ANSWERS, case.entry))
            self._defined = case.entry
        folder, file = next(self._folders), CHECKS[case.entry.target]
        (folder / file).parent.mkdir(parents=True)
        (folder / file).write_text(only(case.criteria, changed[1] if changed and changed[0] == file else text(file)))
        call = case.gpu(self._bench.call) if case.gpu else self._bench.call
        Collector.errors.clear()
        with replaced(*changed) if changed and changed[0] in MODULES else contextlib.nullcontext():
            fixture = student.Student(call, cuda=case.gpu is not None, policies=case.policies)
            results = grading.judge(in_folder(self._assignment, folder), fixture, case.entry.code, cells=[case.entry.target])
        shutil.rmtree(folder)  # pytest looks at each of its neighbours
        found = {result.id.split(".")[1]: result for result in results}
        assert found.keys() == set(case.criteria)
        return {
            name: (found[name].outcome == Outcome.PASSED, found[name].message, Collector.errors.get(name)) for name in found
        }


def only(criteria, source):
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
            self.lines.append((pathlib.Path(frame.f_code.co_filename).name, frame.f_lineno))
            frame = frame.f_back

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(grading, "Collector", Collector)
        patch.setattr(NotEarned, "__init__", remember)
        with contextlib.closing(Judge(assignment, release, tmp_path_factory.mktemp("mutants"))) as judge:
            yield judge


# --- whole checks ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("criterion", TARGETS)
def test_without_this_check_a_wrong_answer_would_have_full_points(criterion, judged):
    entry = next(e for e in entries().values() if e.target == TARGETS[criterion] and set(e.lost) == {criterion})
    others = tuple(name for name in CRITERIA[entry.target] if name != criterion)
    assert all(earned for earned, *_ in judged(Case(entry, others)).values())
    assert not judged(Case(entry, (criterion,)))[criterion][0]


# --- sites: the statements that refuse a criterion -------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Site:
    """A statement that raises a NotEarned, or returns one that is raised; `name` tells its function and its sentence."""

    name: str
    file: str
    first: int
    last: int

    def __contains__(self, line):
        return line[0] == pathlib.Path(self.file).name and self.first <= line[1] <= self.last

    def disabled(self):
        """(file, its source with nothing done here: it falls through, or returns None)."""
        lines = text(self.file).split("\n")
        start = lines[self.first - 1]
        instead = "return None" if start.split()[0] == "return" else "pass"
        lines[self.first - 1 : self.last] = [
            start[: len(start) - len(start.lstrip())] + instead,
            *[""] * (self.last - self.first),
        ]
        return self.file, "\n".join(lines)


@functools.cache
def makers():
    """The functions that make a NotEarned and decide nothing, those of diagnosis/ among them: what they say is no site."""
    trees = [ast.parse(path.read_text()) for path in [pathlib.Path(pytorch.__file__), *FOLDER.rglob("*.py")]]
    functions = [node for tree in trees for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]
    return {node.name for node in functions if getattr(node.returns, "id", None) == "NotEarned"}


def sites(file):
    """Every site of a file. `raise explain(...)` is one, with all that `explain` may say."""
    found = []

    def walk(node, function):
        if isinstance(node, ast.FunctionDef):
            function = node.name
        value = {ast.Raise: "exc", ast.Return: "value"}.get(type(node))
        value = value and getattr(node, value)
        if called(value) in {"NotEarned", *makers()} and function not in makers():
            name = f"{pathlib.Path(file).stem}.{function}: {words(value)}"
            name += " again" * (name in {site.name for site in found})
            found.append(Site(name, file, node.lineno, node.end_lineno))
        for child in ast.iter_child_nodes(node):
            walk(child, function)

    walk(ast.parse(text(file)), None)
    return found


def called(node):
    """The last part of the name of what is called, or None."""
    function = node.func if isinstance(node, ast.Call) else None
    return function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", None)


def words(call):
    """How the sentence begins, or how it is made."""
    for node in ast.walk(call.args[0]):
        parts = node.values if isinstance(node, ast.JoinedStr) else [node]
        found = [part.value if isinstance(part, ast.Constant) else "…" for part in parts]
        if isinstance(parts[0], ast.Constant) and all(isinstance(part, str) for part in found):
            return " ".join("".join(found).split()[:7])
    return " ".join(ast.unparse(call).split()[:3])


FILES = (*CHECKS.values(), "pytorch.py", "noise.py", "student.py")
SITES = {site.name: site for file in FILES for site in sites(file)}
# Each site, with an answer that is refused there, the criterion it loses, and under which circumstances.
# Without one of these the answer earns the criterion.
NEEDED = {
    "reparameterize.judge_like_mu: wrong_shape(returned, mu.shape)": ("flattened", "tensor"),
    "reparameterize.judge_like_mu: For `mu` in …, z came back": ("numpy-float64", "tensor"),
    "reparameterize.judge_like_mu: not_finite(mu.shape)": ("log-not-exp", "tensor"),
    "reparameterize.centre: NotEarned(diagnosis.NOT_CENTRED)": ("unseeded-generator-everything-times-eps", "centre"),
    "reparameterize.centre: diagnosis.not_centred(found)": ("everything-times-eps", "centre"),
    "reparameterize.scale: Where `mu` is 0 and `logvar` 1,": ("deterministic-mean", "scale"),
    "reparameterize.judge_scale: diagnosis.wrong_scale(agrees, found, ratio)": ("var-as-std", "scale"),
    "reparameterize.test_noise: there is no noise in z.": ("single-dimension-without-noise", "noise"),
    "reparameterize.judge_elsewhere: NotEarned(where + found.sentence,": ("last-of-several-dimensions-without-noise", "noise"),
    "reparameterize.in_evaluation: z has no noise, and it is": (
        "train-only-sampling",
        "noise",
        {"policies": {"mean_in_eval_mode": False}},
    ),
    "reparameterize.in_evaluation: NotEarned(sentence, 'eval_mode_differs')": ("zeros-in-evaluation", "noise"),
    "reparameterize.gradient: NotEarned(at(shape) + found.sentence,": (
        "logvar-detached-from-the-third-dimension-on",
        "gradient_logvar",
    ),
    "reparameterize.gradient_in: The first call of a model lets": ("gradient-at-the-first-call-alone", "gradient_logvar"),
    "reparameterize.gradient_in: No gradient flows from z back to": ("logvar-in-whole-numbers", "gradient_logvar"),
    "reparameterize.gradient_in: NotEarned(pytorch.wrong_gradient(name))": ("unseeded-half-detached", "gradient_logvar"),
    "kl_divergence.elsewhere: NotEarned(at(shape) + found.sentence,": ("two-dimensions-only", "prior"),
    "kl_divergence.test_prior: NotEarned(seen_and_why, cause.misconception, section=cause.section)": ("missing-one", "prior"),
    "kl_divergence.prior: Where every posterior is the prior itself": ("missing-one", "prior"),
    "kl_divergence.prior: Your KL is not positive when one": ("std-for-var", "prior"),
    "kl_divergence.prior: Your KL is not positive away from": ("variance-subtracted", "prior"),
    "kl_divergence.test_value: On a GPU the loss is another": ("canonical", "value", {"gpu": coarse_gpu}),
    "kl_divergence.gradient: `compute_vae_loss` runs `backward` itself, and the training": ("backward-and-keep", "gradient"),
    "kl_divergence.reconstruction_reached: No gradient flows from the reconstruction error": ("recon-detached", "gradient"),
    "kl_divergence.gradient: without_gradient(student, x, inputs,": ("clamp-max", "gradient"),
    "pytorch.inputs_unchanged: `…` changed `…` while it worked, and": ("inplace-logvar", "tensor"),
    "pytorch.generators_left_alone: `…` seeds a random generator, so that": ("seeds-numpy", "noise"),
    "pytorch.equals_finite_difference: NotEarned(wrong_gradient(name), Mistake.GRADIENT_IN_PART)": (
        "half-detached",
        "gradient_logvar",
    ),
    "pytorch.no_fixed_device: `…` names a device itself, and fails": ("cuda-by-number", "tensor"),
    "pytorch.on_the_other_device: On a GPU this fails: a tensor": ("cpu-noise", "tensor"),
    "pytorch.on_the_other_device: On a GPU the result comes back": ("result-on-the-cpu", "tensor"),
    "pytorch.beside_a_gpu: On a machine with a GPU `…`": ("global-device", "tensor"),
    "noise.standard: The noise of a model's first call": ("first-call-off-centre", "noise"),
    "noise.all_calls: of_sums(e, sums, off)": ("noise-bank", "noise"),
    "noise.all_calls: The noise is not normal: values beyond": ("cut-at-three", "noise"),
    "noise.all_calls: NotEarned(*(RESCALED if spread": ("noise-set-to-unit-spread", "noise"),
    "noise.even: Some entries of z get wider noise": ("noise-of-one-entry-wider", "noise"),
    "noise.centred_and_normal_everywhere: NotEarned(*OFF_CENTRE)": ("noise-of-the-last-point-off-centre", "noise"),
    "noise.centred_and_normal_everywhere: The noise of some entries of z": ("noise-of-the-last-point-uniform", "noise"),
    "noise.elsewhere: of_sums(e, sums, off)": ("third-dimension-takes-part-of-the-firsts-noise", "noise"),
    "noise.elsewhere: The noise is not normal: its tails": ("noise-clamped-in-small-batches", "noise"),
    "noise.moments: NotEarned(*next(known, SKEWED if": ("skewed-noise", "noise"),
    "noise.pairs: Some random numbers are used for two": ("one-number-of-two-chunks", "noise"),
    "noise.unit: The noise …: nothing but the standard": ("tiny-eps", "noise"),
    "student.finite: The loss is not a finite number": ("logvar-as-var", "value"),
}
# Without one of these the answer is refused elsewhere, as are all the others that the catalogue has for it: it is there for
# what it says.
DIAGNOSIS = {
    # what is no tensor has not the shape of mu
    "reparameterize.judge_like_mu: NotEarned(*no_tensor(returned))": ("returns-tuple", "tensor"),
    # what never varies has not the moments of a normal
    "reparameterize.test_noise: There is no noise in z at": ("deterministic-mean", "noise"),
    # the gradient to what plays no part is zero
    "reparameterize.gradient_in: z does not depend on `…` at": ("no-scale", "gradient_logvar"),
    # the first call lies apart, which is told where nothing is wrong with the others
    "noise.standard: From the second call of a model": ("uniform-from-the-second-call-on", "noise"),
    # what never varies is the same on every call
    "noise.all_calls: There is no noise in z: in": ("roles-swapped", "noise"),
    "noise.elsewhere: There is no noise in z.": ("no-noise-beyond-two-dimensions", "noise"),
    # sums over calls are too large
    "noise.all_calls: The noise is the same on every": ("fixed-generator", "noise"),
    "noise.elsewhere: The noise is the same on every": ("zeros-in-evaluation", "noise"),
    # sums over columns and rows are too large
    "noise.all_calls: One number is drawn and used for": ("one-scalar-eps", "noise"),
    # they say more than that the sums are off, which they are
    "noise.all_calls: The noise of each call is in": ("sorted-noise", "noise"),
    "noise.all_calls: The noise grows or shrinks from call": ("noise-that-fades-fast", "noise"),
    # the tails are too heavy, or some entries narrower than others
    "noise.all_calls: NotEarned(*MISSING)": ("half-the-batch-without-noise", "noise"),
    "noise.elsewhere: NotEarned(*MISSING)": ("last-of-several-dimensions-without-noise", "noise"),
    # some rows or columns are off centre, too, or sums over calls too large
    "noise.centred: The noise is not centred. ε comes": ("mu-and-logvar-exchanged", "noise"),
    "noise.all_calls: The noise is not centred…. ε comes": ("noise-hardly-off-centre", "noise"),
    # a few numbers have not the moments of a normal, nor its tails
    "noise.moments: NotEarned(*ROUNDED)": ("noise-of-five-whole-numbers", "noise"),
    "noise.all_calls: NotEarned(*ROUNDED)": ("coin-flips", "noise"),
    # in a batch of one the columns are tied
    "noise.all_calls: NotEarned(*ROUNDED) again": ("shuffled-column-again", "noise"),
    # any two entries that depend on each other are refused
    "noise.pairs: NotEarned(*SHARED_OVER_DIMENSIONS)": ("one-number-for-both-dimensions-of-a-point", "noise"),
    "noise.pairs: NotEarned(*SHARED_OVER_BATCH)": ("noise-in-chunks-that-overlap", "noise"),
    # a KL of 0 is not positive, and has no gradient
    "kl_divergence.prior: NotEarned(*diagnosis.NO_KL)": ("kl-of-data", "prior"),
    # an estimate is near no closed form, nor is what changes with each call
    "kl_divergence.test_value: Two calls with the same arguments give": ("monte-carlo", "value"),
    "kl_divergence.test_value: Your loss changes with every call although": ("annealing-by-counting-calls", "value"),
    # NaN is near no number
    "student.value: not_finite(shape)": ("log-not-exp", "centre"),
    # the numbers that are asked for are not there
    "student.value: NotEarned(*no_tensor(reply))": ("no-return", "scale"),
    "student.follows_seed: NotEarned(*no_tensor(reply))": ("no-return", "centre"),
}
# Without one of these a check would break by itself, and nobody would be marked.
PROTECTION = {
    # numbers in two shapes cannot be compared
    "student.value: wrong_shape(reply, shape[-2:])": ("summed-over-dimensions", "centre"),
    "student.loss: no_number(reply, len(x))": ("no-reduction", "value"),
    # there are no losses to go on with
    "kl_divergence.ask: With `beta` = 0 the loss is": ("divided-by-beta", "value"),
    # there is no z to go on with
    "reparameterize.in_evaluation: NotEarned(EVALUATION + found.sentence,": ("nothing-in-evaluation", "noise"),
}


def where(error):
    """The sites at which a NotEarned came to be, its own first, and then those that it was made of."""
    found = []
    while error is not None:
        found += [next((site for line in getattr(error, "lines", ()) for site in SITES if line in SITES[site]), None)]
        error = error.__context__
    return found


def refused(judged, site, name, criterion, how=None):
    """The Case, and the sentence with which it is refused at that site."""
    case = Case(entries()[TARGETS[criterion], name], (criterion,), **(how or {}))
    earned, sentence, error = judged(case)[criterion]
    assert not earned
    assert site in where(error)
    return case, sentence


def test_every_statement_that_refuses_a_criterion_has_an_answer_here():
    assert len(SITES) == sum(len(sites(file)) for file in FILES) > 40, "two have the same name"
    assert SITES.keys() == {**NEEDED, **DIAGNOSIS, **PROTECTION}.keys()


@pytest.mark.parametrize("site", NEEDED)
def test_without_this_statement_a_wrong_answer_gets_through(site, judged):
    case, _ = refused(judged, site, *NEEDED[site])
    earned, sentence, _ = judged(case, SITES[site].disabled())[case.criteria[0]]
    assert earned, sentence


@pytest.mark.parametrize("site", DIAGNOSIS)
def test_without_this_statement_the_answer_is_refused_with_another_sentence(site, judged):
    case, sentence = refused(judged, site, *DIAGNOSIS[site])
    earned, other, _ = judged(case, SITES[site].disabled())[case.criteria[0]]
    assert not earned, "gets through: this is more than a diagnosis"
    assert other != sentence


@pytest.mark.parametrize("site", PROTECTION)
def test_without_this_statement_a_check_breaks(site, judged):
    case, _ = refused(judged, site, *PROTECTION[site])
    with pytest.raises(ChecksError, match="broke by itself"):
        judged(case, SITES[site].disabled())


# --- weakened parts --------------------------------------------------------------------------------------------------

R, K = CHECKS.values()
J, N, S, P = MODULES
MONTE_CARLO = {"policies": {"monte_carlo_kl": True}}
# The same with fewer estimates, for speed.
FEWER = (K, "ESTIMATES, ERRORS = 1024, 6.8", "ESTIMATES, ERRORS = 64, 6.8")


# what is weakened → (file, what stands there, what stands there instead, an answer that notices, and by which criterion)
WEAKER = {
    # reparameterize: a proper tensor
    "batches of 128 by 2 only": (
        R,
        "for shape in (probes.MAIN, *OTHERS):\n        try:\n            found",
        "for shape in (probes.MAIN,):\n        try:\n            found",
        "hard-coded-shape",
        "tensor",
    ),
    "no batch of one": (S, "[(1, 2), (37", "[(2, 2), (37", "batch-of-one-loses-its-row", "tensor"),
    "no batch larger than 16": (S, "(37, 2), (16", "(7, 2), (16", "whole-chunks-of-32", "tensor"),
    "two latent dimensions only": (S, "(16, 3), (9, 5), (11, 1)", "(16, 2), (9, 2), (11, 2)", "hard-coded-width", "tensor"),
    "three latent dimensions at most": (S, "(9, 5)", "(9, 3)", "noise-for-at-most-three-dimensions", "tensor"),
    "two latent dimensions at least": (S, "(11, 1)]", "(11, 2)]", "squeezed-width-of-one", "tensor"),
    "what raises at another width is right": (
        R,
        "                error.where = at(shape)\n            raise\n        judge_like",
        "                continue\n            raise\n        judge_like",
        "noise-for-at-most-three-dimensions",
        "tensor",
    ),
    "no float64": (R, "judge_like_mu(student.reparameterize(mu, logvar, seed=3), mu)", "pass", "casts-to-float32", "tensor"),
    "no GPU, no pretend one": (R, 'pytorch.on_the_other_device(student, ask, like="mu")', "None", "cpu-noise", "tensor"),
    "any dtype on a GPU": (
        R,
        "    if returned is not None:\n        judge_like_mu(returned, mu)\n",
        "",
        "canonical",
        "tensor",
        {"gpu": half_on_the_gpu},
    ),
    "not beside a GPU": (
        R,
        'pytorch.beside_a_gpu(student, ask, "reparameterize", like="mu")',
        "pass",
        "global-device",
        "tensor",
    ),
    "inputs may change": (R, 'pytorch.inputs_unchanged(returned, "reparameterize")', "pass", "inplace-mu", "tensor"),
    "any device": (R, 'pytorch.no_fixed_device(returned, "reparameterize", like="mu")', "pass", "cuda-by-number", "tensor"),
    "logvar positive only": (
        P,
        "LOGVAR, MU, SPREAD_FROM = (-8.0, 4.0), 5.0, -7.0",
        "LOGVAR, MU, SPREAD_FROM = (0.1, 4.0), 5.0, 0.1",
        "sqrt-of-logvar",
        "tensor",
    ),
    "a device by name": (J, "reply.fixed_device or reply.device == CUDA", "False", "cuda-by-number", "tensor"),
    "a device by name that works": (
        J,
        "reply.fixed_device or reply.device == CUDA",
        "reply.fixed_device",
        "canonical",
        "value",
        {"gpu": always_on_the_gpu},
    ),
    "what fails on pretend tensors is wrong": (
        J,
        "        if pretended:\n            return None\n        raise\n    except SubmissionError",
        "        raise\n    except SubmissionError",
        "looks-at-the-numbers",
        "tensor",
    ),
    "what fails on pretend tensors for its device is wrong": (
        J,
        '(error.kind == "FakeTensorDeviceMismatchError" or not pretended)',
        "True",
        "fixed-generator",
        "tensor",
    ),
    "beside a GPU any exception counts": (
        J,
        'on_the_gpu = error.kind == "FakeTensorDeviceMismatchError"',
        "on_the_gpu = True",
        "looks-at-the-numbers",
        "tensor",
    ),
    "beside a GPU no exception counts": (
        J,
        'on_the_gpu = error.kind == "FakeTensorDeviceMismatchError"',
        "on_the_gpu = False",
        "global-device",
        "tensor",
    ),
    "beside a GPU results may be on it": (
        J,
        "on_the_gpu = ask(PRETEND_BESIDE).device == CUDA",
        "on_the_gpu = ask(PRETEND_BESIDE) is None",
        "result-to-the-global-device",
        "tensor",
    ),
    # calls with the same noise, for centre and scale
    "one instance for each call": (S, "same_instance=second_call)", "same_instance=False)", "std-of-the-first-call", "scale"),
    "no second call": (S, "if again.reply.is_tensor and torch", "if False and torch", "std-of-the-first-call", "scale"),
    "a second call has the first one's noise": (
        S,
        "if again.reply.is_tensor and torch.equal(*values(again.reply).nan_to_num()[2:]):",
        "if again.reply.is_tensor:",
        "generator-on-the-instance",
        "centre",
    ),
    "no other width": (
        S,
        "for shape in OTHERS:\n            try:\n                yield",
        "for shape in ():\n            try:\n                yield",
        "variance-from-the-third-dimension-on",
        "scale",
    ),
    "another width may not raise": (
        S,
        "            except (SubmissionError, NotEarned):\n                continue",
        "            except TypeError:\n                continue",
        "hard-coded-width",
        "scale",
    ),
    "always by seeds": (
        S,
        "return torch.equal(*values(reply).nan_to_num()[2:])",
        "return True",
        "unseeded-numpy-generator",
        "scale",
    ),
    "always by averages": (
        S,
        "return torch.equal(*values(reply).nan_to_num()[2:])",
        "return False",
        "mu-of-two-dimensions-only",
        "centre",
    ),
    "in evaluation mode": (
        S,
        "latent_dim=mu.shape[-1], **how)",
        'latent_dim=mu.shape[-1], **{"training": False, **how})',
        "train-only-sampling",
        "scale",
    ),
    "a transposed z is no z": (
        S,
        "            value = value.transpose(-1, -2)",
        "            pass",
        "stacked-the-wrong-way",
        "centre",
    ),
    "a flattened z is no z": (
        S,
        "if value.numel() != torch.Size(shape).numel():",
        "if value.shape != shape:",
        "flattened",
        "centre",
    ),
    # centred on mu
    "centre: tolerance": (
        R,
        "atol=2e-4):\n            raise diagnosis",
        "atol=2.0):\n            raise diagnosis",
        "mean-shrunk",
        "centre",
    ),
    "centre: relative tolerance": (J, "CPU: 1e-4", "CPU: 0.5", "mean-shrunk", "centre"),
    "centre: mu is small": (
        P,
        "LOGVAR, MU, SPREAD_FROM = (-8.0, 4.0), 5.0, -7.0",
        "LOGVAR, MU, SPREAD_FROM = (-8.0, 4.0), 0.9, -7.0",
        "mu-clamped",
        "centre",
    ),
    "centre: mu is not 0 where it should be": (
        S,
        "(zero, logvar), (mu, logvar)]",
        "(mu, logvar), (mu, logvar)]",
        "canonical",
        "centre",
    ),
    "centre: always by seeds": (
        R,
        "if not student.follows_seed:\n        mu, logvar",
        "if False:\n        mu, logvar",
        "unseeded-numpy-generator",
        "centre",
    ),
    "centre: always by averages": (
        R,
        "if not student.follows_seed:\n        mu, logvar",
        "if True:\n        mu, logvar",
        "mu-of-two-dimensions-only",
        "centre",
    ),
    "centre: the usual calls only": (
        R,
        "for found in student.everywhere():\n        moved",
        "for found in [next(student.everywhere())]:\n        moved",
        "mu-of-two-dimensions-only",
        "centre",
    ),
    "centre: averages accept anything": (N, "8 * error + 2e-4", "1e9", "unseeded-generator-everything-times-eps", "centre"),
    "centre: averages without room": (N, "8 * error + 2e-4", "1e-9", "unseeded-numpy-generator", "centre"),
    # scaled by the standard deviation
    "scale: nothing above 2": (
        P,
        "LOGVAR, MU, SPREAD_FROM = (-8.0, 4.0), 5.0, -7.0",
        "LOGVAR, MU, SPREAD_FROM = (-8.0, 2.0), 5.0, -7.0",
        "logvar-at-most-2-in-z",
        "scale",
    ),
    "scale: nothing below -4": (
        P,
        "LOGVAR, MU, SPREAD_FROM = (-8.0, 4.0), 5.0, -7.0",
        "LOGVAR, MU, SPREAD_FROM = (-8.0, 4.0), 5.0, -4.0",
        "std-never-below-a-tenth",
        "scale",
    ),
    "scale: below -7": (
        P,
        "LOGVAR, MU, SPREAD_FROM = (-8.0, 4.0), 5.0, -7.0",
        "LOGVAR, MU, SPREAD_FROM = (-8.0, 4.0), 5.0, -8.0",
        "logvar-from-minus-7-to-20",
        "scale",
    ),
    "scale: relative tolerance": (
        N,
        "SPREAD_RTOL, SPREAD_ATOL = 1e-3, 2e-4",
        "SPREAD_RTOL, SPREAD_ATOL = 0.5, 2e-4",
        "std-plus-a-hundredth",
        "scale",
    ),
    "scale: no relative tolerance": (
        N,
        "SPREAD_RTOL, SPREAD_ATOL = 1e-3, 2e-4",
        "SPREAD_RTOL, SPREAD_ATOL = 0.0, 2e-4",
        "exponential-as-a-limit",
        "scale",
    ),
    "scale: absolute tolerance": (
        N,
        "SPREAD_RTOL, SPREAD_ATOL = 1e-3, 2e-4",
        "SPREAD_RTOL, SPREAD_ATOL = 1e-3, 0.1",
        "std-plus-a-hundredth",
        "scale",
    ),
    "scale: no absolute tolerance": (
        N,
        "SPREAD_RTOL, SPREAD_ATOL = 1e-3, 2e-4",
        "SPREAD_RTOL, SPREAD_ATOL = 1e-3, 0.0",
        "std-plus-1e-4",
        "scale",
    ),
    "scale: tolerance by the size of all": (
        N,
        "+ 1e-5 * rms * (factor",
        "+ 10 * rms * (factor",
        "logvar-at-most-2-in-z",
        "scale",
    ),
    "scale: one value is no noise": (
        S,
        "return close(at_one, self.z(torch.zeros(probes.MAIN), torch.ones(probes.MAIN), seed=7))",
        "return True",
        "one-scalar-eps",
        "scale",
    ),
    "scale: the same twice is no noise": (
        S,
        "        if not constant(at_one):\n            return False\n",
        "",
        "fixed-generator",
        "scale",
    ),
    "scale: always by seeds": (
        R,
        "if not student.follows_seed:\n        numbers",
        "if False:\n        numbers",
        "unseeded-numpy-generator",
        "scale",
    ),
    "scale: always by averages": (
        R,
        "if not student.follows_seed:\n        numbers",
        "if True:\n        numbers",
        "small-number-under-the-root",
        "scale",
    ),
    "scale: the usual calls only": (
        R,
        "for found in student.everywhere():\n        seen",
        "for found in [next(student.everywhere())]:\n        seen",
        "variance-from-the-third-dimension-on",
        "scale",
    ),
    "scale: with what is no noise": (
        R,
        "(alone := noise_alone(student, found)) is not None",
        "(alone := None) is not None",
        "logvar-added",
        "scale",
    ),
    "scale: less noise that never changes": (
        R,
        "    if torch.equal(other.at_one, found.at_one):\n        return None\n",
        "",
        "fixed-generator-and-variance",
        "scale",
    ),
    "scale: few draws": (R, "DRAWS = 1024", "DRAWS = 32", "unseeded-base-of-2.67", "scale"),
    "scale: averages accept anything": (
        N,
        "    if not bool(torch.isfinite(residual).all()):\n        return False\n",
        "    return True\n",
        "unseeded-generator-wrong-scale",
        "scale",
    ),
    "scale: averages of no single entry": (
        N,
        "        bool((residual.abs() < 7.5 * sd).all())\n        and abs",
        "        abs",
        "unseeded-two-entries-exchanged",
        "scale",
    ),
    # standard normal noise
    "noise: no statistics": (
        R,
        "noise.standard(drawn / rms, student.record.see, repeatable=student.follows_seed, alike=meets_scale(student))",
        "pass",
        "noise-hardly-off-centre",
        "noise",
    ),
    "noise: any spread": (
        R,
        "if meets_scale(student):\n        noise.unit",
        "if False:\n        noise.unit",
        "noise-shrunk-in-large-batches",
        "noise",
    ),
    "noise: spread where the scale is wrong": (
        R,
        "if meets_scale(student):\n        noise.unit",
        "if True:\n        noise.unit",
        "var-as-std",
        "noise",
    ),
    "noise: spread at logvar = 1": (
        R,
        "noise.unit(rms / math.exp(0.5), drawn.numel(), repeatable=student",
        "noise.unit(rms, drawn.numel(), repeatable=student",
        "canonical",
        "noise",
    ),
    "noise: uneven where the scale is right": (
        R,
        "alike=meets_scale(student))",
        "alike=False)",
        "noise-of-one-entry-wider",
        "noise",
    ),
    "noise: uneven where the scale is wrong": (
        R,
        "alike=meets_scale(student))",
        "alike=True)",
        "root-from-the-second-point-on",
        "noise",
    ),
    "noise: few calls": (R, "CALLS = 256", "CALLS = 64", "noise-hardly-off-centre", "noise"),
    "noise: generators may be seeded": (
        R,
        'pytorch.generators_left_alone(replies[0], replies[1], "reparameterize")',
        "pass",
        "seeds-numpy",
        "noise",
    ),
    "noise: torch's generator may be seeded": (
        J,
        "same or not (first.seed_kept",
        "same and (first.seed_kept",
        "reseeds-by-time",
        "noise",
    ),
    "noise: other generators may be seeded": (J, "if same or not (first.", "if not (first.", "seeds-numpy", "noise"),
    "noise: all generators must be seeded": (J, ".all(dim=1).any()", ".all()", "seeds-numpy", "noise"),
    "noise: an instance for each part of the calls": (
        S,
        "same_instance=start > 0",
        "same_instance=False",
        "noise-bank",
        "noise",
    ),
    "noise: the same seed for each part of the calls": (S, "seed + start, repeat", "seed, repeat", "canonical", "noise"),
    "ALPHA = 0": (N, "ALPHA = 1e-11", "ALPHA = 0", "tiny-eps", "noise"),
    "ALPHA = 0.5": (N, "ALPHA = 1e-11", "ALPHA = 0.5", "canonical", "noise"),
    "SIGMAS = 1000": (N, "SIGMAS = 7.5", "SIGMAS = 1000", "skewed-noise", "noise"),
    "SIGMAS = 0.1": (N, "SIGMAS = 7.5", "SIGMAS = 0.1", "canonical", "noise"),
    "CORRELATION = 2": (N, "{256: 0.5, ", "{256: 2, ", "one-number-of-two-chunks", "noise"),
    "CORRELATION = 0.1": (N, "{256: 0.5, ", "{256: 0.1, ", "canonical", "noise"),
    "CORRELATION = 2 for few calls": (N, "64: 0.85}", "64: 2}", "third-dimension-with-the-firsts-magnitude", "noise"),
    "CORRELATION = 0.1 for few calls": (N, "64: 0.85}", "64: 0.1}", "canonical", "noise"),
    "noise: no third moment": (N, " and abs(float((s**3).mean())) <= SIGMAS * math.sqrt(6 / n)", "", "skewed-noise", "noise"),
    "noise: no fourth moment": (N, "abs(fourth - 3) <= SIGMAS * math.sqrt(24 / n) and ", "", "slightly-heavy-tails", "noise"),
    "noise: no sums over columns": (
        N,
        "if chi_squared(value, k) < ALPHA}\n    if off and (bool",
        'if name != "columns" and chi_squared(value, k) < ALPHA}\n    if off and (bool',
        "common-part-in-a-row",
        "noise",
    ),
    "noise: no sums over rows": (
        N,
        "if chi_squared(value, k) < ALPHA}\n    if off and (bool",
        'if name != "rows" and chi_squared(value, k) < ALPHA}\n    if off and (bool',
        "faintly-common-part-in-the-batch",
        "noise",
    ),
    "noise: no sums over calls": (
        N,
        "if chi_squared(value, k) < ALPHA}\n    if off and (bool",
        'if name != "calls" and chi_squared(value, k) < ALPHA}\n    if off and (bool',
        "noise-bank",
        "noise",
    ),
    "noise: nothing beyond 2": (N, "BEYOND = {2: 0.0455003, ", "BEYOND = {", "noise-clamped-in-small-batches", "noise"),
    "noise: nothing beyond 3.5": (N, ", 3.5: 0.00046526}", "}", "inverse-cdf-cut", "noise"),
    "noise: spread too steady": (
        N,
        "and (alike or spread < calls):",
        "and spread > calls:",
        "noise-set-to-unit-spread",
        "noise",
    ),
    "noise: spread too unsteady": (
        N,
        "and (alike or spread < calls):",
        "and spread < calls:",
        "random-temperature",
        "noise",
    ),
    "noise: magnitudes may be shared": (
        N,
        "for x in (values, magnitudes):",
        "for x in (values,):",
        "third-dimension-with-the-firsts-magnitude",
        "noise",
    ),
    "noise: single entries may be uneven": (
        N,
        "    yield calls, e.permute(1, 2, 0).reshape(-1, calls)\n",
        "",
        "noise-of-one-entry-hardly-wider",
        "noise",
    ),
    "noise: rows may be uneven": (
        N,
        "    yield calls * columns, e.permute(1, 0, 2).reshape(rows, -1)\n",
        "",
        "noise-of-the-last-point-uniform",
        "noise",
    ),
    "noise: columns may be uneven": (
        N,
        "    yield calls * rows, e.permute(2, 0, 1).reshape(columns, -1)\n",
        "",
        "third-dimension-wider",
        "noise",
    ),
    "noise: narrow places": (
        N,
        "for edge in (sizes.min(), sizes.max()))",
        "for edge in (sizes.max(),))",
        "noise-of-the-first-point-narrower",
        "noise",
    ),
    "noise: wide places": (
        N,
        "for edge in (sizes.min(), sizes.max()))",
        "for edge in (sizes.min(),))",
        "noise-of-one-entry-wider",
        "noise",
    ),
    "noise: tails of many numbers only": (N, "k >= 500 and", "k >= 5000 and", "noise-of-the-last-point-uniform", "noise"),
    "noise: tails of few numbers": (N, "k >= 500 and", "k >= 1 and", "box-muller", "noise"),
    "noise: tails may end at 1.5": (
        N,
        "(each.abs().amax(dim=1) < 1.8)",
        "(each.abs().amax(dim=1) < 1.5)",
        "noise-of-the-last-point-uniform",
        "noise",
    ),
    # noise at other widths and batch sizes
    "noise elsewhere: no statistics": (
        R,
        "judge_elsewhere(drawn, at(shape), meets_scale(student))",
        "pass",
        "third-dimension-takes-part-of-the-firsts-noise",
        "noise",
    ),
    "noise elsewhere: uneven where the scale is right": (
        R,
        "judge_elsewhere(drawn, at(shape), meets_scale(student))",
        "judge_elsewhere(drawn, at(shape), False)",
        "third-dimension-wider",
        "noise",
    ),
    "noise elsewhere: uneven where the scale is wrong": (
        R,
        "judge_elsewhere(drawn, at(shape), meets_scale(student))",
        "judge_elsewhere(drawn, at(shape), True)",
        "root-from-the-second-point-on",
        "noise",
    ),
    "noise elsewhere: none in a single dimension": (
        R,
        "if not bool(at_one.any()):",
        "if False:",
        "single-dimension-without-noise",
        "noise",
    ),
    "noise elsewhere: no width of three": (
        R,
        "[(16, 3), (9, 5), (1, 8)]",
        "[(9, 5), (1, 8)]",
        "third-dimension-takes-part-of-the-firsts-noise",
        "noise",
    ),
    "noise elsewhere: no width of five": (
        R,
        "[(16, 3), (9, 5), (1, 8)]",
        "[(16, 3), (1, 8)]",
        "fourth-dimension-copies-the-first",
        "noise",
    ),
    "noise elsewhere: no batch of one": (
        R,
        "[(16, 3), (9, 5), (1, 8)]",
        "[(16, 3), (9, 5)]",
        "single-point-with-uniform-noise",
        "noise",
    ),
    "noise elsewhere: it may not raise": (
        R,
        "        except (SubmissionError, NotEarned):\n            continue\n        judge_else",
        "        except TypeError:\n            continue\n        judge_else",
        "hard-coded-width",
        "noise",
    ),
    "noise elsewhere: no sums over columns": (
        N,
        "if chi_squared(value, k) < ALPHA}\n    if off:\n        raise",
        'if name != "columns" and chi_squared(value, k) < ALPHA}\n    if off:\n        raise',
        "third-dimension-takes-part-of-the-firsts-noise",
        "noise",
    ),
    "noise elsewhere: no sums over rows": (
        N,
        "if chi_squared(value, k) < ALPHA}\n    if off:\n        raise",
        'if name != "rows" and chi_squared(value, k) < ALPHA}\n    if off:\n        raise',
        "third-dimension-with-a-part-common-to-the-batch",
        "noise",
    ),
    # noise in evaluation mode
    "evaluation: mu whatever the policy": (
        R,
        'if not student.policies["mean_in_eval_mode"]:',
        "if False:",
        "train-only-sampling",
        "noise",
        {"policies": {"mean_in_eval_mode": False}},
    ),
    "evaluation: never mu": (R, 'if not student.policies["mean_in_eval_mode"]:', "if True:", "train-only-sampling", "noise"),
    "evaluation: not asked": (R, "SEED, training=False)", "SEED)", "zeros-in-evaluation", "noise"),
    "evaluation: not drawn": (R, "n=FEWER_CALLS, training=False)", "n=FEWER_CALLS)", "zeros-in-evaluation", "noise"),
    "evaluation: it may raise": (
        R,
        "        error.where = EVALUATION\n        raise\n",
        "        return\n",
        "asserts-training",
        "noise",
    ),
    "evaluation: anything is mu": (
        R,
        "pytorch.close(z, mu, atol=1e-6)",
        "pytorch.close(z, mu, atol=1e6)",
        "zeros-in-evaluation",
        "noise",
    ),
    "evaluation: statistics where z is as in training": (
        R,
        "    if torch.equal(z, trained.z):\n        return\n",
        "",
        "mu-twice",
        "noise",
    ),
    "evaluation: around 0": (
        R,
        "around = mu if student.follows_seed else ZERO",
        "around = ZERO",
        "mu-forgotten-in-evaluation",
        "noise",
    ),
    "evaluation: around mu": (
        R,
        "around = mu if student.follows_seed else ZERO",
        "around = mu",
        "unseeded-mu-doubled",
        "noise",
    ),
    "evaluation: no statistics": (
        R,
        "judge_elsewhere(drawn, EVALUATION, meets_scale(student))",
        "pass",
        "uniform-noise-in-evaluation",
        "noise",
    ),
    "evaluation: any spread": (
        R,
        "        if scaled:\n            noise.unit(",
        "        if False:\n            noise.unit(",
        "half-the-noise-in-evaluation",
        "noise",
    ),
    "evaluation: spread where the scale is wrong": (
        R,
        "        if scaled:\n            noise.unit(",
        "        if True:\n            noise.unit(",
        "variance-and-other-noise-in-evaluation",
        "noise",
    ),
    # gradients of z
    "gradient: zeros are enough": (R, " and bool((gradient != 0).any())", "", "logvar-in-whole-numbers", "gradient_logvar"),
    "gradient: the usual width only": (
        R,
        "for shape in (probes.MAIN, *ELSEWHERE):",
        "for shape in (probes.MAIN,):",
        "logvar-detached-from-the-third-dimension-on",
        "gradient_logvar",
    ),
    "gradient: no batch of one": (
        R,
        "[(16, 3), (9, 5), (1, 8)]",
        "[(16, 3), (9, 5)]",
        "single-point-detached",
        "gradient_logvar",
    ),
    "gradient: another width may not raise": (
        R,
        "        except SubmissionError:\n            if shape == probes.MAIN:\n                raise\n",
        "        except TypeError:\n            pass\n",
        "hard-coded-width",
        "gradient_mu",
    ),
    "gradient: the usual width may raise": (
        R,
        "        except SubmissionError:\n            if shape == probes.MAIN:\n                raise\n",
        "        except SubmissionError:\n            pass\n",
        "missing-attribute",
        "gradient_mu",
    ),
    "gradient: the shape at another width": (
        R,
        "if found.misconception in (Mistake.NO_GRADIENT, Mistake.GRADIENT_IN_PART):",
        "if True:",
        "two-dimensions-returned",
        "gradient_mu",
    ),
    "gradient: no second call": (
        R,
        '        if not reaches(again.tensors.get(f"gradient.{name}")):',
        "        if False:",
        "gradient-at-the-first-call-alone",
        "gradient_logvar",
    ),
    "gradient: a second call of another instance": (
        S,
        '"same_instance": second_call}',
        '"same_instance": False}',
        "gradient-at-the-first-call-alone",
        "gradient_logvar",
    ),
    "gradient: of the sum": (
        S,
        "weights = signs(seed=9, shape=shape, dtype=dtype)",
        "weights = torch.ones(shape, dtype=dtype)",
        "gradient-of-the-mean-of-mu",
        "gradient_mu",
    ),
    "gradient: tolerance": (J, '"float64": (1e-5, 1e-3)', '"float64": (1e-5, 10)', "half-detached", "gradient_logvar"),
    "gradient: tolerance in float32": (
        J,
        '"float32": (1e-2, 1e-2)',
        '"float32": (1e-2, 10)',
        "half-detached",
        "gradient_logvar",
    ),
    "gradient: in each dimension": (
        R,
        "if shape in ELSEWHERE[1:] and reaches_all(found):",
        "if shape in ELSEWHERE[1:]:",
        "logvar-detached-from-the-fourth-dimension-on",
        "gradient_logvar",
    ),
    "gradient: along directions of ±1": (
        J,
        "uneven(seed, at.shape, dtype=at.dtype)",
        "signs(seed, at.shape, dtype=at.dtype)",
        "gradient-of-one-point-doubled",
        "gradient_mu",
    ),
    "gradient: float64's step for float32": (
        J,
        'DIFFERENCE["float64" if dtype == "float64" else "float32"]',
        'DIFFERENCE["float64"]',
        "casts-to-float32",
        "gradient_logvar",
        {"first": (J, "+ float(rounding) + 1e-9", "+ 1e-9")},  # the room for rounding would hide the step
    ),
    "gradient: always by seeds": (
        R,
        "    if student.follows_seed:\n        pytorch.equals",
        "    if True:\n        pytorch.equals",
        "unseeded-numpy-generator",
        "gradient_mu",
    ),
    "gradient: never by seeds": (
        R,
        "    if student.follows_seed:\n        pytorch.equals",
        "    if False:\n        pytorch.equals",
        "sampled-twice",
        "gradient_mu",
    ),
    "gradient: tolerance where calls cannot be seeded": (
        R,
        "slack = 1e-6 + (",
        "slack = 1e3 + (",
        "unseeded-half-detached",
        "gradient_logvar",
    ),
    "gradient: of another centre where calls cannot be seeded": (
        R,
        "(meets_centre(student) and meets_scale(student))",
        "meets_scale(student)",
        "unseeded-mu-doubled",
        "gradient_mu",
    ),
    "gradient: of another scale where calls cannot be seeded": (
        R,
        "(meets_centre(student) and meets_scale(student))",
        "meets_centre(student)",
        "unseeded-generator-wrong-scale",
        "gradient_logvar",
    ),
    # the KL: zero at the prior alone
    "prior: far from 0 is 0": (
        K,
        "> ATOL * size / truly + error",
        "> 1e9 * ATOL * size / truly + error",
        "missing-one",
        "prior",
    ),
    "prior: 0.01 is 0": (K, "> ATOL * size / truly + error", "> 100 * ATOL * size / truly + error", "free-bits-small", "prior"),
    "prior: only 0 is 0": (
        K,
        "> ATOL * size / truly + error",
        "> 0 * ATOL * size / truly + error",
        "log-with-wider-guard",
        "prior",
    ),
    "prior: 0 whatever the size elsewhere": (
        K,
        "> ATOL * size / truly + error",
        "> ATOL + error",
        "one-missing-with-a-tiny-weight",
        "prior",
    ),
    "prior: positive whatever the size elsewhere": (
        K,
        "tiny = (1e-12 if dtype == torch.float64 else 1e-6) * size",
        "tiny = 1e-6",
        "weight-of-0.001",
        "prior",
    ),
    "prior: far away": (K, "STEP = 0.3 ", "STEP = 3.0 ", "std-for-var", "prior"),
    "prior: upwards only": (K, "for by in (step, -step)", "for by in (step,)", "negative-mu-cut-off", "prior"),
    "prior: downwards only": (K, "for by in (step, -step)", "for by in (-step,)", "std-for-var", "prior"),
    "prior: mu only": (K, ', ("logvar", by, (row, column), (zero, moved))]', "]", "std-for-var", "prior"),
    "prior: logvar only": (K, '[("mu", by, (row, column), (moved, zero)), (', "[(", "first-mu-left-out", "prior"),
    "prior: the first point only": (K, "for row in (0, batch - 1)", "for row in (0,)", "first-row", "prior"),
    "prior: the last point only": (K, "for row in (0, batch - 1)", "for row in (batch - 1,)", "last-point-only", "prior"),
    "prior: the first dimension only": (
        K,
        "for column in (0, latent - 1)",
        "for column in (0,)",
        "first-dimension-only",
        "prior",
    ),
    "prior: the last dimension only": (
        K,
        "for column in (0, latent - 1)",
        "for column in (latent - 1,)",
        "first-dimension-left-out",
        "prior",
    ),
    "prior: not negative is enough": (
        K,
        "        if not value > tiny:\n            raise",
        "        if not value > -tiny - 1e-6:\n            raise",
        "first-mu-left-out",
        "prior",
    ),
    "prior: no places away from it": (
        K,
        "    if not all(value - base > tiny for value in found[: len(away)]):",
        "    if False:",
        "variance-subtracted",
        "prior",
    ),
    "prior: mu not balanced": (
        K,
        "[(step * balanced, zero), (zero, step * balanced)]",
        "[(zero, step * balanced)]",
        "mu-averaged-first",
        "prior",
    ),
    "prior: logvar not balanced": (
        K,
        "[(step * balanced, zero), (zero, step * balanced)]",
        "[(step * balanced, zero)]",
        "logvar-averaged-first",
        "prior",
    ),
    "prior: with what is there without beta": (
        K,
        "    base = measure(student, x, x, zero, zero, 0.0)[0] if abs(at_prior) > error else 0.0",
        "    base = 0.0",
        "recon-binary",
        "prior",
    ),
    "prior: without a KL that is there without beta": (
        K,
        "    if base and measure_each(student, x, away[:1], 0.0)[0] == found[0]:",
        "    if False:",
        "beta-ignored-and-one-missing",
        "prior",
    ),
    "prior: not at the usual width": (
        K,
        "    pytorch.in_either_precision(lambda dtype: prior(student, probes.MAIN, dtype))\n",
        "",
        "first-64-points",
        "prior",
    ),
    "prior: at the usual width only": (
        K,
        "        elsewhere(student, prior, OTHERS[1], OTHERS[4])\n",
        "",
        "three-dimensions-only",
        "prior",
    ),
    "prior: no batch of one": (
        K,
        "prior, OTHERS[1], OTHERS[4])",
        "prior, OTHERS[1])",
        "nothing-for-a-single-point",
        "prior",
    ),
    "prior: a batch of one alone": (
        K,
        "prior, OTHERS[1], OTHERS[4])",
        "prior, OTHERS[4])",
        "mean-of-the-batch-from-the-third-dimension-on",
        "prior",
    ),
    "prior: another width may not raise": (
        K,
        "        except SubmissionError:\n            continue\n        except NotEarned as found:\n            if",
        "        except TypeError:\n            continue\n        except NotEarned as found:\n            if",
        "prior-of-a-fixed-shape",
        "prior",
    ),
    "prior: the shape at another width": (
        K,
        "            if found.misconception in BESIDE_THE_POINT:",
        "            if False:",
        "averaged-for-full-batches-only",
        "prior",
    ),
    "prior: float64 only": (J, "        judge(torch.float32)", "        raise", "matmul-ones", "prior"),
    # the KL: the whole loss
    "value: latent width 2": (
        K,
        "[(5, 3), (48, 3), (7, 4), (9, 1), (1, 4)]  # (batch",
        "[(5, 2), (48, 2), (7, 2), (9, 2), (1, 2)]  # (batch",
        "missing-half",
        "value",
    ),
    "value: latent width 2, as wide as the data": (
        K,
        "[(5, 3), (48, 3), (7, 4), (9, 1), (1, 4)]  # (batch",
        "[(5, 2), (48, 2), (7, 2), (9, 2), (1, 2)]  # (batch",
        "x-numel-coincidence",
        "value",
    ),
    "value: not at the usual width": (
        K,
        "cases = ask(student, 50, probes.MAIN)",
        "cases: list[Seen] = []",
        "first-64-points",
        "value",
    ),
    "value: no batch of 48": (
        K,
        "in enumerate(OTHERS, start=51)",
        "in enumerate((OTHERS[0], *OTHERS[2:]), start=51)",
        "whole-chunks-of-32",
        "value",
    ),
    "value: three latent dimensions at most": (
        K,
        "in enumerate(OTHERS, start=51)",
        "in enumerate((*OTHERS[:2], OTHERS[3]), start=51)",
        "three-dimensions-only",
        "value",
    ),
    "value: two latent dimensions at least": (
        K,
        "in enumerate(OTHERS, start=51)",
        "in enumerate((*OTHERS[:3], OTHERS[4]), start=51)",
        "squeezed-latents",
        "value",
    ),
    "value: no batch of one": (
        K,
        "in enumerate(OTHERS, start=51)",
        "in enumerate(OTHERS[:4], start=51)",
        "row-of-one-squeezed",
        "value",
    ),
    "value: another width may raise": (
        K,
        "            error.where = at(shape)\n            failed.append(error)",
        "            pass",
        "prior-of-a-fixed-shape",
        "value",
    ),
    "value: anything at another width": (
        K,
        "            failed.append(NotEarned(at(shape) + error.sentence, error.misconception, error.device))",
        "            pass",
        "factor-that-cancels-but-for-one-dimension",
        "value",
    ),
    "value: what fails at another width alone": (
        K,
        "    if failed:\n        raise failed[0]\n",
        "",
        "prior-of-a-fixed-shape",
        "value",
    ),
    "value: any loss": (
        K,
        "        raise failed[0] if failed and cause.misconception is None else cause\n",
        "",
        "missing-half",
        "value",
    ),
    "value: not near the prior": (
        K,
        "[(mu, logvar), (mu / 8, logvar / 8)]",
        "[(mu, logvar), (mu, logvar)]",
        "free-bits-0.05",
        "value",
    ),
    "value: near the prior only": (
        K,
        "[(mu, logvar), (mu / 8, logvar / 8)]",
        "[(mu / 8, logvar / 8), (mu / 8, logvar / 8)]",
        "logvar-within-5",
        "value",
    ),
    "value: without β = 0": (K, "= (0.0, 0.5), 1.0", "= (0.5, 0.5), 1.0", "beta-or-one", "value"),
    "value: without β = 0.5": (K, "= (0.0, 0.5), 1.0", "= (0.0, 2.0), 1.0", "beta-as-a-switch", "value"),
    "value: without β = 2": (K, "LARGE_BETA = 2.0", "LARGE_BETA = 0.5", "beta-at-most-one", "value"),
    "value: β = 2 may not be refused": (
        K,
        "contextlib.suppress(SubmissionError)",
        "contextlib.suppress(TypeError)",
        "beta-above-one-refused",
        "value",
    ),
    "value: β = 1 only": (K, "if shape == probes.MAIN else (BETA,)", "if shape == () else (BETA,)", "beta-or-one", "value"),
    "value: relative tolerance": (K, "RTOL * terms + ATOL", "1e3 * RTOL * terms + ATOL", "exp-clamped", "value"),
    "value: no relative tolerance": (K, "RTOL * terms + ATOL", "0.0 * terms + ATOL", "log-with-wider-guard", "value"),
    "value: absolute tolerance": (K, "RTOL * terms + ATOL", "RTOL * terms + 100 * ATOL", "capacity-of-0.01", "value"),
    "value: tolerance of the reconstruction": (K, 'pytorch.RTOL["cpu"] * recon', "1.0 * recon", "recon-halved", "value"),
    "value: tolerance on a GPU": (J, "CUDA: 2e-3", "CUDA: 0.1", "canonical", "value", {"gpu": coarse_gpu}),
    "value: nothing below -4": (
        P,
        "LOGVAR, MU, SPREAD_FROM = (-8.0, 4.0), 5.0, -7.0",
        "LOGVAR, MU, SPREAD_FROM = (-4.0, 4.0), 5.0, -7.0",
        "logvar-within-5",
        "value",
    ),
    "value: nothing above 2": (
        P,
        "LOGVAR, MU, SPREAD_FROM = (-8.0, 4.0), 5.0, -7.0",
        "LOGVAR, MU, SPREAD_FROM = (-8.0, 2.0), 5.0, -7.0",
        "logvar-at-most-2",
        "value",
    ),
    "value: mu up to 3": (
        P,
        "LOGVAR, MU, SPREAD_FROM = (-8.0, 4.0), 5.0, -7.0",
        "LOGVAR, MU, SPREAD_FROM = (-8.0, 4.0), 3.0, -7.0",
        "mu-capped-at-four",
        "value",
    ),
    "value: reconstruction is perfect": (P, "recon_x = x + 0.7 *", "recon_x = x + 0 *", "recon-summed", "value"),
    "value: any device": (
        K,
        'pytorch.no_fixed_device(reply, "compute_vae_loss", like="mu")',
        "pass",
        "cuda-by-number",
        "value",
    ),
    "value: no GPU, no pretend one": (
        K,
        'reply = pytorch.on_the_other_device(student, there, like="mu")',
        "reply = None",
        "constant-on-the-cpu",
        "value",
    ),
    "value: any number on a GPU": (
        K,
        "if reply is not None and not estimated",
        "if False and not estimated",
        "canonical",
        "value",
        {"gpu": coarse_gpu},
    ),
    "value: not beside a GPU": (
        K,
        'pytorch.beside_a_gpu(student, there, "compute_vae_loss", like="mu")',
        "pass",
        "x-moved-to-the-global-device",
        "value",
    ),
    "value: mismatched devices": (
        J,
        "if error.device and (error.kind",
        "if False and (error.kind",
        "constant-on-the-cpu",
        "value",
    ),
    "value: one element is no number": (
        S,
        "torch.Size(reply.shape or ()).numel() != 1",
        "reply.shape != ()",
        "one-element-vector",
        "value",
    ),
    # losses that change from call to call
    "state: all is chance": (
        S,
        "        steady = bool((steps >= 0).all()) or bool((steps <= 0).all())",
        "        steady = False",
        "annealing-by-counting-calls",
        "gradient",
    ),
    "state: upwards only": (
        S,
        "bool((steps >= 0).all()) or bool((steps <= 0).all())",
        "bool((steps >= 0).all())",
        "annealing-downwards",
        "gradient",
    ),
    "state: downwards only": (
        S,
        "bool((steps >= 0).all()) or bool((steps <= 0).all())",
        "bool((steps <= 0).all())",
        "annealing-by-counting-calls",
        "gradient",
    ),
    "state: chance is nothing": (
        S,
        "return Varies.NOT if first == other else Varies.BY_CHANCE",
        "return Varies.NOT",
        "monte-carlo",
        "value",
        {"first": FEWER, **MONTE_CARLO},
    ),
    "state: gradient by differences": (
        K,
        "if student.varies != Varies.WITH_EACH_CALL or not pytorch.in_proportion(found, right_gradient(name, mu, logvar)):",
        "if True:",
        "annealing-by-counting-calls",
        "gradient",
    ),
    "state: any gradient": (
        K,
        "if student.varies != Varies.WITH_EACH_CALL or not pytorch.in_proportion(found, right_gradient(name, mu, logvar)):",
        "if student.varies != Varies.WITH_EACH_CALL:",
        "annealing-with-the-variance-detached",
        "gradient",
    ),
    "estimates: always accepted": (
        K,
        'student.policies["monte_carlo_kl"] and student.random_loss',
        "student.random_loss",
        "monte-carlo",
        "value",
        {"first": FEWER},
    ),
    "estimates: never accepted": (
        K,
        'student.policies["monte_carlo_kl"] and student.random_loss',
        "False",
        "monte-carlo",
        "value",
        {"first": FEWER, **MONTE_CARLO},
    ),
    "estimates: any loss is one": (
        K,
        'student.policies["monte_carlo_kl"] and student.random_loss',
        'student.policies["monte_carlo_kl"]',
        "canonical",
        "value",
        {"first": FEWER, "gpu": coarse_gpu, **MONTE_CARLO},
    ),
    "estimates: without room": (K, "= 64, 6.8", "= 64, 0.0", "monte-carlo", "value", {"first": FEWER, **MONTE_CARLO}),
    "estimates: any value": (
        K,
        "= 64, 6.8",
        "= 64, 1e6",
        "monte-carlo-cross-entropy",
        "value",
        {"first": FEWER, **MONTE_CARLO},
    ),
    "estimates: near the prior": (
        K,
        "ESTIMATED_STEP = 1.0",
        "ESTIMATED_STEP = 0.1",
        "monte-carlo",
        "prior",
        {"first": FEWER, **MONTE_CARLO},
    ),
    # the KL: its gradient
    "KL gradient: zeros are enough": (
        K,
        "        if found is None or not bool((found != 0).any()):",
        "        if found is None:",
        "clamp-max",
        "gradient",
    ),
    "KL gradient: tolerance": (J, '"float64": (1e-5, 1e-3)', '"float64": (1e-5, 10)', "variance-detached", "gradient"),
    "KL gradient: inputs may change": (
        K,
        '    pytorch.inputs_unchanged(returned, "compute_vae_loss")\n    if "mu"',
        '    if "mu"',
        "inplace-mu",
        "gradient",
    ),
    "KL gradient: float64 only": (J, "        judge(torch.float32)", "        raise", "matmul-ones", "gradient"),
    "KL gradient: of a reconstruction that is missing": (
        K,
        "if float(values(whole)) != float(values(perfect)) and (",
        "if (",
        "recon-of-itself",
        "gradient",
    ),
    "KL gradient: the usual width only": (
        K,
        "    elsewhere(student, gradient, OTHERS[2], OTHERS[4])\n",
        "",
        "third-dimension-detached",
        "gradient",
    ),
    "KL gradient: no batch of one": (
        K,
        "gradient, OTHERS[2], OTHERS[4])",
        "gradient, OTHERS[2])",
        "batch-of-one-without-gradient",
        "gradient",
    ),
}


@pytest.mark.parametrize("what", WEAKER)
def test_weakened_here_an_answer_gets_another_mark_than_it_deserves(what, judged):
    file, old, new, name, criterion, *more = WEAKER[what]
    how = dict(*more)
    first = how.pop("first", None)
    case = Case(entries()[TARGETS[criterion], name], (criterion,), **how)
    before = text(file).replace(*first[1:]) if first else text(file)
    assert before.count(old) == 1
    deserved = judged(case, (file, before))[criterion][0] if how else criterion not in case.entry.lost
    assert judged(case, (file, before.replace(old, new)))[criterion][0] is not deserved


@pytest.mark.parametrize("file", [*CHECKS.values(), *MODULES])
def test_a_file_replaced_by_itself_changes_no_verdict(file, judged):
    for entry in (entries()["reparameterize", "var-as-std"], entries()["kl_divergence", "missing-half"]):
        found = judged(Case(entry, CRITERIA[entry.target]), (file, text(file)))
        assert {name for name, (earned, *_) in found.items() if not earned} == set(entry.lost)
    assert student.Student is assignments.load("vae_swiss_roll").student
