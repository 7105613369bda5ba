"""What notebooks do to Python, and what stands where nobody expects it: a right answer keeps its points."""

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell

from autograder.course.fill import cell, fill
from autograder.errors import Ungradable
from autograder.grading.notebook import Submission, read
from autograder.grading.settings import Settings
from autograder.grading.submission import grade
from autograder.vae_swiss_roll.samples import RIGHT, WRITTEN, sampler

pytestmark = pytest.mark.sandboxed

WRONG = sampler("return mu")


@pytest.fixture(scope="module")
def marked(release, assignment):
    """`marked(edit, files, **answers)` → the verdict on right answers after `edit(nb)`."""

    def mark(edit=lambda nb: None, files=None, **answers):
        nb = fill(release, {**RIGHT, **answers})
        edit(nb)
        return grade(nbformat.writes(nb).encode(), assignment, files=files).verdict

    return mark


def set_up(line):
    """Puts a line at the end of the set-up cell."""

    def edit(nb):
        found = next(c for c in nb.cells if c.id == "set-up-code")
        found.source += f"\n{line}"

    return edit


# What a notebook does → what the feedback says of it; "" for nothing.
STATES = {
    "torch.set_default_device('cuda')": "torch's default device",
    "torch.set_default_device('mps')": "torch's default device",
    "torch.set_default_dtype(torch.float64)": "torch's default dtype",
    "torch.use_deterministic_algorithms(True)": "deterministic algorithms",
    "torch.set_float32_matmul_precision('medium')": "precision of matrix products",
    "torch.autograd.set_detect_anomaly(True)": "autograd looks for anomalies",
    "_mode = torch.inference_mode(); _mode.__enter__()": "inference mode",
    "_mode = torch.no_grad(); _mode.__enter__()": "whether torch records gradients",
    "_mode = torch.autocast('cpu'); _mode.__enter__()": "fewer bits",
    "torch.set_num_threads(3); torch.set_num_interop_threads(3)": "",
    "import sys; sys.stdout = None": "",
    "import sys; sys.stdout.close(); sys.stderr.close()": "",
    "import os; os.close(1); os.close(2)": "",
    "import warnings; warnings.simplefilter('error'); np.seterr(all='raise')": "",
    "import os; os.makedirs('/tmp/x'); os.chdir('/tmp/x'); os.rmdir('/tmp/x')": "",
    "import signal; signal.signal(signal.SIGALRM, lambda *a: 1 / 0); signal.setitimer(signal.ITIMER_REAL, 0.2)": "",
    "import sys; sys.setrecursionlimit(60)": "",
    "import sys; sys.path.clear(); sys.modules.pop('warnings')": "",
    "import sys; sys.displayhook = sys.excepthook = None; sys.setprofile(lambda *a: None)": "",
    "sum = 3; range = None; list = 5; len = 2; print = None": "",
}


@pytest.mark.parametrize("line", STATES)
def test_what_a_notebook_may_do_to_python_and_torch_costs_nothing(line, marked):
    verdict = marked(set_up(line))
    assert verdict.score == 8, [check.message for check in verdict.checks]
    assert STATES[line] in " ".join(verdict.notes)


# What is put before everything else in the cell → the words that name it.
FAILING = {
    "from google.colab import drive\ndrive.mount('/content/drive')": "`from google.colab import drive` failed: there is no",
    "import no_such_package as nsp": "there is no module `no_such_package`",
    "from helpers import shift": "a file of your own is found if you hand it in beside the notebook",
    "import matplotlib.pyplot as plt\nplt.style.use('seaborn')": "`plt.style.use('seaborn')` failed",
    "%matplotlib ipympl": "`%matplotlib ipympl` failed",
    "import torch\ntorch.cuda.set_device(0)": "`torch.cuda.set_device(0)` failed",
}


@pytest.mark.parametrize("lines", FAILING)
@pytest.mark.parametrize("where", ["set-up-code", "vae_model"])
def test_a_line_that_fails_is_named_and_costs_nothing(lines, where, marked):
    def edit(nb):
        found = next(c for c in nb.cells if where in (c.id, c.metadata.get("nbgrader", {}).get("grade_id")))
        found.source = f"{lines}\n{found.source}"

    verdict = marked(edit)
    assert verdict.score == 8
    assert FAILING[lines] in " ".join(verdict.notes)


