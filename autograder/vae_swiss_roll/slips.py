"""Wrong answers, for `autograder selftest --slips`: a typical slip in a right answer, and pairs of the commonest ones.

The right pieces are those of `variants.py`, in turn; the wrong ones are in `slips.yaml`, and each meets several right ones.
What an answer breaks is not said here: `truth.py` finds it out. Said are the kind of slip, and the names that would be right.
"""

import dataclasses
import functools
import itertools
import pathlib
from collections.abc import Iterator, Mapping
from typing import Any

import yaml

from autograder.vae_swiss_roll.variants import BEFORE, MODELS, RECONSTRUCTIONS, SAMPLERS, SCALES, UNSEEDED, function, in_layout

SIGNATURES = {"reparameterize": "reparameterize(self, mu, logvar)", "kl_divergence": "compute_vae_loss(model, x, beta)"}
TIMES = {"reparameterize": 6, "kl_divergence": 4}  # right answers that each slip is made in


@dataclasses.dataclass(frozen=True)
class Slip:
    """One wrong answer.

    Attributes:
        name: tells the pieces, the wrong ones first.
        target: the task.
        code: the whole function.
        kind: of slip.
        names: the misconceptions that are in it, under all their names; empty where none has one.
    """

    name: str
    target: str
    code: str
    kind: str
    names: frozenset[str]


@dataclasses.dataclass(frozen=True)
class Piece:
    """A wrong piece; `slips.yaml` describes the fields."""

    name: str
    code: str
    kind: str
    names: frozenset[str]
    whole: bool

    @property
    def lines(self) -> list[str]:
        return self.code.split("\n")


@functools.cache
def table(name: str) -> tuple[Piece, ...]:
    """The pieces of a table of `slips.yaml`, in its order."""
    kinds = tables()[name]
    return tuple(
        Piece(f"{name} {piece}", code, kind, frozenset(names.split()), bool(whole))
        for kind, rows in kinds.items()
        for piece, (code, names, *whole) in rows.items()
    )


@functools.cache
def tables() -> Mapping[str, Mapping[str, Mapping[str, list[str]]]]:
    text = pathlib.Path(__file__).with_name("slips.yaml").read_text(encoding="utf-8")
    found: Mapping[str, Mapping[str, Mapping[str, list[str]]]] = yaml.safe_load(text)
    return found


# The commonest slips, which also come in pairs: table → names.
COMMON = {
    "stds": "variance itself ones inverse half-outside of-m detach at-most-2 mean-of-std quarter",
    "noises": "rand_like per-column per-row one-number left-on-cpu doubled own-seed abs double",
    "sums": "no-mu minus-mu mu tuple add_ early m-doubled cpu",
    "kls": "half-missing plus-half log-std half-on-one exchanged mu-alone half-inside-exp quarter",
    "averages": "sum batch-twice sum-batch-mean-latent data-elements first-64 unreduced item latent-twice",
    "losses": "no-beta beta-on-recon both minus tiny squared",
    "term sq": "m minus-square nothing two-squares abs",
    "term var": "std minus squared nothing half",
    "term lv": "minus double half nothing",
    "term one": "nothing minus two",
}


# Slips that are another mistake together, under all its names.
TOGETHER: dict[tuple[str, ...], str] = {
    ("stds of-m", "sums mu"): "part_of_the_gradient_missing",  # mu reaches z through the spread still
    ("stds mean-of-std", "sums early"): "mu_scaled",  # by one number
    # The same numbers in other words.
    ("kls half-on-one", "averages data-elements"): "constant_with_wrong_factor sign_flipped",
    ("kls half-on-one", "losses minus"): "constant_with_wrong_factor half_missing",
    ("kls half-on-one", "losses tiny"): "constant_with_wrong_factor",
    ("term var std", "term lv half"): "sigma_for_both",
    ("term var squared", "term lv double"): "logvar_as_log_std",
    ("term lv double", "term one two"): "half_on_the_squares_alone",
}


def common(name: str) -> list[Piece]:
    return [piece for piece in table(name) if piece.name.removeprefix(f"{name} ") in COMMON[name].split()]


def slips() -> list[Slip]:
    """Every wrong answer, always in the same order, each under a name of its own."""
    found: dict[str, Slip] = {}
    for slip in itertools.chain(samplers(), in_places(), losses()):
        found.setdefault(slip.code, slip)  # what two ways lead to is one answer
    return list(found.values())


