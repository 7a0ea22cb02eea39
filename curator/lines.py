"""Lines of files that may be compressed, read in pieces.

Compression is known by a file's first bytes, never by its name. A damaged file is read up to the damage, and
then gives a `Rejected`.

**Cutting.** A part of a line file is a range of *decompressed* bytes and owns the lines that begin in it, so
any cutting gives the same lines at the same positions. A plain file seeks to its range. A compressed one
decompresses and discards what lies before: with n parts (n - 1)/2 times the file, at 630 MB/s of gzip, while
measuring goes at 10-40 MB/s a core. So n is at most 8, which costs 5.5 ms/MB however large the file, and
more would gain little: the last part decompresses it all. bz2 and xz decompress at 30-100 MB/s: one part.
The size of a compressed file is estimated from the ratio of its first 4 MiB; only parallelism hangs on it, as
the last part has no end. Rejected: decompressing once to learn it, because plans are made at every start of a
run, and that alone would be 26 minutes for a terabyte; an index of restart points (as indexed_gzip keeps),
because it is one more file to trust.

**Bounds.** Each decompressor gives at most a piece at a time, so a bomb takes no memory; what bounds its time is
`max_ratio`, looked at beyond the first GiB: 10 GB of zeros in 10 MB stop there, after 0.2 (zstd)
to 2.7 (bz2) CPU seconds. Rejected:
zstandard, whose decompressor gives what it is fed at once (256 MiB of 8 KiB), or takes a file that is cut short
for a whole one.
"""

from __future__ import annotations

import bz2
import contextlib
import io
import lzma
import sys
import zlib
from collections.abc import Iterator
from typing import Any, BinaryIO

from curator.files import MAX_RATIO, MIB, open_raw, signature, size_of
from curator.files import compression as compression
from curator.plugin import Part, Rejected

PIECE = MIB // 4  #: bytes in a piece, at least
FED = 32 << 10  #: compressed bytes at a time
HEADER = 8 << 10  #: compressed bytes that hold the header of a frame
PART = 64 * MIB  #: bytes of a part, twice as many where it costs decompressing
MAX_PARTS = 8  #: of a compressed file
WHOLE = 16 * MIB  #: a compressed file up to this size is one part
SAMPLE = 4 * MIB  #: compressed bytes that the ratio is estimated from
GUESSED_RATIO = 4  #: of what is not worth sampling
EXPANDED = 1 << 30  #: bytes that any compressed file may give, whatever its ratio
XZ_MEMORY = 256 * MIB  #: bytes that a file may have xz take: `xz -9` needs 65 MiB

DECOMPRESSORS = (
    "igzip_lib",
    "zstd",
    "backports",
    "compression",
    "_zstd",
    "pyarrow",
)  # modules of errors without a common base


class DamagedFile(Exception):
    """A file that cannot be decompressed any further; sources turn it into a `Rejected` with this `reason`."""

    reason = "damaged_file"


class DecompressionBomb(DamagedFile):
    """A file that expands to more than `EXPANDED` bytes and more than the allowed multiple of its size."""

    reason = "decompression_bomb"


def decompressed(
    uri: str, at: int = 0, stored: tuple[int, int | None] = (0, None), max_ratio: float = MAX_RATIO
) -> Iterator[bytes]:
    """The file's content from byte `at`, in pieces; raises DamagedFile after what came before the damage.

    gzip of any members, zstd of any frames, bz2 and xz of any streams, lz4, or plain. `stored` limits it to a range
    of stored bytes, which must begin and end between frames, members or streams.
    """
    with open_raw(uri) as raw:
        first, last = stored
        raw.seek(first)
        file: Any = raw if last is None else _Range(raw, last - first)
        kind = compression(raw.read(6))
        raw.seek(first if kind else first + at)
        if kind is None:
            yield from iter(lambda: file.read(PIECE), b"")
            return
        yield from _gathered(_after(at, _within(max_ratio, file, _decompressed(file, kind))))


