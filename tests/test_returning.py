"""Feedback packed as the systems take it back, whatever the names are."""

import pathlib
import zipfile

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from nbgrader.coursedir import CourseDirectory

from autograder.errors import CourseError
from autograder.lms import returning
from autograder.lms.returning import named, pack
from autograder.lms.sheets import System

PAGE = pathlib.Path("hw3.html")


@pytest.mark.parametrize(
    ("system", "folder", "file", "name"),
    [
        ("moodle", "Ada Lovelace_12_assignsubmission_file", "hw 3.ipynb", "Ada Lovelace_12_assignsubmission_file/hw3.html"),
        ("moodle", "all/Ada_12_assignsubmission_file_/sub", "a.ipynb", "Ada_12_assignsubmission_file_/hw3.html"),
        ("moodle", "", "Ada Lovelace_12_assignsubmission_file_my hw.ipynb", "Ada Lovelace_12_assignsubmission_file_hw3.html"),
        ("canvas", "", "lovelaceada_4101_9001_hw3-1.ipynb", "lovelaceada_4101_9001_feedback-hw3.html"),
        ("canvas", "sub", "müllerzoë_LATE_4104_9009_hw3.v2.ipynb", "müllerzoë_LATE_4104_9009_feedback-hw3.html"),
        ("brightspace", "12-34 - Ada L - Oct 5, 2026 1130 AM", "h.ipynb", "12-34 - Ada L - Oct 5, 2026 1130 AM/hw3.html"),
        ("brightspace", "all/12-34 - Ada L - Oct 5, 2026", "h.ipynb", "12-34 - Ada L - Oct 5, 2026/hw3.html"),
    ],
)
def test_a_page_has_the_name_by_which_the_system_knows_the_student(system, folder, file, name):
    assert named("ada", [PAGE], {"system": system, "folder": folder, "file": file}) == (System(system), {name: PAGE})


@pytest.mark.parametrize(
    "about",
    [
        {},
        {"system": "blackboard", "folder": "", "file": "hw_ada_attempt_2026-10-05-11-30-12_hw3.ipynb"},
        {"system": "gradescope", "folder": "submission_1", "file": "hw3.ipynb"},
        {"system": "plain", "folder": "ada", "file": "hw3.ipynb"},
        {"system": "canvas", "folder": "", "file": "renamed by hand.ipynb"},
        {"system": "moodle", "folder": "Ada Lovelace", "file": "hw3.ipynb"},
        {"system": "brightspace", "folder": "Ada", "file": "hw3.ipynb"},
    ],
)
def test_who_came_from_elsewhere_has_a_folder(about):
    assert named("ada", [PAGE], about) == (None, {"ada/hw3.html": PAGE})


def test_canvas_knows_several_pages_of_a_student_by_the_same_numbers():
    pages = [pathlib.Path("a.html"), pathlib.Path("b.html")]
    _, names = named("ada", pages, {"system": "canvas", "file": "lovelaceada_LATE_4101_9001_hw3.ipynb"})
    assert list(names) == ["lovelaceada_LATE_4101_9001_feedback-a.html", "lovelaceada_LATE_4101_9001_feedback-b.html"]


@pytest.mark.parametrize("name", ["my_link", "link", "link_1", "hw_3"])
def test_canvas_takes_no_page_for_a_link(name):
    """It splits a name at `_`, takes the first two numbers, and passes over one whose last part begins with `link`."""
    about = {"system": "canvas", "file": f"lovelaceada_4101_9001_{name}.ipynb"}
    _, (packed, *_) = named("ada", [pathlib.Path(f"{name}.html")], about)
    parts = packed.split("_")
    assert not parts[-1].startswith("link")
    assert [part for part in parts if part.isdecimal()] == ["4101", "9001"]