def made(target: str, right: str, lines: list[str], *wrong: Piece) -> Slip:
    """The Slip with these wrong pieces, in an answer of those right ones."""
    name = f"{' and '.join(piece.name for piece in wrong)} in {right}"
    kind = wrong[0].kind if len(wrong) == 1 else "two slips"
    names = {name for piece in wrong for name in piece.names}
    names.update(TOGETHER.get(tuple(piece.name for piece in wrong), "").split())
    return Slip(name, target, function(SIGNATURES[target], lines), kind, frozenset(names))


# --- reparameterize --------------------------------------------------------------------------------------------------

SEEDED = {name: code for name, code in SAMPLERS.items() if name not in UNSEEDED}
# Those of `variants.py` in which a wrong std does nothing else: none divides by it.
SUMS = {
    "sum": "m + eps * std",
    "addcmul": "torch.addcmul(m, eps, std)",
    "minus": "m - std * eps",
    "methods": "eps.mul(std).add(m)",
    "reversed": "std * eps + m",
}
LAYOUTS = ("whole", "columns", "flat", "unsqueezed", "transposed", "chunks")


class Samplers:
    """`reparameterize` with wrong pieces, and right ones in turn in their other places."""

    def __init__(self) -> None:
        self._layouts = itertools.cycle(LAYOUTS)
        self._right = {
            "std": itertools.cycle(SCALES.items()),
            "eps": itertools.cycle(SEEDED.items()),
            "z": itertools.cycle(SUMS.items()),
        }

    def __call__(self, before: Piece | None = None, **wrong: Piece) -> Slip:
        """Args: std, eps, z: the wrong pieces; before: lines at the start."""
        used = {
            part: (wrong[part].name, wrong[part].code) if part in wrong else next(self._right[part]) for part in self._right
        }
        slips = [*wrong.values(), *([before] if before else [])]
        whole = any(piece.whole for piece in slips) or used["eps"][0] == "Multivariate-sample"  # which wants two dimensions
        layout = "whole" if whole else next(self._layouts)
        lines = in_layout(layout, [f"std = {used['std'][1]}", f"eps = {used['eps'][1]}"], used["z"][1], "return ")
        lines = [*(before.lines if before else []), *BEFORE.get(used["eps"][0], []), *lines]
        right = [name for part, (name, _) in used.items() if part not in wrong]
        return made("reparameterize", "+".join([*right, layout]), lines, *slips)

    def parts(self) -> tuple[str, list[str]]:
        """(name, lines) of right m, v, std and eps."""
        (scale, std), (sampler, eps) = next(self._right["std"]), next(self._right["eps"])
        return f"{scale}+{sampler}", ["m, v = mu, logvar", *BEFORE.get(sampler, []), f"std = {std}", f"eps = {eps}"]


def samplers() -> Iterator[Slip]:
    make, times = Samplers(), range(TIMES["reparameterize"])
    for name, part in (("stds", "std"), ("noises", "eps"), ("sums", "z")):
        yield from (make(**{part: piece}) for piece in table(name) for _ in times)
    yield from (make(before=piece) for piece in table("seeds") for _ in times)
    yield from (make(std=std, eps=eps) for std in common("stds") for eps in common("noises"))
    yield from (make(std=std, z=z) for std in common("stds") for z in common("sums"))
    yield from (make(eps=eps, z=z) for eps in common("noises") for z in common("sums"))


# --- right in one place and wrong in another -------------------------------------------------------------------------

