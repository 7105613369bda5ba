"""Outputs, stored and fresh, carry scripts, event handlers and a frame. The mark is 8; the pages that a person opens
(feedback, report) must not run them: no page title `PWNED_script`."""

from nbformat.v4 import new_code_cell, new_output

from tests.hostile import cell

KIND = "damage"
BASE = "correct"
EXPECT = {"status": "graded", "min_score": 8.0, "max_score": 8.0}

HTML = "<script>document.title='PWNED_script'</script><img src=x onerror=\"document.title='PWNED_script'\">"
CODE = f"""\
from IPython.display import HTML, Javascript, display
display(HTML({HTML!r}), Javascript("document.title='PWNED_script'"))
raise ValueError({HTML!r})
"""


def apply(nb):
    stored = new_output("display_data", {"text/html": HTML, "application/javascript": "document.title='PWNED_script'"})
    nb.cells.insert(nb.cells.index(cell(nb, "vae_model")), new_code_cell(CODE, outputs=[stored]))
    cell(nb, "kl_divergence").outputs = [stored]
    return nb
