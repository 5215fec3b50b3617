"""Text, profiles, dates in PNG and JPEG: where one of them is broken, Pillow may take no pixels from the file."""

import io
import zlib

PNG = b"\x89PNG\r\n\x1a\n"
NEEDED = (b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND")
LARGEST = (1 << 31) - 1  # bytes of a chunk, by the standard

JPEG = b"\xff\xd8"
SCAN = 0xDA  # from here on, pixels
REMARKS = (*range(0xE1, 0xEE), 0xEF, 0xFE)  # not APP0 and APP14, which tell how colours are meant


def without_remarks(file: io.BufferedIOBase) -> io.BytesIO | None:
    """A copy of a PNG or JPEG with what its pixels need, and PNG's orientation if whole; None where that is all."""
    file.seek(0)
    start = file.read(len(PNG))
    if start == PNG:
        return _png(file)
    file.seek(len(JPEG))
    return _jpeg(file) if start[:2] == JPEG else None


def _png(file: io.BufferedIOBase) -> io.BytesIO | None:
    parts, dropped = [PNG], False
    while len(head := file.read(8)) == 8 and (size := int.from_bytes(head[:4])) <= LARGEST:
        body = file.read(size + 4) if head[4:] in (*NEEDED, b"eXIf") else None
        if body is None:
            file.seek(size + 4, io.SEEK_CUR)
        if body is None or (head[4:] == b"eXIf" and zlib.crc32(head[4:] + body[:-4]) != int.from_bytes(body[-4:])):
            dropped = True
        else:
            parts.append(head + body)
    return io.BytesIO(b"".join(parts)) if dropped else None


def _jpeg(file: io.BufferedIOBase) -> io.BytesIO | None:
    parts, dropped = [JPEG], False
    while len(head := file.read(4)) == 4 and head[0] == 0xFF:
        body = file.read() if head[1] == SCAN else file.read(max(int.from_bytes(head[2:]) - 2, 0))
        if head[1] in REMARKS:
            dropped = True
        else:
            parts.append(head + body)
    return io.BytesIO(b"".join(parts)) if dropped else None
