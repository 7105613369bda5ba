"""A sample class for `autograder demo`: thirty students such as every course has."""

import copy
from collections.abc import Sequence

from nbformat import NotebookNode, writes
from nbformat.v4 import new_code_cell, new_output

from autograder.assignment import load
from autograder.course.fill import cell, fill
from autograder.grading.notebook import grade_id_of

RIGHT = {
    "vae_model": """\
def reparameterize(self, mu, logvar):
    std = torch.exp(0.5 * logvar)
    eps = torch.randn_like(std)
    return mu + eps * std
""",
    "vae_loss": """\
def compute_vae_loss(model, x, beta):
    recon_x, mu, logvar = model(x)
    recon = torch.mean((recon_x - x) ** 2)
    kl = -0.5 * torch.mean(1 + logvar - mu.pow(2) - logvar.exp())
    return recon + beta * kl
""",
}
# The task's test cell → the cell that answers it, and a right answer.
ANSWERS = {"reparameterize": ("vae_model", RIGHT["vae_model"]), "kl_divergence": ("vae_loss", RIGHT["vae_loss"])}
WRITTEN = {
    "reflection_trick": (
        "A sample is a random event, and autograd cannot differentiate through drawing one. Writing z as mu plus a scaled "
        "noise that does not depend on the encoder makes z a smooth function of mu and logvar. Sampled directly, the code "
        "still runs and the decoder still learns, but the encoder hears nothing from the reconstruction."
    ),
    "reflection_dynamics": (
        "At step 0 all means sit in one place. At step 500 the roll is spread over the plane, sorted by position; step 1000 "
        "looks much the same."
    ),
    "reflection_beta": "A small beta gives sharp reconstructions and a wide latent space; a large one the opposite.",
}


# How others answer: something is missing, nearly everything is, or it is wrong. What is not here was left empty.
FAIR = {
    "reflection_trick": (
        "Sampling is not differentiable, so the gradient of the reconstruction cannot get to mu and logvar. With the trick the "
        "noise comes from outside and the gradient flows."
    ),
    "reflection_dynamics": (
        "At step 0 there is one dot in the middle. At 500 one sees the spiral with the colours in order, at 1000 it is the "
        "same but a bit smoother. The reconstruction pulls the points apart."
    ),
    "reflection_beta": (
        "0.001: recon 0.0007, KL 2.8. 0.01: recon 0.004, KL 1.7. 0.1: recon 0.045, KL 0.7. The reconstruction gets worse with "
        "beta because the clouds overlap. The new points look best at 0.01."
    ),
}
THIN = {
    "reflection_trick": "Because otherwise backpropagation does not work.",
    "reflection_dynamics": "The points spread out during training.",
    "reflection_beta": "Beta decides how important the KL is.",
}
WRONG = {
    "reflection_trick": "Without the trick `torch.normal` raises an error and training stops, so nothing is learned.",
    "reflection_dynamics": "The latent space is a circle at the start and collapses to a point after 1000 steps.",
    "reflection_beta": "A larger beta is always better, since the model is then more regularised and generalises.",
}


def sampler(body: str) -> str:
    """`reparameterize` with that body."""
    return "def reparameterize(self, mu, logvar):\n" + "".join(f"    {line}\n" for line in body.split("\n"))


def loss(kl: str) -> str:
    """`compute_vae_loss` with that expression for the KL."""
    return RIGHT["vae_loss"].replace("-0.5 * torch.mean(1 + logvar - mu.pow(2) - logvar.exp())", kl)


def sample(body: str, **written: str) -> dict[str, str]:
    """Answers with that body of `reparameterize`."""
    return {"vae_model": sampler(body), **written}


def kl(expression: str, **written: str) -> dict[str, str]:
    """Answers with that expression for the KL."""
    return {"vae_loss": loss(expression), **written}


