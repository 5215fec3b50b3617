"""The error of all that a user can mend."""


class Refused(ValueError):
    """An INPUT, an OUT or a cluster that does not fit; raised before any picture is read."""
