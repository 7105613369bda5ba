"""What puts our marking behind nbgrader's own commands, through the lists and classes that nbgrader lets a course configure.

    nbgrader generate_assignment    generate_assignment.py: looks at the course's master; stubs that name no solution
    nbgrader zip_collect            zip_collect.py: takes what a learning management system hands out
    nbgrader autograde              submitted.py finds what was handed in; autograde.py reads and repairs it, marks it outside,
                                    records
    nbgrader generate_feedback      generate_feedback.py: takes out what students must not see; student_page.py lays ours out
    nbgrader export                 export.py: an empty cell where nothing is marked yet
    nbgrader formgrader             pages.py: what a browser gets to see of a submission, here and in the feedback, is harmless

Which of a course's assignments is ours says recognition.py, for all of them; what the gradebook holds, marks.py; what being
late costs, late.py and deadlines.py; unread.py stops them where the course's configuration cannot be read.

A course's `nbgrader_config.py` needs two lines, `from autograder.nbgrader import configure` and `configure(c)`.
"""

import importlib.util
import pathlib
from typing import Any

from traitlets.config import Config

HERE = "autograder.nbgrader"
FORMGRADER = "http://localhost:8888/formgrader"  # where `jupyter lab` shows it, unless something else is at that port

Sections = dict[str, dict[str, Any]]
RELEASE: Sections = {
    "GenerateAssignment": {
        "exporter_class": f"{HERE}.generate_assignment.ReleaseExporter",
        "preprocessors": [
            "nbgrader.preprocessors.IncludeHeaderFooter",
            "nbgrader.preprocessors.InstantiateTests",
            "nbgrader.preprocessors.LockCells",
            f"{HERE}.generate_assignment.ClearSolutions",
            "nbgrader.preprocessors.ClearOutput",
            "nbgrader.preprocessors.CheckCellMetadata",
            "nbgrader.preprocessors.ComputeChecksums",
            "nbgrader.preprocessors.SaveCells",
            "nbgrader.preprocessors.ClearHiddenTests",
            "nbgrader.preprocessors.ClearMarkScheme",
            "nbgrader.preprocessors.ComputeChecksums",
            "nbgrader.preprocessors.CheckCellMetadata",
        ],
    },
}
MARKING: Sections = {
    "Autograde": {
        "exporter_class": f"{HERE}.autograde.SubmissionExporter",
        "sanitize_preprocessors": [
            f"{HERE}.autograde.KeepOutputs",
            "nbgrader.preprocessors.DeduplicateIds",
            "nbgrader.preprocessors.OverwriteKernelspec",
            "nbgrader.preprocessors.OverwriteCells",
            f"{HERE}.autograde.CheckMetadata",
        ],
        "autograde_preprocessors": [
            f"{HERE}.autograde.GradeOutside",
            "nbgrader.preprocessors.IgnorePattern",
            "nbgrader.preprocessors.LimitOutput",
            f"{HERE}.autograde.SaveGrades",
            "nbgrader.preprocessors.AssignLatePenalties",
            f"{HERE}.autograde.CheckMetadata",
        ],
    },
    "AssignLatePenalties": {"plugin_class": f"{HERE}.late.ByDeadlines"},
}
FEEDBACK: Sections = {
    "GenerateFeedback": {
        "exporter_class": f"{HERE}.generate_feedback.FeedbackExporter",
        "preprocessors": [
            f"{HERE}.generate_feedback.StripForStudents",
            f"{HERE}.generate_feedback.AddMarks",
            "nbconvert.preprocessors.CSSHTMLHeaderPreprocessor",
        ],
    },
}
EXPORT: Sections = {"ExportApp": {"plugin_class": f"{HERE}.export.ExportMarks"}}
COLLECT: Sections = {
    "ZipCollectApp": {
        "extractor_plugin": f"{HERE}.zip_collect.Extractor",
        "collector_plugin": f"{HERE}.zip_collect.CollectDownloads",
    },
}
PAGES: Sections = {
    "HTMLExporter": {
        "sanitize_html": True,
        "filters": {"markdown2html": f"{HERE}.pages.markdown2html", "clean_html": f"{HERE}.pages.clean_html"},
    },
}


def configure(c: Config) -> None:
    """Sets what marking outside needs, for all assignments of a course. What the course sets itself, before or after, stays."""
    nbgrader = importlib.util.find_spec("nbgrader")  # not imported: that takes half a second, and not every command needs it
    assert nbgrader is not None
    assert nbgrader.origin is not None
    # nbgrader's own templates come second.
    templates = [
        str(pathlib.Path(__file__).parent / "templates"),
        str(pathlib.Path(nbgrader.origin).parent / "server_extensions/formgrader/templates"),
    ]
    places = {"extra_template_basedirs": templates, "extra_template_paths": templates[1:]}  # ours extend nbgrader's by path
    pages: Sections = {"HTMLExporter": {**PAGES["HTMLExporter"], **places}}
    for settings in (RELEASE, COLLECT, MARKING, FEEDBACK, EXPORT, pages):
        for name, values in settings.items():
            for key, value in values.items():
                c[name].setdefault(key, value)
