"""When something was handed in, as a learning management system writes it: in its own time zone and order of day and month."""

import dataclasses
import datetime
import re
import zoneinfo
from collections.abc import Iterable

from dateutil import parser

from autograder.errors import CourseError

# Two numbers up to two digits and a year. With dots, the day is first wherever that is written.
NUMERIC = re.compile(r"\b(\d{1,2})([/.-])(\d{1,2})\2(\d{4}|\d{2})\b")
# The one way to begin with the year; dateutil takes it for year, day, month where the day is said to be first.
ISO = re.compile(r"\s*\d{4}-\d\d-\d\d(?!\d)")
CLOCK = re.compile(r"\b(\d{1,2})(\d{2})(\s*[ap]\.?m\.?)?$", re.IGNORECASE)  # Brightspace leaves out the colon


@dataclasses.dataclass(frozen=True)
class Reading:
    """How times are read.

    Attributes:
        day_first: whether 4/5/2026 is in May; None where nobody has said so.
        zone: of times that name none.
    """

    day_first: bool | None = None
    zone: datetime.tzinfo | None = None

    @classmethod
    def in_zone(cls, name: str, day_first: bool | None = None) -> "Reading":
        """With the time zone of that name (`Europe/Berlin`, `UTC`), or this machine's for "".

        Raises:
            CourseError: there is no such time zone.
        """
        if not name:
            return cls(day_first, None)
        try:
            return cls(day_first, zoneinfo.ZoneInfo(name))
        except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError) as error:
            raise CourseError(
                f"There is no time zone {name!r}; they are called Europe/Berlin, America/New_York, UTC."
            ) from error

    def settled(self, texts: Iterable[str]) -> "Reading":
        """With the order of day and month that the dates of one download have, as far as it matters there.

        Raises:
            CourseError: they can be read in two ways.
        """
        if self.day_first is not None:
            return self
        day, month, open_ = [], [], []
        for text in texts:
            match = NUMERIC.search(text)
            if match is None or match[1] == match[3]:
                continue
            if match[2] == "." or int(match[1]) > 12:
                day.append(text)
            elif int(match[3]) > 12:
                month.append(text)
            else:
                open_.append(text)
        if (open_ and not (day or month)) or (day and month and open_):
            match = NUMERIC.search(open_[0])
            assert match is not None
            first, second = (datetime.date(2000, int(match[n]), int(match[4 - n])) for n in (3, 1))
            raise CourseError(
                f"“{open_[0]}” can be read in two ways, as {first.day} {first:%B} and as {second.day} {second:%B}: "
                "say --day-first or --month-first."
            )
        return dataclasses.replace(self, day_first=bool(day)) if day or month else self

    def read(self, text: str) -> datetime.datetime | None:
        """The time that a text says, with its time zone; None where it says none that can be read."""
        text = CLOCK.sub(lambda clock: f"{clock[1]}:{clock[2]}{clock[3] or ''}", text.strip())
        if not re.search(r"\d{4}", text) or not re.search(r"\d:\d\d", text) or len(text) > 100:
            return None  # dateutil would take today for what is missing
        try:
            found = parser.parse(text, dayfirst=bool(self.day_first) and not ISO.match(text))
        except (ValueError, OverflowError, parser.ParserError):
            return None
        return self.placed(found)

    def placed(self, time: datetime.datetime) -> datetime.datetime:
        """A time with its zone: the one that it has, or the one that is meant."""
        try:
            placed = time if time.tzinfo else time.replace(tzinfo=self.zone) if self.zone else time.astimezone()
            placed.astimezone(datetime.UTC)
        except (OverflowError, ValueError, OSError):
            return datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
        return placed
