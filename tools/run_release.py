"""Runs a student release as a student's machine would, without any package of ours: the first task should be named.

Needs only what a student installs: torch, numpy, matplotlib, tqdm, and nbclient and ipykernel in place of JupyterLab.

    python tools/run_release.py notebooks/vae_swiss_roll/vae_swiss_roll.ipynb
"""

import contextlib
import pathlib
import sys
import tempfile

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

CELL, MESSAGE = "reparameterize", "Task 1 is still to do"


def main(path):
    """Exits with a sentence unless the first cell that fails is the first test cell, with the task's message.

    There the run ends, although cells tagged `raises-exception` would not stop it.
    """
    nb = nbformat.read(path, as_version=4)
    with tempfile.TemporaryDirectory() as folder:
        client = NotebookClient(nb, timeout=120, kernel_name="python3", resources={"metadata": {"path": folder}})
        client.force_raise_errors = True
        with contextlib.suppress(CellExecutionError):
            client.execute()
    errors = [(cell, output) for cell in nb.cells for output in cell.get("outputs", []) if output.output_type == "error"]
    if not errors:
        sys.exit(f"{path} ran to its end without an error, although no task is solved.")
    failed, error = errors[0]
    where = failed.metadata.get("nbgrader", {}).get("grade_id", "a cell without nbgrader metadata")
    if where != CELL or MESSAGE not in error.evalue:
        said = "\n".join(error.traceback)
        sys.exit(f"{path} failed first at {where}, not at {CELL} with “{MESSAGE}”:\n{said}")
    print(f"{pathlib.Path(path).name} ran up to {where} and said: {error.evalue}")


if __name__ == "__main__":
    sys.stdout.reconfigure(encoding="utf-8")
    main(sys.argv[1])
