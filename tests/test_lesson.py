"""The lesson as its contract asks for it, and the release made from it."""

import ast
import copy
import inspect
import itertools
import re

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
        ("kl_divergence", "kl = (mu**2 + variance - logvar - 1).mean() / 2"),
        ("kl_divergence", "kl = (mu.pow(2) - logvar).mean()"),
        ("vae_model", "z = mu + std * noise"),
        ("reflection_beta", "**Marking scheme (3 points).**"),
    ],
)
def test_the_proof_sees_each_kind_of_leak(grade_id, source, release, assignment):
    leaky = copy.deepcopy(release)
    target = cell(leaky, grade_id)
    target.source += "\n" + source
    assert leaks(leaky, assignment)


def test_what_the_self_checks_know_are_plain_numbers(release):
    for id, name in (("self-check-1-code", "GIVEN"), ("self-check-2-code", "CLOUDS")):
        tree = ast.parse(next(c.source for c in release.cells if c.id == id))
        (value,) = [node.value for node in tree.body if isinstance(node, ast.Assign) and node.targets[0].id == name]
        assert ast.literal_eval(value)


def test_what_is_folded_shows_its_results_and_has_a_name(release):
    folded = [c for c in release.cells if c.metadata.get("jupyter", {}).get("source_hidden")]
    assert {"reparameterize", "kl_divergence"} <= {c.metadata.get("nbgrader", {}).get("grade_id") for c in folded}
    for c in folded:
        assert c.source.startswith("# @title ")
        assert c.metadata.cellView == "form"
        assert "outputs_hidden" not in c.metadata.jupyter
    drawn = [c for c in release.cells if "show(fig," in c.source and "experiment" not in c.id]
    assert all(c in folded for c in drawn)


def test_headings_are_in_order(assignment):
    text = "\n".join(c.source for c in assignment.master.cells if c.cell_type == "markdown")
    levels = [len(found) for found in re.findall(r"^(#+) ", text, re.MULTILINE)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after <= before + 1 for before, after in itertools.pairwise(levels))


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


@pytest.fixture(scope="module")
def answered(release):
    """The names of a release with right answers, after its folded helper cells and the definitions of all others."""
    nb, namespace = fill(release, RIGHT), {"__name__": "notebook"}
    for c in nb.cells:
        if c.cell_type == "code" and c.id not in ("reparameterize", "kl-divergence"):
            tree = ast.parse(c.source)
            kept = (ast.Import, ast.ImportFrom, ast.FunctionDef, ast.ClassDef, ast.Assign)
            tree.body = [n for n in tree.body if isinstance(n, kept) and "train_vae(" not in ast.unparse(n).split("def ")[0]]
            exec(compile(tree, c.id, "exec"), namespace)
    namespace["device"] = __import__("torch").device("cpu")
    return namespace


def test_no_extra_figure_moves_the_random_numbers_of_what_follows(answered, capsys):
    torch = answered["torch"]
    torch.manual_seed(1)
    model, _, _ = answered["train_vae"](n_steps=3, snapshot_steps=(0, 3), show_progress=False)
    for call in (
        answered["picture_of_a_noisy_line"],
        answered["picture_of_the_trick"],
        answered["look_at_divergence"],
        lambda: answered["plot_losses"]([0.1] * 60, model),
        lambda: answered["show_clouds"](model),
        lambda: answered["show_walks"](model),
        lambda: answered["read_off"](model, answered["ROLL"]),
        lambda: answered["compare_with"](model, model),
    ):
        before = torch.get_rng_state()
        call()
        assert torch.equal(torch.get_rng_state(), before), call
    with answered["set_apart"]():
        torch.rand(1)
    assert torch.equal(torch.get_rng_state(), before)