class _Range:
    """The next `left` bytes of a file."""

    def __init__(self, file: BinaryIO, left: int) -> None:
        self._file, self._left = file, left
        self._start = file.tell()

    def tell(self) -> int:
        return self._file.tell() - self._start

    def read(self, size: int) -> bytes:
        data = self._file.read(min(size, self._left))
        self._left -= len(data)
        return data


def whole(
    uri: str, limit: int, max_ratio: float = MAX_RATIO, *, option: str = "", reason: str = "too_large"
) -> bytes | Rejected:
    """A file's content, for formats that must be held; Rejected where it is damaged or has more than `limit` bytes.

    `option` is what the limit is called in the message.
    """
    held = bytearray()
    try:
        for piece in decompressed(uri, max_ratio=max_ratio):
            held += piece
            if len(held) > limit:
                more = f"more than {option}: {limit}" if option else f"more than {limit} bytes"
                return Rejected("0", reason, more)
    except DamagedFile as error:
        return Rejected("0", error.reason, str(error))
    return bytes(held)


def _decompressed(file: BinaryIO, kind: str) -> Iterator[bytes]:
    """What the file gives, at most PIECE at a time, however little it is made of."""
    if kind == "lz4":
        import pyarrow as pa

        stream = pa.CompressedInputStream(file, "lz4")
        yield from iter(lambda: stream.read(8 << 10), b"")  # what damage cuts short is lost
        return
    frame: Any = None
    data = b""
    # a file may hold several frames (members, streams), with zeros after each
    while data := data or file.read(FED):
        if frame is None:
            data = data.lstrip(b"\0")
            # isal fails on a header that comes in two pieces
            if len(data) < HEADER and (more := file.read(FED)):
                data += more
                continue
            if not data:
                return
            frame = _frame(kind)
        yield frame.decompress(data, PIECE)
        while not (frame.needs_input or frame.eof):
            yield frame.decompress(b"", PIECE)
        data = frame.unused_data
        frame = None if frame.eof else frame
    if frame:
        raise EOFError(f"the file ends within its {kind} data")


def _frame(kind: str) -> Any:
    """A decompressor with the interface of the standard library's."""
    if kind == "gzip":
        from isal import igzip_lib

        return igzip_lib.IgzipDecompressor(flag=igzip_lib.DECOMP_GZIP)
    if kind == "zstd":
        if sys.version_info >= (3, 14):
            from compression import zstd
        else:
            from backports import zstd

        # archives made with --long need windows of up to 2 GiB, of which only what is written takes memory
        return zstd.ZstdDecompressor(options={zstd.DecompressionParameter.window_log_max: 31})
    return bz2.BZ2Decompressor() if kind == "bz2" else lzma.LZMADecompressor(memlimit=XZ_MEMORY)


def _within(max_ratio: float, file: BinaryIO, outputs: Iterator[bytes]) -> Iterator[bytes]:
    made = 0
    for output in outputs:
        made += len(output)
        if made > EXPANDED and made > max_ratio * file.tell():
            raise DecompressionBomb(
                f"{file.tell()} bytes expand to {made} and more, over {max_ratio:g} times their size; "
                "if that is text, raise max_ratio"
            )
        yield output


def _after(at: int, outputs: Iterator[bytes]) -> Iterator[bytes]:
    for output in outputs:
        if at < len(output):
            yield output[at:]
        at = max(at - len(output), 0)


def _gathered(outputs: Iterator[bytes]) -> Iterator[bytes]:
    """The same in pieces of at least PIECE, and damage as DamagedFile after the last."""
    held: list[bytes] = []
    size = 0
    damage: DamagedFile | None = None
    try:
        for output in outputs:
            held.append(output)
            size += len(output)
            if size >= PIECE:
                yield b"".join(held)
                held, size = [], 0
    except DamagedFile as error:
        damage = error
    except Exception as error:
        if not is_damage(error):
            raise
        damage = DamagedFile(f"{type(error).__name__}: {error}")
    if held:
        yield b"".join(held)
    if damage:
        raise damage