def test_what_fails_for_want_of_what_failed_before_is_not_told_once_more(marked):
    lines = "from google.colab import drive\nimport pandas as pd\ntable = pd.read_csv('x')\nprint(table)\ndrive.mount('x')"

    def edit(nb):
        for place in (0, 2, 4):
            nb.cells.insert(place, new_code_cell(f"{lines}\n@pd.api\ndef tidy(): pass\ntidy()"))
        nb.cells.insert(5, new_code_cell("tablet"))

    notes = marked(edit).notes
    assert [note.partition("`")[2].partition("`")[0] for note in notes] == [
        "from google.colab import drive",
        "import pandas as pd",
        "tablet",
    ]
    spoilt = marked(lambda nb: cell(nb, "vae_model").update(source="class VAE(nn.Module:\n"))
    assert len(spoilt.notes) == 1, spoilt.notes


def test_no_statement_runs_twice_and_none_inside_a_class_is_left_out(marked):
    def edit(nb):
        nb.cells.insert(
            0, new_code_cell("seen = []\nseen.append(1)\n1 / 0\nseen.append(2)\nclass Half:\n    a = 1\n    1 / 0\n    b = 2")
        )
        cell(nb, "vae_model").source += "\nassert seen == [1, 2]\nassert 'Half' not in globals()\nseen.append(3)"
        cell(nb, "vae_loss").source = "assert seen == [1, 2, 3]\nchecked = True\n" + cell(nb, "vae_loss").source

    verdict = marked(edit)
    assert verdict.score == 8
    assert [note for note in verdict.notes if "assert" in note] == []
    assert "In code cell 1 the line `1 / 0` failed (`ZeroDivisionError`)" in verdict.notes[0]


def test_what_is_said_of_the_rest_of_a_cell_is_true(marked):
    said = " ".join(marked(set_up("exit()")).notes)
    assert "the rest of the cell was not run" not in said or "`exit()`" in said
    for source, words in (("raise SystemExit\nx = 1", "was not run"), ("%%time\n1 / 0\nx = 1", "was not run")):
        notes = marked(lambda nb, source=source: nb.cells.insert(0, new_code_cell(source))).notes
        assert words in notes[0]
    imports = marked(set_up("import newer"), {"newer.py": b"type X = int\n"})
    assert "the line `import newer` failed (`SyntaxError`); the rest of the cell was run" in imports.notes[0]
    assert imports.score == 8


def test_many_files_with_long_names_cost_nothing(marked):
    assert marked(files={f"{'名' * 120}{number}": b"x" for number in range(100)}).score == 8
    assert marked(files={"data": b"", "data/more.csv": b""}).score == 8


def test_more_cells_than_anybody_writes_are_not_read(submission):
    nb = nbformat.reads(submission().decode(), as_version=4)
    nb.cells += [new_markdown_cell("x") for _ in range(3000)]
    with pytest.raises(Ungradable, match="more than the 3000 that are read"):
        read(nbformat.writes(nb).encode())


def test_a_cell_in_newer_python_is_explained(marked):
    verdict = marked(lambda nb: cell(nb, "vae_model").update(source=f"type N = float\n{cell(nb, 'vae_model').source}"))
    assert "not Python as version 3." in verdict.notes[0]
    assert "at `type N = float`; look there" in verdict.notes[0]
    assert "If the cell works for you, your Python is newer" in verdict.notes[0]
    assert verdict.score < 8


@pytest.mark.parametrize("line", ["type Number = float", "plt.plot((1, 2)"])
def test_the_lessons_own_cell_is_run_in_place_of_one_that_is_no_python(line, marked):
    verdict = marked(set_up(line))
    assert verdict.score == 8
    (note,) = verdict.notes
    assert "Code cell 1 could not be run, and the lesson's own was run in its place: it is not Python as version 3." in note
    # Whatever runs is the student's, and so is a task's cell.
    assert marked(lambda nb: next(c for c in nb.cells if c.id == "set-up-code").update(source="x = 1")).score == 0
    assert marked(lambda nb: cell(nb, "vae_loss").update(source=f"{line}\n{cell(nb, 'vae_loss').source}")).score == 5


