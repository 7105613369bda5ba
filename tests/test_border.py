"""What crosses from the student's process: frames, replies, exceptions. Nothing of it may surprise the grader."""

import contextlib
import json
import socket
import threading

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from autograder.criteria import NotEarned
from autograder.errors import BadReply, NotCallable, Raised, TimedOut, WorkerDied
from autograder.grading.explain import explain
from autograder.grading.pytorch import error_of, reply_to
from autograder.sandbox.inside import frames
from autograder.sandbox.inside.messages import Failure
from autograder.sandbox.outside.channel import Channel
from autograder.vae_swiss_roll.student import Student
from tests.commands import PATIENCE


def parts(frame):
    head, body = frames.sizes(frame[: frames.PREFIX.size])
    rest = frame[frames.PREFIX.size :]
    assert len(rest) == head + body
    return rest[:head], rest[head:]


def test_a_frame_comes_back_as_it_was_sent():
    tensors = {"z": torch.randn(3, 2), "h": torch.tensor([1.5], dtype=torch.bfloat16), "s": torch.tensor(2.0).double()}
    header, found = frames.decode(*parts(frames.encode({"id": 1, "text": "µ"}, tensors)))
    assert header == {"id": 1, "text": "µ"}
    assert all(torch.equal(found[name], tensor) and found[name].dtype == tensor.dtype for name, tensor in tensors.items())


@settings(max_examples=300, deadline=None)
@given(head=st.binary(max_size=200), body=st.binary(max_size=400))
def test_no_bytes_make_the_decoder_raise_anything_of_its_own(head, body):
    try:
        header, tensors = frames.decode(head, body)
    except frames.FrameError:
        return
    assert isinstance(header, dict)
    assert isinstance(tensors, dict)


@settings(max_examples=200, deadline=None)
@given(data=st.data())
def test_damaged_frames_are_frame_errors(data):
    good = frames.encode({"id": 1}, {"z": torch.ones(4)})
    head, body = parts(good)
    at = data.draw(st.integers(0, len(body) - 1))
    body = body[:at] + bytes([data.draw(st.integers(0, 255))]) + body[at + 1 :]
    with contextlib.suppress(frames.FrameError):
        frames.decode(head, body)


def test_announced_sizes_are_refused_before_memory_is_taken():
    for head, body in ((frames.MAX_HEADER + 1, 0), (2, frames.MAX_BODY + 1), (2, 2**63)):
        with pytest.raises(frames.FrameError, match="over the limit"):
            frames.sizes(frames.PREFIX.pack(head, body))


def test_deeply_nested_json_is_a_frame_error():
    with pytest.raises(frames.FrameError):
        frames.decode(b"[" * 100_000, b"")


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (b"", WorkerDied),
        (b"\x00\x00\x00\x05", WorkerDied),
        (frames.PREFIX.pack(2, 0) + b"[]", BadReply),
        (frames.PREFIX.pack(2**31, 0), BadReply),
        (frames.encode({"id": 7, "returned": {}}), BadReply),
        (json.dumps({"outcome": "passed", "points": 5.0}).encode() * 5, BadReply),
        (None, TimedOut),
    ],
)
def test_every_wrong_answer_on_the_channel_is_the_submissions_failure(answer, error):
    ours, theirs = socket.socketpair()

    def reply():
        theirs.recv(100)
        if answer is not None:
            theirs.sendall(answer)
            theirs.close()

    thread = threading.Thread(target=reply)
    thread.start()
    with pytest.raises(error):
        Channel(ours).call({"op": "x"}, {}, 0.5 if error is TimedOut else PATIENCE, "the call")
    thread.join()
    theirs.close()


def student(reply, tensors=None):
    return Student(lambda call: reply_to(call, reply, tensors or {}))


def described(**changes):
    return {"type": "tensor", "shape": [128, 2], "dtype": "float32", "device": "cpu", **changes}