@settings(deadline=None, suppress_health_check=list(HealthCheck), max_examples=300)
@given(
    st.sampled_from([*map(str, System), "", "x"]), st.text(max_size=40), st.text(max_size=40), st.sampled_from(["", "..", "/"])
)
def test_no_name_leads_out_of_where_a_zip_is_unpacked(system, folder, file, more):
    for about in (
        {"system": system, "folder": folder, "file": file},
        {"system": system, "folder": f"{folder}{more}_1_assignsubmission_file", "file": f"{more}{file}_1_2_x"},
        {"system": system, "folder": f"1-2 - {more}{folder}", "file": f"{file}_1_assignsubmission_file_{more}"},
    ):
        _, names = named("ada", [PAGE], about)
        for name in names:
            parts = name.split("/")
            assert len(parts) <= 2
            assert ".." not in parts
            assert not set(name) & set('\\:*?"<>|\0\n')


@pytest.fixture
def page(tmp_path):
    page = tmp_path / "hw3.html"
    page.write_text("<!DOCTYPE html>")
    return page


CANVAS = {"ada": {"system": "canvas", "file": "lovelaceada_1_2_hw3.ipynb"}}


def test_a_zip_of_before_is_replaced(page, tmp_path):
    to = tmp_path / "returned"
    pack("hw3", {"ada": [page], "bob": [page]}, CANVAS, to)
    (one,) = pack("hw3", {"ada": [page]}, CANVAS, to)
    assert [path.name for path in to.iterdir()] == ["canvas.zip"]
    with zipfile.ZipFile(one.path) as archive:
        assert archive.namelist() == ["lovelaceada_1_2_feedback-hw3.html"]
        assert archive.read("lovelaceada_1_2_feedback-hw3.html") == page.read_bytes()
    first = one.path.read_bytes()
    pack("hw3", {"ada": [page]}, CANVAS, to)
    assert one.path.read_bytes() == first


def test_what_is_no_feedback_of_the_assignment_stays(page, tmp_path):
    """A folder of downloads has zips of these names, too."""
    for name in ("moodle.zip", "blackboard.zip", "students.zip", "mine.zip"):
        with zipfile.ZipFile(tmp_path / name, "w") as archive:
            archive.writestr("mine", "mine")
    (tmp_path / "brightspace.zip").write_text("no zip")
    pack("hw2", {"bob": [page]}, {}, tmp_path / "other")
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    pack("hw3", {"ada": [page]}, CANVAS, tmp_path)
    (tmp_path / "canvas.zip").unlink()
    for students, to in (({"ada": [page], "bob": [page]}, tmp_path), ({"bob": [page]}, tmp_path / "other")):
        with pytest.raises(CourseError, match=r"students\.zip is no feedback of hw3: move it away"):
            pack("hw3", students, CANVAS, to)
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


def test_what_was_packed_is_known_by_what_students_read(page, tmp_path):
    course = CourseDirectory(root=str(tmp_path))
    pages = {"ada": [page], "bob": [page]}
    assert returning.changed(course, "hw3", pages) == pages
    page.write_text('<head><meta name="made-of" content="1a"><title>ada</title>')
    returning.remember(course, "hw3", {"ada": [page]})
    assert returning.changed(course, "hw3", pages) == {"bob": [page]}
    returning.remember(course, "hw3", {"bob": [page]})
    page.write_text('<head><meta name="made-of" content="2b"><title>ada</title>')  # by another version of this package
    assert returning.changed(course, "hw3", pages) == {}
    assert returning.changed(course, "hw2", pages) == pages
    page.write_text('<head><meta name="made-of" content="2b"><title>Ada</title>')
    assert returning.changed(course, "hw3", pages) == pages


@pytest.mark.parametrize("damage", ["", "[]", '{"hw3": 1}', "{"])
def test_what_is_remembered_and_cannot_be_read_makes_all_pages_changed(page, tmp_path, damage):
    course = CourseDirectory(root=str(tmp_path))
    returning.remember(course, "hw3", {"ada": [page]})
    (tmp_path / ".autograder/returned.json").write_text(damage)
    assert returning.changed(course, "hw3", {"ada": [page]}) == {"ada": [page]}
    returning.remember(course, "hw3", {"ada": [page]})
    assert returning.changed(course, "hw3", {"ada": [page]}) == {}