DISTRIBUTIONS = {
    **sample("return torch.distributions.Normal(mu, torch.exp(logvar / 2)).rsample()"),
    **kl(
        "torch.distributions.kl_divergence(torch.distributions.Normal(mu, torch.exp(logvar / 2)),\n"
        "        torch.distributions.Normal(torch.zeros_like(mu), torch.ones_like(mu))).mean()"
    ),
}
# Student → (what they did, answers in place of the right ones).
ANSWERED: dict[str, tuple[str, dict[str, str]]] = {
    "ada": ("everything right, questions answered", WRITTEN),
    "ben": (
        "right, with torch.distributions",
        {**DISTRIBUTIONS, "reflection_trick": WRITTEN["reflection_trick"]},
    ),
    "chloe": ("variance used as the standard deviation", sample("return mu + logvar.exp() * torch.randn_like(mu)")),
    "dan": ("torch.normal instead of the trick", sample("return torch.normal(mu, torch.exp(0.5 * logvar))")),
    "eva": ("factor ½ missing in the KL", kl("-torch.mean(1 + logvar - mu.pow(2) - logvar.exp())")),
    "finn": (
        "uniform noise; KL summed over the batch",
        {
            **sample("return mu + torch.exp(0.5 * logvar) * torch.rand_like(mu)"),
            **kl("-0.5 * torch.sum(1 + logvar - mu.pow(2) - logvar.exp())"),
        },
    ),
    "hugo": ("noise made on the CPU", sample("return mu + torch.exp(0.5 * logvar) * torch.randn(mu.shape)")),
    "iris": (
        "a loss that never returns",  # and leaves the processor to others meanwhile
        {
            "vae_loss": RIGHT["vae_loss"].replace(
                "    recon =", "    import time\n\n    while True:\n        time.sleep(1)\n    recon ="
            )
        },
    ),
    "mia": ("right, thin answers", THIN),
    "nils": (
        "variance for the standard deviation, in two lines",
        sample("std = torch.exp(logvar)\neps = torch.randn_like(std)\nreturn mu + eps * std", **FAIR),
    ),
    "olga": (
        "the same, with other names",
        sample("sigma = torch.exp(logvar)\nnoise = torch.randn_like(sigma)\nreturn mu + noise * sigma", **THIN),
    ),
    "pavel": ("right, fair answers", {**kl("0.5 * (mu**2 + logvar.exp() - logvar - 1).sum(dim=1).mean()"), **FAIR}),
    "quinn": (
        "the gradient cut by detach, no ½ in the KL",
        {
            **sample("std = torch.exp(0.5 * logvar)\nz = mu + std * torch.randn_like(std)\nreturn z.detach()"),
            **kl("-torch.mean(1 + logvar - mu.pow(2) - logvar.exp())", **WRONG),
        },
    ),
    "rosa": ("sign of the KL turned", kl("0.5 * torch.mean(1 + logvar - mu.pow(2) - logvar.exp())", **FAIR)),
    "sven": (
        "KL summed over the batch",
        kl("-0.5 * torch.sum(1 + logvar - mu.pow(2) - logvar.exp())", reflection_trick=FAIR["reflection_trick"]),
    ),
    "tara": (
        "right, good answers",
        {**sample("noise = torch.empty_like(mu).normal_()\nreturn mu + noise * logvar.exp().sqrt()"), **WRITTEN},
    ),
    "umut": (
        "factor ½ missing, another way of writing it",
        kl("(mu**2 + logvar.exp() - logvar - 1).mean()", reflection_beta=THIN["reflection_beta"]),
    ),
    "vera": ("noise made once for all points", sample("return mu + torch.exp(0.5 * logvar) * torch.randn(1).to(mu)", **THIN)),
    "wim": (
        "logvar as the standard deviation, in the KL too",
        {
            **sample("return mu + logvar * torch.randn_like(mu)"),
            **kl("0.5 * torch.mean(mu**2 + logvar**2 - torch.log(logvar**2) - 1)", **WRONG),
        },
    ),
    "xenia": ("right, one answer", {"reflection_beta": FAIR["reflection_beta"]}),
    "yann": ("σ where the KL has σ²", kl("0.5 * torch.mean(mu**2 + torch.exp(0.5 * logvar) - logvar - 1)", **FAIR)),
    "zoe": ("right, good answers", WRITTEN),
    "aylin": ("right, fair answers", FAIR),
    "boris": (
        "variance for σ, and the KL summed over the batch",
        {
            **sample("std = torch.exp(logvar)\neps = torch.randn_like(std)\nreturn mu + eps * std"),
            **kl("-0.5 * torch.sum(1 + logvar - mu.pow(2) - logvar.exp())"),
        },
    ),
    "clara": (
        "torch.normal, good answers all the same",
        sample("std = logvar.mul(0.5).exp()\nreturn torch.normal(mu, std)", **FAIR),
    ),
    "david": ("a typing error in the loss", kl("-0.5 * torch.mean(1 + logvar - mu.pow(2) - logvr.exp())", **THIN)),
}
# Who ran the notebook to its end, and which experiments they did: their files hold the figures that right answers give.
EXPERIMENTS = {
    "ada": ("dynamics", "beta"),
    "aylin": ("dynamics", "beta"),
    "ben": (),
    "hugo": (),
    "pavel": ("dynamics", "beta"),
    "tara": ("dynamics", "beta"),
    "xenia": ("beta",),
    "zoe": ("dynamics", "beta"),
}


