"""One epoch of MNIST: the usual loop for one student, ours for a student and its baseline."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator

import torch
from torch import nn

from distill_core import datasets, models, places, teachers
from distill_core.cohort import Cohort
from distill_core.experiment import Experiment
from distill_core.trainer import order_of_images

BATCH = 256


def usual_loop(student: str, *, share: float = 0.2) -> float:
    """Seconds for one epoch as most code does it: DataLoader, a transform an image, the teacher in the loop, Adam.

    A `share` of the epoch is timed, and the rest taken to go as fast.
    """
    torchvision = datasets._torchvision()
    transform = torchvision.transforms.Compose([torchvision.transforms.ToTensor(), torchvision.transforms.Normalize((0.1307,), (0.3081,))])
    images = torchvision.datasets.MNIST(places.data(), train=True, transform=transform)
    loader = torch.utils.data.DataLoader(images, batch_size=BATCH, shuffle=True)
    teacher = teachers.load_teacher(datasets.load("mnist"), "mlp-1200x2").network
    network = models.build(student, image_shape=(1, 28, 28), classes=10, seed=0)
    optimizer = torch.optim.Adam(network.parameters(), lr=0.001)
    steps = round(share * len(loader))
    started = time.perf_counter()
    for step, (batch, labels) in enumerate(loader):
        if step == steps:
            break
        with torch.no_grad():
            teacher_logits = teacher(batch)
        logits = network(batch)
        soft = nn.functional.kl_div(
            nn.functional.log_softmax(logits / 4, dim=1), nn.functional.softmax(teacher_logits / 4, dim=1), reduction="batchmean"
        )
        loss = 0.1 * nn.functional.cross_entropy(logits, labels) + 0.9 * 16 * soft
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return (time.perf_counter() - started) * len(loader) / steps


def ours(student: str) -> Callable[[], float]:
    """Seconds for one epoch of student and baseline, without the test; soft targets were computed before, once."""
    experiment = Experiment(dataset="mnist", student=student, epochs=100, batch_size=BATCH)
    cohort = Cohort([experiment])
    epochs: Iterator[int] = iter(range(100))

    def epoch() -> float:
        started = time.perf_counter()
        order = order_of_images(experiment, cohort.given[0].indices, next(epochs)).unsqueeze(0)
        for batch in order.split(BATCH, dim=1):
            cohort.learn(batch, learning_rate=0.001)
        return time.perf_counter() - started

    epoch()
    return epoch


def matrix_rate(size: int = 2048, times: int = 8) -> float:
    """Floating-point operations a second of this machine's matrix product in float32."""
    a, b = torch.randn(size, size), torch.randn(size, size)
    a @ b
    started = time.perf_counter()
    for _ in range(times):
        a @ b
    return times * 2 * size**3 / (time.perf_counter() - started)


def operations(student: str, images: int = 60_000) -> float:
    """Floating-point operations of one epoch of student and baseline: forward, and backward without the images' gradient."""
    network = models.build(student, image_shape=(1, 28, 28), classes=10, seed=0)
    weights = [p.numel() for name, p in network.named_parameters() if name.endswith("weight")]
    return 2 * images * (6 * sum(weights) - 2 * weights[0])


def measure(repeats: int = 5) -> dict:
    """Both loops in turn, median of `repeats`."""
    found: dict = {}
    for student in ("mlp-30x2", "mlp-800x2"):
        epoch = ours(student)
        rounds = [(usual_loop(student), epoch(), epoch(), matrix_rate()) for _ in range(repeats)]
        usual, one, other, rate = (statistics.median(column) for column in zip(*rounds, strict=True))
        mine = min(one, other)
        found[student] = {
            "usual_loop_seconds": round(usual, 2),
            "student_and_baseline_seconds": round(mine, 3),
            "ratio": round(usual / mine, 1),
            "matrix_product_gflops": round(rate / 1e9),
            "share_of_matrix_product": round(operations(student) / mine / rate, 2),
            "repeats": repeats,
            "threads": torch.get_num_threads(),
        }
    return found