def test_files_handed_in_beside_the_notebook_are_there_and_hide_nothing(marked):
    files = {
        "helpers.py": b"import torch\ndef std(logvar):\n    return torch.exp(0.5 * logvar)\n",
        "more/data.csv": b"1,2\n",
        "json.py": b"raise SystemExit",
        "torch.py": b"raise SystemExit",
        "inside.py": b"raise SystemExit",
    }
    use = "from helpers import std\nimport json, torch\nassert open('more/data.csv').read() == '1,2\\n'\nopened = True"
    model = sampler("assert opened\nreturn mu + std(logvar) * torch.randn_like(mu)")
    verdict = marked(set_up(use), files, vae_model=model)
    assert verdict.score == 8, [check.message for check in verdict.checks]
    assert verdict.notes == ()
    assert marked(set_up(use), None, vae_model=model).score < 8


DEVICES = {
    "randn(std.shape, device='mps')": 7,
    "randn(std.shape).to('xpu')": 7,
    "randn(std.shape).to(device='cuda')": 7,
    "randn(std.shape, device=torch.device('mps'))": 7,
    "randn(std.shape, device='no such device')": 3,
}


@pytest.mark.parametrize("noise", DEVICES)
def test_a_device_that_is_fixed_in_the_code_is_one_mistake(noise, marked):
    verdict = marked(vae_model=sampler(f"std = torch.exp(0.5 * logvar)\nreturn mu + std * torch.{noise}"))
    assert verdict.score == DEVICES[noise]
    lost = {check.misconception for check in verdict.checks if not check.points}
    assert lost == ({"fixed_device"} if verdict.score == 7 else {"raises"})


def test_compiled_functions_are_marked_as_plain_ones(marked):
    def decorate(nb):
        for name, line in (("vae_model", "    def reparameterize("), ("vae_loss", "def compute_vae_loss(")):
            own = cell(nb, name)
            own.source = own.source.replace(
                line, f"{line[: len(line) - len(line.lstrip())]}@torch.compile(dynamic=True)\n{line}"
            )

    def call(nb):
        cell(nb, "vae_loss").source += "\ncompute_vae_loss = torch.compile(compute_vae_loss)"
        cell(nb, "vae_model").source += "\nVAE.reparameterize = torch.compile(VAE.reparameterize)"

    assert marked(decorate).score == marked(call).score == 8
    assert marked(decorate, vae_model=WRONG).score == marked(vae_model=WRONG).score


# --- defined twice ---------------------------------------------------------------------------------------------------


def again(release, **answers):
    """Puts the class once more below its test cell, with that answer."""

    def edit(nb):
        other = cell(fill(release, {**RIGHT, **answers}), "vae_model").source
        nb.cells.insert(nb.cells.index(cell(nb, "vae_loss")), new_code_cell(other))

    return edit


def test_the_definition_in_force_at_the_test_cell_counts(marked, release, assignment):
    alone = marked(vae_model=WRONG).score
    for verdict, score in ((marked(again(release, vae_model=WRONG)), 8), (marked(again(release), vae_model=WRONG), alone)):
        assert verdict.score == score
        assert (
            "`VAE` above and below the test cell `reparameterize`: for that cell the one above it was marked"
            in verdict.notes[0]
        )

    def patch(nb):
        nb.cells.insert(nb.cells.index(cell(nb, "vae_loss")), new_code_cell("VAE.reparameterize = lambda self, mu, logvar: mu"))

    assert marked(patch).score == 8
    # What it uses is that of then, too.
    helped = sampler("return mu + scale(logvar) * torch.randn_like(mu)")

    def help(nb):
        cell(nb, "vae_model").source += "\ndef scale(logvar):\n    return torch.exp(0.5 * logvar)"
        nb.cells.insert(nb.cells.index(cell(nb, "vae_loss")), new_code_cell("def scale(logvar):\n    return logvar"))

    assert marked(help, vae_model=helped).score == 8


