"""The former address of sweep.py."""

from pages.server.lab import go_to

go_to("pages/sweep.py", here="pages/map.py")
