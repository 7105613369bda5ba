"""Runs the master notebook of an assignment in place and stores its outputs, progress bars left out.

python tools/run_lesson.py source/vae_swiss_roll/vae_swiss_roll.ipynb
"""

import sys

import nbformat
from nbclient import NotebookClient


def main(path):
    nb = nbformat.read(path, as_version=4)
    client = NotebookClient(nb, timeout=600, kernel_name="python3", record_timing=False)
    code = [cell for cell in nb.cells if cell.cell_type == "code"]

    def on_cell_start(cell, cell_index):
        if cell in code:
            print(f"{code.index(cell) + 1} of {len(code)}: {cell.id}", flush=True)

    client.on_cell_start = on_cell_start
    client.execute()
    for cell in code:
        cell.outputs = [output for output in cell.outputs if output.get("name") != "stderr"]
    nbformat.write(nb, path)


if __name__ == "__main__":
    main(sys.argv[1])
