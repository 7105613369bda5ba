"""A course's `deadlines.toml`: until when each assignment is handed in, who has longer, and what being late costs.

    timezone = "Europe/Berlin"               # of the dates below that name none
    per_day = "10 %"                         # what stands at the top is meant for every assignment

    [hw3]
    due = 2026-10-05 23:59:00
    grace = "15 minutes"
    cap = "50 %"

    [hw3.extensions]
    ada = 2026-10-12 23:59:00

It is read here and written here, in place, so that comments stay. late.py applies it.
"""

import contextlib
import dataclasses
import datetime
import functools
import math
import os
import pathlib
import re
import shutil
import tomllib
import zoneinfo
from collections.abc import Mapping
from typing import Any

from autograder.errors import CourseError, DeadlineError

FILE = "deadlines.toml"  # in the course's folder
TIMES = {"due", "extensions"}
COSTS = {"per_day", "once", "cap", "grace"}
AMOUNT = re.compile(r"(\d+(?:\.\d+)?)\s*%(\s+of\s+the\s+score)?")
DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*(minute|hour|day)s?")
KEY = r"""(?:"[^"]*"|'[^']*'|[\w-]+)"""  # of TOML
UTC = zoneinfo.ZoneInfo("UTC")
SECONDS = {"minute": 60, "hour": 3600, "day": 86400}


@dataclasses.dataclass(frozen=True)
class Amount:
    """What is taken off: points, or per cent of the points that can be reached, or of those that were.

    Attributes:
        value: points, or per cent.
        of: "points", "maximum" or "score".
    """

    value: float
    of: str = "points"

    def __str__(self) -> str:
        if self.of == "points":
            return f"{self.value:g} point{'' if self.value == 1 else 's'}"
        return f"{self.value:g} % of {'the points that can be reached' if self.of == 'maximum' else 'what was reached'}"

    def points(self, score: float, maximum: float, share: float) -> float:
        """In points, for a notebook.

        Args:
            score: that it has.
            maximum: that it can have.
            share: of the assignment's points, from 0 to 1; points are meant for the whole of it.
        """
        return self.value * {"points": share, "maximum": maximum / 100, "score": score / 100}[self.of]


@dataclasses.dataclass(frozen=True)
class Policy:
    """What being late costs.

    Attributes:
        per_day: for each day that has begun after the deadline.
        once: for being late at all.
        cap: the most that both of them take together; None for all that was reached.
        grace: seconds by which one is not yet late. Who is later than that is late from the deadline on.
    """

    per_day: Amount = Amount(0)
    once: Amount = Amount(0)
    cap: Amount | None = None
    grace: float = 0

    def penalty(self, late: float, score: float, maximum: float, share: float = 1.0) -> float:
        """The points that a notebook loses, from 0 to `score`.

        Args:
            late: seconds after the deadline.
            score, maximum, share: as in `Amount.points`.
        """
        if late <= max(self.grace, 0):
            return 0.0
        days = math.ceil(late / SECONDS["day"])
        off = self.once.points(score, maximum, share) + days * self.per_day.points(score, maximum, share)
        if self.cap is not None:
            off = min(off, self.cap.points(score, maximum, share))
        return round(max(0.0, min(off, score)), 4)

    def __str__(self) -> str:
        parts = [f"{self.once} for being late"] if self.once.value else []
        parts += [f"{self.per_day} for each day begun"] if self.per_day.value else []
        said = " and ".join(parts) or "nothing is taken off"
        said += f", at most {self.cap}" if self.cap is not None else ""
        return said + (f"; up to {in_words(self.grace)} late is in time" if self.grace else "")


@dataclasses.dataclass(frozen=True)
class Deadline:
    """What the file says of one assignment.

    Attributes:
        due: UTC, without a zone, as the gradebook keeps it; None where the file leaves it to the gradebook.
        extensions: student → as `due`.
        policy: None where the file says nothing of it, and `c.LateSubmissionPlugin` decides.
        zone: of the file; None where it names none.
    """

    due: datetime.datetime | None = None
    extensions: Mapping[str, datetime.datetime] = dataclasses.field(default_factory=dict)
    policy: Policy | None = None
    zone: zoneinfo.ZoneInfo | None = None

    def in_zone(self, moment: datetime.datetime) -> str:
        """As the function of that name, in the file's zone."""
        return in_zone(moment, self.zone)


