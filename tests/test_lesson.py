"""The lesson as its contract asks for it, and the release made from it."""

import ast
import copy
import inspect

import nbformat
import pytest

from autograder.course.fill import cell, fill
from autograder.course.release import leaks
from autograder.grading.hidden import visible
from autograder.vae_swiss_roll.samples import RIGHT, loss, sampler
from tests.conftest import ROOT

CELLS = {
    "vae_model": ("code", False, True, None),
    "reparameterize": ("code", True, False, 5),
    "vae_loss": ("code", False, True, None),
    "kl_divergence": ("code", True, False, 3),
    "reflection_trick": ("markdown", True, True, 2),
    "experiment_dynamics": ("code", False, True, None),
    "reflection_dynamics": ("markdown", True, True, 2),
    "experiment_beta": ("code", False, True, None),
    "reflection_beta": ("markdown", True, True, 3),
}


def test_the_cells_and_points_are_those_that_submissions_rely_on(assignment):
    found = {
        c.metadata.nbgrader.grade_id: (
            c.cell_type,
            c.metadata.nbgrader.grade,
            c.metadata.nbgrader.solution,
            c.metadata.nbgrader.get("points"),
        )
        for c in assignment.master.cells
        if "nbgrader" in c.metadata and not c.metadata.nbgrader.grade_id.startswith("question_")
    }
    assert found == CELLS
    assert list(found) == list(CELLS)


def test_both_test_cells_stand_before_the_training(assignment):
    sources = [c.source for c in assignment.master.cells]
    training = next(i for i, source in enumerate(sources) if "def train_vae" in source)
    assert assignment.master.cells.index(cell(assignment.master, "kl_divergence")) < training


def test_the_committed_release_is_what_the_source_generates(release, assignment):
    committed = nbformat.read(ROOT / "notebooks" / assignment.name / f"{assignment.name}.ipynb", as_version=4)
    assert committed == release, "run `make release` and commit notebooks/"


def test_the_release_gives_nothing_away(release, assignment):
    assert leaks(release, assignment) == []


@pytest.mark.parametrize(
    ("grade_id", "source"),
    [
        ("vae_model", "std = torch.exp(logvar / 2)"),
        ("vae_model", "### BEGIN SOLUTION"),
        ("kl_divergence", "from autograder.stock import score"),
        ("kl_divergence", "expected = (0.5 * logvar).exp()"),
        ("kl_divergence", "kl = torch.distributions.kl_divergence(p, q)"),
        ("kl_divergence", "sigma2 = math.e ** logvar"),
        ("reflection_beta", "**Marking scheme (3 points).**"),
    ],
)
def test_the_proof_sees_each_kind_of_leak(grade_id, source, release, assignment):
    leaky = copy.deepcopy(release)
    target = cell(leaky, grade_id)
    target.source += "\n" + source
    assert leaks(leaky, assignment)


def test_the_proof_sees_leaks_in_metadata_outputs_and_attachments(release, assignment):
    line = "std = torch.exp(logvar / 2)  # σ, from log σ²"
    private = next(
        part for part in cell(assignment.master, "vae_loss").source.split("\n") if "logvar" in part and "torch" in part
    )
    for change in (
        lambda nb: nb.metadata.update(note=private.strip()),
        lambda nb: cell(nb, "vae_loss").outputs.append(nbformat.v4.new_output("stream", text=line)),
        lambda nb: cell(nb, "reflection_beta").update(attachments={"a.png": {"image/png": "aGk="}}),
    ):
        leaky = copy.deepcopy(release)
        change(leaky)
        assert leaks(leaky, assignment)


def test_each_stub_says_by_name_which_task_is_still_to_do(release):
    for grade_id, task, name in (("vae_model", "Task 1", "reparameterize"), ("vae_loss", "Task 2", "compute_vae_loss")):
        tree = ast.parse(cell(release, grade_id).source)
        (raised,) = [ast.unparse(node) for node in ast.walk(tree) if isinstance(node, ast.Raise)]
        assert f"{task} is still to do" in raised
        assert name in raised


