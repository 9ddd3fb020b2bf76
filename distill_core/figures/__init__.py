"""Plain numbers in, a plotly Figure out: no torch, no database."""

# Completely, before the first figure: plotly uses attributes of pandas as soon as any thread has begun to import it.
import pandas  # noqa: F401
