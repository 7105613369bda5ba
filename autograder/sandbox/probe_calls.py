"""In place of an assignment's `calls.py`, for the probes of `conformance.py`: runs the code that it is sent."""


def answer(header, tensors, namespace):
    """({"result": …} or {"raised": …}, no tensors): what the code left in `result`."""
    scope = {}
    try:
        exec(header["code"], scope)
        return {"result": scope.get("result")}, {}
    except BaseException as error:
        return {"raised": f"{type(error).__name__}: {error}"[:500]}, {}
