"""This checkout against another one: who gets another mark or message, and how much longer a class takes.

    python benchmarks/compare.py ../before             the catalogue, the hostile corpus and the demonstration, by `check`
    python benchmarks/compare.py ../before --speed     `autograder grade` on a class, the two in turn

Both run in this environment; only the code differs. Of two marks that follow from whichever limit is met first (a hostile
submission that hoards memory until its time is up), either may come. A checkout compared with a copy of itself shows
which they are, and how far two times differ for no reason.
"""

import argparse
import itertools
import json
import os
import pathlib
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

import nbformat

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from autograder import assignment as assignments  # noqa: E402
from autograder.course import selftest  # noqa: E402
from autograder.course.init import generated  # noqa: E402
from tests import hostile  # noqa: E402

NAME = "vae_swiss_roll"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("before", type=pathlib.Path, help="the other checkout")
    parser.add_argument("--speed", action="store_true", help="measure, in place of comparing marks")
    parser.add_argument("--submissions", type=int, default=60, help="in the class (default: 60)")
    parser.add_argument("--rounds", type=int, default=5, help="how often each marks it (default: 5)")
    options = parser.parse_args()
    checkouts = {"before": options.before.resolve(), "now": ROOT}
    with tempfile.TemporaryDirectory(dir="/var/tmp") as folder:
        if options.speed:
            return speed(pathlib.Path(folder), checkouts, options.submissions, options.rounds)
        return marks(pathlib.Path(folder), checkouts)


def autograder(checkout, *arguments, cwd):
    """Runs the command line of a checkout. → stdout"""
    done = subprocess.run(
        [sys.executable, "-m", "autograder", *map(str, arguments)],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(checkout)},
        capture_output=True,
        text=True,
    )
    if done.returncode not in (0, 1):
        sys.exit(f"{checkout}: autograder {arguments[0]} ended with {done.returncode}.\n{done.stderr}")
    return done.stdout


# --- marks -----------------------------------------------------------------------------------------------------------


def notebooks():
    """{file name: bytes} of everything whose mark is known."""
    assignment = assignments.load(NAME)
    release, answers = generated(assignment), assignment.samples.ANSWERS
    found = {
        f"catalogue-{entry.target}-{entry.name}": nbformat.writes(selftest.submission(release, answers, entry)).encode()
        for entry in selftest.catalogue(assignment)
    }
    found |= {f"hostile-{entry.name}": entry.raw for entry in hostile.submissions(release)}
    found |= {f"demo-{student}": raw for student, (_, raw) in assignment.samples.students(release).items()}
    return found


def marks(folder, checkouts):
    """Prints each notebook whose verdict differs. → exit code"""
    made = {f"{name}.ipynb": raw for name, raw in notebooks().items()}
    names = list(made)
    for name, raw in made.items():
        (folder / name).write_bytes(raw)
    found = {label: verdicts(checkout, folder, names) for label, checkout in checkouts.items()}
    differ = [name for name in names if found["before"][name] != found["now"][name]]
    for name in differ:
        print(name)
        for label in checkouts:
            print(f"  {label}: {json.dumps(found[label][name], ensure_ascii=False)}")
    print(f"{len(names)} notebooks, {len(differ) or 'none'} with another mark or message.")
    return bool(differ)


def verdicts(checkout, folder, names):
    """name → the verdict, without its duration and the file's path."""
    lines = autograder(checkout, "check", "--json", *names, cwd=folder).splitlines()
    found = {verdict.pop("notebook"): verdict for verdict in map(json.loads, lines)}
    for verdict in found.values():
        del verdict["seconds"]
    return found


# --- speed -----------------------------------------------------------------------------------------------------------


def speed(folder, checkouts, submissions, rounds):
    """Prints what each round took, and the ratio round by round, since a machine's speed drifts. → exit code"""
    courses = {label: course(folder / label, checkout, submissions) for label, checkout in checkouts.items()}
    took = {label: [] for label in checkouts}
    for number in range(rounds):
        for label in sorted(checkouts, reverse=bool(number % 2)):
            took[label].append(graded(checkouts[label], courses[label]))
            print(f"round {number + 1}, {label}: {took[label][-1]:.2f} s", flush=True)
    ratios = [now / before for before, now in zip(took["before"], took["now"], strict=True)]
    before, now = (statistics.median(took[label]) for label in ("before", "now"))
    print(f"{submissions} submissions, median of {rounds}: {before:.2f} s before, {now:.2f} s now")
    print(f"now / before, round by round: {min(ratios):.3f} to {max(ratios):.3f}, median {statistics.median(ratios):.3f}")
    return 0


def course(root, checkout, submissions):
    """A released class, as that checkout makes it."""
    root.mkdir()
    shutil.copy(checkout / "nbgrader_config.py", root)
    shutil.copytree(checkout / "source", root / "source")
    autograder(checkout, "release", cwd=root)
    raws = [raw for name, raw in notebooks().items() if name.startswith("catalogue")]
    for number, raw in zip(range(submissions), itertools.cycle(raws[:: max(1, len(raws) // submissions)]), strict=False):
        path = root / "submitted" / f"student{number:04}" / NAME / f"{NAME}.ipynb"
        path.parent.mkdir(parents=True)
        path.write_bytes(raw)
    shutil.copy(root / "gradebook.db", root / "empty.db")
    return root


def graded(checkout, root):
    """Seconds that marking the class from nothing takes."""
    for made in (".autograder", "autograded"):
        shutil.rmtree(root / made, ignore_errors=True)
    shutil.copy(root / "empty.db", root / "gradebook.db")
    started = time.monotonic()
    autograder(checkout, "grade", "--json", cwd=root)
    return time.monotonic() - started


if __name__ == "__main__":
    sys.exit(main())
