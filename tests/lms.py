"""A class of twelve as five learning management systems hand it out: sheets and zips, named as docs/lms.md says.

Names that hurt: an apostrophe, a hyphen, umlauts composed and not, letters that are not Latin, a comma, the same name twice, an
e-mail address and leading zeros as login.
"""

import collections
import csv
import dataclasses
import datetime
import io
import json
import pathlib
import unicodedata
import zipfile

import yaml

ROOT = pathlib.Path(__file__).parent.parent


@dataclasses.dataclass(frozen=True)
class Student:
    """Somebody of the class.

    Attributes:
        number: the institution's.
        lms_id: the system's own.
    """

    login: str
    first: str
    last: str
    number: str
    lms_id: int

    @property
    def email(self):
        return self.login if "@" in self.login else f"{self.login}@uni.example"


CLASS = [
    Student("ada", "Ada", "Lovelace", "0100001", 4101),
    Student("pat.oneil@uni.example", "Pat", "O'Neil", "0100002", 4102),
    Student("jdm", "Jean-Luc", "Dupont-Moretti", "0100003", 4103),
    Student("zoe", "Zoë", "Müller", "0100004", 4104),
    Student("jose", *(unicodedata.normalize("NFD", name) for name in ("José", "Núñez")), "0100005", 4105),
    Student("wang", "小明", "王", "0100006", 4106),
    Student("mlk", "Martin", "King, Jr.", "0100007", 4107),
    Student("asmith1", "Alex", "Smith", "0100008", 4108),
    Student("asmith2", "Alex", "Smith", "0100009", 4109),
    Student("olga", "Ольга", "Иванова", "0100010", 4110),
    Student("00123", "Lee", "van der Berg", "0100011", 4111),
    Student("noor", "Noor", "Ali", "0100012", 4112),
]


def written(rows, *, encoding="utf-8", bom=b"", separator=",", quoting=csv.QUOTE_MINIMAL, end="\n"):
    """The bytes of a sheet."""
    text = io.StringIO()
    csv.writer(text, delimiter=separator, quoting=quoting, lineterminator=end).writerows(rows)
    return bom + text.getvalue().encode(encoding)


def canvas_sheet(students=CLASS):
    columns = ["Student", "ID", "SIS User ID", "SIS Login ID", "Section", "hw3 (777)", "Essay (778)", "Final Score"]
    rows = [
        columns,
        ["", "", "", "", "", "Manual Posting", "", ""],
        ["    Points Possible", "", "", "", "", "15", "10", "(read only)"],
    ]
    rows += [[f"{s.last}, {s.first}", s.lms_id, s.number, s.login, "Section 1", "", "", "0.00"] for s in students]
    rows.append(["Student, Test", "4999", "", "0a1b2c3d4e5f60718293a4b5c6d7e8f901234567", "Section 1", "", "", "0.00"])
    return written(rows)


def moodle_sheet(students=CLASS, when="-"):
    columns = "Identifier,Full name,Email address,Status,Grade,Maximum Grade,Grade can be changed,Last modified (submission),"
    columns += "Last modified (grade),Feedback comments"
    rows = [
        [f"Participant {s.lms_id}", f"{s.first} {s.last}", s.email, "Submitted for grading", "", "15.00", "Yes", when, "-", ""]
        for s in students
    ]
    return written([columns.split(","), *rows], encoding="utf-8", bom=b"\xef\xbb\xbf")


def brightspace_sheet(students=CLASS):
    item = "hw3 Points Grade <Numeric MaxPoints:15 Weight:10 Category:Homework>"
    columns = ["OrgDefinedId", "Username", "Last Name", "First Name", "Email", item, "End-of-Line Indicator"]
    rows = [[f"#{s.number}", f"#{s.login}", s.last, s.first, s.email, "", "#"] for s in students]
    return written([columns, *rows], end="\r\n")


def blackboard_sheet(students=CLASS):
    columns = ["Last Name", "First Name", "Username", "Student ID", "Last Access", "Availability"]
    columns.append("hw3 [Total Pts: 15 Score] |31459")
    rows = [[s.last, s.first, s.login, s.number, "2026-10-05 11:00:00", "Yes", ""] for s in students]
    quoted = {"quoting": csv.QUOTE_ALL, "separator": "\t", "end": "\r\n"}
    return written([columns, *rows], encoding="utf-16-le", bom=b"\xff\xfe", **quoted)


def gradescope_sheet(students=CLASS):
    columns = ["First Name", "Last Name", "SID", "Email", "Sections", "hw3", "hw3 - Max Points", "hw3 - Submission Time"]
    rows = [[s.first, s.last, s.login, s.email, "", "", "15.0", ""] for s in students]
    return written([columns, *rows])


SHEETS = {
    "canvas": canvas_sheet,
    "moodle": moodle_sheet,
    "brightspace": brightspace_sheet,
    "blackboard": blackboard_sheet,
    "gradescope": gradescope_sheet,
}

NOTEBOOK = "hw3.ipynb"


def notebook(text="", cells=("task", "test"), source="x = 1"):
    """The bytes of a notebook with nbgrader's cells of these names."""
    about = {"grade": True, "solution": True, "locked": False, "task": False, "points": 1, "schema_version": 3}
    code = {"cell_type": "code", "outputs": [], "execution_count": None, "source": source}
    made = [{**code, "id": name, "metadata": {"nbgrader": {**about, "grade_id": name}}} for name in cells]
    made.append({"cell_type": "markdown", "id": "text", "metadata": {}, "source": text})
    return json.dumps({"cells": made, "metadata": {}, "nbformat": 4, "nbformat_minor": 5}).encode()


