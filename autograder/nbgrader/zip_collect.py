"""`nbgrader zip_collect`: as `autograder collect`, through the two plug-ins that nbgrader asks.

Extractor           unpacks what lies in downloaded/ASSIGNMENT/archive/ without harm
CollectDownloads    says for each file whose it is, under which name it counts, and when it was handed in

nbgrader itself then copies the files; unless it is given `--force`, it stops at a student whose folder is not empty.
"""

import pathlib

from nbgrader.api import Gradebook
from nbgrader.plugins import ExtractorPlugin, FileNameCollectorPlugin
from traitlets import Bool, Unicode
from traitlets.config import Config

from autograder.lms import collect
from autograder.lms.collect import Options
from autograder.lms.plan import Placement, stamp
from autograder.lms.times import Reading
from autograder.lms.wanted import Wanted
from autograder.nbgrader.submitted import NOTEBOOK


class Extractor(ExtractorPlugin):
    """nbgrader's, for archives that students have a hand in."""

    def extract(self, archive_path: str, extracted_path: str) -> None:
        """Unpacks all archives; what was left out is logged."""
        where = pathlib.Path(archive_path).parent
        record = collect.recorded(where)
        collect.noted([], where, record)
        found = collect.archives(where, record)
        if not found:
            self.log.warning("No files found in directory: %s", archive_path)
        else:
            collect.write(where / collect.RECORD, record | {"assignment": where.name})
        for entries in collect.unpacked(found, pathlib.Path(extracted_path)):
            for entry in entries:
                if entry.problem:
                    self.log.warning("Left out: %s: %s %s", entry.archive, entry.name, entry.problem)


class CollectDownloads(FileNameCollectorPlugin):
    """Says whose a file is. Its settings are also those of `autograder collect` where its options say nothing else."""

    roster = Unicode("", help="The sheet with the course's students; its path from the course's folder.").tag(config=True)
    id_column = Unicode("", help="The column of the sheet that names students here; the login by default.").tag(config=True)
    day_first = Bool(None, allow_none=True, help="Whether 4/5/2026 is in May.").tag(config=True)
    timezone = Unicode("", help="Time zone of times that name none; this machine's by default.").tag(config=True)

    _known: dict[str, tuple[str, Placement]] | None = None  # path → (name in the student's folder, what it belongs to)

    def options(self, root: str) -> Options:
        """What is set, for the course in a folder."""
        roster = pathlib.Path(root, self.roster) if self.roster else None
        return Options(roster, self.id_column or None, Reading.in_zone(self.timezone, self.day_first))

    def collect(self, submitted_file: str) -> dict[str, str] | None:
        """Whose an unpacked file is, for nbgrader; None where it does not count."""
        if self.named_regexp:  # a course that says itself how its files are named
            of_regexp: dict[str, str] | None = super().collect(submitted_file)
            return of_regexp
        if self._known is None:
            self._known = self._look()
        if submitted_file not in self._known:
            return None
        name, placed = self._known[submitted_file]
        # nbgrader takes the ending off, and puts that of the file there: `homework.ipynb.txt` has two.
        ending = pathlib.PurePosixPath(submitted_file).suffix
        whole = NOTEBOOK.fullmatch(name) and ending.lower() != ".ipynb"
        found = {"student_id": placed.person.student, "file_id": f"{name}{ending}" if whole else name}
        if placed.time:
            found["timestamp"] = stamp(placed.time)
        return found

    def _look(self) -> dict[str, tuple[str, Placement]]:
        coursedir = self.parent.coursedir
        where = collect.folder(coursedir, coursedir.assignment_id)
        wanted = Wanted.of(coursedir, coursedir.assignment_id)
        with Gradebook(coursedir.db_url, coursedir.course_id) as gradebook:
            record = collect.settled(coursedir, where)
            entries = collect.entries_below(where / collect.EXTRACTED)
            options = collect.with_sheet_of_before(self.options(coursedir.root), where, record)
            done = collect.planned(coursedir, gradebook, entries, wanted, record, options)
            collect.enrol(gradebook, done)
        for row in done.rows:
            if row.for_a_person:
                self.log.warning("%s: %s %s: %s", row.student or "Nobody known", row.file, row.state, row.note)
        # nbgrader has yet to copy them, and may stop before.
        record["expected"] = {placed.person.student: collect.about_placed(placed) for placed in done.placements}
        collect.write(where / collect.RECORD, record | {"assignment": coursedir.assignment_id})
        return {str(upload.entry.path): (name, placed) for placed in done.placements for name, upload in placed.files.items()}


def configured(config: Config, root: str) -> Options:
    """What a course has set for collecting."""
    return CollectDownloads(config=config).options(root)
