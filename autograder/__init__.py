"""Marks Jupyter assignments outside the students' interpreter.

`autograder.grading.submission.grade` marks one submission; everything else calls it.
"""

__version__ = "0.1.0"