def course(folder, config="", **assignments):
    """A course in a folder, with assignments that are none of ours: name → the names of the cells of its notebook."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "nbgrader_config.py").write_text(
        (ROOT / "nbgrader_config.py").read_text(encoding="utf-8") + config, encoding="utf-8"
    )
    for name, cells in (assignments or {"hw3": ("task", "test"), "hw2": ("other", "another")}).items():
        path = folder / "source" / name / f"{name}.ipynb"
        path.parent.mkdir(parents=True)
        path.write_bytes(notebook("The master.", cells))
    return folder


@dataclasses.dataclass(frozen=True)
class HandedIn:
    """What a student handed in at one time.

    Attributes:
        files: name → bytes.
        time: local, and naive as the systems write it.
        late: whether it was.
    """

    student: Student
    files: dict
    time: datetime.datetime = datetime.datetime(2026, 10, 5, 11, 30, 12)
    late: bool = False


def packed(files, path=None, when=(2026, 10, 5, 12, 0, 0)):
    """The bytes of a zip with these files: name → bytes, all written at one time: of the same files, the same zip."""
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            name = name.partition("\0")[0] or "nameless"  # where zipfile itself would cut it, or fail
            archive.writestr(zipfile.ZipInfo(name, when), content, zipfile.ZIP_DEFLATED)
    if path is not None:
        path.write_bytes(data.getvalue())
    return data.getvalue()


def canvas_files(handed_in):
    """Only what was handed in last, as Canvas packs it; later uploads of the same name have a number behind it."""
    found, uploads = {}, collections.Counter()
    for number, each in enumerate(handed_in):
        s = each.student
        name = "".join(
            letter for letter in f"{s.last}{s.first}".lower() if letter.isalnum() or unicodedata.category(letter) == "Mn"
        )
        late = "_LATE" if each.late else ""
        for file, content in each.files.items():
            again = f"-{uploads[s, file]}" if uploads[s, file] else ""
            uploads[s, file] += 1
            stem, dot, suffix = file.rpartition(".")
            found[s, file] = (f"{name}{late}_{s.lms_id}_{9000 + number}_{stem}{again}{dot}{suffix}", content)
    return dict(found.values())


def moodle_files(handed_in, folders=True):
    found = {}
    for each in handed_in:
        s = each.student
        for file, content in each.files.items():
            prefix = f"{s.first} {s.last}_{s.lms_id}_assignsubmission_file"
            found[f"{prefix}/{file}" if folders else f"{prefix}_{file}"] = content
    return found


def brightspace_files(handed_in):
    found = {"index.html": b"<html><body>hw3</body></html>"}
    for each in handed_in:
        s, t = each.student, each.time
        when = f"{t:%b} {t.day}, {t.year} {t.hour % 12 or 12}{t:%M %p}"
        for file, content in each.files.items():
            found[f"{s.lms_id}-2557369 - {s.first} {s.last} - {when}/{file}"] = content
    return found


def blackboard_files(handed_in):
    found = {}
    for each in handed_in:
        start = f"Home_work 3_{each.student.login}_attempt_{each.time:%Y-%m-%d-%H-%M-%S}"
        found[f"{start}.txt"] = f"Name: {each.student.first} {each.student.last} ({each.student.login})\n".encode()
        found |= {f"{start}_{file}": content for file, content in each.files.items()}
    return found


def gradescope_files(handed_in):
    found, about = {}, {}
    last = {each.student: each for each in handed_in}
    for number, each in enumerate(last.values()):
        s, folder = each.student, f"submission_{7000 + number}"
        about[folder] = {
            ":submitters": [{":name": f"{s.first} {s.last}", ":sid": s.login, ":email": s.email}],
            ":created_at": each.time.replace(tzinfo=datetime.UTC),
            ":score": 0.0,
            ":status": "processed",
        }
        found |= {f"assignment_88_export/{folder}/{file}": content for file, content in each.files.items()}
    found["assignment_88_export/submission_metadata.yml"] = yaml.safe_dump(about, allow_unicode=True).encode()
    return found


ZIPS = {
    "canvas": canvas_files,
    "moodle": moodle_files,
    "brightspace": brightspace_files,
    "blackboard": blackboard_files,
    "gradescope": gradescope_files,
}


def a_class():
    """What the class of twelve handed in: ada twice, zoe late, three the wrong thing, noor nothing."""
    handed_in = {s.login: HandedIn(s, {NOTEBOOK: notebook(s.login)}) for s in CLASS if s.login != "noor"}
    handed_in["wang"] = HandedIn(handed_in["wang"].student, {"essay.pdf": b"%PDF-1.7"})
    handed_in["mlk"] = HandedIn(handed_in["mlk"].student, {"hw2.ipynb": notebook("mlk", ("other", "another"))})
    handed_in["olga"] = HandedIn(handed_in["olga"].student, {"hw3.html": b"<title>Feedback for olga: hw3</title>"})
    ada, zoe = handed_in["ada"].student, handed_in["zoe"].student
    again = HandedIn(ada, {NOTEBOOK: notebook("ada again"), "helper.py": b"y = 2\n"}, datetime.datetime(2026, 10, 6, 9))
    handed_in["zoe"] = HandedIn(zoe, {NOTEBOOK: notebook("zoe")}, datetime.datetime(2026, 10, 9, 21, 5), late=True)
    return [*handed_in.values(), again]