@dataclasses.dataclass(frozen=True)
class Deadlines:
    """The file of a course.

    Attributes:
        path: of the file, which need not be there.
        text: what is in it.
        others: of an assignment that it does not name.
        named: assignment → `Deadline`.
    """

    path: pathlib.Path
    text: str = ""
    others: Deadline = Deadline()
    named: Mapping[str, Deadline] = dataclasses.field(default_factory=dict)

    @classmethod
    def read(cls, root: pathlib.Path) -> "Deadlines":
        """Of the course in a folder; empty where there is no file.

        Raises:
            CourseError: something in it cannot be; it says in which line.
        """
        path = root / FILE
        try:
            with path.open(encoding="utf-8-sig", newline="") as file:  # Notepad puts a byte order mark there
                text = file.read()
        except FileNotFoundError:
            return cls(path)
        except OSError as error:
            raise CourseError(f"{path} cannot be read: {error.strerror}.") from error
        except UnicodeDecodeError as error:
            raise CourseError(f"{path} is not in UTF-8: save it as UTF-8.") from error
        return cls.parsed(path, text)

    @classmethod
    def parsed(cls, path: pathlib.Path, text: str) -> "Deadlines":
        """Of a file with that text; CourseError as `read`."""
        return cls(path, text, *meant(path, text))

    def find(self, assignment_id: str) -> Deadline:
        """What the file says of an assignment."""
        return self.named.get(assignment_id, self.others)

    def changed(
        self, assignment_id: str, settings: Mapping[str, str], extensions: Mapping[str, str], timezone: str | None = None
    ) -> "Deadlines":
        """As the file would be with other values, the rest and its comments as they are; `write` writes it.

        Args:
            settings: key → value as one would type it, "none" for none, of the assignment.
            extensions: student → until when, in the same way.
            timezone: of the whole file.

        Raises:
            DeadlineError: a value cannot be.
        """
        import tomlkit  # only what writes needs it

        file = tomlkit.parse(self.text)
        if timezone is not None:
            if "timezone" not in file and len(file):
                file = tomlkit.parse(f"{tomlkit.dumps({'timezone': timezone})}\n{self.text}")
            file["timezone"] = timezone
        table = file.setdefault(assignment_id, tomlkit.table())
        for key, value in settings.items():
            put(table, key, value)
        if extensions:
            longer = table.setdefault("extensions", tomlkit.table())
            for student, value in extensions.items():
                put(longer, student, value)
        text = tomlkit.dumps(file)
        return type(self).parsed(self.path, re.sub(r"\r?\n", "\r\n", text) if "\r\n" in self.text else text)

    def write(self) -> None:
        """Writes the file, its line ends as they were; whoever reads meanwhile sees the whole of it or the one before.

        Raises:
            CourseError: it cannot be written.
        """
        to = self.path.resolve()
        partial = to.with_name(f".{to.name}.{os.getpid()}")
        try:
            partial.write_text(self.text, encoding="utf-8", newline="")
            if to.exists():
                shutil.copymode(to, partial)
            partial.replace(to)
        except OSError as error:
            partial.unlink(missing_ok=True)
            raise CourseError(f"{self.path} cannot be written: {error.strerror}.") from error


def put(table: Any, key: str, typed: str) -> None:
    """Puts into a table of tomlkit's what was typed: a date, a number or a text; "none" takes the key out."""
    import tomlkit

    if typed == "none":
        table.pop(key, None)
        return
    value: Any = typed
    with contextlib.suppress(ValueError):
        value = float(typed) if "." in typed else int(typed)
    with contextlib.suppress(ValueError):
        value = tomlkit.value(datetime.datetime.fromisoformat(typed).isoformat(" ")) if len(typed) > 10 else value
        value = tomlkit.value(datetime.date.fromisoformat(typed).isoformat()) if len(typed) == 10 else value
    table[key] = value


