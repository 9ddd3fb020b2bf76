"""Studies: presets, sweeps and the comparison of all methods, with their measured results."""
