"""The usual loop of most distillation code, the reference for all speed-ups.

torchvision's data, a DataLoader that transforms image by image, a forward pass of the teacher for each batch, one student.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn
from torch.nn import functional as F

from distill_core import models, paths, teachers
from distill_core.data import datasets


def usual_loop(student_name: str) -> Callable[[], None]:
    """A function that trains one epoch on all 60,000 images of MNIST."""
    torchvision = datasets.import_torchvision()
    steps = torchvision.transforms.Compose([torchvision.transforms.ToTensor(), torchvision.transforms.Normalize((0.1307,), (0.3081,))])
    images = torchvision.datasets.MNIST(paths.data(), train=True, transform=steps)
    teacher = teachers.load_teacher(datasets.load("mnist"), "mlp-1200x2").network
    return loop_over(images, teacher, student_name, image_shape=(1, 28, 28))


def loop_over(
    images: torch.utils.data.Dataset,
    teacher: nn.Module,
    student_name: str,
    *,
    image_shape: tuple[int, int, int],
    alpha: float = 0.1,
    temperature: float = 4.0,
) -> Callable[[], None]:
    """A function that trains one epoch on any data set of ten classes."""
    loader = torch.utils.data.DataLoader(images, batch_size=256, shuffle=True)
    student = models.build(student_name, image_shape=image_shape, classes=10, seed=0)
    optimizer = torch.optim.Adam(student.parameters())
    divergence = nn.KLDivLoss(reduction="batchmean")

    def epoch() -> None:
        for batch, labels in loader:
            with torch.no_grad():
                teacher_logits = teacher(batch)
            logits = student(batch)
            hard = F.cross_entropy(logits, labels)
            soft = divergence(F.log_softmax(logits / temperature, dim=1), F.softmax(teacher_logits / temperature, dim=1))
            optimizer.zero_grad()
            (alpha * hard + (1 - alpha) * temperature**2 * soft).backward()
            optimizer.step()

    return epoch
