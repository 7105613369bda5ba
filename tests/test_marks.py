"""Whole submissions through the real grader: what each deserves."""

import base64
import copy
import dataclasses
import pathlib

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_output

from autograder.course.fill import cell, fill
from autograder.errors import CourseError
from autograder.grading.cells import to_run
from autograder.grading.settings import Settings
from autograder.grading.submission import grade
from autograder.grading.verdict import Status
from autograder.sandbox.outside.limits import Limits
from autograder.vae_swiss_roll.samples import RIGHT, loss, sampler

pytestmark = pytest.mark.sandboxed


def lost(verdict):
    """The criteria that earned nothing, with the misconception named."""
    return {check.id.split(".")[1]: check.misconception for check in verdict.checks if check.points == 0}


def test_the_untouched_release_earns_nothing_and_each_check_says_why(release, assignment):
    verdict = grade(nbformat.writes(release).encode(), assignment).verdict
    assert (verdict.status, verdict.score, verdict.max_score) == (Status.GRADED, 0, 8)
    told = [check for check in verdict.checks if not check.cause]
    assert [check.cell for check in told] == ["reparameterize", "kl_divergence"]
    assert all("still to do" in check.message for check in told)


def test_the_masters_solutions_earn_everything(assignment):
    verdict = grade(nbformat.writes(assignment.master).encode(), assignment).verdict
    assert verdict.score == verdict.max_score == 8
    assert verdict.cells == {"reparameterize": (5, 5), "kl_divergence": (3, 3)}


def test_the_variance_as_standard_deviation_costs_one_point_and_is_named(verdict):
    found = verdict(vae_model=sampler("return mu + torch.exp(logvar) * torch.randn_like(mu)"))
    assert found.cells["reparameterize"] == (4, 5)
    assert lost(found) == {"scale": "variance_as_std"}
    assert "variance" in next(check.message for check in found.checks if check.points == 0)


def test_torch_normal_costs_both_gradients(verdict):
    found = verdict(vae_model=sampler("return torch.normal(mu, torch.exp(0.5 * logvar))"))
    assert found.cells["reparameterize"] == (3.5, 5)
    assert lost(found) == {"gradient_mu": "no_gradient", "gradient_logvar": "no_gradient"}


def test_the_missing_half_is_found_though_with_latent_width_two_it_looks_like_a_sum(verdict):
    found = verdict(vae_loss=loss("-torch.mean(1 + logvar - mu.pow(2) - logvar.exp())"))
    assert found.cells["kl_divergence"] == (2, 3)
    assert lost(found) == {"value": "half_missing"}


def test_a_sum_over_dimensions_averaged_over_the_batch_is_right(verdict):
    assert verdict(vae_loss=loss("-0.5 * (1 + logvar - mu.pow(2) - logvar.exp()).sum(dim=1).mean()")).score == 8


def test_noise_made_on_the_cpu_is_found_without_a_gpu(verdict):
    found = verdict(vae_model=sampler("return mu + torch.exp(0.5 * logvar) * torch.randn(mu.shape)"))
    assert lost(found) == {"tensor": "tensor_on_the_cpu"}
    assert next(check.device for check in found.checks if check.points == 0) == "cuda"


def test_a_fixed_cuda_costs_the_tensor_criterion_alone(verdict):
    found = verdict(vae_model=sampler("return mu + torch.exp(0.5 * logvar) * torch.randn(mu.shape).cuda()"))
    assert lost(found) == {"tensor": "fixed_device"}


def test_generators_that_cannot_be_seeded_from_outside_are_judged_by_averages(verdict):
    draw = "eps = torch.as_tensor(np.random.default_rng().standard_normal(mu.shape)).to(mu)"
    assert verdict(vae_model=sampler(f"{draw}\nreturn mu + torch.exp(0.5 * logvar) * eps")).score == 8
    # No finite difference can be taken of a function that draws anew each time: of a z with a wrong scale, which has cost its
    # own criterion, nothing is known.
    found = verdict(vae_model=sampler(f"{draw}\nreturn mu + torch.exp(logvar) * eps"))
    assert lost(found) == {"scale": "variance_as_std"}


SMALL = Settings(limits=Limits(call_seconds=2, cell_seconds=8))  # other cells end within it on a busy machine too
ENDLESS = "import signal\nsignal.signal(signal.SIGINT, signal.SIG_IGN)\nwhile True:\n    signal.pause()"


