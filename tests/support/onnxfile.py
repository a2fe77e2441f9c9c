"""A recogniser small enough to be written here: an ONNX file that averages 14 x 14 px, so its vector is a tiny copy of
the face. Protocol buffers are written by hand, since nothing else needs a library for them."""

from __future__ import annotations

from collections.abc import Sequence


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def _field(number: int, value: int | str | bytes) -> bytes:
    if isinstance(value, int):
        return _varint(number << 3) + _varint(value)
    data = value.encode() if isinstance(value, str) else value
    return _varint(number << 3 | 2) + _varint(len(data)) + data


def _tensor(name: str, shape: Sequence[int]) -> bytes:
    sides = b"".join(_field(1, _field(1, side)) for side in shape)
    return _field(1, name) + _field(2, _field(1, _field(1, 1) + _field(2, sides)))


def _integers(name: str, values: Sequence[int]) -> bytes:
    return _field(5, _field(1, name) + b"".join(_field(8, value) for value in values) + _field(20, 7))


def thumbnails(side: int = 112, window: int = 14, width: int | None = None) -> bytes:
    """(1, 3, side, width) -> (1, 3 * cells): means over windows; `width` None: as `side`. ONNX of opset 13."""
    across = width or side
    cells = (side // window) * (across // window)
    shape = _integers("kernel_shape", [window, window]) + _integers("strides", [window, window])
    pool = _field(1, "face") + _field(2, "means") + _field(4, "AveragePool") + shape
    flat = _field(1, "means") + _field(2, "vector") + _field(4, "Flatten")
    graph = _field(1, pool) + _field(1, flat) + _field(2, "thumbnails")
    graph += _field(11, _tensor("face", (1, 3, side, across))) + _field(12, _tensor("vector", (1, 3 * cells)))
    return _field(1, 8) + _field(7, graph) + _field(8, _field(2, 13))
