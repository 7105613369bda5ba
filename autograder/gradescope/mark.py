"""Marks one submission on Gradescope: `python -m autograder.gradescope /autograder`, as root.

close what students must not see ─► find their notebook ─► mark it ─► results/results.json

Where the grader itself fails there is no results.json: Gradescope then says that the autograder failed, gives no points, and
shows the instructor what was printed.
"""

import dataclasses
import json
import os
import pathlib
import time
from typing import Any

from nbgrader.coursedir import CourseDirectory
from traitlets.config import Config

from autograder.assignment import PACKAGE, Assignment
from autograder.errors import AutograderError, SandboxError
from autograder.gradescope import MARKING, in_points
from autograder.grading.settings import Settings
from autograder.grading.submission import grade
from autograder.grading.verdict import Outcome, Status, Verdict
from autograder.nbgrader import headings, recognition, submitted
from autograder.sandbox.outside import backends
from autograder.sandbox.outside.bubblewrap import assignments_folders
from autograder.sandbox.outside.limits import Limits

ENVIRONMENT = "env"  # all that the student's code needs of the folder


def main(root: pathlib.Path) -> int:
    """Writes the results. → exit code: 2 where the grader failed, and there are none."""
    path = root / "results" / "results.json"
    path.unlink(missing_ok=True)
    try:
        close(root)
        results = mark(root)
    except AutograderError as error:
        print(f"The grader failed; nothing was marked, and there is no score. {error}")
    except Exception as error:
        print(f"The grader failed in a way that nobody foresaw; nothing was marked, and there is no score. {error!r}")
    else:
        partial = path.with_suffix(".partial")
        partial.write_text(json.dumps(results, allow_nan=False), encoding="utf-8")
        partial.replace(path)
        return 0
    print("Mend it, then let Gradescope regrade the submissions. No student loses anything by it.")
    return 2


def mark(root: pathlib.Path) -> dict[str, Any]:
    """What stands in results.json."""
    started = time.monotonic()
    marking = json.loads((root / "source" / MARKING).read_text(encoding="utf-8"))
    about = marking["settings"]
    settings = Settings(**{**about, "limits": Limits(**about["limits"]), "packages": tuple(about["packages"])})
    config = Config({"Autograde": {"exclude_overwriting": marking["exclude_overwriting"]}})
    coursedir = CourseDirectory(config=config, root=str(root / "source" / "course"))
    assignment = recognition.in_course(coursedir, marking["assignment"])
    nobody = submitted.Others(frozenset(), frozenset(), frozenset())
    handed_in = submitted.look_at(root / "submission", pathlib.Path(), assignment, nobody, "")
    if handed_in is None or handed_in.path is None:
        seen = f" ({handed_in.problem})" if handed_in else ""
        verdict = Verdict(Status.UNGRADABLE, message=f"Hand in your {assignment.notebook_id}.ipynb.{seen}")
    else:
        files = submitted.files_beside(coursedir, assignment, handed_in.path)
        verdict = grade(handed_in.read(), assignment, settings, files=files).verdict
        verdict = dataclasses.replace(verdict, notes=(*filter(None, [handed_in.note]), *verdict.notes))
    return {"execution_time": round(time.monotonic() - started), **as_results(verdict, assignment, marking["visibility"])}


def close(root: pathlib.Path) -> None:
    """Closes to other users what the student's code must not see: checks and masters, the results, and all in the folder.

    Raises:
        SandboxError: this is not root, or something cannot be closed.
    """
    if os.geteuid() != 0:
        raise SandboxError("run_autograder must be run by root, as Gradescope does: only root can run code as another user.")
    private = [path for path in root.iterdir() if path.name != ENVIRONMENT and not path.is_symlink()]
    root.chmod(0o755)
    for path in {*private, PACKAGE, *assignments_folders()}:
        path.chmod(path.stat().st_mode & 0o700)


def as_results(verdict: Verdict, assignment: Assignment, visibility: str) -> dict[str, Any]:
    """A verdict as Gradescope reads it; all text is plain text.

    What cannot be marked gets 0 points here, and says that this is no mark: there is no other way to tell the student.
    """
    called = headings.names(assignment)
    machine = sum(assignment.graded_cells[cell]["points"] for cell in assignment.test_cells)
    about = {
        "output_format": "text",
        "test_output_format": "text",
        "test_name_format": "text",
        "visibility": visibility,
        "stdout_visibility": "hidden",
    }
    if verdict.status == Status.UNGRADABLE:
        said = f"Nothing could be marked, and 0 points are no mark: {verdict.message} Then hand in again."
        test = {"name": "Nothing could be marked", "score": 0, "max_score": machine, "status": "failed", "output": said}
        return {**about, "score": 0, "output": said, "tests": [{**test, "visibility": "visible"}]}
    tests: list[dict[str, Any]] = []
    for check in verdict.checks:
        same_task = [test for test in tests if test["number"].startswith(f"{assignment.test_cells.index(check.cell) + 1}.")]
        tests.append(
            {
                "name": f"{called[check.cell]}: {check.criterion.title}",
                "number": f"{assignment.test_cells.index(check.cell) + 1}.{len(same_task) + 1}",
                "score": check.points,
                "max_score": check.max_points,
                "status": "passed" if check.outcome == Outcome.PASSED else "failed",
                "output": check.message or "The criterion is met.",
                "visibility": visibility,
            }
        )
    by_person = [id for id, data in assignment.graded_cells.items() if data["grade"] and id not in assignment.test_cells]
    # Students see this text at once, whatever the visibility of the criteria.
    sentences = [f"{verdict.score:g} of {machine:g} points by machine."] if visibility == "visible" else []
    if by_person:
        sentences.append("Not yet marked; a person does that:")
        sentences += [f"- {called[id]} ({in_points(assignment.graded_cells[id]['points'])})" for id in by_person]
    sentences += [note for note in verdict.notes if note not in backends.WARNINGS.values()]
    return {**about, "score": verdict.score, "output": "\n".join(sentences), "tests": tests}
