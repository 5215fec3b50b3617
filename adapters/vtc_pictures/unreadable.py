"""The error of a file that holds no picture."""


class Unreadable(ValueError):
    """Why a file holds no picture that can be used, in words that follow the file's name."""
