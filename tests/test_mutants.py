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


def sites(file):
    """Every site of a file. `raise explain(...)` is one, with all that `explain` may say."""
    found, tree = [], ast.parse(text(file))
    raised = {called(node.exc) for node in ast.walk(tree) if isinstance(node, ast.Raise)}
    functions = {node.name: node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name in raised}
    explain = {name for name, node in functions.items() if any(called(part) == "NotEarned" for part in ast.walk(node))}

    def walk(node, function):
        if isinstance(node, ast.FunctionDef):
            function = node.name
        refuses = isinstance(node, ast.Raise) and called(node.exc) in {"NotEarned", *explain}
        refuses |= isinstance(node, ast.Return) and called(node.value) in {"NotEarned", "not_earned"}
        if refuses and function not in explain:
            value = node.exc if isinstance(node, ast.Raise) else node.value
            name = f"{pathlib.Path(file).stem}.{function}: {words(value)}"
            found.append(Site(name, file, node.lineno, node.end_lineno))
        for child in ast.iter_child_nodes(node):
            walk(child, function)

    walk(tree, None)
    return found


def called(node):
    """The last part of the name of what is called, or None."""
    function = node.func if isinstance(node, ast.Call) else None
    return function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", None)


def words(call):
    """How the sentence begins, or how it is made."""
    for node in call.args:
        if isinstance(node, ast.Constant | ast.JoinedStr):
            parts = [node] if isinstance(node, ast.Constant) else node.values
            return " ".join("".join(part.value if isinstance(part, ast.Constant) else "…" for part in parts).split()[:7])
    return " ".join(ast.unparse(call).split()[:3])


