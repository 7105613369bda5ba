"""Deadlines: the file of a course, what being late costs, and what a changed deadline takes back."""

import datetime

import pytest

from autograder.errors import CourseError
from autograder.nbgrader.deadlines import Deadlines, Policy

DAY = 86400
FILE = """\
timezone = "Europe/Berlin"  # ours
per_day = "10 %"
[hw3]
due = 2026-10-05 23:59:00
grace = "15 minutes"
cap = "50 %"

[hw3.extensions]
ada = 2026-10-12
"0042" = 2026-10-08T12:00:00-04:00
[hw4]
per_day = 1.5
once = "5 % of the score"
"""


def read(tmp_path, text):
    (tmp_path / "deadlines.toml").write_text(text, encoding="utf-8")
    return Deadlines.read(tmp_path)


def policy(tmp_path, text):
    return read(tmp_path, text).find("hw3").policy


def test_dates_are_utc_and_a_day_alone_ends_at_its_end(tmp_path):
    own = read(tmp_path, FILE).find("hw3")
    assert own.due == datetime.datetime(2026, 10, 5, 21, 59)
    assert own.extensions == {
        "ada": datetime.datetime(2026, 10, 12, 21, 59, 59),
        "0042": datetime.datetime(2026, 10, 8, 16, 0),
    }


def test_what_stands_at_the_top_is_meant_for_every_assignment(tmp_path):
    found = read(tmp_path, FILE)
    assert [found.find(name).policy.penalty(DAY, 10, 20) for name in ("hw3", "hw4", "hw5")] == [2, 2, 2]
    assert found.find("hw5").due is None
    assert Deadlines.read(tmp_path / "elsewhere").find("hw3").policy is None


@pytest.mark.parametrize(
    ("text", "late", "score", "off"),
    [
        ('per_day = "10 %"', 1, 10, 2),  # a day that has begun
        ('per_day = "10 %"', DAY, 10, 2),
        ('per_day = "10 %"', DAY + 1, 10, 4),
        ('per_day = "10 %"', 0, 10, 0),
        ('per_day = "10 %"', 30 * DAY, 10, 10),  # never below 0
        ('per_day = "10 % of the score"', 2 * DAY, 10, 2),
        ("per_day = 1.5", 2 * DAY, 10, 3),
        ('once = "100 %"', 1, 10, 10),
        ('once = 1\nper_day = "5%"', 2 * DAY, 10, 3),
        ('per_day = "10 %"\ncap = "30 %"', 9 * DAY, 10, 6),
        ('per_day = "10 %"\ncap = 1', 9 * DAY, 10, 1),
        ('per_day = 1\ngrace = "15 minutes"', 900, 10, 0),
        ('per_day = 1\ngrace = "15 minutes"', 901, 10, 1),
        ('per_day = 1\ngrace = "1 day"', DAY + 1, 10, 2),  # who is later is late from the deadline on
        ("per_day = 1", DAY, 0, 0),
        ("per_day = 0", DAY, 10, 0),
    ],
)
def test_a_policy_takes_what_it_says(tmp_path, text, late, score, off):
    assert policy(tmp_path, text).penalty(late, score, maximum=20) == off


def test_points_are_shared_by_the_notebooks_of_an_assignment(tmp_path):
    own = policy(tmp_path, "per_day = 3\ncap = 5")
    assert own.penalty(2 * DAY, 10, 10, share=1 / 2) == 2.5
    assert Policy().penalty(DAY, 10, 20) == 0


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("[hw3\n", 1, "Expected ']'"),
        ("\nper_day = 10 %\n", 2, "a text in quotation marks"),
        ("[hw3]\ndue = 2026-10-05 23:59:00\n", 2, "Nobody knows in which time zone 2026-10-05 23:59:00 is meant"),
        ('timezone = "Berlin"\n[hw3]\n', 1, "'Berlin' is no time zone"),
        ('timezone = "../etc/passwd"\n[hw3]\n', 1, "is no time zone"),
        ("timezone = 3\n[hw3]\n", 1, "is no time zone"),
        ('[hw3]\ndue = "next week"\n', 2, "'next week' is no date and time"),
        ("[hw3]\ndue = 12\n", 2, "is no date and time"),
        ("[hw3]\n\ndeu = 12\n", 3, "`deu` is not known. Known: cap, due"),
        ("per_dya = 1\n", 1, "`per_dya` is not known here"),
        ('[hw3]\nper_day = "110 %"\n', 2, "'110 %' is neither points"),
        ("[hw3]\nper_day = -1\n", 2, "-1 is neither points"),
        ("[hw3]\nper_day = nan\n", 2, "nan is neither points"),
        ("[hw3]\nper_day = true\n", 2, "True is neither points"),
        ('[hw3]\ngrace = "soon"\n', 2, "'soon' is no time span"),
        ("[hw3]\nextensions = 3\n", 2, "`extensions` is a table"),
        ("[hw3.extensions]\nada = 2026-10-05 23:59:00Z\n", 2, "ada has longer than a date that is not there"),
        ('[hw3]\ndue = 2026-10-05 23:59:00Z\n[hw3.extensions]\n"a@b.c" = 2026-10-04 23:59:00Z\n', 4, "a@b.c would have less"),
        ('["hw 3"]\ndue = 0001-01-01 00:00:00+12:00\n', 2, "no date that a course has"),
    ],
)
def test_what_cannot_be_is_told_with_its_line(tmp_path, text, line, words):
    with pytest.raises(CourseError) as raised:
        read(tmp_path, text)
    assert f"deadlines.toml, line {line}: " in str(raised.value)
    assert words in str(raised.value)