COLUMNS, ROWS = "torch.arange(mu.shape[1], device=mu.device)", "torch.arange(len(mu), device=mu.device)[:, None]"
# name → (kind of slip, which entries are there: a tensor, or one bool for all)
PLACES = {
    "the-third-dimension": ("width", f"{COLUMNS} >= 2"),
    "the-fourth-dimension": ("width", f"{COLUMNS} >= 3"),
    "the-last-dimension": ("width", f"{COLUMNS} == mu.shape[1] - 1"),
    "more-than-two-dimensions": ("width", "mu.shape[1] > 2"),
    "other-than-two-dimensions": ("width", "mu.shape[1] != 2"),
    "the-first-row": ("batch", f"{ROWS} == 0"),
    "the-last-row": ("batch", f"{ROWS} == len(mu) - 1"),
    "the-second-half": ("batch", f"{ROWS} > len(mu) / 2"),
    "beyond-64-rows": ("batch", f"{ROWS} >= 64"),
    "a-batch-of-one": ("batch", "len(mu) == 1"),
    "batches-other-than-128": ("batch", "len(mu) != 128"),
    "the-second-call": ("call", "self.calls > 1"),
    "evaluation-mode": ("mode", "not self.training"),
}
COUNT = 'self.calls = getattr(self, "calls", 0) + 1'
# name → (what is there instead of z, the names that would be right)
LOCAL = {
    "no-noise": ("mu", "noise_missing_in_places no_noise"),
    "std-alone": ("mu + std", "noise_missing_in_places no_noise noise_not_fresh"),
    "one-number": ("mu + std * eps[:1, :1]", "noise_shared_over_batch noise_shared_over_dimensions numbers_used_twice"),
    "one-row": ("mu + std * eps[:1]", "noise_shared_over_batch numbers_used_twice"),
    "one-column": ("mu + std * eps[:, :1]", "noise_shared_over_dimensions numbers_used_twice"),
    "uniform": ("mu + std * torch.rand_like(mu)", "uniform_noise noise_not_centred noise_cut_off noise_uneven"),
    "doubled-noise": (
        "mu + 2 * std * eps",
        "noise_not_unit noise_scale_varies scale_factor noise_with_heavy_tails noise_uneven",
    ),
    "variance": ("mu + std**2 * eps", "variance_as_std"),
    "no-scale": ("mu + eps", "no_scale"),
    "prior": ("eps", "no_scale no_gradient mu_not_used"),
    "no-mu": ("std * eps", "mu_not_used"),
    "zeros": ("torch.zeros_like(mu)", "noise_missing_in_places no_noise mu_not_used"),
    "mu-detached": ("mu.detach() + std * eps", "no_gradient part_of_the_gradient_missing"),
    "logvar-detached": ("mu + std.detach() * eps", "no_gradient part_of_the_gradient_missing"),
}
# The same, where the whole call goes wrong.
CALLS = {
    "exception": ('raise ValueError("no such case")', "raises"),
    "another-width": ("return z[:, :1].repeat(1, mu.shape[1] + 1)", "wrong_width wrong_shape"),
    "tuple": ("return z, mu", "returns_tuple"),
}
ALSO = {  # names that fit the kind of place, whatever is wrong there
    "call": {"noise_changes_with_calls", "noise_not_fresh", "noise_scale_varies", "noise_with_heavy_tails", "no_gradient"},
    "mode": {"eval_mode_differs"},
}


def in_places() -> Iterator[Slip]:
    """Each place with each thing that may be wrong there; then `bodies`."""
    make = Samplers()
    for (place, (kind, where)), (thing, (code, names)) in itertools.product(PLACES.items(), {**LOCAL, **CALLS}.items()):
        if thing in CALLS and kind == "call":
            continue  # nobody's training would go on
        right, lines = make.parts()
        lines = [*([COUNT] if kind == "call" else []), *lines, "z = mu + std * eps"]
        if thing in CALLS:
            lines += [f"if torch.as_tensor({where}).any():", f"    {code}", "return z"]
        else:
            lines += [f"there = torch.as_tensor({where}, device=mu.device)", f"return torch.where(there, {code}, z)"]
        wrong = Piece(f"{thing} at {place}", code, kind, frozenset({*names.split(), *ALSO.get(kind, ())}), True)
        yield made("reparameterize", right, lines, wrong)
    for piece in table("bodies"):
        for _ in range(TIMES["reparameterize"]):
            right, lines = make.parts()
            yield made("reparameterize", right, [*lines, *piece.lines], piece)


# --- compute_vae_loss ------------------------------------------------------------------------------------------------

FORMS = {
    "minus-half": "-0.5 * (({one}) + ({lv}) - ({sq}) - ({var}))",
    "half": "0.5 * (({sq}) + ({var}) - ({lv}) - ({one}))",
    "halved": "(({sq}) + ({var}) - ({lv}) - ({one})) / 2",
    "halves": "(({sq}) + ({var})) / 2 - ({lv}) / 2 - 0.5 * ({one})",
    "term-by-term": "0.5 * ({sq}) + 0.5 * ({var}) - 0.5 * ({lv}) - 0.5 * ({one})",
    "minus": "-(({one}) + ({lv}) - ({sq}) - ({var})) * 0.5",
    "variance-first": "0.5 * (({var}) - ({one}) - ({lv}) + ({sq}))",
}
TERMS = {  # of the forms → right ones
    "sq": ("m**2", "m.pow(2)", "m * m", "m.square()", "torch.pow(m, 2)"),
    "var": ("v.exp()", "torch.exp(v)", "torch.exp(0.5 * v) ** 2"),
    "lv": ("v", "torch.log(v.exp())"),
    "one": ("1", "1.0", "torch.ones_like(m)"),
}
KLS = {
    "minus-half": "-0.5 * (1 + v - m.pow(2) - v.exp())",
    "half": "0.5 * (m**2 + v.exp() - v - 1)",
    "expm1": "0.5 * (torch.expm1(v) - v + m * m)",
    "two-gaussians": "torch.log(1 / (v / 2).exp()) + (v.exp() + m**2) / 2 - 0.5",
    "kl_divergence": "D.kl_divergence(D.Normal(m, (v / 2).exp()), D.Normal(0.0, 1.0))",
}
AVERAGES = {
    "mean": "kl.mean()",
    "sum-mean": "kl.sum(dim=1).mean()",
    "by-numel": "kl.sum() / kl.numel()",
    "by-batch": "kl.sum() / len(kl)",
}
# Those of `variants.py` that also take a number for the KL.
LOSSES = {"sum": "recon + beta * kl", "reversed": "kl * beta + recon"}


