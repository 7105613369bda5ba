"""nbgrader's configuration for this course: the stock commands, with marking done outside the students' kernels."""

from autograder import pages

c = get_config()  # noqa: F821  (nbgrader provides it)

c.CourseDirectory.course_id = "vae"
c.CourseDirectory.source_directory = "source"
c.CourseDirectory.release_directory = "notebooks"
c.CourseDirectory.ignore = [".ipynb_checkpoints", "*.pyc", "__pycache__", ".git"]

# --- the release: `nbgrader generate_assignment` or, with a proof that nothing leaked, `autograder release` ---
c.ClearSolutions.code_stub = {"python": "# Write your answer here (replace this line)."}
c.ClearSolutions.text_stub = "*Write your answer here.*"
# With the release committed and the gradebook not, nbgrader would skip the assignment and register nothing.
c.GenerateAssignment.force = True

# --- marking: `nbgrader autograde` ---
c.Autograde.exporter_class = "autograder.nbgrader_plugin.SubmissionExporter"
c.Autograde.sanitize_preprocessors = [
    "autograder.nbgrader_plugin.KeepOutputs",
    "nbgrader.preprocessors.DeduplicateIds",
    "nbgrader.preprocessors.OverwriteKernelspec",
    "nbgrader.preprocessors.OverwriteCells",
    "autograder.nbgrader_plugin.CheckMetadata",
]
c.Autograde.autograde_preprocessors = [
    "autograder.nbgrader_plugin.GradeOutside",
    "nbgrader.preprocessors.IgnorePattern",
    "nbgrader.preprocessors.LimitOutput",
    "autograder.nbgrader_plugin.SaveGrades",
    "nbgrader.preprocessors.AssignLatePenalties",
    "autograder.nbgrader_plugin.CheckMetadata",
]
# What one submission may use (defaults and meaning: autograder/sandbox/limits.py), what a criterion is worth, and what is
# accepted of what may be argued about. `autograder rubric` shows the last two.
c.GradeOutside.sandbox = "bubblewrap"
c.GradeOutside.device = "auto"  # device mistakes: on the GPU where there is one ("cuda" insists), else, or "cpu", without
c.GradeOutside.execute = "needed"  # the cells that the marks depend on, keeping the student's outputs elsewhere; or "all"
c.GradeOutside.limits = {}
c.GradeOutside.points = {}
c.GradeOutside.policies = {}

# --- feedback: `nbgrader generate_feedback` ---
c.GenerateFeedback.preprocessors = [
    "autograder.nbgrader_plugin.StripForStudents",
    "nbgrader.preprocessors.GetGrades",
    "nbconvert.preprocessors.CSSHTMLHeaderPreprocessor",
]

# --- what a browser gets to see of a submission: feedback pages and formgrader (autograder/pages.py says how) ---
c.HTMLExporter.sanitize_html = True
c.HTMLExporter.filters = {"markdown2html": "autograder.pages.markdown2html", "clean_html": "autograder.pages.clean_html"}
c.HTMLExporter.extra_template_basedirs = pages.TEMPLATES
