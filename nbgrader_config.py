"""nbgrader's configuration for this course: the stock commands, with marking done outside the students' kernels."""

from autograder.nbgrader import configure

c = get_config()  # noqa: F821  (nbgrader provides it)

c.CourseDirectory.course_id = "vae"
c.CourseDirectory.source_directory = "source"
c.CourseDirectory.release_directory = "notebooks"
c.CourseDirectory.ignore = [".ipynb_checkpoints", "*.pyc", "__pycache__", ".git"]

configure(c)

# What a course may set for marking, with its defaults; docs/settings.md says what each means.
c.GradeOutside.sandbox = "bubblewrap"
c.GradeOutside.device = "auto"
c.GradeOutside.execute = "needed"
c.GradeOutside.limits = {}
c.GradeOutside.points = {}
c.GradeOutside.policies = {}