def test_the_experiments_stubs_do_not_stop_run_all(release):
    for grade_id in ("experiment_dynamics", "experiment_beta"):
        assert not [node for node in ast.walk(ast.parse(cell(release, grade_id).source)) if isinstance(node, ast.Raise)]


def test_the_release_needs_four_libraries_and_nothing_of_ours(release):
    imported = set()
    for c in release.cells:
        if c.cell_type == "code":
            for node in ast.walk(ast.parse(c.source)):
                if isinstance(node, ast.Import):
                    imported |= {alias.name.split(".")[0] for alias in node.names}
                if isinstance(node, ast.ImportFrom):
                    imported.add(node.module.split(".")[0])
    third_party = imported - set(__import__("sys").stdlib_module_names) - {"IPython"}
    assert third_party == {"torch", "numpy", "matplotlib", "tqdm"}


@pytest.fixture(scope="module")
def lesson(assignment):
    """The names that the master's cells before the training define."""
    namespace = {"__name__": "lesson"}
    for c in assignment.master.cells:
        if c.cell_type == "code" and not c.metadata.get("nbgrader", {}).get("grade"):
            tree = ast.parse(c.source)
            tree.body = [n for n in tree.body if isinstance(n, (ast.Import, ast.ImportFrom, ast.FunctionDef, ast.ClassDef))]
            exec(compile(tree, c.id, "exec"), namespace)
    namespace["device"] = __import__("torch").device("cpu")
    return namespace


def test_the_functions_have_the_signatures_of_the_contract(lesson):
    for name, parameters in {
        "generate_swiss_roll": {"n_samples": 1000},
        "compute_vae_loss": {"model": None, "x": None, "beta": None},
        "train_vae": {"n_steps": 1000, "batch_size": 128, "lr": 1e-3, "beta": 0.01},
        "visualize_reconstructions": {"model": None, "n_points": 1000},
        "visualize_latent_space": {"model": None, "n_points": 1000},
    }.items():
        found = inspect.signature(lesson[name]).parameters
        assert list(found)[: len(parameters)] == list(parameters)
        for parameter, default in parameters.items():
            assert default is None or found[parameter].default == default
        assert all(p.default is not p.empty for p in list(found.values())[len(parameters) :])


def test_the_swiss_roll_is_the_curve_of_the_contract(lesson):
    torch = lesson["torch"]
    x = lesson["generate_swiss_roll"](5000)
    assert (x.shape, x.dtype) == ((5000, 2), torch.float32)
    t = 15 * x.double().norm(dim=1)
    assert 1.5 * torch.pi <= float(t.min()) + 1e-4
    assert float(t.max()) <= 4.5 * torch.pi + 1e-4
    assert torch.allclose(x.double(), torch.stack([t * t.cos(), t * t.sin()], dim=1) / 15, atol=1e-5)
    assert abs(float(t.mean()) - 3 * torch.pi) < 0.2


def test_the_model_has_the_layers_of_the_contract(lesson):
    nn = lesson["torch"].nn
    model = lesson["VAE"](latent_dim=3, hidden_dim=16)

    def layers(part):
        return [(m.in_features, m.out_features) if isinstance(m, nn.Linear) else type(m).__name__ for m in part]

    assert layers(model.encoder) == [(2, 16), "ReLU", (16, 16), "ReLU", (16, 16), "ReLU"]
    assert layers(model.decoder) == [(3, 16), "ReLU", (16, 16), "ReLU", (16, 16), "ReLU", (16, 2)]
    assert layers([model.fc_mu, model.fc_logvar]) == [(16, 3), (16, 3)]
    recon_x, mu, logvar = model(lesson["generate_swiss_roll"](7))
    assert (recon_x.shape, mu.shape, logvar.shape) == ((7, 2), (7, 3), (7, 3))
    assert not hasattr(model, "latent_dim")


