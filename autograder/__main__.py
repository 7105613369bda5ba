"""`python -m autograder`, and the command `autograder`. The processes that mark import this again, so it imports nothing."""


def main() -> None:
    """Runs the command line."""
    from autograder.quick import start_quickly

    start_quickly()
    from autograder import cli

    cli.main()


if __name__ == "__main__":
    main()
