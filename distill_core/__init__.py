"""Knowledge distillation, as a lecture: read the files in this order, each needs only those before it."""

import ctypes
import os
import sys

# Idle threads of OpenMP otherwise spin while they wait: when a browser or a second run wants the same cores, a race of
# 3 s takes 90 s. Must be set before torch is loaded.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

# The C library gives freed memory back at once, and every step of training asks for it again, page by page; kept, an
# epoch of mlp-30x2 takes 5 % less, one of cnn-8 10 %.
if sys.platform == "linux" and hasattr(libc := ctypes.CDLL(None), "mallopt"):
    libc.mallopt(M_MMAP_THRESHOLD := -3, 32 << 20)
    libc.mallopt(M_TRIM_THRESHOLD := -1, 256 << 20)

READING_ORDER = (
    "losses",  # the mathematics
    "places",  # where data, caches and runs are kept
    "datasets",  # small image sets as tensors
    "drawing",  # a drawing as the data sets have their digits
    "gallery",  # which images are worth looking at
    "models",  # teachers and students
    "airbench",  # how the strong teacher for CIFAR-10 is trained
    "teachers",  # the trained teachers that come with the lab
    "objectives",  # the methods: which losses, with which weights
    "experiment",  # every choice of a run, as one value
    "analysis",  # accuracy with its interval, agreement, calibration
    "humans",  # what people said of CIFAR-10, where that file is on the machine
    "trainer",  # the training loop, for one student and its baseline
    "perceptrons",  # a step of the smallest students, by hand
    "cohort",  # the same, many students as one batched tensor
    "lanes",  # a large cohort on all cores
    "sweep",  # the cells of a map
    "presets",  # experiments of the literature
    "comparison",  # all methods side by side
)
