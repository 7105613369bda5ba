"""What runs beside a student's code. Nothing in this folder knows an answer, and nothing it says is a verdict.

A worker gets this folder, as a package of its own named `inside`, the operations of one assignment, and nothing else of ours
(`outside/room.py` holds the list). So its modules import each other relatively, and nothing else of the project:

    worker      the student's Jupyter kernel, and a door for calls beside it
    zygote      a warm process that is forked for each worker
    pytorch     calls a student's PyTorch function safely and describes what came out
    messages    what grader and worker say about a call, as data classes
    frames      how that is packed into bytes
    probe       in place of an assignment's operations: the questions of `outside/conformance.py`

The grader imports `messages` and `frames` from here, and trusts nothing that was packed by the other side.
"""
