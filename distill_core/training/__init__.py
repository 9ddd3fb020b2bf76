"""Training: one student and its baseline, many as one batched tensor, all cores."""
