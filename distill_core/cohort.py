"""Many students as one batched tensor, under the name that notebooks and lessons use."""

from distill_core.training.cohort import train_cohort

__all__ = ["train_cohort"]
