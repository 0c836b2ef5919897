"""Writes protobuf messages: as much of the format as an ONNX graph needs, in a page.

The `onnx` package does the same with 33 MB and a second of imports. Tests read back with it what is
written here.
"""

import struct
from collections.abc import Iterable

Value = int | float | str | bytes


def message(*fields: tuple[int, Value | Iterable[Value]]) -> bytes:
    """Encode fields of (number, value); an iterable is a repeated field, bytes a message in it.

    Integers become varints (int32, int64, enums), floats four bytes.
    """
    parts: list[bytes] = []
    for number, value in fields:
        repeated = [value] if isinstance(value, Value) else value
        parts += (_field(number, item) for item in repeated)
    return b"".join(parts)


def _field(number: int, value: Value) -> bytes:
    if isinstance(value, int):
        return _varint(number << 3) + _varint(value)
    if isinstance(value, float):
        return _varint(number << 3 | 5) + struct.pack("<f", value)
    data = value.encode() if isinstance(value, str) else value
    return _varint(number << 3 | 2) + _varint(len(data)) + data


def _varint(value: int) -> bytes:
    value &= (1 << 64) - 1  # negative numbers take ten bytes, as the format wants
    encoded = bytearray()
    while value > 0x7F:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)
