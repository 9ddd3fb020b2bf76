"""Plain numbers in, a plotly Figure out: no torch, no database."""
