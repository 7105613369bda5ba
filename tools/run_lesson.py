"""Runs the master notebook of an assignment in place and stores its outputs, without progress bars.

python tools/run_lesson.py source/vae_swiss_roll/vae_swiss_roll.ipynb
"""

import copy
import pathlib
import re
import sys

import nbformat
from nbclient import NotebookClient
from nbconvert.preprocessors import CoalesceStreamsPreprocessor


def main(path):
    """Writes the notebook anew; an exception in a cell leaves the file as it was."""
    path = pathlib.Path(path)
    nb = nbformat.read(path, as_version=4)
    metadata = copy.deepcopy(nb.metadata)
    # In its own folder, where the last cell looks for the saved notebook.
    where = {"metadata": {"path": str(path.resolve().parent)}}
    client = NotebookClient(nb, timeout=600, kernel_name="python3", record_timing=False, resources=where)
    code = [cell for cell in nb.cells if cell.cell_type == "code"]

    def on_cell_start(cell, cell_index):
        if cell in code:
            print(f"{code.index(cell) + 1} of {len(code)}: {cell.id}", flush=True)

    client.on_cell_start = on_cell_start
    client.execute()
    for cell in code:  # a cell tagged `raises-exception` does not stop the run
        for output in cell.outputs:
            if output.output_type == "error":
                sys.exit(f"{cell.id}: {output.ename}: {output.evalue}")
    for cell in code:
        cell.outputs = [output for output in cell.outputs if not bar(output)]
    nb, _ = CoalesceStreamsPreprocessor().preprocess(nb, {})
    for cell in code:
        for output in cell.outputs:
            if output.output_type == "stream":
                output.text = re.sub(r"[^\n]*\r", "", output.text)  # a bar on stdout, which wipes itself out in the end
        cell.outputs = [output for output in cell.outputs if output.get("text", "full")]
    nb.metadata = metadata
    nbformat.write(nb, path)


def bar(output):
    """Whether this is a piece of tqdm's bar, redrawn with carriage returns. Other text on stderr stays, to be seen."""
    return output.get("name") == "stderr" and ("\r" in output.text or not output.text.strip())


if __name__ == "__main__":
    main(sys.argv[1])
