"""The training loop of one race, under the name that notebooks and lessons use."""

from distill_core.training.loop import train

__all__ = ["train"]