def test_a_test_cell_that_was_lost_asks_for_the_definition_above_the_next_task(marked, release):
    def edit(nb):
        again(release)(nb)
        nb.cells.remove(cell(nb, "reparameterize"))

    assert marked(edit, vae_model=WRONG).score == 8


def test_cells_that_are_run_when_all_is_judged_find_the_notebooks_end(release, assignment):
    nb = fill(release, RIGHT)
    again(release)(nb)
    nb.cells.insert(nb.cells.index(cell(nb, "vae_loss")), new_code_cell("later = 'the end'"))
    nb.cells.append(new_code_cell("print(later)", id="last"))
    for name in ("vae_loss", "kl_divergence"):  # the first task is the last one that is asked about
        moved = cell(nb, name)
        nb.cells.remove(moved)
        nb.cells.insert(nb.cells.index(cell(nb, "reparameterize")), moved)
    graded = grade(nbformat.writes(nb).encode(), assignment, Settings(execute="all"))
    assert graded.verdict.score == 8
    assert [output.text for output in graded.outputs["last"]] == ["the end\n"]


def test_a_later_definition_counts_where_there_was_none_or_the_stub(release, assignment):
    for missing in (False, True):
        nb = fill(release, {"vae_loss": RIGHT["vae_loss"]})
        again(release)(nb)
        if missing:
            cell(nb, "vae_model").source = "# see below"
        verdict = grade(nbformat.writes(nb).encode(), assignment).verdict
        assert verdict.score == 8
        assert missing or "for that cell the one below it was marked" in verdict.notes[0]


DEFINED_OTHERWISE = {
    "written into a file": lambda source: (
        "%%writefile mine.py\nimport torch\nfrom torch import nn\n" + source,
        "from mine import VAE",
    ),
    "exec": lambda source: (f"exec({source!r})", ""),
    "assigned": lambda source: (source.replace("class VAE(", "class Base("), "VAE = type('VAE', (Base,), {})"),
}


@pytest.mark.parametrize("how", DEFINED_OTHERWISE)
def test_definitions_may_come_otherwise_than_by_a_cells_class(how, marked):
    def edit(nb):
        own = cell(nb, "vae_model")
        own.source, then = DEFINED_OTHERWISE[how](own.source)
        if then:
            nb.cells.insert(nb.cells.index(own) + 1, new_code_cell(then))

    assert marked(edit).score == 8


# --- written answers -------------------------------------------------------------------------------------------------


def test_answers_are_found_by_their_question_when_metadata_and_ids_are_lost(release, assignment):
    nb = fill(release, {**RIGHT, **WRITTEN})
    own = nb.cells.index(cell(nb, "reflection_trick"))
    nb.cells.insert(own + 1, new_markdown_cell("And one thing more."))
    question = cell(nb, "question_beta")
    question.source = question.source.replace(".", ",", 3)  # an editor's
    for c in nb.cells:
        c.metadata.clear()
        c.pop("id", None)
    nb.nbformat_minor = 4
    submission = Submission.read(nbformat.writes(nb).encode(), assignment.master)
    found = {name: cell(submission.nb, name).source for name in WRITTEN}
    assert found == {**WRITTEN, "reflection_trick": WRITTEN["reflection_trick"] + "\n\nAnd one thing more."}
    assert sum("lost its nbgrader metadata and was recognised" in note for note in submission.notes) == 12
    assert len(submission.nb.cells) == len(release.cells)
    assert grade(nbformat.writes(nb).encode(), assignment).verdict.score == 8


@pytest.mark.parametrize("above", [0, 1])
def test_text_of_ones_own_next_to_a_box_is_noticed(above, release, assignment):
    def read(nb):
        return Submission.read(nbformat.writes(nb).encode(), assignment.master).beside_boxes

    nb = fill(release, RIGHT)
    assert read(nb) == frozenset()
    nb.cells.insert(nb.cells.index(cell(nb, "reflection_beta")) + 1 - above, new_markdown_cell("Because β weighs the KL."))
    assert read(nb) == {"reflection_beta"}
