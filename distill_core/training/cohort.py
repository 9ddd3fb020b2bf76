"""A cohort: many students trained at once, as one batched tensor.

Members that have the same shape differ only in numbers: their weights, alpha, temperature and seed. So their weights
are stacked along a first dimension and every step is taken by all of them together. Each member gets the numbers that
it would have had alone, up to rounding.

K members belong to S seeds, M to each. The members of one seed have the same batch of images in every step: their
stems are one wide product.

A cohort of perceptrons that listens to logits takes its steps by `perceptrons.py`, where the gradient is written out,
any other by autograd under `vmap`.

Where assistants stand between teacher and student, a cohort of the last assistants trains first and becomes the teacher.
"""

from __future__ import annotations

import copy
import functools
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import replace

import torch
from safetensors.torch import load, save
from torch import Tensor, nn
from torch.func import functional_call, stack_module_state, vmap

from distill_core import teachers
from distill_core.experiment import Experiment
from distill_core.objectives import METHODS, beside_baseline
from distill_core.training import perceptrons
from distill_core.training.trainer import (
    MEMBERS,
    Material,
    Record,
    initial_regressor,
    initial_student,
    learning_rate,
    material,
    milestones,
    order_of_images,
    record,
    result,
    steps_per_epoch,
    told_losses,
)

REGRESSOR = "regressor."  # what stands before the names of its weights, beside the network's own


def train_cohort(experiments: Sequence[Experiment], *, device: str = "auto", dtype: torch.dtype = torch.float32) -> Iterator[Record]:
    """Train all experiments and their baselines; yields the records of `trainer.train`, each with its `experiment`'s place.

    Experiments of one shape train together, others one cohort after another.
    """
    for places in cohorts(experiments):
        cohort = Cohort([experiments[place] for place in places], device=device, dtype=dtype)
        for records in cohort.steps():
            yield from ({**told, "experiment": places[told["experiment"]]} for told in records)


