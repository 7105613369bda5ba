"""Runs a student release as a student's machine would, without any package of ours: it should stop at the first task.

Needs only what a student installs: torch, numpy, matplotlib, tqdm, and nbclient and ipykernel in place of JupyterLab.

    python tools/run_release.py notebooks/vae_swiss_roll/vae_swiss_roll.ipynb
"""

import pathlib
import sys
import tempfile

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

CELL, MESSAGE = "reparameterize", "Task 1 is still to do"


def main(path):
    """Exits with a sentence unless the first cell that fails is the first test cell, with the task's message."""
    nb = nbformat.read(path, as_version=4)
    with tempfile.TemporaryDirectory() as folder:
        client = NotebookClient(nb, timeout=120, kernel_name="python3", resources={"metadata": {"path": folder}})
        try:
            client.execute()
        except CellExecutionError as error:
            stopped = error
        else:
            sys.exit(f"{path} ran to its end, although no task is solved.")
    failed = next(cell for cell in nb.cells if any(output.output_type == "error" for output in cell.get("outputs", [])))
    where = failed.metadata.get("nbgrader", {}).get("grade_id", "a cell without nbgrader metadata")
    if where != CELL or MESSAGE not in stopped.evalue:
        sys.exit(f"{path} stopped at {where}, not at {CELL} with “{MESSAGE}”:\n{stopped}")
    print(f"{pathlib.Path(path).name} ran up to {where} and said: {stopped.evalue}")


if __name__ == "__main__":
    sys.stdout.reconfigure(encoding="utf-8")
    main(sys.argv[1])