def test_a_loss_that_never_returns_costs_the_kl_points_and_no_others(submission, assignment):
    endless = RIGHT["vae_loss"].replace("    recon =", "    while True:\n        pass\n    recon =")
    found = grade(submission(vae_loss=endless), assignment, SMALL).verdict
    assert found.cells == {"reparameterize": (5, 5), "kl_divergence": (0, 3)}
    told = next(check for check in found.checks if check.id == found.checks[-1].cause)
    assert "did not return within 2 seconds" in told.message


def test_a_sampler_that_ends_python_keeps_the_kl_points(submission, assignment):
    found = grade(submission(vae_model=sampler("import os\nos._exit(0)")), assignment, SMALL).verdict
    assert found.cells == {"reparameterize": (0, 5), "kl_divergence": (3, 3)}
    assert "Python itself ended" in found.checks[0].message


def test_a_cell_that_never_ends_is_where_the_notebook_ends(release, assignment):
    nb = fill(release, RIGHT)
    nb.cells.insert(0, nbformat.v4.new_code_cell(ENDLESS))
    found = grade(nbformat.writes(nb).encode(), assignment, SMALL).verdict
    assert (found.status, found.score) == (Status.GRADED, 0)
    assert found.notes == ("Code cell 1 of the notebook did not end in time; the cells after it were not run.",)


def test_a_cell_that_ends_when_interrupted_costs_nothing(release, assignment):
    nb = fill(release, RIGHT)
    nb.cells.insert(0, nbformat.v4.new_code_cell("import time\nwhile True:\n    time.sleep(1)"))
    assert grade(nbformat.writes(nb).encode(), assignment, SMALL).verdict.score == 8


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (b"", "not JSON"),
        (b"\xff\xfe\x00broken", "not text in UTF-8"),
        (b'{"cells": [', "upload broke off"),
        (b"[1, 2]", "has no cells"),
        (
            b'{"cells": [{"cell_type": "code", "source": "1"}], "nbformat": 4, "metadata": {}}',
            "None of the assignment's cells",
        ),
    ],
)
def test_what_cannot_be_marked_waits_for_a_person_and_says_why(raw, message, assignment):
    found = grade(raw, assignment).verdict
    assert found.status == Status.UNGRADABLE
    assert message in found.message
    assert "score" not in found.to_json("x.ipynb")


def test_figures_that_the_student_drew_later_are_kept_and_scripts_are_not(release, assignment):
    nb = fill(release, RIGHT)
    png = base64.b64encode(b"\x89PNG\r\n\x1a\n" + bytes(20)).decode()
    picture = nbformat.v4.new_output("display_data", {"image/png": png, "text/html": "<script>1</script>"})
    next(cell for cell in nb.cells if cell.id == "experiment-beta").outputs = [picture]
    outputs = grade(nbformat.writes(nb).encode(), assignment).outputs["experiment-beta"]
    assert [dict(output.data) for output in outputs] == [{"image/png": png}]


def test_what_a_submission_changes_globally_earns_a_sentence_and_costs_nothing(release, assignment):
    nb = fill(release, RIGHT)
    at = nb.cells.index(cell(nb, "vae_model"))
    nb.cells.insert(at, nbformat.v4.new_code_cell("torch.set_default_dtype(torch.float64)\ntorch.set_grad_enabled(False)"))
    found = grade(nbformat.writes(nb).encode(), assignment).verdict
    assert found.score == 8
    assert "default dtype and whether torch records gradients" in found.notes[0]


def test_points_that_no_longer_add_up_to_the_cells_are_the_graders_failure(submission, assignment):
    with pytest.raises(CourseError, match=r"worth 5\.5 points together"):
        grade(submission(), assignment, Settings(points={"reparameterize.scale": 1.5}))
    moved = Settings(points={"reparameterize.scale": 1.5, "reparameterize.noise": 0.5})
    assert grade(submission(), assignment, moved).verdict.cells["reparameterize"] == (5, 5)