def cohorts(experiments: Sequence[Experiment]) -> list[list[int]]:
    """Which experiments can be one tensor: the places of those that differ in nothing but alpha, temperature and seed.

    With assistants only the seed may differ: each of a seed's students would have a teacher of its own.
    """
    alike: dict[Experiment, list[int]] = defaultdict(list)
    for place, experiment in enumerate(experiments):
        common = {"seed": 0} if experiment.assistants else {"alpha": 0.0, "temperature": 1.0, "seed": 0}
        alike[replace(experiment, **common)].append(place)
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
    """Experiments of one shape and their baselines, in training. Follow `steps()`; after an epoch, `state()` can be kept.

    `roles`: who is trained for each experiment and told about; peers learn beside them, untold. `quiet`: nothing is
    measured before the end.
    """

    def __init__(
        self,
        experiments: Sequence[Experiment],
        *,
        roles: Sequence[str] = MEMBERS,
        quiet: bool = False,
        device: str = "auto",
        dtype: torch.dtype = torch.float32,
    ) -> None:
        self.experiments, self.roles, self.quiet = tuple(experiments), tuple(roles), quiet
        self.first = self.experiments[0]
        self.method = METHODS[self.first.method]
        self.seeds = sorted({e.seed for e in self.experiments})
        self.given = self.original = {seed: material(self.first_of(seed), device=device, dtype=dtype) for seed in self.seeds}
        self.members = self._members()
        self.place = {(_key(experiment), name): k for k, (experiment, name) in enumerate(self.members)}
        self.epoch, self.step = 0, 0
        self.seconds = 0.0  # of training, over all its stretches
        self.predictions: dict[int, Tensor] = {}  # (roles, N_test) by epoch, of the first experiment
        self.test_logits: Tensor | None = None  # (K, N_test, C), of the last test
        self._stack(dtype)
        self.assistants: dict[int, list[dict]] = {seed: [] for seed in self.seeds}  # what the trained ones scored
        self.before = None
        if number := len(self.first.assistants):
            stage = [e.before for e in self.experiments]
            self.before = Cohort(stage, roles=(f"assistant-{number}",), quiet=quiet, device=device, dtype=dtype)

    def _members(self) -> list[tuple[Experiment, str]]:
        """Every student with its peers, and every baseline once, seed by seed."""
        members: dict[tuple[str, str], tuple[Experiment, str]] = {}
        for experiment in self.experiments:
            for role in (*self.roles, *self._peers):
                alone = role == "baseline" or experiment == experiment.baseline
                of, name = (experiment.baseline, "baseline") if alone else (experiment, role)
                members.setdefault((_key(of), name), (of, name))
        by_seed = {seed: [member for member in members.values() if member[0].seed == seed] for seed in self.seeds}
        if len({len(group) for group in by_seed.values()}) != 1:
            raise ValueError("the experiments of a cohort need as many members for each seed; divide them with cohorts()")
        return [member for seed in self.seeds for member in by_seed[seed]]

    @property
    def _peers(self) -> list[str]:
        """The names of the networks that learn beside each student."""
        return [f"peer-{number + 1}" for number in range(self.method.peers)]

    def _stack(self, dtype: torch.dtype) -> None:
        """Stacked weights (K, ...), and what differs from member to member."""
        device = self._any.device
        networks = [initial_student(e, self._any.dataset, member=name).to(device, dtype) for e, name in self.members]
        stacked, _ = stack_module_state(networks)
        self.network = networks[0]
        regressors = [initial_regressor(self.first_of(e.seed), self.given[e.seed], self.network) for e, _ in self.members]
        self.regressor = regressors[0]
        if self.regressor is not None:
            stacked |= {f"{REGRESSOR}{name}": value for name, value in stack_module_state(regressors)[0].items()}
        self.optimizer = Optimizer(self.first, torch.cat([value.detach().flatten() for value in stacked.values()]))
        shapes = {name: value.shape for name, value in stacked.items()}
        self.weights, self.gradients = views(self.optimizer.weights, shapes), views(self.optimizer.gradient, shapes)
        by_hand = self.method.compares == "logits" and not self.method.peers
        names = perceptrons.linear_layers(self.network) if by_hand else None
        self.gradient = perceptrons.gradient_of(self.first.method)
        self.layers, self.to_layers = (
            [(tensors[f"{name}.weight"], tensors[f"{name}.bias"].unsqueeze(2)) for name in names or []]
            for tensors in (self.weights, self.gradients)
        )
        self.choices = {
            name: torch.tensor([getattr(e, name) for e, _ in self.members], device=device, dtype=dtype) for name in ("alpha", "temperature")
        }
        self.choices["labels_only"] = torch.tensor([name == "baseline" for _, name in self.members], device=device)
        self.heard = torch.tensor([self._heard(*member) for member in self.members], dtype=torch.long, device=device)  # (K, peers)
        self.labels = torch.stack([self.given[seed].labels for seed in self.seeds])  # (S, N)
        self.sums: dict[str, Tensor] = {}  # (K,) each
        self.examples = 0

    def _heard(self, experiment: Experiment, name: str) -> list[int]:
        """Where the peers are that a member listens to; a baseline listens to nobody, so to anybody without a difference."""
        own = experiment if name != "baseline" else self.first_of(experiment.seed)
        company = ["student", *self._peers] if name in self._peers else self._peers
        return [self.place[_key(own), other] for other in company if other != name]

    @property
    def _any(self) -> Material:
        """What all seeds share: data set, device, teacher."""
        return self.given[self.seeds[0]]

    @property
    def at_epoch_end(self) -> bool:
        """Whether every image was seen equally often: only then can the state be kept."""
        if not self._is_taught:
            return self.before.at_epoch_end
        return self.step == self.epoch * steps_per_epoch(self.first, len(self._any.indices))

    @property
    def _is_taught(self) -> bool:
        """Whether the teacher is ready: there is no assistant, or it was trained."""
        return self.before is None or self.before.epoch == self.first.epochs

    @property
    def done(self) -> int:
        """Epochs trained so far, those of the assistants included."""
        return self.epoch + (self.before.done if self.before else 0)

    # --- training ---------------------------------------------------------------------------------------------------

    def steps(self) -> Iterator[list[Record]]:
        """Train to the end; yields after each step what there is to tell, mostly nothing."""
        if self.before and not self._is_taught:
            for told in self.before.steps():
                yield [one for one in told if one["event"] == "record"]
            self._adopt()
            self.seconds = self.before.seconds
        images = len(self._any.indices)
        steps, marks = steps_per_epoch(self.first, images), milestones(self.first, images, len(self._any.dataset.test_labels))
        self._started = time.perf_counter() - self.seconds
        if self.quiet:
            marks = {steps * self.first.epochs: "test"}
        if self.step == 0 and not self.quiet:
            yield self._report(0.0, marks[0])
        for epoch in range(self.epoch, self.first.epochs):
            order = torch.stack([order_of_images(self.first_of(seed), self.given[seed].indices, epoch) for seed in self.seeds])  # (S, n)
            for batch in order.split(self.first.batch_size, dim=1):
                self.learn(batch, learning_rate=learning_rate(self.first, self.step, steps * self.first.epochs))
                self.step += 1
                self.epoch = self.step // steps
                yield self._report(self.step / steps, marks[self.step]) if self.step in marks else []
        yield self._results()

    def _adopt(self) -> None:
        """The trained assistants become the teachers, each of its own seed."""
        for seed in self.seeds:
            (k,) = self.before._pair(self.first_of(seed).before)
            network, given = copy.deepcopy(self.before._alone(k)), self.before.given[seed]
            scores = given.scores(self.before.first, teachers.logits(network, given.dataset, given.dataset.test_images))
            self.assistants[seed] = [*self.before.assistants[seed], {"name": self.before.first.student, **scores}]
            self.given = {**self.given, seed: given.handed_on(network)}

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
        images, labels, teacher_logits, _ = self._look(batch)
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
        images, labels, teacher_logits, teacher_features = self._look(batch)
        weights = {name: value.detach().requires_grad_() for name, value in self.weights.items()}
        logits, features = self.forward(images, weights, features=True)  # (K, B, C), (K, B, ...) each
        choices = dict(self.choices)
        if teacher_features:
            choices |= {"student_features": features, "teacher_features": [self._to_members(feature) for feature in teacher_features]}
        if self.method.peers:
            choices["peer_logits"] = logits.detach()[self.heard]  # (K, peers, B, C)
        regressors = {name: value for name, value in weights.items() if name.startswith(REGRESSOR)}
        totals, terms = vmap(self._objective)(logits, self._to_members(teacher_logits), self._to_members(labels), choices, regressors)
        # No weight is shared, so each member's gradient is its own; where no loss reaches, it is 0.
        gradients = torch.autograd.grad(totals.sum(), weights.values(), materialize_grads=True)
        torch.cat([gradient.flatten() for gradient in gradients], out=self.optimizer.gradient)
        return {name: term.detach() for name, term in terms.items()}

    def _look(self, batch: Tensor) -> tuple[Tensor, Tensor, Tensor, list[Tensor]]:
        """`Material.look` for every seed: images `(S, B, D, H, W)`, labels `(S, B)`, teacher's logits `(S, B, C)`, and its features."""
        if (
            self.first.augmentation == "none"
            and not self.method.teacher_in_train_mode
            and (self.method.compares == "logits" or not self.before)
        ):
            images = self._any.pixels(batch)  # all seeds at once
            soft = [self.given[seed].teacher_logits.index_select(0, own) for seed, own in zip(self.seeds, batch, strict=True)]
            features = self._any.teacher_features(images.flatten(0, 1)) if self.method.compares != "logits" else []
            return images, self.labels.gather(1, batch), torch.stack(soft), [feature.unflatten(0, batch.shape) for feature in features]
        looks = [self.given[seed].look(self.first_of(seed), own, self.step) for seed, own in zip(self.seeds, batch, strict=True)]
        images, labels, soft, features = zip(*looks, strict=True)
        blocks = zip(*features, strict=True) if features[0] is not None else ()
        return torch.stack(images), torch.stack(labels), torch.stack(soft), [torch.stack(block) for block in blocks]

    def _objective(
        self, logits: Tensor, teacher_logits: Tensor, labels: Tensor, choices: dict[str, Tensor], regressor: dict[str, Tensor]
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """The method for one member, under `vmap`."""
        if regressor:
            own = {name.removeprefix(REGRESSOR): value for name, value in regressor.items()}
            choices = {**choices, "regressor": functools.partial(functional_call, self.regressor, own)}
        steps = steps_per_epoch(self.first, len(self._any.indices)) * self.first.epochs
        return beside_baseline(self.method)(logits, teacher_logits, labels, **choices, progress=self.step / steps)

    def _to_members(self, values: Tensor) -> Tensor:
        """What belongs to a seed, `(S, ...)`, given to each of its members: `(K, ...)`."""
        return values.repeat_interleave(len(self.members) // len(values), dim=0)

    def forward(self, images: Tensor, weights: dict[str, Tensor], *, features: bool = False) -> Tensor | tuple[Tensor, list[Tensor]]:
        """Logits `(K, B, C)` of all members; `images` `(S, B, D, H, W)`, where S may be 1 for images that all share.

        With `features` also what each block gives, `(K, B, ...)`.
        """
        hidden = wide_stem(self.network.stem, weights["stem.weight"], weights["stem.bias"], images)
        rest = {name: value for name, value in weights.items() if not name.startswith(("stem.", REGRESSOR))}
        return vmap(functools.partial(self._after_stem, features=features))(rest, hidden)

    def _after_stem(self, weights: dict[str, Tensor], hidden: Tensor, *, features: bool) -> Tensor | tuple[Tensor, list[Tensor]]:
        named = {f"network.{name}": value for name, value in weights.items()}
        return functional_call(_AfterStem(self.network), named, hidden, {"features": features})

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
        self.network.load_state_dict({name: value[k] for name, value in self.weights.items() if not name.startswith(REGRESSOR)})
        return self.network

    def _report(self, epoch: float, mark: str) -> list[Record]:
        """A record for student and baseline of every experiment."""
        measured: dict[str, list[float]] = {name: (total / self.examples).tolist() for name, total in self.sums.items()}
        self.sums, self.examples = {}, 0
        if mark == "test":
            self.test_logits = self.test()
            predictions = self.test_logits.max(dim=-1).indices  # (K, N_test); four times as fast as argmax
            teacher = self._to_members(torch.stack([self.given[seed].teacher_test_logits.argmax(dim=-1) for seed in self.seeds]))
            measured["test_accuracy"] = (predictions == self._any.dataset.test_labels).double().mean(dim=1).tolist()
            measured["agreement"] = (predictions == teacher).double().mean(dim=1).tolist()
            if epoch == int(epoch):
                self.predictions[int(epoch)] = predictions[list(self._pair(self.first))].to(torch.uint8).cpu()
        self.seconds = time.perf_counter() - self._started
        told = []
        for i, experiment in enumerate(self.experiments):
            for member, k in zip(self.roles, self._pair(experiment), strict=True):
                told_here = (*told_losses(self.method, member), "test_accuracy", "agreement")
                own = {name: values[k] for name, values in measured.items() if name in told_here}
                if self.members[k][0].temperature != experiment.temperature:  # a shared baseline, measured at another's T
                    own.pop("soft_loss", None)
                told.append({**record(member, step=self.step, epoch=epoch, seconds=self.seconds, **own), "experiment": i})
        return told

    def _results(self) -> list[Record]:
        logits = self.test() if self.test_logits is None else self.test_logits  # none if restored after the last step
        scores = [self.given[member.seed].scores(member, own) for (member, _), own in zip(self.members, logits, strict=True)]
        self.seconds = time.perf_counter() - self._started
        found = []
        for i, experiment in enumerate(self.experiments):
            pair = {member: scores[k] for member, k in zip(self.roles, self._pair(experiment), strict=True)}
            taught_by, assistants = self.original[experiment.seed], self.assistants[experiment.seed]
            found.append({**result(experiment, taught_by, seconds=self.seconds, scores=pair, assistants=assistants), "experiment": i})
        return found

    def _pair(self, experiment: Experiment) -> list[int]:
        """Where those that are told of an experiment, its student and its baseline, are among the members."""
        own, baseline = _key(experiment), _key(experiment.baseline)
        return [self.place[(baseline, "baseline") if role == "baseline" or own == baseline else (own, role)] for role in self.roles]

    # --- keeping ----------------------------------------------------------------------------------------------------

    def state(self) -> bytes:
        """All that is needed to go on later with the same numbers; after a finished epoch."""
        if not self.at_epoch_end:
            raise ValueError(f"step {self.step} is in the middle of an epoch; the state can be kept at its end")
        tensors = {"weights": self.optimizer.weights, **{f"optimizer.{name}": value for name, value in self.optimizer.state.items()}}
        tensors["progress"] = torch.tensor([self.epoch, self.step, self.seconds], dtype=torch.float64)
        tensors |= {f"predictions.{epoch}": predictions for epoch, predictions in self.predictions.items()}
        if self.before:
            tensors["before"] = torch.frombuffer(bytearray(self.before.state()), dtype=torch.uint8)
        return save({name: value.cpu().contiguous() for name, value in tensors.items()})

    def restore(self, state: bytes) -> None:
        """Go on from what `state()` kept."""
        tensors = load(state)
        epoch, step, self.seconds = tensors["progress"].tolist()
        self.epoch, self.step = int(epoch), int(step)
        self.predictions = {int(name.split(".")[1]): value for name, value in tensors.items() if name.startswith("predictions.")}
        if self.before:
            self.before.restore(tensors["before"].numpy().tobytes())
            if self._is_taught:
                self._adopt()
                self.seconds = max(self.seconds, self.before.seconds)  # saved at the hand-over, before it was counted
        self.optimizer.weights.copy_(tensors["weights"])
        for name, value in self.optimizer.state.items():
            value.copy_(tensors[f"optimizer.{name}"])

    def artefacts(self) -> dict[str, bytes]:
        """Of the first experiment: the trained weights, and every verdict on the test images after each epoch."""
        dataset, teacher = self._any.dataset, self.original[self.first.seed].teacher_test_logits
        weights = {
            f"{member}.{name}": value.detach()[k].cpu().contiguous()
            for member, k in zip(self.roles, self._pair(self.first), strict=True)
            for name, value in self.weights.items()
            if not name.startswith(REGRESSOR)
        }
        predictions = {
            "epochs": torch.tensor(sorted(self.predictions)),  # (E,)
            "by_epoch": torch.stack([self.predictions[epoch] for epoch in sorted(self.predictions)]),  # (E, 2, N_test)
            "teacher": teacher.argmax(dim=-1).to(torch.uint8).cpu(),
            "labels": dataset.test_labels.to(torch.uint8).cpu(),
        }
        return {"weights.safetensors": save(weights), "predictions.safetensors": save(predictions)}


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

    def forward(self, hidden: Tensor, *, features: bool) -> Tensor | tuple[Tensor, list[Tensor]]:
        return self.network.after_stem(hidden, features=features)


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
