"""A static web page that answers questions about pictures in the browser, and a server to look at it."""

from .building import Page as Page
from .building import build as build
from .building import check_place as check_place
from .building import is_page as is_page
from .serving import serve as serve
