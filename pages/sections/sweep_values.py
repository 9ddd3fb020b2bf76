"""The axes of a sweep: the values that each may have on images and on texts, those that it has at first, and presets for both."""

from __future__ import annotations

from collections.abc import Collection

from distill_core import teachers
from distill_core.data import datasets
from distill_core.experiment import ON_IMAGES_ONLY, methods_for
from distill_core.method_settings import FIXED, SETTINGS, settings_of
from distill_core.studies.sweep import AXES
from pages.sections import controls

VALUES = {
    "temperature": [0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0, 8.0, 12.0, 20.0, 30.0],
    "alpha": [0.0, 0.05, 0.1, 0.2, 0.3, 0.4, 0.6, 0.8, 0.9],
    "student": ["linear", "mlp-5x2", "mlp-10x2", "mlp-30x2", "mlp-100x2", "mlp-300x2", "cnn-4", "cnn-8"],
    "images": [100, 200, 300, 500, 1000, 2000, 5000, 10_000, 20_000],
    "label_noise": [0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6],
    "on_policy_share": [0.0, 0.25, 0.5, 0.75, 1.0],
    "beta": [0.0, 0.1, 0.25, 0.5, 0.75, 0.9, 1.0],
    "top_k": [1, 2, 3, 5, 10, 20, 40, 60],
}
VALUES_OF_TEXT = {
    "temperature": [0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0, 8.0],
    "student": controls.TEXT_STUDENTS,
    "images": controls.WINDOWS,
}
INITIAL = {  # values of an axis when it is chosen first
    "temperature": [1.0, 2.0, 3.0, 4.0, 6.0, 8.0, 12.0, 20.0],
    "alpha": [0.0, 0.1, 0.3, 0.6, 0.9],
    "student": ["mlp-5x2", "mlp-10x2", "mlp-30x2", "mlp-100x2"],
    "images": [200, 500, 1000, 2000, 5000],
    "label_noise": [0.0, 0.2, 0.4, 0.6],
    "method": ["soft-targets", "logits", "decoupled", "correlation"],
    "on_policy_share": [0.0, 0.25, 0.5, 0.75],
    "beta": [0.0, 0.1, 0.5, 0.9, 1.0],
    "top_k": [1, 3, 5, 10],
}
INITIAL_OF_TEXT = {
    "temperature": [1.0, 1.5, 2.0, 3.0, 4.0],
    "alpha": [0.1, 0.3, 0.6],
    "student": ["gpt-16x1", "gpt-32x1", "gpt-48x2"],
    "images": [100, 300, 1000],
    "method": ["soft-targets", "reverse-kl", "jensen-shannon", "top-k"],
}
USUAL_OF_TEXT = {"student": "gpt-32x1", "epochs": 20, "seeds": 3}  # a good sweep takes less time for each student than a race
QUESTION = {  # an axis in the heading
    "temperature": "temperature",
    "alpha": "alpha",
    "student": "the student",
    "images": "the number of training images",
    "label_noise": "the label noise",
    "teacher": "the teacher",
    "method": "the method",
    "on_policy_share": "lambda",
    "beta": "beta",
    "top_k": "k",
}
PRESETS_OF_TEXT = {
    "Temperature and alpha": {"x": "temperature", "y": "alpha"},
    "Student size": {"x": "student", "y": "alpha", "alpha": [0.3]},
    "Length of the text and temperature": {"x": "images", "y": "temperature", "temperature": [1.0, 2.0, 4.0]},
    "Methods and temperature": {"x": "temperature", "y": "method"},
    "From the soft loss to its reverse (beta)": {"x": "beta", "y": "temperature", "temperature": [1.0, 2.0]},
    "Probabilities that an API gives (k)": {"x": "top_k", "y": "alpha", "alpha": [0.3]},
    "On-policy: the share of own text (lambda)": {"x": "on_policy_share", "y": "alpha", "alpha": [0.3]},
}
PRESETS = {
    "Temperature and alpha": {"x": "temperature", "y": "alpha"},
    "Student width and temperature": {
        "x": "temperature",
        "y": "student",
        "temperature": [1.0, 2.0, 4.0, 8.0, 20.0],
        "student": ["mlp-5x2", "mlp-10x2", "mlp-30x2", "mlp-100x2", "mlp-300x2"],
    },
    "Student size": {"x": "student", "y": "alpha", "alpha": [0.1], "student": VALUES["student"][:6]},
    "Training images and label noise": {"x": "images", "y": "label_noise"},
    "Methods and temperature": {"x": "temperature", "y": "method"},
    "Methods and training images": {
        "x": "images",
        "y": "method",
        "method": ["soft-targets", "hints", "similarity", "distances", "mutual-2", "label-smoothing"],
    },
}


def axes_of(dataset: str) -> list[str]:
    """The axes that make sense for the data set: label noise for images, lambda and k for texts."""

    def fits(axis: str) -> bool:
        if axis in SETTINGS:
            return any(method in methods_for(dataset) for method in SETTINGS[axis].methods)
        return not (datasets.is_text(dataset) and axis in ON_IMAGES_ONLY)

    return [axis for axis in AXES if fits(axis)]


def possible_values(axis: str, dataset: str, axes: Collection[str]) -> list:
    """The values of an axis that the data set, and the other of both `axes`, allow."""
    if axis == "teacher":
        return teachers.offered(dataset)
    if axis == "method":
        return _fitting_methods(dataset, axes)
    source = datasets.about(dataset)
    values = VALUES_OF_TEXT.get(axis, VALUES[axis]) if source.is_text else VALUES[axis]
    if axis == "top_k":
        return [k for k in values if k <= len(source.class_names)]
    return [n for n in values if n < source.train] if axis == "images" else values


def _fitting_methods(dataset: str, axes: Collection[str]) -> list[str]:
    """The methods that have the settings among the axes, such as beta; all of the data set where there are none."""
    methods = [name for name in methods_for(dataset) if name not in FIXED]
    wanted = set(axes) & set(SETTINGS)
    return [name for name in methods if wanted <= set(settings_of(name))] or methods


def initial_values(axis: str, dataset: str, axes: Collection[str]) -> list:
    """The values of an axis when it is chosen first."""
    possible = possible_values(axis, dataset, axes)
    initial = INITIAL_OF_TEXT if datasets.is_text(dataset) and axis in INITIAL_OF_TEXT else INITIAL
    return [value for value in initial.get(axis, possible) if value in possible] or possible