def test_a_submission_that_uses_up_all_its_time_is_graded_with_what_is_left(release, assignment):
    nb = fill(release, RIGHT)
    nb.cells.insert(0, nbformat.v4.new_code_cell("import time\ntime.sleep(60)"))
    found = grade(nbformat.writes(nb).encode(), assignment, Settings(limits=Limits(submission_seconds=3))).verdict
    assert (found.status, found.score, len(found.checks)) == (Status.GRADED, 0, 9)


def ran(nb, assignment):
    return [cell.id for cell in to_run(nb, assignment)[0] if cell.cell_type == "code"]


def test_what_only_shows_something_is_run_where_the_student_changed_or_uses_it(release, assignment):
    nb = fill(release, RIGHT)
    needed = ["set-up-code", "data-code", "vae-model", "vae-loss"]
    assert ran(nb, assignment) == needed
    changed = copy.deepcopy(nb)
    next(c for c in changed.cells if c.id == "data-facts").source += "\nx = 1"
    assert ran(changed, assignment) == [*needed[:2], "data-facts", *needed[2:]]
    uses = copy.deepcopy(nb)
    cell(uses, "vae_loss").source = f"plot_data(10)\n{RIGHT['vae_loss']}"
    assert (
        ran(uses, assignment)
        == [
            *("set-up-code", "drawing-helpers-code", "check-helpers-code", "data-code", "data-plot"),  # helpers use each other
            *needed[2:],
        ]
    )
    assert grade(nbformat.writes(uses).encode(), assignment).verdict.score == 8


def test_an_earlier_release_gets_the_same_marks_and_no_more_of_it_is_run(release, assignment):
    earlier = nbformat.read(pathlib.Path(__file__).with_name("earlier_release.ipynb"), as_version=4)
    half = sampler("return mu + torch.exp(logvar) * torch.rand_like(mu)")
    for answers in (RIGHT, {"vae_model": half}, {"vae_loss": loss("torch.sum(mu**2 + logvar.exp() - logvar - 1)")}):
        old, new = fill(earlier, answers), fill(release, answers)
        assert ran(old, assignment) == ran(new, assignment) == ["set-up-code", "data-code", "vae-model", "vae-loss"]
        verdicts = [grade(nbformat.writes(nb).encode(), assignment).verdict for nb in (old, new)]
        assert verdicts[0].cells == verdicts[1].cells
        assert [check.outcome for check in verdicts[0].checks] == [check.outcome for check in verdicts[1].checks]


def test_the_runner_of_the_checks_has_no_part_in_the_marks(release, assignment):
    edited, deleted = fill(release, RIGHT), fill(release, RIGHT)
    next(c for c in edited.cells if c.id == "check-helpers-code").source = "def try_claims(*claims): raise SystemExit"
    deleted.cells = [c for c in deleted.cells if c.id != "check-helpers-code"]
    for nb in (edited, deleted):
        last = nb.cells.index(cell(nb, "kl_divergence"))
        nb.cells = [c for i, c in enumerate(nb.cells) if i <= last or "nbgrader" in c.metadata]
        for execute in ("needed", "all"):
            assert grade(nbformat.writes(nb).encode(), assignment, Settings(execute=execute)).verdict.score == 8


def test_all_cells_are_run_only_on_request_and_earn_nothing(release, assignment):
    nb = fill(release, RIGHT)
    last = next(i for i, c in enumerate(nb.cells) if c.metadata.get("nbgrader", {}).get("grade_id") == "kl_divergence")
    nb.cells = [c for i, c in enumerate(nb.cells) if i <= last or "nbgrader" in c.metadata]
    for source in ("print('ran', 6 * 7)", ENDLESS, "print('never')"):
        nb.cells.append(new_code_cell(source, outputs=[new_output("stream", name="stdout", text="the student's")]))
    raw = nbformat.writes(nb).encode()

    def shown(execute):
        graded = grade(raw, assignment, dataclasses.replace(SMALL, execute=execute))
        assert graded.verdict.score == 8
        return graded.verdict.notes, [graded.outputs[cell.id][0].get("text") for cell in nb.cells[-3:]]

    assert shown("needed") == ((), ["the student's"] * 3)
    notes, outputs = shown("all")
    assert outputs == ["ran 42\n", "the student's", "the student's"]
    assert len(notes) == 1
    assert notes[0].endswith("did not end in time; the cells after it were not run.")
    with pytest.raises(CourseError, match=r"c.GradeOutside.execute names 'some'"):
        shown("some")
