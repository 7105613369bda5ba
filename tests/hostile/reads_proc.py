"""Solves nothing; reads what /proc shows of other processes, their environment, memory and open files, and prints it. There
is nothing to find: 0."""

from nbformat.v4 import new_code_cell

from tests.hostile import cell

KIND = "cheat"
BASE = "stub"
EXPECT = {"status": "graded", "max_score": 0.0}

CODE = """import os, pathlib

for process in pathlib.Path("/proc").glob("[0-9]*"):
    for name in ("environ", "cmdline", "maps"):
        try:
            text = (process / name).read_bytes()
        except OSError:
            continue
        if b"test_reparameterize" in text or b"gradebook" in text or b"reference.py" in text:
            pathlib.Path("PWNED_proc").write_bytes(text)
            raise SystemExit("LEAK " + repr(text[:200]))
"""


def apply(nb):
    nb.cells.insert(nb.cells.index(cell(nb, "vae_model")), new_code_cell(CODE))
    return nb
