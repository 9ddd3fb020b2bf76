"""A cohort: many students trained at once, as one batched tensor.

Members that have the same shape differ only in numbers: their weights, alpha, temperature and seed. So their weights
are stacked along a first dimension and every step is taken by all of them together. Each member gets the numbers that
it would have had alone, up to rounding.

K members belong to S seeds, M to each. The members of one seed have the same batch of images in every step: their
stems are one wide product.

A cohort of perceptrons takes its steps by `perceptrons.py`, where the gradient is written out, any other by autograd
under `vmap`.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import replace

import torch
from safetensors.torch import load, save
from torch import Tensor, nn
from torch.func import functional_call, stack_module_state, vmap

from distill_core import perceptrons, teachers
from distill_core.experiment import Experiment
from distill_core.objectives import METHODS, beside_baseline
from distill_core.trainer import (
    Material,
    Record,
    initial_student,
    learning_rate,
    material,
    milestones,
    order_of_images,
    record,
    result,
    steps_per_epoch,
)

MEMBERS = ("student", "baseline")


def train_cohort(experiments: Sequence[Experiment], *, device: str = "auto", dtype: torch.dtype = torch.float32) -> Iterator[Record]:
    """Train all experiments and their baselines; yields the records of `trainer.train`, each with its `experiment`'s place.

    Experiments of one shape train together, others one cohort after another.
    """
    for places in cohorts(experiments):
        cohort = Cohort([experiments[place] for place in places], device=device, dtype=dtype)
        for records in cohort.steps():
            yield from ({**told, "experiment": places[told["experiment"]]} for told in records)


def cohorts(experiments: Sequence[Experiment]) -> list[list[int]]:
    """Which experiments can be one tensor: the places of those that differ in nothing but alpha, temperature and seed."""
    alike: dict[Experiment, list[int]] = defaultdict(list)
    for place, experiment in enumerate(experiments):
        alike[replace(experiment, alpha=0.0, temperature=1.0, seed=0)].append(place)
    split = []
    for places in alike.values():
        choices_of_seed: dict[int, list[int]] = defaultdict(list)
        for place in places:
            choices_of_seed[experiments[place].seed].append(place)
        of_size: dict[int, list[int]] = defaultdict(list)
        for group in choices_of_seed.values():
            of_size[len({_key(experiments[p]) for p in group} | {_key(experiments[p].baseline) for p in group})].extend(group)
        split += [sorted(group) for group in of_size.values()]
    return split


class Cohort:
    """Experiments of one shape and their baselines, in training. Follow `steps()`; after an epoch, `state()` can be kept."""

    def __init__(self, experiments: Sequence[Experiment], *, device: str = "auto", dtype: torch.dtype = torch.float32) -> None:
        self.experiments = tuple(experiments)
        self.first = self.experiments[0]
        self.seeds = sorted({e.seed for e in self.experiments})
        self.given = {seed: material(self.first_of(seed), device=device, dtype=dtype) for seed in self.seeds}
        self.members = self._members()
        self.place = {_key(member): k for k, member in enumerate(self.members)}
        self.epoch, self.step = 0, 0
        self.seconds = 0.0  # of training, over all its stretches
        self.verdicts: dict[int, Tensor] = {}  # (2, N_test) by epoch: student and baseline of the first experiment
        self._stack(dtype)

    def _members(self) -> list[Experiment]:
        """Every student, and every baseline once, seed by seed."""
        members: dict[str, Experiment] = {}
        for experiment in self.experiments:
            for member in (experiment, experiment.baseline):
                members.setdefault(_key(member), member)
        by_seed = {seed: [e for e in members.values() if e.seed == seed] for seed in self.seeds}
        if len({len(group) for group in by_seed.values()}) != 1:
            raise ValueError("the experiments of a cohort need as many members for each seed; divide them with cohorts()")
        return [e for seed in self.seeds for e in by_seed[seed]]

    def _stack(self, dtype: torch.dtype) -> None:
        """Stacked weights (K, ...), and what differs from member to member."""
        device = self._any.device
        networks = [initial_student(e, self._any.dataset).to(device, dtype) for e in self.members]
        stacked, _ = stack_module_state(networks)
        self.network = networks[0]
        self.optimizer = Optimizer(self.first, torch.cat([value.detach().flatten() for value in stacked.values()]))
        shapes = {name: value.shape for name, value in stacked.items()}
        self.weights, self.gradients = views(self.optimizer.weights, shapes), views(self.optimizer.gradient, shapes)
        names = perceptrons.linear_layers(self.network)
        self.gradient = perceptrons.gradient_of(self.first.method)
        self.layers, self.to_layers = (
            [(tensors[f"{name}.weight"], tensors[f"{name}.bias"].unsqueeze(2)) for name in names or []]
            for tensors in (self.weights, self.gradients)
        )
        self.choices = {
            name: torch.tensor([getattr(e, name) for e in self.members], device=device, dtype=dtype) for name in ("alpha", "temperature")
        }
        self.choices["labels_only"] = torch.tensor([e == e.baseline for e in self.members], device=device)
        self.labels = torch.stack([self.given[seed].labels for seed in self.seeds])  # (S, N)
        self.sums: dict[str, Tensor] = {}  # (K,) each
        self.examples = 0

    @property
    def _any(self) -> Material:
        """What all seeds share: data set, device, teacher."""
        return self.given[self.seeds[0]]

    @property
    def at_epoch_end(self) -> bool:
        """Whether every image was seen equally often: only then can the state be kept."""
        return self.step == self.epoch * steps_per_epoch(self.first, len(self._any.indices))

    # --- training ---------------------------------------------------------------------------------------------------

    def steps(self) -> Iterator[list[Record]]:
        """Train to the end; yields after each step what there is to tell, mostly nothing."""
        images = len(self._any.indices)
        steps, marks = steps_per_epoch(self.first, images), milestones(self.first, images, len(self._any.dataset.test_labels))
        self._started = time.perf_counter() - self.seconds
        if self.step == 0:
            yield self._report(0.0, marks[0])
        for epoch in range(self.epoch, self.first.epochs):
            order = torch.stack([order_of_images(self.first_of(seed), self.given[seed].indices, epoch) for seed in self.seeds])  # (S, n)
            for batch in order.split(self.first.batch_size, dim=1):
                self.learn(batch, learning_rate=learning_rate(self.first, self.step, steps * self.first.epochs))
                self.step += 1
                self.epoch = self.step // steps
                yield self._report(self.step / steps, marks[self.step]) if self.step in marks else []
        yield self._results()

    def first_of(self, seed: int) -> Experiment:
        """Any experiment of a seed: they share everything that the seed sets."""
        return next(e for e in self.experiments if e.seed == seed)

    def learn(self, batch: Tensor, *, learning_rate: float) -> None:
        """One step of all members on `batch` `(S, B)`, example indices seed by seed."""
        terms = self._learn_by_hand(batch) if self.layers else self._learn_by_autograd(batch)  # (K,) each
        self.optimizer.step(learning_rate)
        for name, term in terms.items():
            self.sums[name] = term * batch.shape[1] if name not in self.sums else self.sums[name].add_(term, alpha=batch.shape[1])
        self.examples += batch.shape[1]

    @torch.inference_mode()
    def _learn_by_hand(self, batch: Tensor) -> dict[str, Tensor]:
        """The gradients of perceptrons, into `self.gradients`; returns the raw terms."""
        images, teacher_logits, labels = self._look(batch)
        seeds, images = len(batch), images.flatten(2)
        outputs = perceptrons.forward(self.layers, images)
        gradient, terms = self.gradient(
            outputs[-1].view(seeds, -1, *outputs[-1].shape[1:]),  # (S, M, C, B)
            teacher_logits.transpose(1, 2).unsqueeze(1),
            labels.view(seeds, 1, 1, -1),
            **{name: values.view(seeds, -1, 1, 1) for name, values in self.choices.items()},
        )
        perceptrons.backward(self.layers, images, outputs, gradient.flatten(0, 1), into=self.to_layers)
        return terms

    def _learn_by_autograd(self, batch: Tensor) -> dict[str, Tensor]:
        """The gradients of any network and method, into `self.gradients`; returns the raw terms."""
        images, teacher_logits, labels = self._look(batch)
        weights = {name: value.detach().requires_grad_() for name, value in self.weights.items()}
        logits = self.forward(images, weights)  # (K, B, C)
        totals, terms = vmap(self._objective)(logits, self._to_members(teacher_logits), self._to_members(labels), self.choices)
        gradients = torch.autograd.grad(totals.sum(), weights.values())  # no weight is shared, so each member's gradient is its own
        torch.cat([gradient.flatten() for gradient in gradients], out=self.optimizer.gradient)
        return {name: term.detach() for name, term in terms.items()}

    def _look(self, batch: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The images `(S, B, D, H, W)` as each seed's students see them, the teacher's logits `(S, B, C)` for them, and their labels."""
        labels = self.labels.gather(1, batch)  # (S, B)
        if self.first.augmentation == "none":  # the images of all seeds at once
            soft = [self.given[seed].teacher_logits.index_select(0, own) for seed, own in zip(self.seeds, batch, strict=True)]
            return self._any.pixels(batch), torch.stack(soft), labels
        looks = [self.given[seed].look(self.first_of(seed), own, self.step) for seed, own in zip(self.seeds, batch, strict=True)]
        images, soft = zip(*looks, strict=True)
        return torch.stack(images), torch.stack(soft), labels

    def _objective(
        self, logits: Tensor, teacher_logits: Tensor, labels: Tensor, choices: dict[str, Tensor]
    ) -> tuple[Tensor, dict[str, Tensor]]:
        return beside_baseline(METHODS[self.first.method])(logits, teacher_logits, labels, **choices)

    def _to_members(self, values: Tensor) -> Tensor:
        """What belongs to a seed, `(S, ...)`, given to each of its members: `(K, ...)`."""
        return values.repeat_interleave(len(self.members) // len(values), dim=0)

    def forward(self, images: Tensor, weights: dict[str, Tensor]) -> Tensor:
        """Logits `(K, B, C)` of all members; `images` `(S, B, D, H, W)`, where S may be 1 for images that all share."""
        hidden = wide_stem(self.network.stem, weights["stem.weight"], weights["stem.bias"], images)
        rest = {name: value for name, value in weights.items() if not name.startswith("stem.")}
        return vmap(self._after_stem)(rest, hidden)

    def _after_stem(self, weights: dict[str, Tensor], hidden: Tensor) -> Tensor:
        return functional_call(_AfterStem(self.network), {f"network.{name}": value for name, value in weights.items()}, hidden)

    # --- telling ----------------------------------------------------------------------------------------------------

    @torch.no_grad()
    def test(self) -> Tensor:
        """Logits `(K, N_test, C)` of all members on the test images."""
        dataset, dtype = self._any.dataset, self._any.dtype
        if isinstance(self.network.stem, nn.Conv2d):  # whose maps of all members at once would not fit into the cache
            return torch.stack([teachers.logits(self._alone(k), dataset, dataset.test_images) for k in range(len(self.members))])
        batches = [dataset.pixels(images).to(dtype).unsqueeze(0) for images in dataset.test_images.split(500)]
        if self.layers:
            return torch.cat([perceptrons.forward(self.layers, images.flatten(2))[-1] for images in batches], dim=2).transpose(1, 2)
        return torch.cat([self.forward(images, self.weights) for images in batches], dim=1)

    def _alone(self, k: int) -> nn.Module:
        """One member as a network by itself."""
        self.network.load_state_dict({name: value[k] for name, value in self.weights.items()})
        return self.network

    def _report(self, epoch: float, mark: str) -> list[Record]:
        """A record for student and baseline of every experiment."""
        measured: dict[str, list[float]] = {name: (total / self.examples).tolist() for name, total in self.sums.items()}
        self.sums, self.examples = {}, 0
        if mark == "test":
            verdicts = self.test().max(dim=-1).indices  # (K, N_test); four times as fast as argmax
            teacher = self._any.teacher_test_logits.argmax(dim=-1)
            measured["test_accuracy"] = (verdicts == self._any.dataset.test_labels).double().mean(dim=1).tolist()
            measured["agreement"] = (verdicts == teacher).double().mean(dim=1).tolist()
            if epoch == int(epoch):
                self.verdicts[int(epoch)] = verdicts[list(self._pair(self.first))].to(torch.uint8).cpu()
        self.seconds = time.perf_counter() - self._started
        told = []
        for i, experiment in enumerate(self.experiments):
            for member, k in zip(MEMBERS, self._pair(experiment), strict=True):
                own = {name: values[k] for name, values in measured.items()}
                if self.members[k].temperature != experiment.temperature:  # a shared baseline, measured at another's T
                    own.pop("soft_loss", None)
                told.append({**record(member, step=self.step, epoch=epoch, seconds=self.seconds, **own), "experiment": i})
        return told

    def _results(self) -> list[Record]:
        logits = self.test()
        scores = [self.given[member.seed].scores(member, own) for member, own in zip(self.members, logits, strict=True)]
        self.seconds = time.perf_counter() - self._started
        found = []
        for i, experiment in enumerate(self.experiments):
            pair = {member: scores[k] for member, k in zip(MEMBERS, self._pair(experiment), strict=True)}
            found.append({**result(experiment, self.given[experiment.seed], seconds=self.seconds, **pair), "experiment": i})
        return found

    def _pair(self, experiment: Experiment) -> tuple[int, int]:
        """Where an experiment's student and baseline are among the members."""
        return self.place[_key(experiment)], self.place[_key(experiment.baseline)]

    # --- keeping ----------------------------------------------------------------------------------------------------

    def state(self) -> bytes:
        """All that is needed to go on later with the same numbers; after a finished epoch."""
        if not self.at_epoch_end:
            raise ValueError(f"step {self.step} is in the middle of an epoch; the state can be kept at its end")
        tensors = {"weights": self.optimizer.weights, **{f"optimizer.{name}": value for name, value in self.optimizer.state.items()}}
        tensors["progress"] = torch.tensor([self.epoch, self.step, self.seconds], dtype=torch.float64)
        tensors |= {f"verdicts.{epoch}": verdicts for epoch, verdicts in self.verdicts.items()}
        return save({name: value.cpu().contiguous() for name, value in tensors.items()})

    def restore(self, state: bytes) -> None:
        """Go on from what `state()` kept."""
        tensors = load(state)
        epoch, step, self.seconds = tensors["progress"].tolist()
        self.epoch, self.step = int(epoch), int(step)
        self.verdicts = {int(name.split(".")[1]): value for name, value in tensors.items() if name.startswith("verdicts.")}
        self.optimizer.weights.copy_(tensors["weights"])
        for name, value in self.optimizer.state.items():
            value.copy_(tensors[f"optimizer.{name}"])

    def artefacts(self) -> dict[str, bytes]:
        """Of the first experiment: the trained weights, and every verdict on the test images after each epoch."""
        dataset, teacher = self._any.dataset, self._any.teacher_test_logits
        weights = {
            f"{member}.{name}": value.detach()[k].cpu().contiguous()
            for member, k in zip(MEMBERS, self._pair(self.first), strict=True)
            for name, value in self.weights.items()
        }
        verdicts = {
            "epochs": torch.tensor(sorted(self.verdicts)),  # (E,)
            "by_epoch": torch.stack([self.verdicts[epoch] for epoch in sorted(self.verdicts)]),  # (E, 2, N_test)
            "teacher": teacher.argmax(dim=-1).to(torch.uint8).cpu(),
            "labels": dataset.test_labels.to(torch.uint8).cpu(),
        }
        return {"weights.safetensors": save(weights), "verdicts.safetensors": save(verdicts)}


class Optimizer:
    """`trainer.make_optimizer` for weights that are one long tensor: the same kernels of PyTorch, and nothing around them.

    What `torch.optim` does around them in each step takes as long as a fifth of a step of `mlp-30x2`.
    """

    def __init__(self, experiment: Experiment, weights: Tensor) -> None:
        self.weights, self.gradient = weights, torch.zeros_like(weights)
        self.sgd = experiment.optimizer == "sgd"
        names = ("momentum",) if self.sgd else ("mean", "mean_square")  # of the gradients so far
        self.state = {name: torch.zeros_like(weights) for name in names} | {"steps": torch.zeros((), device=weights.device)}

    @torch.inference_mode()
    def step(self, learning_rate: float) -> None:
        """One step along `self.gradient`."""
        (*state, steps), given = ([value] for value in self.state.values()), ([self.weights], [self.gradient])
        steps[0].add_(1)
        common = {"lr": learning_rate, "weight_decay": 0.0, "maximize": False}
        if self.sgd:
            torch._fused_sgd_(*given, *state, momentum=0.9, dampening=0.0, nesterov=False, is_first_step=False, **common)
        else:
            torch._fused_adam_(*given, *state, [], steps, beta1=0.9, beta2=0.999, eps=1e-8, amsgrad=False, **common)


def views(flat: Tensor, shapes: dict[str, torch.Size]) -> dict[str, Tensor]:
    """A long tensor as tensors of these shapes, which share its memory."""
    parts = flat.split([shape.numel() for shape in shapes.values()])
    return {name: part.view(shape) for (name, shape), part in zip(shapes.items(), parts, strict=True)}


def _key(experiment: Experiment) -> str:
    """What makes a member of its own: to a student of labels alone the temperature is nothing."""
    return replace(experiment, temperature=1.0).key if experiment == experiment.baseline else experiment.key


class _AfterStem(nn.Module):
    """`Network.after_stem` as a module, so that `functional_call` can give it one member's weights."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, hidden: Tensor) -> Tensor:
        return self.network.after_stem(hidden)


def wide_stem(stem: nn.Module, weight: Tensor, bias: Tensor, images: Tensor) -> Tensor:
    """The first layer of K members as one wide product for each of S seeds: images `(S, B, D, H, W)` to `(K, B, ...)`.

    Members of one seed look at the same images, so their stems stand side by side like one layer with more units.
    """
    seeds, batch = images.shape[:2]
    if isinstance(stem, nn.Linear):
        wide = weight.reshape(seeds, -1, weight.shape[-1])  # (S, M * units, pixels)
        hidden = torch.baddbmm(bias.reshape(seeds, 1, -1), images.flatten(2), wide.transpose(1, 2))  # (S, B, M * units)
        return hidden.view(seeds, batch, -1, weight.shape[1]).transpose(1, 2).reshape(-1, batch, weight.shape[1])
    side_by_side = images.transpose(0, 1).flatten(1, 2)  # (B, S * D, H, W)
    maps = nn.functional.conv2d(side_by_side, weight.flatten(0, 1), bias.flatten(), padding=stem.padding, groups=seeds)
    return maps.unflatten(1, weight.shape[:2]).transpose(0, 1)  # (B, K, channels, H, W) -> (K, B, channels, H, W)
