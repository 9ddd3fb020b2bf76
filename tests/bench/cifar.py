"""One epoch of `cnn-8` on the 50,000 images of CIFAR-10 with random flips and shifts, compared with the usual loop."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator

import torch
from PIL import Image

from distill_core import teachers
from distill_core.data import datasets
from distill_core.experiment import Experiment
from distill_core.training.loop import make_learners, train_step
from distill_core.training.run_data import load_run_data
from tests.bench.measure import Figure, alternate, ratios, threads
from tests.bench.usual_loop import loop_over

TIMES = 2
OURS = Experiment(dataset="cifar10-jpeg", teacher="cnn-32", student="cnn-8", batch_size=256, epochs=1, augmentation="fixed")


def run() -> Iterator[Figure]:
    """Seconds and ratio; nothing where the data set is not on this machine."""
    if not datasets.DATASETS["cifar10-jpeg"].is_here():
        return
    with threads(os.cpu_count() or 1):
        seconds = alternate({"usual": usual_epoch(), "ours": our_epoch()}, times=TIMES)
    yield Figure("cnn-8, the usual loop, one epoch of CIFAR-10 (JPEG)", seconds["usual"], "s")
    yield Figure("cnn-8, ours, one epoch of one student", seconds["ours"], "s", "at most 8")
    yield Figure("cnn-8, speed-up over the usual loop", ratios(seconds, "usual", "ours"), "x", "at least 5")


class Pictures(torch.utils.data.Dataset):
    """As torchvision's CIFAR10: a PIL image, transformed at each access."""

    def __init__(self, dataset: datasets.Dataset) -> None:
        transforms = datasets.import_torchvision().transforms
        self.arrays, self.labels = dataset.train_images.permute(0, 2, 3, 1).numpy(), dataset.train_labels.tolist()
        mean, deviation = ((value / 255).flatten().tolist() for value in dataset.pixel_mean_std)
        steps = [transforms.RandomHorizontalFlip(), transforms.RandomCrop(32, padding=2, padding_mode="reflect"), transforms.ToTensor()]
        self.transform = transforms.Compose([*steps, transforms.Normalize(mean, deviation)])

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        return self.transform(Image.fromarray(self.arrays[index])), self.labels[index]


def usual_epoch() -> Callable[[], None]:
    """The usual loop with the small teacher of CIFAR-10."""
    dataset = datasets.load("cifar10-jpeg")
    teacher = teachers.load_teacher(dataset, "cnn-32").network
    return loop_over(Pictures(dataset), teacher, "cnn-8", image_shape=dataset.image_shape)


def our_epoch(experiment: Experiment = OURS) -> Callable[[], None]:
    """All steps of one epoch of one student."""
    data = load_run_data([experiment], device="cpu")
    learners = make_learners(experiment, data, ["student"])

    def epoch() -> None:
        for step, indices in enumerate(data.batches(0)):
            train_step(learners, data.get_batch(indices, step), learning_rate=0.001, progress=0.0)

    return epoch