def test_training_is_the_same_whether_snapshots_are_kept_or_not(answered):
    torch = answered["torch"]
    losses = []
    for steps in ((), range(5)):
        torch.manual_seed(7)
        losses.append(answered["train_vae"](n_steps=4, snapshot_steps=steps, show_progress=False)[1])
    assert losses[0] == losses[1]
    assert all(isinstance(value, float) for value in losses[0])


def test_an_experiment_says_which_gaps_are_open_and_trains_nothing(answered, capsys):
    answered["experiment_2"]()
    answered["experiment_3"]()
    said = capsys.readouterr().out
    assert "question 2 still has gaps" in said
    assert "question 3 still has gaps" in said
    assert "β" not in said


@pytest.mark.parametrize(
    ("gap", "filled", "words"),
    [
        ("steps_to_look_at", lambda: 20, "returned 20"),
        ("steps_to_look_at", lambda: (0, 2000), "2000 is none"),
        ("what_to_draw", lambda snapshot, x: snapshot.encode(x), "returned a tuple"),
        ("what_to_draw", lambda snapshot, x: snapshot.code(x), "raised AttributeError"),
        ("what_to_measure", lambda snapshot, x: 3.0, "returned a float"),
        ("what_to_measure", lambda snapshot, x: {"codes": x}, "'codes' should be a single number"),
    ],
)
def test_a_gap_that_is_filled_wrongly_is_told_before_training(gap, filled, words, answered, capsys, monkeypatch):
    right = {
        "steps_to_look_at": lambda: (0, 10),
        "what_to_draw": lambda m, x: m.encode(x)[0],
        "what_to_measure": lambda m, x: {"n": 1},
    }
    for name, value in (right | {gap: filled}).items():
        monkeypatch.setitem(answered, name, value)
    answered["experiment_2"]()
    said = " ".join(capsys.readouterr().out.splitlines())
    assert said.count("question 2 cannot start") == 1
    assert words in said


def run_figures(release, names, *ids):
    for c in release.cells:
        if c.id in ids:
            exec(c.source, names)


AFTER_TRAINING = (
    "loss-curve", "reconstructions-code", "clouds-code", "latent-space-code", "walks-code", "autoencoder-code",
)  # fmt: skip


def test_what_needs_an_open_task_says_so_in_one_line_and_draws_nothing(release, answered, capsys, monkeypatch):
    def still_to_do(*_):
        raise NotImplementedError

    monkeypatch.setitem(answered, "model", answered["VAE"]())
    run_figures(release, answered, "clouds-code")
    assert "The model is not trained yet" in capsys.readouterr().out
    monkeypatch.setattr(answered["VAE"], "reparameterize", still_to_do)
    monkeypatch.setitem(answered, "compute_vae_loss", still_to_do)
    run_figures(release, answered, "self-check-1-code", "self-check-2-code", *AFTER_TRAINING)
    first, second, *others = capsys.readouterr().out.splitlines()
    assert "Task 1 is still open" in first
    assert "Task 2 is still open" in second
    assert len(others) == len(AFTER_TRAINING)
    assert all("Tasks 1 and 2 are still open." in line for line in others)


def test_a_wrong_spread_is_not_blamed_on_the_noise(answered, capsys, monkeypatch):
    torch = answered["torch"]
    monkeypatch.setattr(answered["VAE"], "reparameterize", lambda self, mu, logvar: mu + logvar.exp() * torch.randn_like(mu))
    answered["look_at_samples"]()
    said = capsys.readouterr().out
    assert said.count("← differs") == 4
    assert "noise:" not in said


def test_the_last_cell_names_a_task_whose_numbers_differ(release, answered, capsys, monkeypatch, tmp_path):
    torch = answered["torch"]
    monkeypatch.chdir(tmp_path)
    run_figures(release, answered, "ready-check")
    assert "Task 1, reparameterize: it runs\n" in capsys.readouterr().out
    monkeypatch.setattr(answered["VAE"], "reparameterize", lambda self, mu, logvar: mu + logvar.exp() * torch.randn_like(mu))
    run_figures(release, answered, "ready-check")
    said = capsys.readouterr().out
    assert "Task 1, reparameterize: it runs, but a number differs: see its self-check" in said
    assert "Task 2, KL divergence:  it runs\n" in said