FILES = (*CHECKS.values(), "pytorch.py", "noise.py", "student.py")
SITES = {site.name: site for file in FILES for site in sites(file)}
# Each site, with an answer that is refused there, the criterion it loses, and under which circumstances.
# Without one of these the answer earns the criterion.
NEEDED = {
    "reparameterize.judge_like_mu: For `mu` of shape …, z came": ("flattened", "tensor"),
    "reparameterize.judge_like_mu: For `mu` in …, z came back": ("numpy-float64", "tensor"),
    "reparameterize.judge_like_mu: z holds NaN or infinite values for": ("log-not-exp", "tensor"),
    "reparameterize.test_centre: z is not centred on `mu`: when": ("everything-times-eps", "centre"),
    "reparameterize.scale: z is the same on every call,": ("deterministic-mean", "scale"),
    "reparameterize.scale: The spread of z does not follow": ("var-as-std", "scale"),
    "reparameterize.test_noise: In evaluation mode (`model.eval()`) z has no": (
        "train-only-sampling",
        "noise",
        {"policies": {"mean_in_eval_mode": False}},
    ),
    "reparameterize.gradient_in: No gradient flows from z back to": ("noise-switched-off", "gradient_logvar"),
    "reparameterize.gradient_in: NotEarned(pytorch.wrong_gradient(name))": (
        "unseeded-generator-wrong-scale",
        "gradient_logvar",
    ),
    "kl_divergence.test_prior: Where every posterior is the prior itself": ("missing-one", "prior"),
    "kl_divergence.test_prior: Your KL is not positive when one": ("std-for-var", "prior"),
    "kl_divergence.test_prior: Your KL is not positive away from": ("variance-subtracted", "prior"),
    "kl_divergence.test_value: explain(cases, averages)": ("missing-half", "value"),
    "kl_divergence.test_value: On a GPU the loss is another": ("canonical", "value", {"gpu": coarse_gpu}),
    "kl_divergence.gradient: `compute_vae_loss` runs `backward` itself, and the training": ("backward-and-keep", "gradient"),
    "kl_divergence.gradient: No gradient flows from the reconstruction error": ("recon-detached", "gradient"),
    "kl_divergence.gradient: No gradient flows from the KL back": ("clamp-max", "gradient"),
    "pytorch.inputs_unchanged: `…` changed `…` while it worked, and": ("inplace-logvar", "tensor"),
    "pytorch.generators_left_alone: `…` seeds a random generator, so that": ("seeds-numpy", "noise"),
    "pytorch.equals_finite_difference: NotEarned(wrong_gradient(name), Mistake.GRADIENT_IN_PART)": (
        "half-detached",
        "gradient_logvar",
    ),
    "pytorch.no_fixed_device: `…` names a device itself, and fails": ("fixed-cuda", "tensor"),
    "pytorch.on_the_other_device: On a GPU this fails: a tensor": ("cpu-noise", "tensor"),
    "pytorch.on_the_other_device: On a GPU the result comes back": ("result-on-the-cpu", "tensor"),
    "noise.standard: NotEarned(*SUMS[name, sums[name][0] >": ("noise-bank", "noise"),
    "noise.standard: The noise is not centred…. ε comes": ("noise-off-centre", "noise"),
    "noise.standard: The noise is not normal: values beyond": ("cut-at-three", "noise"),
    "noise.standard: Many entries of z get the same": ("noise-to-one-decimal", "noise"),
    "noise.standard: NotEarned(*(RESCALED if spread": ("noise-set-to-unit-spread", "noise"),
    "noise.moments: NotEarned(*next(known, SKEWED if": ("skewed-noise", "noise"),
    "noise.pairs: Some random numbers are used for two": ("one-number-too-few", "noise"),
    "noise.unit: The noise …: nothing but the standard": ("tiny-eps", "noise"),
    "student.loss: `compute_vae_loss` returned …, and training needs one": ("one-element-vector", "prior"),
}
# Without one of these the answer is refused elsewhere, as are all the others that the catalogue has for it: it is there for
# what it says.
DIAGNOSIS = {
    # what is no tensor has not the shape of mu
    "reparameterize.judge_like_mu: NotEarned(no_tensor(returned))": ("returns-tuple", "tensor"),
    # what never varies has not the moments of a normal
    "reparameterize.test_noise: There is no noise in z at": ("deterministic-mean", "noise"),
    # what never varies is the same on every call
    "noise.standard: There is no noise in z at": ("roles-swapped", "noise"),
    # sums over calls are too large
    "noise.standard: The noise is the same on every": ("fixed-generator", "noise"),
    # sums over columns and rows are too large
    "noise.standard: One number is drawn and used for": ("one-scalar-eps", "noise"),
    # it says more than that the sums are off, which they are
    "noise.standard: The noise of each call is in": ("sorted-noise", "noise"),
    # the tails are too heavy
    "noise.standard: Part of z gets no noise: each": ("half-the-batch-without-noise", "noise"),
    # any two entries that depend on each other are refused
    "noise.pairs: NotEarned(*SHARED_OVER_DIMENSIONS)": ("one-radius-for-both-columns", "noise"),
    "noise.pairs: NotEarned(*SHARED_OVER_BATCH)": ("last-row-takes-the-first-ones-noise", "noise"),
    # an estimate is near no closed form
    "kl_divergence.test_value: Two calls with the same arguments give": ("monte-carlo", "value"),
    # NaN is near no number
    "student.finite: The loss is not a finite number": ("logvar-as-var", "value"),
    "student.value: z holds NaN or infinite values for": ("log-not-exp", "centre"),
    # the numbers that are asked for are not there
    "student.value: NotEarned(no_tensor(reply))": ("no-return", "centre"),
}
# Without this one a check would break by itself, and nobody would be marked: numbers in two shapes cannot be compared.
PROTECTION = {"student.value: `reparameterize` returned … where `mu` has the": ("summed-over-dimensions", "centre")}


