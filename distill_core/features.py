"""Features of two networks side by side: which layers a method compares, and the layers that it trains between them."""

from __future__ import annotations

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn

EMBEDDING = 128  # units of a projection, as in Tian et al. 2020, the authors' code


def match_blocks_by_depth(student_features: Sequence[Tensor], teacher_features: Sequence[Tensor]) -> list[Tensor]:
    """For each of the student's blocks the teacher's block at the same relative depth: first to first, last to last."""
    last, of_teacher = max(1, len(student_features) - 1), len(teacher_features) - 1
    return [teacher_features[round(block * of_teacher / last)] for block in range(len(student_features))]


def middle_block(features: Sequence[Tensor]) -> Tensor:
    """The block in the middle, of an even number the one after it: the teacher's hint, the student's guided layer."""
    return features[len(features) // 2]


def last_blocks(student_features: Sequence[Tensor], teacher_features: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    """The outputs of the last block of both networks, flattened to `(N, D)`; the widths may differ."""
    return student_features[-1].flatten(1), teacher_features[-1].flatten(1)


def match_spatial_size(student: Tensor, teacher: Tensor) -> tuple[Tensor, Tensor]:
    """Two maps averaged down to the smaller height and width; where one side has no positions, both flattened to `(N, D)`."""
    if student.dim() == teacher.dim() == 4:
        size = tuple(min(sizes) for sizes in zip(student.shape[2:], teacher.shape[2:], strict=True))
        return F.adaptive_avg_pool2d(student, size), F.adaptive_avg_pool2d(teacher, size)
    return student.flatten(1), teacher.flatten(1)


def make_regressor(student_features: Sequence[Tensor], teacher_features: Sequence[Tensor]) -> nn.Module:
    """The untrained layer from the shape of the student's middle block, `(N, D, H, W)` or `(N, D)`, to the teacher's."""
    student, teacher = match_spatial_size(middle_block(student_features), middle_block(teacher_features))
    if student.dim() == 4:
        return nn.Conv2d(student.shape[1], teacher.shape[1], 1)  # each position by itself
    return nn.Linear(student.shape[1], teacher.shape[1])


class Projections(nn.Module):
    """Two linear layers, one for each network, from its features to embeddings in a common space."""

    def __init__(self, student_width: int, teacher_width: int) -> None:
        super().__init__()
        self.student, self.teacher = nn.Linear(student_width, EMBEDDING), nn.Linear(teacher_width, EMBEDDING)

    def forward(self, student: Tensor, teacher: Tensor) -> tuple[Tensor, Tensor]:
        """Embeddings `(N, EMBEDDING)` of features `(N, D)` of both networks."""
        return self.student(student), self.teacher(teacher)


def make_projections(student_features: Sequence[Tensor], teacher_features: Sequence[Tensor]) -> nn.Module:
    """The untrained projections of the last blocks of both networks."""
    student, teacher = last_blocks(student_features, teacher_features)
    return Projections(student.shape[1], teacher.shape[1])
