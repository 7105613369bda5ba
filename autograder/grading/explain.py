"""Sentences for a call that ended badly.

An exception's text is the student's to write, so it could carry the hidden inputs out into the feedback. What is shown is
made of our own words, of names that stand in the submission itself, and of small numbers in known messages of torch.
"""

import re

from autograder.errors import BadReply, NotCallable, Raised, SubmissionError, TimedOut, WorkerDied
from autograder.grading.pytorch import Mistake

# pattern over the message → sentence, with the pattern's groups; identifiers are checked against the submission's source
KNOWN = [
    ("NameError", r"name '(\w+)' is not defined", "the name `{0}` is not defined"),
    ("UnboundLocalError", r"local variable '(\w+)'", "the variable `{0}` is used before it has a value"),
    ("AttributeError", r"has no attribute '(\w+)'", "there is no attribute `{0}`"),
    ("TypeError", r"unexpected keyword argument '(\w+)'", "`{0}` is not an argument of the function that is called"),
    ("TypeError", r"missing \d+ required positional argument", "a call lacks an argument"),
    ("TypeError", r"takes \d+ positional arguments? but \d+", "a call has too many arguments"),
    (
        "TypeError",
        r"only integer tensors|only one element tensors",
        "a function for single numbers is applied to a tensor",
    ),
    (
        "RuntimeError",
        r"size of tensor a \((\d+)\) must match the size of tensor b \((\d+)\)",
        "sizes {0} and {1} do not fit",
    ),
    ("RuntimeError", r"a leaf Variable that requires grad", "an input is changed in place"),
    ("RuntimeError", r"modified by an inplace operation", "a tensor that autograd still needs is changed in place"),
    (
        "RuntimeError",
        r"backward through the graph a second time",
        "`backward` runs inside the function; the training loop calls it",
    ),
    (
        "RuntimeError",
        r"Can't call numpy\(\) on Tensor that requires grad",
        "numpy is used on a tensor that carries a gradient",
    ),
    ("ValueError", r"Expected parameter (\w+)", "the parameter `{0}` of a distribution is not valid, negative perhaps"),
    (
        "ValueError",
        r"only one element tensors can be converted",
        "a function for single numbers is applied to a tensor",
    ),
    ("RuntimeError", r"Boolean value of Tensor", "a whole tensor is used as a yes or no"),
]


Explanation = tuple[str, str | None, str | None]


def explain(error: SubmissionError, source: str, like: str) -> Explanation:
    """(sentence, misconception, device) for a SubmissionError.

    Args:
        source: the submission's code.
        like: the input on whose device new tensors belong.
    """
    if isinstance(error, NotCallable):
        return f"The notebook does not define `{error.name}`, or the cell that does so failed.", None, None
    if isinstance(error, TimedOut):
        return (
            f"`{error.what}` did not return within {error.limit:g} seconds: look for a loop that never ends.",
            None,
            None,
        )
    if isinstance(error, WorkerDied):
        return (
            f"Python itself ended while `{error.what}` was running: it used too much memory, called `exit`, or recursed "
            "too deep.",
            None,
            None,
        )
    if isinstance(error, BadReply):
        return "What came back could not be read as a tensor of numbers.", None, None
    if isinstance(error, Raised):
        sentence, misconception, device = raised(error, source, like)
        return error.where + sentence, misconception, device
    return "The code could not be run to its end.", None, None


def no_answer(error: SubmissionError) -> bool:
    """Whether it says that there is no answer: nothing of that name, or the stub as it was handed out."""
    return isinstance(error, NotCallable) or (isinstance(error, Raised) and is_stub(error))


def is_stub(error: Raised) -> bool:
    """Whether it is the stub's; torch raises the same where a device is not there."""
    return error.kind == "NotImplementedError" and not error.device


def raised(error: Raised, source: str, like: str) -> Explanation:
    where = quoted(error.line, source)
    if is_stub(error):
        return "The task is still to do: its stub raises `NotImplementedError`.", Mistake.NOT_DONE, None
    if error.device:
        return (
            f"The call failed because tensors are on different devices, or on one that is not there{where}: make new tensors "
            f"on the device of `{like}`.",
            Mistake.FIXED_DEVICE,
            None,
        )
    kind = f"`{error.kind}`" if error.kind else "an exception of your own"
    for name, pattern, sentence in KNOWN:
        match = re.search(pattern, error.text[:2000]) if error.kind == name else None
        if match and all((word.isdigit() and len(word) <= 6) or word_in(word, source) for word in match.groups()):
            return f"The call raised {kind}{where}: {sentence.format(*match.groups())}.", Mistake.RAISES, None
    return f"The call raised {kind}{where}. Run the cell's visible checks and follow the traceback.", Mistake.RAISES, None


def quoted(line: str | None, source: str) -> str:
    """The failing line, quoted, when it is literally one of the submission's."""
    if line and len(line) <= 160 and line.isprintable() and line in (part.strip() for part in source.splitlines()):
        return f" at `{line}`"
    return ""


def word_in(word: str, source: str) -> bool:
    return re.search(rf"\b{re.escape(word)}\b", source) is not None
