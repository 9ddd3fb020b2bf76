"""Faults and hostile input: scripts that break what may break, and measure what is lost."""
