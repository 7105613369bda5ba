"""What the processes that mark have in common. multiprocessing's fork server imports it once and forks them from there.

It is imported for what that does to its process, and by nothing else.
"""

from autograder.quick import start_quickly

start_quickly()

import autograder.course.executors  # noqa: E402
import autograder.grading.results  # noqa: E402
import autograder.grading.submission  # noqa: E402, F401