def test_what_differs_is_told_kind_by_kind_and_in_the_last_line(answered, capsys):
    right = {"yours": 1.0, "due": 1.0, "within": 0.1, "note": ""}
    wrong = [{**right, "what": f"{kind}, {shape}", "yours": 2.0} for kind in "abcdefg" for shape in (1, 2)]
    answered["show_rows"]([{**right, "what": "spread"}, *wrong], first=1)
    lines = capsys.readouterr().out.splitlines()
    assert sum("(and 1 like it)" in line and "← differs" in line for line in lines) == 5
    assert lines[-2:] == ["and 2 more", "7 things differ. All numbers must agree."]
    answered["show_rows"]([{**right, "what": "spread"}, *wrong[:2]], first=1)
    assert capsys.readouterr().out.splitlines()[-1] == "One thing differs: a. All numbers must agree."


def test_no_printed_line_is_wider_than_a_narrow_window(assignment, release, answered, capsys, monkeypatch, tmp_path):
    """JupyterLab breaks longer ones in the middle of a word, and tables in the middle of a row."""
    for c in assignment.master.cells:
        for output in c.get("outputs", []):
            print(output.get("text", ""))
    row = {"yours": 2.0, "due": 1.0, "within": 0.1, "note": "(your code would stop on a GPU)"}
    answered["show_rows"]([{**row, "what": f"gradient to recon_x, {n} × 3, beside small steps"} for n in (7, 8)], first=1)
    answered["show_numbers"]("β", {0.001: dict.fromkeys(("a quantity with quite a long name", "KL"), 1.0)})
    monkeypatch.setattr(answered["VAE"], "reparameterize", lambda self, mu, logvar: mu.double())
    monkeypatch.chdir(tmp_path)
    nbformat.write(release, tmp_path / "notebook.ipynb")
    with pytest.raises(AssertionError, match=r"the noise with the dtype of mu"):
        run_figures(release, answered, "reparameterize")
    run_figures(release, answered, "ready-check")
    (tmp_path / "notebook.ipynb").unlink()
    run_figures(release, answered, "ready-check")
    lines = capsys.readouterr().out.splitlines()
    assert sum(line.startswith("Task 1, reparameterize: OPEN: it runs, but a check fails") for line in lines) == 2
    assert [line for line in lines if len(line) > 78] == []


def test_the_figures_carry_their_description_as_alternative_text(assignment):
    for c in assignment.master.cells:
        for output in c.get("outputs", []):
            if "image/png" in output.get("data", {}):
                assert re.match(r'<img alt="[^"]{30,}" ', output.data["text/html"]), c.id


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


# --- the time that it takes: see docs/lesson.md ----------------------------------------------------------------------

WORDS_A_MINUTE = 200
CELL, TASK = 0.2, {"reparameterize": 8, "kl_divergence": 8, "trick": 6, "dynamics": 8, "beta": 10}  # minutes


def test_the_time_that_is_promised_is_long_enough_to_read_and_to_do_everything(release):
    from_here = [c for c in release.cells if c.id != "extra"]
    words = sum(len(re.findall(r"\w+", c.source)) for c in from_here if c.cell_type == "markdown")
    open_code = [c for c in from_here if c.cell_type == "code" and "jupyter" not in c.metadata]
    words += sum(len(re.findall(r"\w+", c.source)) for c in open_code)
    cells = sum(c.cell_type == "code" for c in from_here)
    minutes = words / WORDS_A_MINUTE + cells * CELL + sum(TASK.values())
    assert 60 <= minutes <= 90, f"{words} words, {cells} cells: {minutes:.0f} minutes"
    for text in ((ROOT / "README.md").read_text(), release.cells[0].source):
        assert "60 to 90 minutes" in text