def toml(text: str, path: pathlib.Path) -> dict[str, Any]:
    """What stands in the file; CourseError with the line where it is no TOML."""
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        where = re.search(r"\(at line (\d+), column \d+\)", str(error))
        reason = str(error)[: where.start()].strip() if where else str(error)
        raise CourseError(
            f"{path}, line {where[1] if where else 'last'}: {reason}. A date is written 2026-10-05 23:59:00, a text in "
            'quotation marks, a name with other signs than letters, digits, - and _ too: "ada@example.org" = …'
        ) from error


@functools.lru_cache(8)  # nbgrader asks for each submission that it records
def meant(path: pathlib.Path, text: str) -> tuple[Deadline, dict[str, Deadline]]:
    """As `Reader.course`, of a file with that text."""
    return Reader(text, path).course(toml(text, path))


class Reader:
    """Makes sense of what was read, and says in which line that does not work."""

    def __init__(self, text: str, path: pathlib.Path) -> None:
        self._lines, self._path = text.splitlines(), path

    def course(self, found: Mapping[str, Any]) -> tuple[Deadline, dict[str, Deadline]]:
        """(of those that are not named, assignment → `Deadline`)"""
        tables = {name: value for name, value in found.items() if isinstance(value, dict)}
        general = {name: value for name, value in found.items() if not isinstance(value, dict)}
        for name in general:
            if name not in COSTS | {"timezone"}:
                known = ", ".join(sorted(COSTS | {"timezone"}))
                raise self.wrong((name,), f"`{name}` is not known here. Known: {known}, and a [table] for each assignment.")
        named = {name: self.assignment(name, table, general) for name, table in tables.items()}
        return self.assignment("", {}, general), named

    def assignment(self, name: str, table: Mapping[str, Any], general: Mapping[str, Any]) -> Deadline:
        for key in table:
            if key not in COSTS | TIMES | {"timezone"}:
                known = ", ".join(sorted(COSTS | TIMES | {"timezone"}))
                raise self.wrong((name, key), f"`{key}` is not known. Known: {known}.")
        own = {**general, **table}
        at = {key: (name, key) if key in table else (key,) for key in own}
        zone = self.zone(at.get("timezone", ()), own.get("timezone"))
        extensions = own.get("extensions", {})
        if not isinstance(extensions, dict):
            raise self.wrong(at["extensions"], f"`extensions` is a table: [{name}.extensions], then lines student = date.")
        due = self.time(at["due"], own["due"], zone) if "due" in own else None
        longer = {student: self.time((name, "extensions", student), value, zone) for student, value in extensions.items()}
        for student, until in longer.items():
            where = name, "extensions", student
            if due is None:
                raise self.wrong(where, f"{student} has longer than a date that is not there: give [{name}] its `due`.")
            if until < due:
                raise self.wrong(
                    where, f"{student} would have less time than the others: the deadline is {in_zone(due, zone)}."
                )
        costs = {key: self.amount(at[key], own[key]) for key in ("per_day", "once", "cap") if key in own}
        grace = self.duration(at["grace"], own["grace"]) if "grace" in own else 0.0
        return Deadline(due, longer, Policy(**costs, grace=grace) if costs else None, zone)

    def zone(self, at: tuple[str, ...], name: Any) -> zoneinfo.ZoneInfo | None:
        if name is None:
            return None
        try:
            return zoneinfo.ZoneInfo(name)
        except (TypeError, ValueError, OSError, zoneinfo.ZoneInfoNotFoundError) as error:
            raise self.wrong(at, f'{name!r} is no time zone; one is "Europe/Berlin", "America/New_York" or "UTC".') from error

    def time(self, at: tuple[str, ...], value: Any, zone: datetime.tzinfo | None) -> datetime.datetime:
        """In UTC, without a zone. A day alone means until its end."""
        try:
            return moment(value, zone)
        except ValueError as error:
            raise self.wrong(at, str(error)) from error

    def amount(self, at: tuple[str, ...], value: Any) -> Amount:
        if isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < math.inf:
            return Amount(float(value))
        match = AMOUNT.fullmatch(value.strip()) if isinstance(value, str) else None
        if match is None or float(match[1]) > 100:
            raise self.wrong(at, f'{value!r} is neither points (1.5), nor "10 %", nor "10 % of the score".')
        return Amount(float(match[1]), "score" if match[2] else "maximum")

    def duration(self, at: tuple[str, ...], value: Any) -> float:
        match = DURATION.fullmatch(value.strip()) if isinstance(value, str) else None
        if match is None:
            raise self.wrong(at, f'{value!r} is no time span; one is "15 minutes", "2 hours" or "1 day".')
        return float(match[1]) * SECONDS[match[2]]

    def wrong(self, at: tuple[str, ...], text: str) -> DeadlineError:
        number = self.line(at)
        return DeadlineError(f"{self._path}{f', line {number}' if number else ''}: {text}", at, text)

    def line(self, at: tuple[str, ...]) -> int | None:
        """Of the key, where it stands in a line of its own below its table's heading; else of the heading."""
        *above, key = at or ("",)
        table: list[str] = []
        heading = None
        for number, line in enumerate(self._lines, 1):
            if match := re.match(r"\s*\[([^\[\]]+)\]", line):
                table = names(match[1])
                heading = number if table == above and above else heading
            elif table == above and (match := re.match(rf"\s*({KEY})\s*=", line)) and names(match[1]) == [key]:
                return number
        return heading


