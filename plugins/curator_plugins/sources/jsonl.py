"""JSON lines: one record a line, plain or compressed.

A record's position is the byte offset of its line in the decompressed file: the same for any cutting into
parts, where a line number would need all lines before it. orjson parses; what it refuses is given to the
standard library, which reads the NaN, Infinity and lone surrogates that Python programs write. A line may be
four bytes for each of `max_chars`, more than any UTF-8 text needs; one that spells all its characters as
\\uXXXX is refused from two thirds of that on.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import orjson

from curator import Part, Rejected, hookimpl
from curator.files import MIB, FileSource, refused, unchanged
from curator.lines import line_parts, lines

BOM = b"\xef\xbb\xbf"


class Jsonl(FileSource):
    """Files of JSON lines, plain, gzip, zstd, bz2, xz or lz4."""

    version = 1
    endings = (".jsonl", ".ndjson", ".json")

    def parts(self) -> Iterator[Part]:
        for uri in self.files():
            yield from line_parts(uri)

    def read(self, part: Part) -> Iterator[dict[str, Any] | Rejected]:
        with unchanged(part):
            if why := refused(part.uri, "JSON lines"):
                yield why
                return
            limit = 4 * self.max_chars + MIB
            for offset, line in lines(part.uri, part.start or 0, part.stop, limit, self.max_ratio):
                if isinstance(line, Rejected):
                    yield line
                    continue
                try:
                    record = orjson.loads(line)
                except orjson.JSONDecodeError:
                    if not line.strip():
                        continue
                    record = _second_try(line, str(offset))
                if type(record) is dict:
                    record["#position"] = offset
                elif not isinstance(record, Rejected):
                    record = Rejected(str(offset), "bad_json", f"not an object but {line[:100].decode(errors='replace')}")
                yield record


def _second_try(line: bytes, position: str) -> Any:
    try:
        text = line.removeprefix(BOM).decode()
        record = json.loads(text)
        json.dumps(record, ensure_ascii=False).encode()
        return record
    except UnicodeDecodeError as error:
        around = line[max(error.start - 50, 0) : error.start + 50]
        return Rejected(position, "invalid_utf8", f"byte {error.start} of the line, in {around!r}")
    except UnicodeEncodeError as error:
        return Rejected(
            position, "lone_surrogate", repr(error.object[max(error.start - 50, 0) : error.end + 50])
        )
    except (ValueError, RecursionError) as error:
        return Rejected(position, "bad_json", f"{error}: {text[:120]}")


@hookimpl
def register_sources(register: Any) -> None:
    register(Jsonl)
