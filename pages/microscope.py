"""The former address of soft_targets.py."""

from pages.server.lab import go_to

go_to("pages/soft_targets.py", here="pages/microscope.py")
