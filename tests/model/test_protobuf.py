"""What the encoder writes, the `onnx` package reads."""

import onnx
import pytest

from model.onnx_graph import message


@pytest.mark.parametrize("number", [0, 1, 127, 128, -1, 2**63 - 1, -(2**63)])
def test_integers_come_back(number: int) -> None:
    assert onnx.AttributeProto.FromString(message((3, number))).i == number


def test_floats_texts_bytes_and_repeated_messages_come_back() -> None:
    entry = message((1, "key"), (2, "wörth"))
    read = onnx.TensorProto.FromString(message((1, [2, 300]), (9, b"\0\xff"), (13, [entry, entry])))
    assert (list(read.dims), read.raw_data) == ([2, 300], b"\0\xff")
    assert [(item.key, item.value) for item in read.external_data] == [("key", "wörth")] * 2
    assert onnx.AttributeProto.FromString(message((2, 0.5))).f == 0.5


def test_empty_repeated_field_writes_nothing() -> None:
    assert message((1, [])) == b""
