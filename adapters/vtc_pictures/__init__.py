"""Picture files read as image processors want them, with Pillow and NumPy alone: for the command and for corpora."""

from .reading import Unreadable as Unreadable
from .reading import read_picture as read_picture
