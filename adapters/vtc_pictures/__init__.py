"""Picture files read as image processors want them, with Pillow and NumPy alone: for the command and for corpora."""

from . import kinds as kinds
from .naming import short as short
from .naming import visible as visible
from .opening import open_file as open_file
from .opening import why_unreadable as why_unreadable
from .reading import MAX_BYTES as MAX_BYTES
from .reading import MAX_PIXELS as MAX_PIXELS
from .reading import count_bytes as count_bytes
from .reading import count_pixels as count_pixels
from .reading import read_file as read_file
from .reading import read_picture as read_picture
from .room import Room as Room
from .unreadable import Unreadable as Unreadable
