"""Feedback back to where the submissions came from, under the names by which the system knows them.

    feedback/STUDENT/ASSIGNMENT/ ─┐
    collected.json ───────────────┴─► `pack`: a zip for each system

What each system takes is in docs/lms.md, with its sources.
"""

import json
import pathlib
from collections.abc import Mapping
from typing import Any

from nbgrader.coursedir import CourseDirectory

from autograder.errors import CourseError


def collected(coursedir: CourseDirectory, assignment_id: str) -> dict[str, dict[str, Any]]:
    """student → what `autograder collect` has recorded of them; empty where nothing was collected so.

    Raises:
        CourseError: the record is damaged.
    """
    path = pathlib.Path(coursedir.root, "downloaded", assignment_id, "collected.json")
    try:
        students: dict[str, dict[str, Any]] = json.loads(path.read_text(encoding="utf-8"))["students"]
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CourseError(f"{path} is damaged: put back a copy of it, or move it away. {error}") from error
    return students


def lms_ids(coursedir: CourseDirectory, assignment_id: str) -> dict[str, Mapping[str, str]]:
    """student → the ids by which the system knows them, as far as they were collected."""
    return {student: about.get("lms_ids") or {} for student, about in collected(coursedir, assignment_id).items()}
