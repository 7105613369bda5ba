"""A right submission that asks for the reader's name in an own cell, and for a password. Nobody answers: the
cells fail at once, and the mark is full."""

from nbformat.v4 import new_code_cell

from tests.hostile import cell

KIND = "harm"
BASE = "correct"
EXPECT = {"status": "graded", "min_score": 8.0, "max_score": 8.0}


def apply(nb):
    at = nb.cells.index(cell(nb, "vae_model"))
    nb.cells.insert(at, new_code_cell('name = input("Who is reading? ")\nprint("Hello", name)'))
    nb.cells.insert(at, new_code_cell("import getpass\ngetpass.getpass()"))
    return nb
