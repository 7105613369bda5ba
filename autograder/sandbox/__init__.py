"""Student code on one side, the grader on the other.

inside/     what runs beside student code, in a worker
outside/    what never does: starts workers, limits them, talks to them
"""
