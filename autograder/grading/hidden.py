"""The hidden region of a test cell, which no student sees."""

BEGIN_HIDDEN, END_HIDDEN = "BEGIN HIDDEN TESTS", "END HIDDEN TESTS"


def visible(source: str) -> str:
    """`source` without the hidden region."""
    lines, hidden = [], False
    for line in source.split("\n"):
        if BEGIN_HIDDEN in line:
            hidden = True
        if not hidden:
            lines.append(line)
        if END_HIDDEN in line:
            hidden = False
    return "\n".join(lines)
