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
    "paths",  # where data, caches and runs are kept
    "data.dataset",  # an image set as tensors; subsets, label noise, random shifts
    "data.download",  # downloads with checksums
    "data.uploads",  # an image set from a zip
    "data.datasets",  # the image sets by name
    "data.drawing",  # a drawing, centred like the digits of the data sets
    "data.image_order",  # images by ambiguity, by difficulty, by the teacher's errors
    "data.cifar10h",  # human labels of CIFAR-10, if that file is on the machine
    "models",  # teachers and students
    "teachers.airbench",  # how the strong teacher for CIFAR-10 is trained
    "teachers.recipes",  # how each teacher is trained
    "teachers.cards",  # what is known of each trained teacher
    "teachers.weights",  # trained teachers from their files
    "teachers.logit_cache",  # their logits by example index
    "teachers.making",  # training a teacher
    "teachers",  # the names of this package
    "objectives",  # the methods: which losses, with which weights
    "experiment",  # every choice of a run, as one value
    "analysis",  # accuracy with its interval, agreement, calibration
    "training.trainer",  # the training loop, for one student and its baseline
    "training.perceptrons",  # a step of the smallest students, by hand
    "training.cohort",  # the same, many students as one batched tensor
    "training.shards",  # a large cohort on all cores
    "trainer",  # the name under which notebooks find `train`
    "cohort",  # the name under which notebooks find `train_cohort`
    "studies.sweep",  # the cells of a sweep
    "studies.presets",  # experiments of the literature
    "studies.comparison",  # all methods side by side
)
