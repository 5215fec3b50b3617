"""The error for input that the user can correct."""


class Refused(ValueError):
    """Something about INPUT, OUT or the cluster is wrong; raised before any picture is read."""