def test_the_loss_in_the_lesson_is_the_mean_convention(lesson):
    torch = lesson["torch"]
    model, x = lesson["VAE"](), lesson["generate_swiss_roll"](64)
    torch.manual_seed(0)
    found = lesson["compute_vae_loss"](model, x, 0.3)
    torch.manual_seed(0)
    recon_x, mu, logvar = model(x)
    normal = torch.distributions.Normal
    kl = torch.distributions.kl_divergence(normal(mu, torch.exp(logvar / 2)), normal(0.0, 1.0)).mean()
    assert torch.allclose(found, ((recon_x - x) ** 2).mean() + 0.3 * kl)


def visible_checks(release, grade_id, capsys, **answers):
    """What the visible checks of a test cell print for such answers, and what they raise."""
    nb = fill(release, {**RIGHT, **answers})
    namespace = {"__name__": "notebook"}
    for c in nb.cells:
        if c.cell_type == "code" and c.id in (
            "set-up-code",
            "drawing-helpers-code",
            "check-helpers-code",
            "data-code",
            "vae-model",
            "vae-loss",
        ):
            exec(c.source, namespace)
    capsys.readouterr()
    try:
        exec(visible(cell(nb, grade_id).source), namespace)
    except AssertionError as error:
        return capsys.readouterr().out, str(error)
    return capsys.readouterr().out, None


def test_visible_checks_accept_right_answers(release, capsys):
    for grade_id in ("reparameterize", "kl_divergence"):
        out, error = visible_checks(release, grade_id, capsys)
        assert error is None
        assert "✓" in out
        assert "✗" not in out


@pytest.mark.parametrize(
    ("grade_id", "answers", "words"),
    [
        ("reparameterize", {"vae_model": sampler("return None")}, "None"),
        ("reparameterize", {"vae_model": sampler("return mu[:1]")}, "shape"),
        ("reparameterize", {"vae_model": sampler("return mu")}, "same"),
        ("reparameterize", {"vae_model": sampler("return torch.normal(mu, torch.exp(0.5 * logvar))")}, "gradient"),
        (
            "reparameterize",
            {"vae_model": sampler("raise NotImplementedError('Task 1 is still to do')")},
            "Task 1 is still to do",
        ),
        ("kl_divergence", {"vae_loss": loss("(1 + logvar - mu.pow(2) - logvar.exp())")}, "must be one number"),
        ("kl_divergence", {"vae_loss": loss("0.5 * torch.mean(1 + logvar - mu.pow(2) - logvar.exp())")}, "prior"),
    ],
)
def test_visible_checks_say_what_is_wrong(grade_id, answers, words, release, capsys):
    out, error = visible_checks(release, grade_id, capsys, **answers)
    assert error is not None
    assert words in out + error


def test_visible_checks_do_not_raise_while_nbgrader_autogrades(release, capsys, monkeypatch):
    monkeypatch.setenv("NBGRADER_EXECUTION", "autograde")
    out, error = visible_checks(release, "reparameterize", capsys, vae_model=sampler("return mu"))
    assert error is None
    assert "✗" in out


def test_answers_that_earn_full_visible_marks_never_print_to_stderr(release, capsys):
    noisy = sampler(
        "import sys, warnings\nwarnings.warn('x')\nprint('x', file=sys.stderr)\n"
        + "return mu + torch.exp(0.5 * logvar) * torch.randn_like(mu)"
    )
    nb_out, error = visible_checks(release, "reparameterize", capsys, vae_model=noisy)
    assert error is None
    assert capsys.readouterr().err == ""
    assert "✓" in nb_out


def test_every_written_answer_has_a_model_answer_and_a_scheme_that_adds_up(assignment):
    for grade_id, (kind, _, _, points) in CELLS.items():
        if kind == "markdown":
            source = cell(assignment.master, grade_id).source
            assert source.index("**Model answer") < source.index("**Marking scheme")
            assert f"{points} points" in source
