"""PNG's remarks: text, profiles, dates. Pillow takes no pixels from a file in which one of them is broken."""

import io
import zlib

SIGNATURE = b"\x89PNG\r\n\x1a\n"
KEPT = (b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND")
LARGEST = (1 << 31) - 1  # bytes of a chunk, by the standard


def without_remarks(file: io.BufferedIOBase) -> io.BytesIO | None:
    """A copy of a PNG with what its pixels need, and with its orientation if that is whole; None where that is all."""
    file.seek(0)
    if file.read(len(SIGNATURE)) != SIGNATURE:
        return None
    copy, dropped = io.BytesIO(SIGNATURE), False
    copy.seek(0, io.SEEK_END)
    while len(head := file.read(8)) == 8 and (size := int.from_bytes(head[:4])) <= LARGEST:
        body = file.read(size + 4) if head[4:] in (*KEPT, b"eXIf") else None
        if body is None:
            file.seek(size + 4, io.SEEK_CUR)
        if body is None or (head[4:] == b"eXIf" and zlib.crc32(head[4:] + body[:-4]) != int.from_bytes(body[-4:])):
            dropped = True
        else:
            copy.write(head + body)
    return copy if dropped else None
