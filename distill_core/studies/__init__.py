"""Experiments worth repeating: presets, sweeps, and the comparison of all methods, with what was measured."""
