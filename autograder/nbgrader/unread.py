"""What nbgrader's commands end with where it could not read the course's configuration.

nbgrader says that it cannot read a file and goes on without it: it would run students' code without a sandbox, and show them
the hidden checks in their feedback. `nbgrader_config.json`, beside this file, is installed into `etc/jupyter` of the Python
environment, which nbgrader reads before the course's own file, and names these exporters. Where that file is read and calls
`configure`, ours take their place; where it does not, they are the stock ones.
"""

import pathlib
from typing import Any

from nbconvert.exporters import HTMLExporter, NotebookExporter
from nbgrader.converters.base import BaseConverter

from autograder.nbgrader import configuration, ending


class Notebooks(NotebookExporter):
    """nbconvert's; exit code 2 where the course's configuration cannot be read."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        must_be_readable(self.parent)


class Pages(HTMLExporter):
    """nbconvert's; exit code 2 where the course's configuration cannot be read."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        must_be_readable(self.parent)


def must_be_readable(converter: BaseConverter) -> None:
    """SystemExit, with the file and the line in the log, where nbgrader went on without the configuration.

    Before any folder is touched: nbgrader makes the exporter first.
    """
    with ending.told(converter, "nothing was done"):
        for folder in dict.fromkeys((pathlib.Path.cwd(), pathlib.Path(converter.coursedir.root).resolve())):
            configuration.read(folder)
