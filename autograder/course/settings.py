"""The marking settings of a course, as `nbgrader autograde` would read them."""

import dataclasses
import pathlib

from traitlets.config import PyFileConfigLoader

from autograder.errors import CourseError
from autograder.grading.settings import Settings

CONFIG = "nbgrader_config.py"


def settings_of(root, sandbox=None):
    """`Settings` from the nbgrader_config.py in the folder `root`, or the defaults where there is none.

    Args:
        sandbox: a backend to use instead of the configured one.

    Raises:
        CourseError: the file cannot be run.
    """
    settings = Settings()
    if (pathlib.Path(root) / CONFIG).exists():
        from autograder.nbgrader_plugin import GradeOutside  # nbgrader takes a second to import

        try:
            config = PyFileConfigLoader(CONFIG, path=str(root)).load_config()
        except Exception as error:  # whatever an instructor's file may raise
            raise CourseError(f"{pathlib.Path(root) / CONFIG} cannot be read: {type(error).__name__}: {error}") from error
        settings = GradeOutside(config=config).settings()
    return dataclasses.replace(settings, sandbox=sandbox) if sandbox else settings
