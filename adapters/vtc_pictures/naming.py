"""Names and answers as a terminal, a table or a picture's title may show them."""

import unicodedata

UNSEEN = ("Cc", "Cf", "Cs", "Zl", "Zp")  # controls, direction marks, surrogates, line and paragraph ends
LONGEST = 300


def visible(text: object) -> str:
    r"""Text on one line that commands nothing: what is unseen, and bytes that are not UTF-8, become \x1b, \n, \xe9."""
    return "".join(_escaped(letter) if unicodedata.category(letter) in UNSEEN else letter for letter in str(text))


def short(text: object) -> str:
    """`visible`, and the middle left out of what is longer than a line or three."""
    shown = visible(text)
    return shown if len(shown) <= LONGEST else f"{shown[: LONGEST // 2]} ... {shown[-LONGEST // 2 :]}"


def _escaped(letter: str) -> str:
    if "\udc80" <= letter <= "\udcff":  # how Python spells a byte of a file name that is not UTF-8
        return f"\\x{ord(letter) - 0xDC00:02x}"
    return letter.encode("unicode_escape").decode()
