"""Which batch size, and which learning rate, a run on so many images should start from: `experiment.USUAL_TRAINING`.

`python -m tests.bench.batches` trains ten seeds of students and baselines with every batch size and learning rate for each number
of images, prints their accuracy on held-out training images beside that of the present default and the seconds, and at last the
rows for USUAL_TRAINING: of the settings that are not below the present default, the fastest. The test images are not used to
choose; the seeds are used nowhere else. It goes on where it was stopped.
"""

from __future__ import annotations

from collections.abc import Sequence

from distill_core.experiment import Experiment
from tests.bench.rows import accuracies, difference, file_of, go_on

EPOCHS = {200: 60, 1000: 40, 5000: 20, 20_000: 10, 55_000: 5}  # by number of images
BATCHES, RATES = (16, 32, 64, 128, 256, 512), (0.003, 0.01, 0.03)
STUDENTS = {"mlp-30x2": tuple(EPOCHS), "cnn-4": (1000, 5000)}
HELD_OUT, SEEDS = 5000, range(200, 210)
DEFAULT = {"batch_size": 32, "learning_rate": 0.01}
TOLERANCE = 0.2  # percentage points by which the interval of a difference may reach below 0


def wanted() -> list[dict]:
    """The rows, by their choices: for each student and number of images the present default first."""
    settings = [{"batch_size": batch, "learning_rate": rate} for batch in BATCHES for rate in RATES]
    settings.sort(key=lambda one: one != DEFAULT)
    return [
        {"network": s, "images": n, **one} for s, counts in STUDENTS.items() for n in counts for one in settings if one["batch_size"] <= n
    ]


def measure(choices: dict) -> dict:
    """The validation accuracies of one row."""
    training = {"student": choices["network"], **{name: choices[name] for name in ("images", *DEFAULT)}}
    common = {"dataset": "mnist", "validation": HELD_OUT, "epochs": EPOCHS[choices["images"]], **training}
    return accuracies([Experiment(**common, seed=seed) for seed in SEEDS], field="validation_accuracy")


def is_as_good(row: dict, default: dict) -> bool:
    """Whether neither students nor baselines are below those of the default: on average, or by more than the tolerance."""
    differences = [difference(row, default, role, images=HELD_OUT) for role in ("student", "baseline")]
    return all(mean >= 0 or low > -TOLERANCE for mean, low, _ in differences)


def chosen(rows: Sequence[dict], images: int) -> dict | None:
    """The fastest setting that is as good as the default for every student measured on so many images; None without one."""
    by_setting: dict[tuple, list[dict]] = {}
    for row in rows:
        if row["images"] == images:
            by_setting.setdefault((row["batch_size"], row["learning_rate"]), []).append(row)
    defaults = {row["network"]: row for row in by_setting.get(tuple(DEFAULT.values()), [])}
    good = [
        own for own in by_setting.values()
        if {row["network"] for row in own} == set(defaults) and all(is_as_good(row, defaults[row["network"]]) for row in own)
    ]  # fmt: skip
    best = min(good, key=lambda own: sum(row["seconds"] for row in own), default=[None])
    return best[0]


def main() -> None:
    """Measure, and print a table and the rule."""
    rows: list[dict] = []
    for row in go_on(file_of("batches"), wanted(), measure):
        rows.append(row)
        default = next(one for one in rows if one["network"] == row["network"] and one["images"] == row["images"])
        against = [difference(row, default, role, images=HELD_OUT) for role in ("student", "baseline")]
        shown = "   ".join(f"{mean:+.2f} ({low:+.2f} to {high:+.2f})" for mean, low, high in against)
        print(
            f"{row['network']:10}{row['images']:>7,} images   batch {row['batch_size']:<4}rate {row['learning_rate']:<6g}"
            f"{row['seconds']:7.1f} s   student and baseline over the default: {shown}",
            flush=True,
        )
    print("USUAL_TRAINING, from the fewest images to the most:")
    for images in EPOCHS:
        if best := chosen(rows, images):
            print(f"    from {images:,} images: batch {best['batch_size']}, learning rate {best['learning_rate']:g}")


if __name__ == "__main__":
    main()