def is_damage(error: Exception) -> bool:
    """Whether the content is to blame, and not the disk or network, which may be tried again."""
    if isinstance(error, OSError):
        return error.errno is None and type(error) is OSError
    module = type(error).__module__.partition(".")[0]
    return module in DECOMPRESSORS or isinstance(error, EOFError | zlib.error | lzma.LZMAError)


def expected_size(uri: str) -> int:
    """About how many bytes the file's content has."""
    with open_raw(uri) as file:
        return size_of(uri) * (GUESSED_RATIO if compression(file.read(6)) else 1)


def line_parts(uri: str) -> Iterator[Part]:
    """The parts of a file of lines, as the module's docstring says."""
    signed, stored = signature(uri), size_of(uri)
    with open_raw(uri) as file:
        kind = compression(file.read(6))
        file.seek(0)
        if kind is None:
            size, step = stored, PART
        elif stored <= WHOLE or kind in ("bz2", "xz"):
            size = step = stored * GUESSED_RATIO
        else:
            size = int(stored * _ratio(file.read(SAMPLE), kind))
            step = max(2 * PART, size // MAX_PARTS + 1)
    for start in (starts := range(0, size, step) if size else range(1)):
        stop = None if start == starts[-1] else start + step
        yield Part(uri, start, stop, signed, min(step, size - start))


def _ratio(sample: bytes, kind: str) -> float:
    size = 0
    file = io.BytesIO(sample)
    with contextlib.suppress(DamagedFile):  # the sample ends within a frame
        for piece in _gathered(_decompressed(file, kind)):
            size += len(piece)
            if size > EXPANDED >> 4:
                return size / file.tell()
    return max(size / len(sample), 1.0)


def lines(
    uri: str,
    start: int = 0,
    stop: int | None = None,
    max_bytes: int = 80_000_000,
    max_ratio: float = MAX_RATIO,
) -> Iterator[tuple[int, bytes | Rejected]]:
    """(offset, line without its newline) of each line that begins in [start, stop).

    A line longer than `max_bytes` gives a Rejected and is never held whole; so does damage, at the end.
    """
    offset = max(start - 1, 0)  # the line that byte start - 1 belongs to is the part before's
    rest: list[bytes] = []  # what was read of the line at `offset`, unless it is too long
    held = 0  # how many bytes of it were read
    try:
        for piece in decompressed(uri, offset, max_ratio=max_ratio):
            begin = 0
            while (end := piece.find(b"\n", begin)) >= 0:  # three times as fast as split() on lines of 4 kB
                length = held + end - begin
                if stop is not None and offset >= stop:
                    return
                if offset >= start:
                    if length > max_bytes:
                        yield offset, _too_large(offset, length, max_bytes)
                    elif held:
                        yield offset, b"".join([*rest, piece[begin:end]])
                    else:
                        yield offset, piece[begin:end]
                if held:
                    rest, held = [], 0
                offset += length + 1
                begin = end + 1
            if stop is not None and offset >= stop:
                return
            held += len(piece) - begin
            if stop is not None and offset < start and offset + held >= stop:
                return  # a line of the part before goes on through all of this one
            if held > max_bytes:
                rest = []
            elif begin < len(piece):
                rest.append(piece[begin:])
        if held and offset >= start:
            yield offset, b"".join(rest) if held <= max_bytes else _too_large(offset, held, max_bytes)
    except DamagedFile as error:
        yield offset, Rejected(str(offset), error.reason, str(error))


def _too_large(offset: int, length: int, limit: int) -> Rejected:
    return Rejected(str(offset), "too_large", f"a line of {length} bytes, more than {limit}")
