"""What stops nbgrader's commands where it could not read the configuration that puts our marking into a course.

nbgrader says that it cannot read a file and goes on without it: it would run students' code without a sandbox, and show them
the hidden checks in their feedback. `nbgrader_config.json`, beside this file, is installed into `etc/jupyter` of the Python
environment, which nbgrader reads, too. It names `Guard` for whatever converts notebooks, as a default: what a file sets for
`autograde` and the other commands, `configure` included, goes before it.
"""

import pathlib
from typing import Any

from jupyter_core.paths import jupyter_config_path
from nbconvert.exporters import Exporter
from nbgrader.converters.base import BaseConverter
from traitlets.config import Config

from autograder.errors import SettingError
from autograder.nbgrader import configuration, ending, recognition

INSTALLED = pathlib.Path(__file__).with_name("nbgrader_config.json")


class Guard(Exporter):
    """In place of nbgrader's own exporter, which it makes: a course without our marking is converted as ever."""

    def __new__(cls, *args: Any, parent: BaseConverter, **kwargs: Any) -> Any:
        with ending.told(parent, "nothing was done"):
            for path, config in readable(parent).items():
                if configuration.has_ours(config) and "exporter_class" in config[type(parent).__name__]:
                    # As it says so and is not in force, formgrader's server was started while it could not be read.
                    raise SettingError(
                        f"{path} could not be read when this program (formgrader: Jupyter) started. Start it again."
                    )
        return parent.trait_defaults("exporter_class")(*args, parent=parent, **kwargs)


def readable(converter: BaseConverter) -> dict[pathlib.Path, Config]:
    """nbgrader's configuration, by file; SettingError where one cannot be read that may put our marking into the course."""
    folders = (pathlib.Path.cwd(), pathlib.Path(converter.coursedir.root), *map(pathlib.Path, jupyter_config_path()))
    found = {}
    for path in dict.fromkeys(folder.resolve() / configuration.CONFIG for folder in folders):
        try:
            found[path] = configuration.read(path.parent)
        except SettingError:
            if may_be_ours(path, converter):
                raise
    return found


def may_be_ours(config: pathlib.Path, converter: BaseConverter) -> bool:
    """Whether a file that cannot be read names this package, or is of a course whose assignment is one of ours."""
    try:
        if b"autograder" in config.read_bytes():
            return True
    except OSError:
        return True
    return recognition.find(converter.coursedir, converter.coursedir.assignment_id) is not None
