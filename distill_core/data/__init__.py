"""Small image sets as tensors: where they come from, what a run sees of them, a learner's own pictures and drawings."""