def students(release: NotebookNode) -> dict[str, tuple[str, bytes]]:
    """name → (what they did, the submitted file's bytes), made from the release (a notebook), in the order of names."""

    def submit(nb: NotebookNode) -> bytes:
        text: str = writes(nb)
        return text.encode()

    right = fill(release, {**RIGHT, **WRITTEN})
    made = {
        "gina": ("handed in untouched", submit(release)),
        "jack": ("the upload broke off", submit(right)[:20_000]),
        "kim": ("right, but the test cells were copied and deleted", submit(damaged(right))),
        "liam": ("nothing solved, tries to take the points", submit(dishonest(release))),
    }
    for student, (story, answers) in ANSWERED.items():
        made[student] = story, submit(run(fill(release, {**RIGHT, **answers}), EXPERIMENTS.get(student)))
    return dict(sorted(made.items()))


def run(nb: NotebookNode, experiments: Sequence[str] | None) -> NotebookNode:
    """A copy with the code of these experiments, and the outputs of a run to the end: the master's, which is right too."""
    nb = copy.deepcopy(nb)
    if experiments is None:
        return nb
    master, done = load(__package__.rpartition(".")[2]).master, {f"experiment_{name}" for name in experiments}
    shown = {cell.id: cell for cell in master.cells if cell.cell_type == "code"}
    for one in nb.cells:
        grade_id, right = grade_id_of(one), shown.get(one.id)
        if right is None or (grade_id and grade_id not in done):
            continue
        one.outputs = copy.deepcopy(right.outputs)
        if grade_id:
            one.source = "\n".join(line for line in right.source.split("\n") if " SOLUTION" not in line)
    return nb


def damaged(nb: NotebookNode) -> NotebookNode:
    """One test cell stands there twice, the other is gone."""
    nb = copy.deepcopy(nb)
    test = cell(nb, "reparameterize")
    twin = copy.deepcopy(test)
    twin.id = "a-copy"
    nb.cells.insert(nb.cells.index(test) + 1, twin)
    nb.cells.remove(cell(nb, "kl_divergence"))
    return nb


def dishonest(nb: NotebookNode) -> NotebookNode:
    """Looks for solutions and the gradebook on the disk, skips the tests and stores outputs that look like full marks."""
    nb = copy.deepcopy(nb)
    search = (
        "import pathlib\n"
        "for folder in pathlib.Path.cwd().parents:\n"
        "    for found in [*folder.glob('source/*/*.ipynb'), *folder.glob('gradebook.db'), *folder.glob('*/checks/*.py')]:\n"
        "        print(found.read_bytes())\n"
    )
    nb.cells.insert(nb.cells.index(cell(nb, "vae_model")), new_code_cell(search))
    for grade_id, score in (("reparameterize", "5.0"), ("kl_divergence", "3.0")):
        test = cell(nb, grade_id)
        test.metadata["tags"] = ["skip-execution"]
        test.outputs = [new_output("execute_result", {"text/plain": score}, execution_count=1)]
    return nb
