"""The help texts of the settings, and where those of a text differ."""

from __future__ import annotations

from collections.abc import Sequence

from distill_core.data import datasets

HELP = {  # of each setting, on every page that has it
    "dataset": "The images to classify, split into training and test images; or a text: the next word of the little language is predicted, "
    "of other texts the next character. The little language has forty words, and sentences from a grammar whose probabilities are known.",
    "images": "How many labelled images student and baseline train on (the transfer set), drawn at random for each seed.",
    "teacher": "The large network whose outputs the student learns from; it is trained before the student. mlp-1200x2 has two hidden "
    "layers of 1,200 units, cnn-32 has three convolutions, the first with 32 channels.",
    "method": "What the student learns from the teacher. Soft targets are the teacher's class probabilities, softened by T. Control "
    "experiments, which leave out a part of what soft targets contain, are marked *control*; bugs of public code are marked *mistake*.",
    "student": "The small network that is trained: mlp-30x2 has two hidden layers of 30 units, linear has none; cnn-8 has "
    "three convolutions, the first with 8 channels. Its baseline is the same network, trained with the labels only.",
    "temperature": "The logits of teacher and student are divided by T before the softmax of the soft loss. A higher T gives "
    "softer targets.",
    "alpha": "Loss = alpha \u00d7 hard loss + (1 \u2212 alpha) \u00d7 loss of the method (of soft targets: the soft loss). "
    "1: labels only, as for the baseline. 0: teacher only.",
    "epochs": "How often each training image is used.",
    "batch_size": "Images in one training step.",
    "learning_rate": "The size of a step along the gradient. With the schedule one-cycle it is the highest value, reached after 30 % of "
    "the steps.",
    "precision": "The type of the factors in the matrix products of a training step. bfloat16 has 8 significant bits instead of 24 and is "
    "faster, but only on a machine with instructions for it: AMX or AVX512-BF16 of a processor, or a recent GPU. Emulated, the "
    "numbers are rounded in the same places and multiplied in float32, which shows the effect on accuracy and takes longer than "
    "float32. Sums, weights, losses, optimizer and tests are in float32.",
}
TEXT_HELP = {  # of a text, where it differs
    "images": "How many windows of the text student and baseline train on (the transfer set), drawn at random for each seed. Every "
    "position of a window is one example: the token that follows it.",
    "teacher": "The large network whose outputs the student learns from; it is trained before the student. gpt-64x2 is a transformer with "
    "two blocks of width 64.",
    "student": "The small network that is trained: gpt-32x1 is a transformer with one block of width 32, gru-64 a recurrent network with "
    "64 units. Its baseline is the same network, trained on the text only.",
    "epochs": "How often each training window is used.",
    "batch_size": "Windows in one training step.",
}
JPEG_HELP = "CIFAR-10 (JPEG) has the images of CIFAR-10, compressed again as JPEG files."
SEVERAL_TEACHERS_HELP = (
    "Names joined by + form an ensemble, which is averaged. Other ensembles can be typed into the list; a factor gives a network a larger "
    "weight, as in 2*cnn-32+mlp-1200x2. self is self-distillation: a network of the student's own size trains on the same examples with "
    "labels only, from other initial weights, and is then the teacher (Furlanello et al. 2018, section 3.1)."
)
RESIDUAL_HELP = "resnet-8 is a residual network of 8 layers."
VALIDATION_HELP = (  # of images, of a text
    "Training images that are held out: nothing trains on them. Choose between settings by the accuracy on them, and let the test "
    "images only report the result: a setting that was chosen on test images looks better than it is. Each seed holds out others.",
    "A stretch of the training text of so many windows is held out: nothing trains on it, nor on the windows beside it. Choose between "
    "settings by the bits a character on it, and let the test text only report the result: a setting that was chosen on the test text "
    "looks better than it is. Each seed holds out another stretch.",
)


def dataset_help(offered: Sequence[str]) -> str:
    """What these data sets are."""
    return f"{HELP['dataset']} {JPEG_HELP}" if "cifar10-jpeg" in offered else HELP["dataset"]


def help_of(field: str, dataset: str) -> str:
    """The help text of a setting for a data set; empty for a setting that has none here."""
    return (TEXT_HELP.get(field) if datasets.is_text(dataset) else None) or HELP.get(field, "")
