"""A sample class for `autograder demo`: a dozen students such as every course has."""

import copy

from nbformat import NotebookNode, writes
from nbformat.v4 import new_code_cell, new_output

from autograder.course.fill import cell, fill

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


def sampler(body: str) -> str:
    """`reparameterize` with that body."""
    return "def reparameterize(self, mu, logvar):\n" + "".join(f"    {line}\n" for line in body.split("\n"))


def loss(kl: str) -> str:
    """`compute_vae_loss` with that expression for the KL."""
    return RIGHT["vae_loss"].replace("-0.5 * torch.mean(1 + logvar - mu.pow(2) - logvar.exp())", kl)


def students(release: NotebookNode) -> dict[str, tuple[str, bytes]]:
    """name → (what they did, the submitted file's bytes), made from the release (a notebook)."""

    def submit(nb: NotebookNode) -> bytes:
        text: str = writes(nb)
        return text.encode()

    def answers(vae_model: str = RIGHT["vae_model"], vae_loss: str = RIGHT["vae_loss"], **more: str) -> bytes:
        return submit(fill(release, {"vae_model": vae_model, "vae_loss": vae_loss, **more}))

    right = fill(release, {**RIGHT, **WRITTEN})
    return {
        "ada": ("everything right, questions answered", submit(right)),
        "ben": (
            "right, with torch.distributions",
            answers(
                sampler("return torch.distributions.Normal(mu, torch.exp(logvar / 2)).rsample()"),
                loss(
                    "torch.distributions.kl_divergence(torch.distributions.Normal(mu, torch.exp(logvar / 2)),\n"
                    "        torch.distributions.Normal(torch.zeros_like(mu), torch.ones_like(mu))).mean()"
                ),
                reflection_trick=WRITTEN["reflection_trick"],
            ),
        ),
        "chloe": (
            "variance used as the standard deviation",
            answers(sampler("return mu + logvar.exp() * torch.randn_like(mu)")),
        ),
        "dan": (
            "torch.normal instead of the trick",
            answers(sampler("return torch.normal(mu, torch.exp(0.5 * logvar))")),
        ),
        "eva": (
            "factor ½ missing in the KL",
            answers(vae_loss=loss("-torch.mean(1 + logvar - mu.pow(2) - logvar.exp())")),
        ),
        "finn": (
            "uniform noise; KL summed over the batch",
            answers(
                sampler("return mu + torch.exp(0.5 * logvar) * torch.rand_like(mu)"),
                loss("-0.5 * torch.sum(1 + logvar - mu.pow(2) - logvar.exp())"),
            ),
        ),
        "gina": ("handed in untouched", submit(release)),
        "hugo": (
            "noise made on the CPU",
            answers(sampler("return mu + torch.exp(0.5 * logvar) * torch.randn(mu.shape)")),
        ),
        "iris": (
            "a loss that never returns",
            answers(vae_loss=RIGHT["vae_loss"].replace("    recon =", "    while True:\n        pass\n    recon =")),
        ),
        "jack": ("the upload broke off", submit(right)[:20_000]),
        "kim": ("right, but the test cells were copied and deleted", submit(damaged(right))),
        "liam": ("nothing solved, tries to take the points", submit(dishonest(release))),
    }


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