@pytest.mark.parametrize(
    ("reply", "tensors"),
    [
        ({}, {}),
        ({"type": 5}, {}),
        ({"type": "tensor"}, {}),
        (described(), {}),
        (described(shape=[2, -1]), {}),
        (described(shape="128, 2"), {}),
        (described(shape=[1] * 9), {}),
        (described(), {"value": torch.zeros(3)}),
        ({"failure": "no"}, {}),
        ({**described(), "switches": 3}, {"value": torch.zeros(128, 2)}),
        (described(), {"value": torch.zeros(128, 2), "gradient.mu": torch.zeros(7)}),
        (described(), {"value": torch.zeros(128, 2), "tail": torch.zeros(3, 2).to(torch.float8_e4m3fn)}),
        (described(dtype="float8_e4m3fn"), {"value": torch.zeros(128, 2).to(torch.float8_e4m3fn)}),
        (described(dtype="float64"), {"value": torch.zeros(128, 2)}),
        (described(dtype="0.25 -0.5 LEAK"), {"value": torch.zeros(128, 2)}),
        (described(device="LEAK"), {"value": torch.zeros(128, 2)}),
        (described(shape=[10**40]), {}),
        ({**described(), "backward": True}, {"value": torch.zeros(128, 2)}),
        (described(), {"value": torch.zeros(128, 2), "gradient.logvar": torch.zeros(128, 2, dtype=torch.int64)}),
        ({**described(), "changed": 3}, {"value": torch.zeros(128, 2)}),
    ],
)
def test_replies_that_contradict_themselves_are_bad_replies(reply, tensors):
    mu = torch.zeros(128, 2)
    with pytest.raises(BadReply):
        student(reply, tensors).z(mu, mu, seed=1)


def test_a_value_of_the_wrong_size_or_not_finite_is_not_earned():
    mu = torch.zeros(128, 2)
    with pytest.raises(NotEarned, match="shape"):
        student(described(shape=[3]), {"value": torch.zeros(3)}).z(mu, mu, seed=1)
    with pytest.raises(NotEarned, match="NaN"):
        student(described(), {"value": mu / 0}).z(mu, mu, seed=1)


SOURCE = "def reparameterize(self, mu, logvar):\n    return mu + stdd * torch.randn_like(mu)\n"


def test_what_an_exception_says_is_shown_only_where_the_submission_says_it_too():
    line = "return mu + stdd * torch.randn_like(mu)"
    shown = explain(Raised("NameError", "name 'stdd' is not defined", line), SOURCE, "mu")[0]
    assert "the name `stdd` is not defined" in shown
    assert line in shown
    for text in ("name 'LEAK123' is not defined", "LEAK [0.1, 0.2]"):
        shown = explain(Raised("NameError", text, "LEAK = 1"), SOURCE, "mu")[0]
        assert "LEAK" not in shown
    colour = "return mu  # \x1b[8m hides what follows"
    assert "hides" not in explain(Raised("NameError", "", colour), SOURCE + colour, "mu")[0]


def test_the_name_of_an_exception_is_shown_only_where_it_is_pythons_or_torchs():
    for kind, shown in (("ValueError", "ValueError"), ("0.25 -0.5", ""), ("\ud800", ""), ("SystemExit", "SystemExit")):
        assert error_of(Failure(kind, ours=True), ()).kind == shown
    assert error_of(Failure("ValueError", ours=False), ()).kind == ""
    missing = Failure("NameError", ours=True, text="name 'VAE' is not defined")
    assert error_of(missing, ("VAE",)).name == "VAE"
    assert error_of(missing, ("Model",)).kind == "NameError"


def test_every_failure_of_a_call_has_a_sentence():
    for error, words in [
        (Raised("NotImplementedError", "LEAK"), "still to do"),
        (Raised("RuntimeError", "Expected all tensors to be on the same device", device=True), "different devices"),
        (Raised("RuntimeError", "The size of tensor a (128) must match the size of tensor b (64)"), "sizes 128 and 64"),
        (Raised("", "x"), "an exception of your own"),
        (TimedOut("compute_vae_loss", 5), "did not return within 5 seconds"),
        (WorkerDied("reparameterize"), "Python itself ended"),
        (BadReply("x"), "could not be read"),
        (NotCallable("VAE"), "does not define `VAE`"),
    ]:
        assert words in explain(error, SOURCE, "mu")[0]
