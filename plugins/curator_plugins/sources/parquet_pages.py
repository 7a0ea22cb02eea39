"""The headers of Parquet's pages, looked at before Arrow allocates what they declare.

The footer and a header are Thrift structs of the compact protocol (parquet.thrift: FileMetaData, PageHeader).
Rejected: trusting the sizes that the footer sums up, as Arrow does not hold pages to them; the footer as pyarrow
gives it, whose `column()` ends the process where a column's statistics do not fit the schema (26.0, found by
fuzzing); libraries of Thrift, for the 60 lines that read a struct.
"""

from __future__ import annotations

from typing import Any, BinaryIO

from curator.files import MIB
from curator.lines import DamagedFile, DecompressionBomb

LARGE = 64 * MIB  #: bytes that a page may have whatever its ratio
HEADER = 1 << 10  #: bytes of a header that are read at first; statistics may make it longer
DICTIONARY = 2  #: type of a page
BYTES = (6, 7)  #: types of a column: BYTE_ARRAY, FIXED_LEN_BYTE_ARRAY


def row_groups(raw: BinaryIO) -> list[Any]:
    """The row groups of a file's footer, as `_struct` gives them; raises DamagedFile."""
    end = raw.seek(0, 2)
    raw.seek(max(end - 8, 0))
    size = int.from_bytes(raw.read(4), "little")
    raw.seek(max(end - 8 - size, 0))
    try:
        fields, _ = _struct(raw.read(size), 0, 0)
        return list(fields[4])
    except (LookupError, ValueError, TypeError) as error:
        raise DamagedFile(f"the footer cannot be read: {error!r}") from None


def dictionaries(raw: BinaryIO, group: Any, max_ratio: float) -> dict[str, int]:
    """Bytes before compression of the dictionary of each column of a row group that has one of bytes or text.

    Raises DecompressionBomb where a page expands beyond `max_ratio`, and DamagedFile where a header is none.
    """
    try:
        return _dictionaries(raw, group, max_ratio)
    except (LookupError, ValueError, TypeError, AttributeError) as error:
        raise DamagedFile(f"the footer cannot be read: {error!r}") from None


def _dictionaries(raw: BinaryIO, group: Any, max_ratio: float) -> dict[str, int]:
    found: dict[str, int] = {}
    end = raw.seek(0, 2)
    for chunk in group[1]:
        column = chunk[3]
        name = b".".join(column[3]).decode(errors="replace")
        at = min(column[9], column.get(11) or column[9])
        stop, left = at + column[7], column[5]
        while at < stop and left > 0:
            kind, size, stored, values, length = _header(raw, at, name)
            if at + length + stored > min(stop, end):
                raise DamagedFile(f"a page of column {name!r} has {stored} bytes, more than there are")
            if size > LARGE and size > max_ratio * max(stored, 1):
                raise DecompressionBomb(
                    f"a page of column {name!r} expands from {stored} to {size} bytes, over "
                    f"{max_ratio:g} times its size; if that is text, raise max_ratio"
                )
            if kind == DICTIONARY and column[1] in BYTES:
                found[name] = max(size, found.get(name, 0))
            at += length + stored
            left -= values
    return found


def _header(raw: BinaryIO, at: int, column: str) -> tuple[int, int, int, int, int]:
    """(type, size, size as stored, values, length of the header) of the page at a byte of the file."""
    raw.seek(max(at, 0))
    data = raw.read(HEADER) if at >= 0 else b""
    while True:
        try:
            fields, length = _struct(data, 0, 0)
            kind, size, stored = fields[1], fields[2], fields[3]
            data_page = fields.get(5) or fields.get(8) or {}
            values = data_page.get(1, 0)
            if size < 0 or stored < 0 or values < 0:
                raise ValueError
            return kind, size, stored, values, length
        except IndexError:
            more = raw.read(len(data)) if data else b""
            if not more or len(data) > 16 * MIB:
                break
            data += more
        except (KeyError, ValueError, TypeError, AttributeError):
            break
    raise DamagedFile(f"column {column!r} has no page at byte {at}")


def _struct(data: bytes, at: int, depth: int) -> tuple[dict[int, Any], int]:
    """(field number -> integer, bytes, struct, list or None, place after it) of a struct at a place."""
    fields: dict[int, Any] = {}
    number = 0
    if depth > 8:
        raise ValueError
    while head := data[at]:
        at += 1
        if head >> 4:
            number += head >> 4
        else:
            value, at = _varint(data, at)
            number = _signed(value)
        fields[number], at = _value(data, at, head & 15, depth)
    return fields, at + 1


def _value(data: bytes, at: int, kind: int, depth: int) -> tuple[Any, int]:
    if kind in (1, 2):  # true, false
        return None, at
    if kind == 3:  # byte
        return None, at + 1
    if kind in (4, 5, 6):  # integers
        value, at = _varint(data, at)
        return _signed(value), at
    if kind == 7:  # double
        return None, at + 8
    if kind == 8:  # bytes
        length, at = _varint(data, at)
        if at + length > len(data):
            raise IndexError
        return data[at : at + length], at + length
    if kind in (9, 10):  # lists, sets
        head, at = data[at], at + 1
        count, at = _varint(data, at) if head >> 4 == 15 else (head >> 4, at)
        values: list[Any] = []
        for _ in range(count):
            element: Any = None
            if head & 15 in (1, 2):
                at += 1
            else:
                element, at = _value(data, at, head & 15, depth + 1)
            if at > len(data) or depth > 8:
                raise IndexError
            values.append(element)
        return values, at
    if kind == 12:
        return _struct(data, at, depth + 1)
    raise ValueError  # maps are nowhere in it


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 64, 7):
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
    raise ValueError


def _signed(value: int) -> int:
    return (value >> 1) ^ -(value & 1)
