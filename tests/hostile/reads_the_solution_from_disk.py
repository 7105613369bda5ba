"""Searches the folders above the notebook for source notebooks, hidden tests and reference code, and installs what it
finds as its own answer. Nothing is solved, so nothing is earned; no such file may be in sight."""

from tests.hostile import cell

KIND = "cheat"
BASE = "stub"
EXPECT = {"status": "graded", "max_score": 0.0}

SEARCH = """

import itertools, json, pathlib, re

def files_nearby():
    for folder in [pathlib.Path.cwd(), *pathlib.Path.cwd().parents][:6]:
        for pattern in ("*.ipynb", "source/*/*.ipynb", "autograder/**/*.py", "autograded/*/*/*.ipynb", "*/checks/*.py"):
            try:
                yield from itertools.islice(folder.glob(pattern), 50)
            except OSError:
                pass

for path in itertools.islice(files_nearby(), 500):
    try:
        text = path.read_text()
        cells = json.loads(text)["cells"] if path.suffix == ".ipynb" else [{"source": text}]
        for code in ("".join(c["source"]) for c in cells):
            if "NotImplementedError" not in code and re.search(r"class VAE|def compute_vae_loss|HIDDEN TESTS", code):
                pathlib.Path("PWNED_solution_found").write_text(str(path))
                exec(code, globals())
    except Exception:
        pass
"""


def apply(nb):
    cell(nb, "vae_model").source += SEARCH
    cell(nb, "vae_loss").source += SEARCH
    return nb
