"""Notebooks as they arrive: understood before they run."""

import codecs
import copy
import json

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_output

from autograder.course.fill import cell, fill
from autograder.errors import Ungradable
from autograder.grading.hidden import visible
from autograder.grading.notebook import clean_outputs, read, repair
from autograder.vae_swiss_roll.samples import RIGHT

CELLS = ["vae_model", "reparameterize", "vae_loss", "kl_divergence"]


@pytest.fixture
def handed_in(release):
    return fill(release, RIGHT)


def repaired(nb, assignment):
    """(notebook, notes) after a round through bytes."""
    nb = read(json.dumps(nb).encode())
    return nb, repair(nb, assignment.master)


def without_id(c):
    return {key: value for key, value in c.items() if key != "id"}


def order(nb):
    ids = [c.metadata.get("nbgrader", {}).get("grade_id") for c in nb.cells]
    return [grade_id for grade_id in ids if grade_id in CELLS]


def test_an_intact_notebook_needs_no_repair(handed_in, assignment):
    nb, notes = repaired(handed_in, assignment)
    assert notes == []
    assert [c.source for c in nb.cells if c.cell_type == "code" and "nbgrader" not in c.metadata] == [
        c.source for c in handed_in.cells if c.cell_type == "code" and "nbgrader" not in c.metadata
    ]


@pytest.mark.parametrize("encode", [
    lambda nb: codecs.BOM_UTF8 + json.dumps(nb, indent=1).replace("\n", "\r\n").encode(),
    lambda nb: json.dumps(nbformat.convert(nb, 3)).encode(),
    lambda nb: json.dumps({**nb, "nbformat_minor": 2, "cells": [without_id(c) for c in nb.cells]}).encode(),
    lambda nb: json.dumps({**nb, "metadata": []}).encode(),
])  # fmt: skip
def test_encodings_and_formats_are_read(encode, handed_in, assignment):
    nb = read(encode(copy.deepcopy(handed_in)))
    repair(nb, assignment.master)
    assert order(nb) == CELLS
    assert cell(nb, "vae_model").source == cell(handed_in, "vae_model").source


def test_a_duplicated_cell_counts_once_and_the_copy_is_kept_as_the_students(handed_in, assignment):
    twin = copy.deepcopy(cell(handed_in, "vae_model"))
    twin.source = "print('second half')"
    handed_in.cells.insert(handed_in.cells.index(cell(handed_in, "vae_model")) + 1, twin)
    nb, notes = repaired(handed_in, assignment)
    assert order(nb) == CELLS
    assert any(c.source == "print('second half')" and "nbgrader" not in c.metadata for c in nb.cells)
    assert len({c.id for c in nb.cells}) == len(nb.cells)
    assert notes == ["The cell `vae_model` stands there more than once; the first one counts as that cell."]


def test_no_ids_of_cells_keep_the_reading_going_and_each_reading_gives_the_same(assignment, handed_in):
    long = "a" * 50
    for number, id in enumerate((long, f"{long}-2", long, f"{'a' * 30}-4-0", long, "zelle-ü", "", "x" * 65)):
        handed_in.cells[number].id = id
    ids = [[c.id for c in repaired(handed_in, assignment)[0].cells] for _ in range(2)]
    assert ids[0] == ids[1]
    assert len(set(ids[0])) == len(ids[0])
    nbformat.validate(repaired(handed_in, assignment)[0])


@pytest.mark.parametrize("grade_id", ["reparameterize", "kl_divergence"])
def test_a_deleted_test_cell_comes_back_where_it_was(handed_in, assignment, grade_id):
    intact, _ = repaired(handed_in, assignment)
    handed_in.cells.remove(cell(handed_in, grade_id))
    nb, notes = repaired(handed_in, assignment)
    assert [c.source for c in nb.cells] == [c.source for c in intact.cells]
    assert notes == [f"The cell `{grade_id}` was missing and was put back."]