def refused(judged, site, name, criterion, how=None):
    """The Case, and the sentence with which it is refused at that site."""
    case = Case(entries()[TARGETS[criterion], name], (criterion,), **(how or {}))
    earned, sentence, error = judged(case)[criterion]
    assert not earned
    assert [found for line in error.lines for found in SITES if line in SITES[found]][:1] == [site]
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
    "batches of 128 by 2 only": (R, ", (1, 2), (37, 2), (16, 3), (9, 5)]", "]", "hard-coded-shape", "tensor"),
    "no batch of one": (R, "(1, 2), ", "", "squeezed", "tensor"),
    "two latent dimensions only": (R, ", (16, 3), (9, 5)]", "]", "hard-coded-width", "tensor"),
    "no float64": (R, "like_mu(student, *probes.latents(seed=1, dtype=torch.float64))", "pass", "casts-to-float32", "tensor"),
    "no GPU, no pretend one": (
        R,
        'pytorch.on_the_other_device(student, ask, like="mu")',
        "None",
        "cpu-noise",
        "tensor",
    ),
    "inputs may change": (R, 'pytorch.inputs_unchanged(returned, "reparameterize")', "pass", "inplace-mu", "tensor"),
    "any device": (R, 'pytorch.no_fixed_device(returned, "reparameterize", like="mu")', "pass", "fixed-cuda", "tensor"),
    "logvar positive only": (P, "* 5.8 - 4", "* 1.9 + 0.1", "log-not-exp", "tensor"),
    "a device by name": (J, "reply.fixed_device or reply.device == CUDA", "False", "fixed-cuda-keyword", "tensor"),
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
    # centred on mu
    "centre: tolerance": (R, "atol=2e-4", "atol=0.2", "mean-shrunk", "centre"),
    "centre: relative tolerance": (J, "CPU: 1e-4", "CPU: 0.1", "mean-shrunk", "centre"),
    "centre: mu is 0": (P, "* 6 - 3", "* 0", "everything-times-eps", "centre"),
    "centre: always by seeds": (
        R,
        "mu, logvar = probes.latents(seed=2)\n    if student.follows_seed:",
        "mu, logvar = probes.latents(seed=2)\n    if True:",
        "unseeded-numpy-generator",
        "centre",
    ),
    "centre: always by averages": (
        R,
        "mu, logvar = probes.latents(seed=2)\n    if student.follows_seed:",
        "mu, logvar = probes.latents(seed=2)\n    if False:",
        "mean-shrunk",
        "centre",
    ),
    "centre: averages accept anything": (N, "8 * error + 2e-4", "1e9", "unseeded-generator-everything-times-eps", "centre"),
    "centre: averages without room": (N, "8 * error + 2e-4", "1e-9", "unseeded-numpy-generator", "centre"),
    # scaled by the standard deviation
    "scale: a narrow range of logvar": (P, "torch.linspace(-6, 3,", "torch.linspace(0.5, 1,", "logvar-cut-at-two", "scale"),
    "scale: nothing below -4": (P, "torch.linspace(-6, 3,", "torch.linspace(-4, 3,", "std-never-below-a-tenth", "scale"),
    "scale: nothing above 1.9": (P, "torch.linspace(-6, 3,", "torch.linspace(-6, 1.9,", "logvar-cut-at-two", "scale"),
    "scale: mu is not 0": (R, "scaled = student.z(ZERO,", "scaled = student.z(logvar,", "canonical", "scale"),
    "scale: relative tolerance": (N, "SCALE_RTOL = 1e-3", "SCALE_RTOL = 1.0", "logvar-cut-at-two", "scale"),
    "scale: absolute tolerance": (N, "1e-5 * rms * factor_a.abs()", "rms * factor_a.abs()", "logvar-cut-at-two", "scale"),
    "scale: one value is no noise": (
        R,
        " and pytorch.close(at_one, student.z(ZERO, ONE, seed=7))",
        "",
        "one-scalar-eps",
        "scale",
    ),
    "scale: the same twice is no noise": (R, "noise.constant(at_one) and ", "", "fixed-generator", "scale"),
    "scale: always by seeds": (R, "if not student.follows_seed:\n", "if False:\n", "unseeded-numpy-generator", "scale"),
    "scale: always by averages": (R, "if not student.follows_seed:\n", "if True:\n", "small-number-under-the-root", "scale"),
    "scale: averages accept anything": (
        N,
        "    if not bool(torch.isfinite(residual).all()):\n        return False\n",
        "    return True\n",
        "unseeded-generator-wrong-scale",
        "scale",
    ),
    "always by seeds": (S, "return torch.equal(self.z", "return True or (self.z", "unseeded-numpy-generator", "scale"),
    "always by averages": (S, "return torch.equal(self.z", "return False and (self.z", "mean-shrunk", "centre"),
    "in evaluation mode": (S, "-1], **how)", '-1], **{"training": False, **how})', "train-only-sampling", "scale"),
    # standard normal noise
    "noise: no statistics": (
        R,
        "noise.standard(drawn / rms, student.record.see, repeatable=student.follows_seed)",
        "pass",
        "rademacher-eps",
        "noise",
    ),
    "noise: any spread": (R, "if meets_scale(student):", "if False:", "tiny-eps", "noise"),
    "noise: spread where the scale is wrong": (R, "if meets_scale(student):", "if True:", "var-as-std", "noise"),
    "noise: spread at logvar = 1": (R, "rms / math.exp(0.5)", "rms", "canonical", "noise"),
    "noise: too few calls": (R, "CALLS = 256", "CALLS = 64", "canonical", "noise"),
    "noise: generators may be seeded": (
        R,
        'pytorch.generators_left_alone(first, second, "reparameterize")',
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
    "noise: evaluation mode whatever the policy": (
        R,
        'not student.policies["mean_in_eval_mode"] and ',
        "",
        "train-only-sampling",
        "noise",
    ),
    "noise: evaluation mode not asked": (
        R,
        "n=64, training=False",
        "n=64",
        "train-only-sampling",
        "noise",
        {"policies": {"mean_in_eval_mode": False}},
    ),
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
    "CORRELATION = 2": (N, "CORRELATION = 0.5", "CORRELATION = 2", "one-number-too-few", "noise"),
    "CORRELATION = 0.1": (N, "CORRELATION = 0.5", "CORRELATION = 0.1", "canonical", "noise"),
    "noise: no third moment": (N, " and abs(float((s**3).mean())) <= SIGMAS * math.sqrt(6 / n)", "", "skewed-noise", "noise"),
    "noise: no fourth moment": (
        N,
        "abs(fourth - 3) <= SIGMAS * math.sqrt(24 / n) and ",
        "",
        "slightly-heavy-tails",
        "noise",
    ),
    "noise: no sums over columns": (
        N,
        "(value, k) in sums.items() if chi",
        '(value, k) in sums.items() if name != "columns" and chi',
        "common-part-in-a-row",
        "noise",
    ),
    "noise: no sums over rows": (
        N,
        "(value, k) in sums.items() if chi",
        '(value, k) in sums.items() if name != "rows" and chi',
        "common-part-in-the-batch",
        "noise",
    ),
    "noise: no sums over calls": (
        N,
        "(value, k) in sums.items() if chi",
        '(value, k) in sums.items() if name != "calls" and chi',
        "noise-bank",
        "noise",
    ),
    "noise: nothing beyond 3.5": (N, ", 3.5: 0.00046526}", "}", "inverse-cdf-cut", "noise"),
    "noise: spread too steady": (
        N,
        "if chi_squared(spread, calls) < ALPHA:",
        "if chi_squared(spread, calls) < ALPHA and spread > calls:",
        "noise-set-to-unit-spread",
        "noise",
    ),
    "noise: spread too unsteady": (
        N,
        "if chi_squared(spread, calls) < ALPHA:",
        "if chi_squared(spread, calls) < ALPHA and spread < calls:",
        "random-temperature",
        "noise",
    ),
    "noise: magnitudes may be shared": (
        N,
        "for x in (values, magnitudes):",
        "for x in (values,):",
        "one-radius-for-both-columns",
        "noise",
    ),
    # gradients of z
    "gradient: zeros are enough": (R, " or not bool((found != 0).any())", "", "noise-switched-off", "gradient_logvar"),
    "gradient: tolerance": (J, '"float64": (1e-5, 1e-3)', '"float64": (1e-5, 10)', "half-detached", "gradient_logvar"),
    "gradient: tolerance in float32": (
        J,
        '"float32": (1e-2, 1e-2)',
        '"float32": (1e-2, 10)',
        "half-detached",
        "gradient_logvar",
    ),
    "gradient: along one direction": (J, "for seed in (31, 32, 33)]", "for seed in (31,)]", "mu-gradient-hook", "gradient_mu"),
    "gradient: float64's step for float32": (
        J,
        'DIFFERENCE["float64" if dtype == "float64" else "float32"]',
        'DIFFERENCE["float64"]',
        "casts-to-float32",
        "gradient_logvar",
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
        "var-as-std",
        "gradient_logvar",
    ),
    "gradient: tolerance where calls cannot be seeded": (
        R,
        "rtol=1e-4, atol=1e-6",
        "rtol=1e-4, atol=1e3",
        "unseeded-generator-wrong-scale",
        "gradient_logvar",
    ),
    # the KL: zero at the prior alone
    "prior: far from 0 is 0": (K, "ZERO = 1e-5", "ZERO = 1e6", "missing-one", "prior"),
    "prior: 0.01 is 0": (K, "ZERO = 1e-5", "ZERO = 0.01", "free-bits-small", "prior"),
    "prior: far away": (K, "STEP = 0.3 ", "STEP = 3.0 ", "std-for-var", "prior"),
    "prior: upwards only": (K, "for by in (step, -step)", "for by in (step,)", "mu-not-squared", "prior"),
    "prior: downwards only": (K, "for by in (step, -step)", "for by in (-step,)", "std-for-var", "prior"),
    "prior: mu only": (
        K,
        '("mu", (moved, zero)), ("logvar", (zero, moved))',
        '("mu", (moved, zero)),',
        "l2-only",
        "prior",
    ),
    "prior: logvar only": (
        K,
        '("mu", (moved, zero)), ("logvar", (zero, moved))',
        '("logvar", (zero, moved)),',
        "missing-mu",
        "prior",
    ),
    "prior: the first point only": (K, "for row in (0, 4)", "for row in (0,)", "first-row", "prior"),
    "prior: the last point only": (K, "for row in (0, 4)", "for row in (4,)", "last-point-only", "prior"),
    "prior: the first dimension only": (
        K,
        "for column in range(3)]",
        "for column in range(1)]",
        "first-dimension-only",
        "prior",
    ),
    "prior: not negative is enough": (
        K,
        "        if not value > 1e-6:\n            raise NotEarned(\n",
        "        if not value > -1e-6:\n            raise NotEarned(\n",
        "missing-mu",
        "prior",
    ),
    "prior: no random places": (K, "for seed in (42, 43, 44)", "for seed in ()", "variance-subtracted", "prior"),
    # the KL: the whole loss
    "value: latent width 2": (
        K,
        "SHAPES = [(5, 3), (48, 3), (7, 4)]",
        "SHAPES = [(5, 2), (48, 2), (7, 2)]",
        "missing-half",
        "value",
    ),
    "value: latent width 2, as wide as the data": (
        K,
        "SHAPES = [(5, 3), (48, 3), (7, 4)]",
        "SHAPES = [(5, 2), (48, 2), (7, 2)]",
        "x-numel-coincidence",
        "value",
    ),
    "value: one shape": (K, "SHAPES = [(5, 3), (48, 3), (7, 4)]", "SHAPES = [(5, 3)]", "first-32-points", "value"),
    "value: β = 0 only": (K, "in losses.items()\n    )", "in losses.items() if beta == 0\n    )", "missing-half", "value"),
    "value: without β = 0": (K, "in losses.items()\n    )", "in losses.items() if beta != 0\n    )", "beta-or-one", "value"),
    "value: without β = 0.5": (
        K,
        "in losses.items()\n    )",
        "in losses.items() if beta != 0.5\n    )",
        "beta-as-a-switch",
        "value",
    ),
    "value: without β = 2": (
        K,
        "in losses.items()\n    )",
        "in losses.items() if beta != 2\n    )",
        "beta-at-most-one",
        "value",
    ),
    "value: tolerance": (J, "CPU: 1e-4", "CPU: 0.1", "exp-clamped", "value"),
    "value: tolerance on a GPU": (J, "CUDA: 2e-3", "CUDA: 0.1", "canonical", "value", {"gpu": coarse_gpu}),
    "value: logvar below 1 only": (P, "* 5.8 - 4", "* 4.8 - 4", "exp-clamped", "value"),
    "value: mu is 0": (P, "* 6 - 3", "* 0", "mu-abs", "value"),
    "value: reconstruction is perfect": (P, "recon_x = x + 0.7 *", "recon_x = x + 0 *", "recon-summed", "value"),
    "value: any device": (
        K,
        'pytorch.no_fixed_device(returned, "compute_vae_loss", like="mu")',
        "pass",
        "fixed-cuda",
        "value",
    ),
    "value: no GPU, no pretend one": (
        K,
        "if there is not None and",
        "if False and",
        "canonical",
        "value",
        {"gpu": coarse_gpu},
    ),
    "value: mismatched devices": (
        J,
        "if error.device and (error.kind",
        "if False and (error.kind",
        "constant-on-the-cpu",
        "value",
    ),
    "value: shape (1,) is a number": (S, " or reply.shape != ()", "", "one-element-vector", "value"),
    "estimates: always accepted": (K, 'student.policies["monte_carlo_kl"] and ', "", "monte-carlo", "value", {"first": FEWER}),
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
    # the KL: its gradient
    "KL gradient: zeros are enough": (K, " or not bool((found != 0).any())", "", "clamp-max", "gradient"),
    "KL gradient: tolerance": (J, '"float64": (1e-5, 1e-3)', '"float64": (1e-5, 10)', "variance-detached", "gradient"),
    "KL gradient: inputs may change": (
        K,
        'pytorch.inputs_unchanged(returned, "compute_vae_loss")',
        "pass",
        "inplace-mu",
        "gradient",
    ),
    "KL gradient: float64 only": (J, "        judge(torch.float32)", "        raise", "matmul-ones", "gradient"),
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
