"""`python -m autograder.gradescope /autograder`, which Gradescope starts for each submission: `mark.py`, started quickly."""

import pathlib
import sys


def main() -> int:
    """Marks what is in that folder. → exit code"""
    from autograder.quick import start_quickly

    start_quickly()
    from autograder.gradescope import mark

    return mark.main(pathlib.Path(sys.argv[1]))


if __name__ == "__main__":
    sys.exit(main())
