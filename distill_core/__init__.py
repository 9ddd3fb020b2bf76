"""Knowledge distillation, as a lecture: read the files in this order, each needs only those before it."""

READING_ORDER = (
    "losses",  # the mathematics
    "paths",  # where data, caches and runs are kept
    "data.datasets",  # small image sets as tensors
    "data.drawing",  # a drawing, centred as the digits of the data sets are
    "data.image_order",  # images by ambiguity, by difficulty, by the teacher's errors
    "data.cifar10h",  # the labels that people gave to CIFAR-10, where that file is on the machine
    "models",  # teachers and students
    "teachers.airbench",  # how the strong teacher for CIFAR-10 is trained
    "teachers",  # the trained teachers that come with the lab
    "batch",  # what a method gets in one step
    "controls",  # soft targets without the knowledge, and mistakes of public code
    "objectives",  # the methods: which losses, with which weights
    "experiment",  # every choice of a run, as one value
    "statistics",  # means, confidence intervals, paired differences
    "calibration",  # confidence against accuracy, temperature scaling
    "analysis",  # accuracy, agreement, dark knowledge, the conclusion in words
    "training.run_data",  # images, labels and teacher logits of a run, batch by batch
    "training.schedule",  # steps, learning rate, when a run is measured
    "training.records",  # what a run yields
    "training.initial",  # untrained students
    "training.loop",  # the training loop, for one student and its baseline
    "training.perceptrons",  # a step of the smallest students, by hand
    "training.stacked",  # tools for networks with stacked weights
    "training.cohort",  # the loop again, for many students as one batched tensor
    "training.shards",  # a large cohort on all cores
    "trainer",  # the name under which notebooks find `train`
    "cohort",  # the name under which notebooks find `train_cohort`
    "studies.sweep",  # the cells of a sweep
    "studies.presets",  # experiments of the literature
    "studies.comparison",  # all methods side by side
    "doctor",  # is this machine ready
)
