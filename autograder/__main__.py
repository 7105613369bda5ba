"""`python -m autograder`, and the command `autograder`. The processes that mark import this again, so it imports nothing."""

import sys


def main() -> None:
    """Runs the command line."""
    from autograder.quick import start_quickly

    start_quickly()
    try:
        from autograder import cli
    except Exception as error:  # an environment that is broken
        print(f"The grader failed; nobody was marked. It cannot be imported: {error!r}", file=sys.stderr)
        sys.exit(2)
    cli.main()


if __name__ == "__main__":
    main()
