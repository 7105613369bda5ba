"""The messages between grader and worker: a JSON header and raw tensors, nothing that could be executed.

One frame is

    4 bytes  length of the header, big-endian
    8 bytes  length of the body, big-endian
    header   one JSON object, UTF-8
    body     the tensors in safetensors form, empty when there are none

Both sides use this module. The grader trusts nothing that it reads: sizes are checked before memory is taken, and whatever
does not parse is a `FrameError`.
"""

import json
import struct
from collections.abc import Callable, Mapping
from typing import Any

import safetensors.numpy
import safetensors.torch
import torch

PREFIX = struct.Struct(">IQ")
MAX_HEADER = 256 * 1024
MAX_BODY = 32 * 1024 * 1024

# Bound early: in the worker, student code may replace the modules' attributes later.
_dumps, _loads = json.dumps, json.loads
_save, _save_arrays, _load = safetensors.torch.save, safetensors.numpy.save, safetensors.torch.load
_numpy = torch.Tensor.numpy
ARRAYS = frozenset({torch.float32, torch.float64, torch.int64})  # numpy's form is made several times as fast as torch's
_dict, _isinstance, _len, all = dict, isinstance, len, all


class FrameError(Exception):
    """What came over the channel is no frame: too large, cut off, or not readable."""


def encode(header: Mapping[str, Any], tensors: Mapping[str, torch.Tensor] | None = None) -> bytes:
    """The bytes of one frame.

    Args:
        header: dict of JSON values.
        tensors: dict of name to contiguous CPU tensor.
    """
    head = _dumps(header).encode()
    if not tensors:
        body = b""
    elif all(tensor.dtype in ARRAYS for tensor in tensors.values()):
        body = _save_arrays({name: _numpy(tensor) for name, tensor in tensors.items()})
    else:
        body = _save({**tensors})
    if _len(head) > MAX_HEADER or _len(body) > MAX_BODY:
        raise FrameError(f"a frame of {_len(head)} + {_len(body)} bytes is over the limit")
    return PREFIX.pack(_len(head), _len(body)) + head + body


def sizes(prefix: bytes) -> tuple[int, int]:
    """(header length, body length) from the first 12 bytes; FrameError when they exceed the limits."""
    head, body = PREFIX.unpack(prefix)
    if head > MAX_HEADER or body > MAX_BODY:
        raise FrameError(f"a frame of {head} + {body} bytes is announced, over the limit")
    return head, body


def decode(head: bytes, body: bytes) -> tuple[dict[str, Any], dict[str, torch.Tensor]]:
    """(header, tensors) from the two parts of a frame; FrameError when they are not what they should be."""
    try:
        header = _loads(head)
    except (ValueError, RecursionError) as error:
        raise FrameError("the header is not JSON") from error
    if not _isinstance(header, _dict):
        raise FrameError("the header is not a JSON object")
    try:
        tensors = _load(bytes(body)) if body else {}
    except Exception as error:  # safetensors' own error, and ValueError, KeyError or OverflowError of its Python part
        raise FrameError("the body is not in safetensors form") from error
    return header, tensors


def receive(read: Callable[[int], bytes]) -> tuple[dict[str, Any], dict[str, torch.Tensor]]:
    """One frame from `read(n)`, which returns exactly n bytes or raises."""
    return decode(*receive_parts(read))


def receive_parts(read: Callable[[int], bytes]) -> tuple[bytes, bytes]:
    """The two parts of one frame, for `decode`."""
    head, body = sizes(read(PREFIX.size))
    return read(head), read(body) if body else b""