def test_a_deleted_test_cell_comes_back_below_what_the_student_put_in(handed_in, assignment):
    handed_in.cells.remove(cell(handed_in, "kl_divergence"))
    training = next(n for n, c in enumerate(handed_in.cells) if "def train_vae" in c.source)
    handed_in.cells.insert(training + 1, new_code_cell("mine = 1"))
    nb, _ = repaired(handed_in, assignment)
    assert nb.cells[nb.cells.index(cell(nb, "kl_divergence")) - 1].source == "mine = 1"


def test_a_deleted_solution_cell_comes_back_empty_so_that_an_answer_elsewhere_counts(handed_in, assignment):
    answer = cell(handed_in, "vae_loss")
    handed_in.cells[handed_in.cells.index(answer)] = new_code_cell("# mine\n" + "answer = 1")
    nb, _ = repaired(handed_in, assignment)
    assert "def compute_vae_loss" not in cell(nb, "vae_loss").source


def test_cells_without_metadata_are_recognised_by_id_or_by_what_they_define(handed_in, assignment):
    for c in handed_in.cells:
        c.metadata.pop("nbgrader", None)
    assert order(repaired(handed_in, assignment)[0]) == CELLS
    for number, c in enumerate(handed_in.cells):
        c.id = f"cell-{number}"
    nb, _ = repaired(handed_in, assignment)
    assert (
        cell(nb, "vae_model").source
        == handed_in.cells[[c.source for c in handed_in.cells].index(cell(nb, "vae_model").source)].source
    )
    assert order(nb) == CELLS


def test_test_cells_points_and_tags_are_the_masters(handed_in, assignment):
    for grade_id in ("reparameterize", "kl_divergence"):
        edited = cell(handed_in, grade_id)
        edited.source = "5.0"
        edited.metadata.update(tags=["skip-execution"], editable=True)
        edited.metadata.nbgrader.update(points=100, locked=False, solution=True)
    nb, notes = repaired(handed_in, assignment)
    for grade_id in ("reparameterize", "kl_divergence"):
        found, original = cell(nb, grade_id), cell(assignment.master, grade_id)
        found.metadata.nbgrader.pop("checksum")  # nbgrader's own, overwritten by it
        assert found.metadata == original.metadata
        assert visible(found.source) == visible(original.source)
    assert len(notes) == 2


def test_a_notebook_without_any_of_the_cells_is_ungradable(assignment):
    other = nbformat.v4.new_notebook(cells=[new_code_cell("print(1)")])
    with pytest.raises(Ungradable, match="another notebook"):
        repaired(other, assignment)


def test_attached_pictures_stay_and_other_attachments_go(release, assignment):
    png, script = {"image/png": "iVBORw0KGgo="}, {"text/html": "<script>"}
    nb = copy.deepcopy(release)
    answer = cell(nb, "reflection_beta")
    answer.attachments = {"a.png": png | script, "b.png": {"image/png": '"><script>'}, "c": script, "d": None}
    repaired_nb, _ = repaired(nb, assignment)
    assert cell(repaired_nb, "reflection_beta").attachments == {"a.png": png}
    answer.cell_type, cell(nb, "vae_loss").cell_type = "code", "markdown"
    cell(nb, "vae_loss").attachments = {"a.png": png}
    nbformat.validate(repaired(nb, assignment)[0])


def test_outputs_keep_text_and_pictures_and_nothing_that_runs():
    outputs = [
        new_output(
            "display_data",
            {"text/html": "<script>", "application/javascript": "x", "image/svg+xml": "<svg/>", "image/png": "iVBORw0KGgo="},
        ),
        new_output("display_data", {"image/png": "aGk="}),  # base64, but no picture
        new_output("display_data", {"image/jpeg": '"><script>'}),
        new_output("display_data", {"text/html": "<script>"}),
        new_output("execute_result", {"text/plain": "5.0"}, execution_count=3),
        new_output("stream", name="stderr", text="x" * 50_000),
        {"output_type": "surprise"},
        "not an output",
    ]
    clean = clean_outputs(outputs)
    assert [o.output_type for o in clean] == ["display_data", "display_data", "stream"]
    assert clean[0].data == {"image/png": "iVBORw0KGgo="}
    assert clean[1].data == {"text/plain": "5.0"}
    assert clean[2].text.endswith("(output cut here)")
    assert len(clean[2].text) < 21_000
