"""What products in bfloat16 change: the accuracy over ten seeds in three settings, and the seconds, beside float32.

`python -m tests.bench.precision` prints a row for each setting. Where the machine has no instructions for bfloat16 it measures
`bfloat16-emulated`: the accuracies are then those of the same rounding, and the seconds say nothing about bfloat16. It goes on where
it was stopped.
"""

from __future__ import annotations

from distill_core.experiment import Experiment
from distill_core.precision import instructions
from distill_core.training.run_data import pick_device
from tests.bench.rows import accuracies, difference, file_of, go_on

SETTINGS = {
    "MNIST, 1,000 images, mlp-30x2": Experiment(dataset="mnist", images=1000, epochs=40),
    "MNIST, 60,000 images, mlp-30x2": Experiment(dataset="mnist", epochs=5, batch_size=256),
    "CIFAR-10 (JPEG), 2,000 images, cnn-4": Experiment(dataset="cifar10-jpeg", images=2000, student="cnn-4", epochs=10, batch_size=64),
}
SEEDS, TEST_IMAGES = range(10), 10_000


def measure(choices: dict) -> dict:
    """The test accuracies of one setting in one precision."""
    fields = vars(SETTINGS[choices["setting"]]) | {"precision": choices["precision"]}
    return accuracies([Experiment(**fields | {"seed": seed}) for seed in SEEDS], field="test_accuracy")


def main() -> None:
    """Measure, and print a table."""
    rounded = "bfloat16" if instructions(pick_device("auto")) else "bfloat16-emulated"
    wanted = [{"setting": setting, "precision": precision} for setting in SETTINGS for precision in ("float32", rounded)]
    rows: dict[str, dict] = {}
    for row in go_on(file_of("precision"), wanted, measure):
        usual = rows.setdefault(row["setting"], row)
        if row is usual:
            continue
        found = [difference(row, usual, role, images=TEST_IMAGES) for role in ("student", "baseline")]
        shown = ", ".join(
            f"{role} {mean:+.2f} ({low:+.2f} to {high:+.2f})"
            for role, (mean, low, high) in zip(("student", "baseline"), found, strict=True)
        )
        print(
            f"{row['setting']}: {row['precision']} minus float32, points: {shown}; "
            f"{usual['seconds']:.1f} s in float32, {row['seconds']:.1f} s, {usual['seconds'] / row['seconds']:.2f} times as fast",
            flush=True,
        )


if __name__ == "__main__":
    main()
