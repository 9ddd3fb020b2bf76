"""The former address of calibration.py."""

from pages.server.lab import go_to

go_to("pages/calibration.py", here="pages/trust.py")