def names(dotted: str) -> list[str]:
    """The parts of a TOML key."""
    return [part[1:-1] if part[0] in "\"'" else part for part in re.findall(rf"\s*({KEY})\s*\.?", dotted)]


def moment(value: Any, zone: datetime.tzinfo | None) -> datetime.datetime:
    """A date and time in UTC, without a zone. A day alone means until its end.

    Args:
        value: as TOML has it, or as text in ISO's form.
        zone: where the value names none.

    Raises:
        ValueError: it is no date, or nobody knows in which time zone; the text says what to write.
    """
    if isinstance(value, str):
        try:
            value = datetime.datetime.fromisoformat(value) if len(value.strip()) > 10 else datetime.date.fromisoformat(value)
        except ValueError as error:
            raise ValueError(f"{value!r} is no date and time; one is 2026-10-05 23:59") from error
    if isinstance(value, datetime.date) and not isinstance(value, datetime.datetime):
        value = datetime.datetime.combine(value, datetime.time(23, 59, 59))
    if not isinstance(value, datetime.datetime):
        raise ValueError(f"{value!r} is no date and time; one is 2026-10-05 23:59:00")
    if value.tzinfo is None and zone is None:
        raise ValueError(
            f'Nobody knows in which time zone {value} is meant: write timezone = "Europe/Berlin" (yours) at the top of {FILE}, '
            "or give it with --timezone, or write an offset behind the time, 23:59:00+02:00"
        )
    aware = value if value.tzinfo else value.replace(tzinfo=zone)
    try:
        return aware.astimezone(datetime.UTC).replace(tzinfo=None)
    except OverflowError as error:
        raise ValueError(f"{value} is no date that a course has") from error


def in_zone(moment: datetime.datetime, zone: zoneinfo.ZoneInfo | None) -> str:
    """A time for people, with the name of its zone.

    Args:
        moment: UTC, without a zone.
        zone: the course's; UTC where it has named none.
    """
    zone = zone or UTC
    return f"{moment.replace(tzinfo=datetime.UTC).astimezone(zone):%Y-%m-%d %H:%M} {zone.key}"


def in_words(seconds: float) -> str:
    """A time span as people say it: the two largest units; "" for none."""
    minutes = int(seconds // 60)
    parts = [(minutes // 1440, "day"), (minutes // 60 % 24, "hour"), (minutes % 60, "minute")]
    said = [f"{count} {unit}{'s' if count > 1 else ''}" for count, unit in parts if count]
    return " ".join(said[:2]) or ("less than a minute" if seconds > 0 else "")
