"""What a file is meant to be: by the suffix of its name, and by its first bytes."""

import functools
import mimetypes
import os
from importlib.util import find_spec

from PIL import Image

# Decoded by Pillow in this process: not EPS, which Ghostscript would run, nor formats that are only recognised.
RASTER = (
    "PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "HEIF", "AVIF", "JPEG2000", "DDS", "DIB", "ICNS", "ICO", "PCX", "PPM",
    "PSD", "QOI", "SGI", "TGA",
)  # fmt: skip

HEIC, AVIF, RAW = "HEIC", "AVIF", "a camera's raw file"
SUFFIXES = {
    HEIC: "heic heics heif heifs hif",
    AVIF: "avif avifs",
    RAW: "3fr arw cr2 cr3 crw dcr dng erf kdc mef mos mrw nef nrw orf pef raf raw rw2 rwl sr2 srf srw x3f",
    "JPEG XL": "jxl",
    "PostScript": "ai eps ps",
    "SVG": "svg svgz",
    "a picture of a rare kind": "bpg cur djvu emf exr fit fits hdr jxr pfm psb wdp wmf xcf",
}
OTHER = {f".{suffix}": kind for kind, suffixes in SUFFIXES.items() for suffix in suffixes.split()}
TYPES = mimetypes.MimeTypes()  # Python's own list: the same on every machine

HEAD = 512  # bytes that tell
MAGIC = {
    b"\x89PNG\r\n\x1a\n": "PNG",
    b"\xff\xd8\xff": "JPEG",
    b"GIF87a": "GIF",
    b"GIF89a": "GIF",
    b"II*\0": "TIFF",
    b"MM\0*": "TIFF",
    b"8BPS": "Photoshop",
    b"qoif": "QOI",
    b"\xff\x0a": "JPEG XL",
    b"\0\0\0\x0cJXL \r\n\x87\n": "JPEG XL",
    b"\0\0\0\x0cjP  \r\n\x87\n": "JPEG 2000",
    b"FUJIFILMCCD-RAW": RAW,
    b"%!PS": "PostScript",
    b"\xc5\xd0\xd3\xc6": "PostScript",
}
FORMATS = {
    "WebP": "WEBP",
    "JPEG 2000": "JPEG2000",
    "Photoshop": "PSD",
    HEIC: "HEIF",
}  # in Pillow's words, where they differ
BRANDS = {HEIC: (b"heic", b"heix", b"hevc", b"heim", b"heis"), AVIF: (b"avif", b"avis"), RAW: (b"crx ",)}


@functools.cache
def formats() -> tuple[str, ...]:
    """Of RASTER, what this Pillow and its plugins decode."""
    if find_spec("pillow_heif"):
        import pillow_heif  # pyright: ignore[reportMissingImports]

        pillow_heif.register_heif_opener()
    Image.init()
    return tuple(name for name in RASTER if name in Image.OPEN)


def readable(name: str) -> bool:
    """Whether a name ends as pictures do that can be read here."""
    kind = Image.registered_extensions().get(_suffix(name)) if formats() else None
    return kind in formats() or kind == "MPO"  # several JPEGs in a file, the first of which is read


def kind_of_name(name: str) -> str | None:
    """Of a picture that cannot be read here, by its suffix."""
    if readable(name):
        return None
    suffix = _suffix(name)
    guessed = TYPES.guess_type(f"a{suffix}")[0] or ""
    return OTHER.get(suffix) or (suffix[1:].upper() if guessed.startswith("image/") else None)


def is_something_else(name: str) -> bool:
    """Whether a suffix says so clearly that this is no picture that nobody need look inside."""
    return any(TYPES.guess_type(f"a{_suffix(name)}")) and not readable(name) and kind_of_name(name) is None


def kind_of(head: bytes) -> str | None:
    """Of a picture, whether it can be read here or not, by its first bytes."""
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "WebP"
    if head[:2] == b"BM" and head[6:10] == bytes(4):
        return "BMP"
    if head[:4] == b"II*\0" and head[8:10] == b"CR":
        return RAW
    if head[4:8] == b"ftyp":
        brands = head[8 : min(int.from_bytes(head[:4]), HEAD)]
        return next((kind for kind, known in BRANDS.items() if any(brand in brands for brand in known)), None)
    if b"<svg" in head and head.lstrip().startswith(b"<"):
        return "SVG"
    return next((kind for start, kind in MAGIC.items() if head.startswith(start)), None)


def refusal(kind: str) -> str:
    """Why a picture of this kind is not read, and what helps."""
    if FORMATS.get(kind, kind) in formats():
        return f"is a damaged {kind}"
    helps = "pip install 'vtc-cls[heif]'" if kind in (HEIC, AVIF) else "convert it to PNG or JPEG"
    return f"is {kind}, which cannot be read here: {helps}"


def _suffix(name: str) -> str:
    return os.path.splitext(name)[1].lower()
