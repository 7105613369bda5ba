"""What a command that starts often does first."""

import atexit
import gc
import sys


def start_quickly() -> None:
    """To be called before anything is imported, by what owns its process; it changes the whole of it.

    nbformat validates through jsonschema, which imports `rfc3987_syntax` if it is there, for a format that no notebook uses;
    that builds a grammar for more than 2 s. Where it cannot be imported, jsonschema does without.

    Python looks for garbage after every 700 new objects. Imports make hundreds of thousands, none of which is ever garbage, and
    the looking takes a fifth of their time. When Python ends it looks once more at all of them, for longer than anything else
    takes then.
    """
    sys.modules.setdefault("rfc3987_syntax", None)  # type: ignore[arg-type]
    gc.set_threshold(50_000, 20, 100)
    atexit.register(gc.freeze)
