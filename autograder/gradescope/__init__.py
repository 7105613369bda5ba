"""Marking on Gradescope: an archive that is made here, and what it does there.

    autograder gradescope ─► archive.py: gradescope.zip
                                 setup.sh         there, when the image is built: an environment with what marks
                                 run_autograder   there, for each submission: starts __main__.py, and that mark.py, as root
                                 packages/        this package and the assignment's, as wheels
                                 course/          the course's master notebook, and what it gives to students
                                 marking.json     the course's settings

    /autograder/submission ─► mark.py ─► /autograder/results/results.json

The student's code runs under a user id of its own (the sandbox `uid`); all that it must not see is closed to other users before
it starts. What Gradescope expects, and where that is written, is in `docs/gradescope.md`.
"""

MARKING = "marking.json"
# Without their `hidden`, which does not hide the total: it is for tests that carry no points.
VISIBILITIES = ("visible", "after_due_date", "after_published")


def in_points(points: float) -> str:
    return f"{points:g} point{'' if points == 1 else 's'}"
