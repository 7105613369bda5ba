"""What the notebook's names stood for at several moments: a function that is called as of then finds its globals of then.

All cells run before anything is called, since a cell that ran later could print what a call brought with it. The notebook's
namespace is therefore kept at each moment that counts, and put back while functions are called as of that moment.
"""

from collections.abc import Iterable
from typing import Any

Namespace = dict[str, Any]
NOW = ""  # the moment after the last cell

# Bound early: student code may replace what names stand for.
_dict, _vars, _isinstance, _type, _setattr, _delattr, _Exception = dict, vars, isinstance, type, setattr, delattr, Exception
MACHINERY = frozenset({"__dict__", "__weakref__", "__doc__", "__module__", "__abstractmethods__", "_abc_impl"})


class Moments:
    """The moments of one notebook."""

    def __init__(self) -> None:
        self._names: dict[str, Namespace] = {}
        self._classes: dict[str, list[tuple[type, Namespace]]] = {}
        self._at = NOW

    def keep(self, moment: str, namespace: Namespace, names: Iterable[str]) -> None:
        """Keeps the namespace as it is.

        Args:
            names: of classes that are kept with their attributes, which may be assigned anew later.
        """
        self._names[moment] = _dict(namespace)
        found = [namespace[name] for name in names if name in namespace]
        self._classes[moment] = [(thing, _dict(_vars(thing))) for thing in found if _isinstance(thing, _type)]

    def go(self, moment: str, namespace: Namespace) -> None:
        """Puts the namespace of a moment back, with what functions have changed in it since; one that was not kept is `NOW`."""
        moment = moment if moment in self._names else NOW
        if moment == self._at:
            return
        self.keep(self._at, namespace, self._classes_in(namespace))
        namespace.clear()
        namespace.update(self._names[moment])
        for cls, attributes in self._classes[moment]:
            put_back(cls, attributes)
        self._at = moment

    def _classes_in(self, namespace: Namespace) -> list[str]:
        """The names of the classes that were kept at any moment."""
        kept = {id(cls) for classes in self._classes.values() for cls, _ in classes}
        return [name for name, thing in namespace.items() if id(thing) in kept]


def put_back(cls: type, attributes: Namespace) -> None:
    """Gives a class its attributes of then."""
    now = _dict(_vars(cls))
    for name in now.keys() - attributes.keys() - MACHINERY:
        _delattr(cls, name)
    for name, value in attributes.items():
        if name not in MACHINERY and now.get(name) is not value:
            _setattr(cls, name, value)
