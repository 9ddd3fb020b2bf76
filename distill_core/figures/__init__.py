"""Plain numbers in, a plotly Figure out: no torch, no database."""

# Completely, before the first figure: plotly looks into whatever another thread has imported of pandas so far.
import pandas  # noqa: F401