class Losses:
    """`compute_vae_loss` with wrong pieces, and right ones in turn in their other places."""

    def __init__(self) -> None:
        rights: dict[str, Mapping[str, Any]] = {
            "kl": KLS,
            "average": AVERAGES,
            "model": MODELS,
            "recon": RECONSTRUCTIONS,
            "total": LOSSES,
        }
        self._right = {part: itertools.cycle(right.items()) for part, right in rights.items()}
        self._terms = {term: itertools.cycle(right) for term, right in TERMS.items()}
        self._forms = itertools.cycle(FORMS.items())

    def __call__(
        self,
        each: Piece | None = None,
        after: Piece | None = None,
        terms: Mapping[str, Piece] | None = None,
        **wrong: Piece,
    ) -> Slip:
        """A loss with wrong pieces.

        Args:
            kl, average, model, recon, total: the wrong pieces.
            terms: those of the KL.
            each, after: lines before and after the average.
        """
        right: list[str] = []
        code: dict[str, list[str]] = {}
        if terms:
            name, form = next(self._forms)
            right.append(name)
            parts = {term: terms[term].code if term in terms else next(self._terms[term]) for term in TERMS}
            code["kl"] = [form.format(**parts)]
        for part in self._right:
            if part in wrong:
                code[part] = wrong[part].lines
            elif part not in code:
                name, lines = next(self._right[part])
                right.append(name)
                code[part] = [lines] if isinstance(lines, str) else lines
        whole = [
            *code["model"],
            f"recon = {code['recon'][0]}",
            "m, v = mu, logvar",
            f"kl = {code['kl'][0]}",
            *(each.lines if each else []),
            f"kl = {code['average'][0]}",
            *(after.lines if after else []),
            f"return {code['total'][0]}",
        ]
        slips = [*(terms or {}).values(), *wrong.values(), *(piece for piece in (each, after) if piece)]
        return made("kl_divergence", "+".join(right), whole, *slips)


LEFT_OUT = "part_of_the_batch_left_out dimensions_left_out uneven_average"
# name → (what is there instead of kl, the names that would be right)
LOCAL_KLS = {
    "left-out": ("0 * kl", LEFT_OUT),
    "sign": ("-kl", "sign_flipped uneven_average not_an_average"),
    "doubled": ("2 * kl", "half_missing wrong_factor uneven_average not_an_average"),
    "detached": ("kl.detach()", "no_gradient part_of_the_gradient_missing"),
    "no-mu": ("0.5 * (v.exp() - v - 1)", "mu_missing uneven_average not_an_average"),
}


def losses_in_places(make: Losses) -> Iterator[Slip]:
    """As `in_places`: the KL of some entries goes wrong."""
    for (place, (kind, where)), (thing, (code, names)) in itertools.product(PLACES.items(), LOCAL_KLS.items()):
        if kind not in ("width", "batch"):
            continue
        lines = [f"there = torch.as_tensor({where}, device=mu.device)", f"kl = torch.where(there, {code}, kl)"]
        wrong = Piece(f"KL {thing} at {place}", "\n".join(lines), kind, frozenset(names.split()), True)
        yield make(each=wrong)


def losses() -> Iterator[Slip]:
    make, times = Losses(), range(TIMES["kl_divergence"])
    for term in TERMS:
        yield from (make(terms={term: piece}) for piece in table(f"term {term}") for _ in times)
    parts = {"kls": "kl", "averages": "average", "losses": "total", "reconstructions": "recon", "models": "model"}
    for name, part in parts.items():
        yield from (make(None, None, None, **{part: piece}) for piece in table(name) for _ in times)
    yield from (make(after=piece) for piece in table("states") for _ in times)
    yield from losses_in_places(make)
    yield from (make(kl=kl, average=average) for kl in common("kls") for average in common("averages"))
    yield from (make(kl=kl, total=total) for kl in common("kls") for total in common("losses"))
    for a, b in itertools.combinations(TERMS, 2):
        pairs = itertools.product(common(f"term {a}"), common(f"term {b}"))
        yield from (make(terms={a: first, b: second}) for first, second in pairs)
