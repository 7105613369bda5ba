"""`python -m autograder`, and the command `autograder`. The processes that mark import this again, so it imports nothing."""


def main():
    """Runs the command line."""
    from autograder import cli

    cli.main()


if __name__ == "__main__":
    main()
