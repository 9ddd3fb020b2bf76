"""A cohort: many students trained at once, as one batched tensor.

Members of the same shape differ only in numbers: their weights, alpha, temperature and seed. Their weights are stacked
along a first dimension, and every step is taken by all of them together. Each member gets the numbers that it would
have had alone (`loop.py`), up to rounding.

K members belong to S seeds, M to each. The members of one seed have the same batch of images in every step: their first
layers are one wide product.

A cohort of perceptrons whose method compares logits takes its steps by `perceptrons.py`, where the gradient is written
out, any other by autograd under `vmap`. On a GPU a step is recorded once and then replayed (`recording.py`).

Where the run trains networks that teach the student (assistants, or generation 0 of the teacher `self`), a cohort of the
last of them trains first and becomes the teacher.
"""

from __future__ import annotations

import copy
import functools
import json
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import replace

import torch
from safetensors.torch import load, save
from torch import Tensor, nn
from torch.func import functional_call, stack_module_state, vmap
from torch.utils._pytree import tree_map

from distill_core import analysis, students, teachers, writing
from distill_core.batch import Batch
from distill_core.experiment import Experiment
from distill_core.objectives import objective, peers_of
from distill_core.precision import products
from distill_core.training import own_text, perceptrons
from distill_core.training.initial import MEMBERS, first_layer, initial_regressor, initial_student
from distill_core.training.recording import Recording
from distill_core.training.records import TEACHER, Record, logged_measures, record, result
from distill_core.training.run_data import Inputs, load_run_data
from distill_core.training.schedule import Schedule
from distill_core.training.stacked import AfterStem, StackedOptimizer, views, wide_stem

REGRESSOR = "regressor."  # what stands before the names of its weights, beside the network's own


def train_cohort(experiments: Sequence[Experiment], *, device: str = "auto", dtype: torch.dtype = torch.float32) -> Iterator[Record]:
    """Train all experiments and their baselines; yields the records of `loop.train`, each with its `experiment`'s index.

    Experiments of one shape train together, others one cohort after another.
    """
    for group in cohorts(experiments):
        cohort = Cohort([experiments[index] for index in group], device=device, dtype=dtype)
        for records in cohort.steps():
            yield from ({**one, "experiment": group[one["experiment"]]} for one in records)


def cohorts(experiments: Sequence[Experiment]) -> list[list[int]]:
    """Which experiments can be one tensor: the indices of those that differ in nothing but alpha, temperature, seed and start.

    With assistants only the seed may differ: each of a seed's students would have a teacher of its own.
    """
    alike: dict[Experiment, list[int]] = defaultdict(list)
    for index, experiment in enumerate(experiments):
        common = {"seed": 0} if experiment.assistants else {"alpha": 1.0, "temperature": 1.0, "seed": 0, "start_from": ""}
        alike[replace(experiment, **common)].append(index)
    groups = []
    for indices in alike.values():
        by_seed: dict[int, list[int]] = defaultdict(list)
        for index in indices:
            by_seed[experiments[index].seed].append(index)
        by_size: dict[int, list[int]] = defaultdict(list)
        for group in by_seed.values():
            members = {member_key(one, role) for one in (experiments[i] for i in group) for role in MEMBERS}
            by_size[len(members)].extend(group)
        groups += [sorted(group) for group in by_size.values()]
    return groups


def member_key(experiment: Experiment, role: str) -> tuple[str, str]:
    """What makes a member of its own. A student of alpha 1 is its baseline, to which the temperature is nothing."""
    if role == "baseline" or (role == "student" and experiment == experiment.baseline):
        return replace(experiment.baseline, temperature=1.0).key, "baseline"
    return experiment.key, role


class Cohort:
    """Experiments of one shape and their baselines, in training. Follow `steps()`; after an epoch, `state()` can be kept.

    `roles`: the members of each experiment that have records; peers train beside them without. `quiet`: nothing is
    measured while they train, and there are no records: the test images are read for the results alone.
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
        self.method = self.first.configured_method
        self.seeds = sorted({e.seed for e in self.experiments})
        self.data = load_run_data([self.first_of(seed) for seed in self.seeds], device=device, dtype=dtype)
        self.schedule = Schedule(self.first, self.data.indices.shape[1], len(self.data.dataset.test_labels))
        self.members = self._members()  # (K,) experiment and role
        self.index = {member_key(*member): k for k, member in enumerate(self.members)}
        self.epoch, self.step = 0, 0
        self._own_seconds = 0.0  # of training, over all its stretches, without the assistants'
        self.predictions: dict[int, Tensor] = {}  # (roles, N_test) by epoch, of the first experiment
        self.samples: list[dict] = []  # of a text, what its student and its baseline wrote after some of the epochs
        self.test_logits: Tensor | None = None  # (K, N_test, C), of the last test
        self.validated: list[float | None] = []  # (K,) of the same
        self._sums: dict[str, Tensor] = {}  # (K,) each, of raw losses since the last record
        self._examples: dict[str, int] = {}
        self._recording = Recording(self.data.device)
        self.assistants: list[list[dict]] = [[] for _ in self.seeds]  # the scores of those that are trained
        self.own_teachers: list[nn.Module] = []  # generation 0 of each seed, once it is trained
        self.before = None
        if self.first.earlier and self.roles != (TEACHER,):
            number = len(self.first.assistants)
            role = f"assistant-{number}" if number else TEACHER
            self.before = Cohort([e.before for e in self.experiments], roles=(role,), quiet=quiet, device=device, dtype=dtype)
        self._stack()

    def _members(self) -> list[tuple[Experiment, str]]:
        """Every student with its peers, and every baseline once, seed by seed."""
        members: dict[tuple[str, str], tuple[Experiment, str]] = {}
        for experiment in self.experiments:
            for role in (*self.roles, *peers_of("student", self.method.peers)):
                key = member_key(experiment, role)
                members.setdefault(key, (experiment.baseline, "baseline") if key[1] == "baseline" else (experiment, role))
        by_seed = {seed: [member for member in members.values() if member[0].seed == seed] for seed in self.seeds}
        if len({len(group) for group in by_seed.values()}) != 1:
            raise ValueError("the experiments of a cohort need as many members for each seed; group them with cohorts()")
        return [member for seed in self.seeds for member in by_seed[seed]]

    def _stack(self) -> None:
        """Stacked weights (K, ...), and what differs from member to member."""
        device, dtype = self.data.device, self.data.dtype
        networks = [initial_student(e, self.data.dataset, member=role).to(device, dtype) for e, role in self.members]
        stacked, _ = stack_module_state(networks)
        self.network = networks[0]
        self.products, self.first_layer = products(self.first.precision), first_layer(self.first, self.data, self.network)
        self.data = replace(self.data, whole_pixels=self.first_layer is not None)
        teacher = self.before.network if self.before else self.data.teachers[0].network if self.data.teachers else None
        regressors = [initial_regressor(self.first_of(e.seed), self.data, self.network, teacher) for e, _ in self.members]
        self.regressor = regressors[0]
        if self.regressor is not None:
            stacked |= {f"{REGRESSOR}{name}": value for name, value in stack_module_state(regressors)[0].items()}
        self.optimizer = StackedOptimizer(self.first, torch.cat([value.detach().flatten() for value in stacked.values()]))
        shapes = {name: value.shape for name, value in stacked.items()}
        self.weights, self._gradients = views(self.optimizer.weights, shapes), views(self.optimizer.gradient, shapes)
        constraints = [students.Constraint(self.first, dict(network.named_parameters())) for network in networks]
        self.constraint = students.Constraint.stacked(constraints)
        by_hand = not self.constraint.bits and self.method.compares == "logits" and not self.method.peers
        names = perceptrons.linear_layers(self.network) if by_hand else None
        self._logit_gradient = perceptrons.gradient_of(self.first.method, self.method)
        self._layers, self._layer_gradients = (
            [(tensors[f"{name}.weight"], tensors[f"{name}.bias"].unsqueeze(2)) for name in names or []]
            for tensors in (self.weights, self._gradients)
        )
        self._choices = {
            name: torch.tensor([getattr(e, name) for e, _ in self.members], device=device, dtype=dtype) for name in ("alpha", "temperature")
        }
        self._choices["labels_only"] = torch.tensor([role == "baseline" for _, role in self.members], device=device)
        self._students = (~self._choices["labels_only"]).nonzero().flatten()
        self._peers = torch.tensor([self._peers_of(*member) for member in self.members], dtype=torch.long, device=device)  # (K, peers)

    def _peers_of(self, experiment: Experiment, role: str) -> list[int]:
        """The indices of a member's peers. A baseline's are any of its seed: they have no effect on it."""
        own = experiment if role != "baseline" else self.first_of(experiment.seed)
        return [self.index[member_key(own, name)] for name in peers_of(role, self.method.peers)]

    def first_of(self, seed: int) -> Experiment:
        """Any experiment of a seed: they share everything that the seed sets."""
        return next(e for e in self.experiments if e.seed == seed)

    @property
    def at_epoch_end(self) -> bool:
        """Whether every image was used equally often: only then can the state be kept."""
        if not self._teacher_is_trained:
            return self.before.at_epoch_end
        return self.step == self.epoch * self.schedule.steps_per_epoch

    @property
    def _teacher_is_trained(self) -> bool:
        """Whether the run need not train it, or has trained it."""
        return self.before is None or self.before.epoch == self.first.epochs

    @property
    def done(self) -> int:
        """Epochs trained so far, those of the cohorts before included."""
        return self.epoch + (self.before.done if self.before else 0)

    @property
    def seconds(self) -> float:
        """Seconds trained so far, those of the cohorts before included."""
        return self._own_seconds + (self.before.seconds if self.before else 0.0)

    # --- training ---------------------------------------------------------------------------------------------------

    def steps(self) -> Iterator[list[Record]]:
        """Train to the end; yields the records of each step, mostly none."""
        if self.before and not self._teacher_is_trained:
            for records in self.before.steps():
                yield [one for one in records if one["event"] == "record"]
            self._use_trained_teachers()
        log_steps = {} if self.quiet else self.schedule.log_steps
        self._started = time.perf_counter() - self._own_seconds
        if self.step == 0 and not self.quiet:
            yield self._log(log_steps[0])
        for epoch in range(self.epoch, self.first.epochs):
            for indices in self.data.batches(epoch):
                self.train_step(indices, learning_rate=self.schedule.learning_rate(self.step))
                self.step += 1
                self.epoch = self.step // self.schedule.steps_per_epoch
                yield self._log(log_steps[self.step]) if self.step in log_steps else []
        yield self._results()

    def _use_trained_teachers(self) -> None:
        """The networks of the cohort before become the teachers, each of its own seed."""
        trained = [self.first_of(seed).before for seed in self.seeds]
        places = [place for one in trained for place in self.before.pair(one)]
        networks = [copy.deepcopy(self.before.member(k)) for k in places]
        test_logits, validated = [self.before.test_logits_of(k) for k in places], self.before.validate()
        is_own = self.before.roles == (TEACHER,)
        self.own_teachers = networks if is_own else self.before.own_teachers
        named = torch.stack(test_logits) if is_own else self.before.data.teacher_test_logits
        self.data = replace(self.data.with_teachers(networks), teacher_test_logits=named)
        for number, (one, place, logits) in enumerate(zip(trained, places, test_logits, strict=True)):
            scores = self.data.scores(one, logits, validated=validated[place])
            own = [] if is_own else [{"name": one.student, **scores}]
            self.assistants[number] = [*self.before.assistants[number], *own]

    def train_step(self, indices: Tensor, *, learning_rate: float) -> None:
        """One step of all members on the images at `indices` `(S, B)`, seed by seed."""
        self._learning_rate, self._progress = self._recording.numbers(learning_rate, self.schedule.progress(self.step))
        if own_text.is_own(self.method, self.step):
            examples = self._train_on(self._with_own_text(self.data.get_batch(indices, self.step)))
        elif self.data.same_at_every_step:
            examples = self._recording(self._train_at, indices)
        else:
            examples = self._recording(self._train_on, self.data.get_batch(indices, self.step))
        for name, number in examples.items():
            self._examples[name] = self._examples.get(name, 0) + number

    def _train_at(self, indices: Tensor) -> dict[str, int]:
        return self._train_on(self.data.get_batch(indices, self.step))

    def _train_on(self, inputs: Inputs) -> dict[str, int]:
        """One step on a batch; returns the number of examples of each loss, none of text that students wrote: it is not recorded."""
        terms = self._backward_by_hand(inputs) if self._layers else self._backward_by_autograd(inputs)  # (K,) each
        self.constraint.keep_zeros(self._gradients)
        self.optimizer.step(self._learning_rate)
        if inputs.is_own:
            return {}
        examples = {name: inputs.examples(name) for name in terms}
        for name, term in terms.items():
            if name in self._sums:
                self._sums[name].add_(term, alpha=examples[name])
            else:
                self._sums[name] = term * examples[name]
        return examples

    @torch.inference_mode()
    def _backward_by_hand(self, inputs: Inputs) -> dict[str, Tensor]:
        """The gradients of perceptrons, into `self._gradients`; returns the raw losses."""
        seeds, images = len(inputs.images), inputs.images.flatten(2)
        layers = [self.first_layer.fold(*self._layers[0]), *self._layers[1:]] if self.first_layer else self._layers
        with self.products:
            outputs = perceptrons.forward(layers, images)
        batch = Batch(
            student_logits=outputs[-1].view(seeds, -1, *outputs[-1].shape[1:]),  # (S, M, C, B)
            teacher_logits=inputs.teacher_logits.transpose(1, 2).unsqueeze(1),
            labels=inputs.labels.view(seeds, 1, 1, -1),
            unlabelled=inputs.unlabelled,
            progress=self._progress,
            **{name: values.view(seeds, -1, 1, 1) for name, values in self._choices.items()},
        )
        gradient, terms = self._logit_gradient(batch)
        with self.products:
            perceptrons.backward(layers, images, outputs, gradient.flatten(0, 1), into=self._layer_gradients)
        if self.first_layer:
            self.first_layer.unfold_gradient(*self._layer_gradients[0])
        return terms

    def _backward_by_autograd(self, inputs: Inputs) -> dict[str, Tensor]:
        """The gradients of any network and method, into `self._gradients`; returns the raw losses."""
        weights = {name: value.detach().requires_grad_() for name, value in self.weights.items()}
        used = self.constraint.rounded(weights)
        with self.products:
            used = self.first_layer.fold_names(used) if self.first_layer else used
            logits, features = self.forward(inputs.images, used, features=True)  # (K, B, C), (K, B, ...) each
        shared = {"teacher_logits": inputs.teacher_logits, "labels": inputs.labels}  # by the members of a seed, (S, B, ...) each
        own = {"student_logits": logits, **self._choices}  # (K, ...) each
        if inputs.is_own:
            own["alpha"] = torch.zeros_like(own["alpha"])
        if self.data.dataset.is_text:  # every position is an example: (K, B, L, V) to (K, B * L, V)
            own["student_logits"] = logits = logits.flatten(1, -2)
            shared = {"teacher_logits": inputs.teacher_logits.flatten(1, -2), "labels": inputs.labels.flatten(1)}
        if inputs.teacher_features:
            shared["teacher_features"], own["student_features"] = inputs.teacher_features, features
        if self.method.peers:
            own["peer_logits"] = logits.detach()[self._peers]  # (K, peers, B, C)
        own["regressor"] = {name.removeprefix(REGRESSOR): value for name, value in weights.items() if name.startswith(REGRESSOR)}
        by_seed = tree_map(lambda values: values.unflatten(0, (len(inputs.labels), -1)), own)  # (S, M, ...) each
        # What a loss computes of the teacher alone, such as the distances of a batch, is computed once for a seed.
        of_member = functools.partial(self._objective, unlabelled=inputs.rows(inputs.unlabelled))
        totals, terms = vmap(vmap(of_member, in_dims=(0, None)))(by_seed, shared)  # (S, M) each
        # No weight is shared, so each member's gradient is its own; where no loss has an effect, it is 0.
        gradients = torch.autograd.grad(totals.sum(), weights.values(), materialize_grads=True)
        torch.cat([gradient.flatten() for gradient in gradients], out=self.optimizer.gradient)
        return {name: term.detach().flatten() for name, term in terms.items()}

    def _objective(self, own: dict, shared: dict, *, unlabelled: int) -> tuple[Tensor, dict[str, Tensor]]:
        """The method for one member, under `vmap`: what is its `own`, and what all members of its seed share."""
        layers = own.pop("regressor")
        project = (lambda *inputs: functional_call(self.regressor, layers, inputs)) if layers else None
        more = {"unlabelled": unlabelled, "progress": self._progress}
        return objective(self.method, Batch(**own, **shared, **more, regressor=project))

    @torch.no_grad()
    def _with_own_text(self, inputs: Inputs) -> Inputs:
        """A batch for each member, `(K, B, L)`: students have the text that they write, baselines that of the data set."""
        places, seeds = self._students, [experiment.seed for experiment, role in self.members if role != "baseline"]
        own = {name: value[places] for name, value in self.weights.items()}
        windows, labels = self._to_members(inputs.images), self._to_members(inputs.labels)
        text = own_text.written_by_students(self.network, own, windows[places], seeds=seeds, step=self.step)
        graded, logits = self.data.graded(text), self._to_members(inputs.teacher_logits)  # each a copy
        windows[places], labels[places], logits[places] = graded.images, graded.labels, graded.teacher_logits
        return graded._replace(images=windows, labels=labels, teacher_logits=logits)

    def _to_members(self, values: Tensor) -> Tensor:
        """What belongs to a seed, `(S, ...)`, repeated for each of its members: `(K, ...)`."""
        return values.repeat_interleave(len(self.members) // len(values), dim=0)

    def forward(self, images: Tensor, weights: dict[str, Tensor], *, features: bool = False) -> Tensor | tuple[Tensor, list[Tensor]]:
        """Logits `(K, B, C)` of all members; `images` `(S, B, D, H, W)`, where S may be 1 for images that all share.

        Of windows `(S, B, L)` they are `(K, B, L, V)`.

        With `features` also the output of each block, `(K, B, ...)`.
        """
        hidden = wide_stem(self.network.stem, weights["stem.weight"], weights.get("stem.bias"), images)
        rest = {name: value for name, value in weights.items() if not name.startswith(("stem.", REGRESSOR))}
        return vmap(functools.partial(self._after_stem, features=features))(rest, hidden)

    def _after_stem(self, weights: dict[str, Tensor], hidden: Tensor, *, features: bool) -> Tensor | tuple[Tensor, list[Tensor]]:
        named = {f"network.{name}": value for name, value in weights.items()}
        return functional_call(AfterStem(self.network), named, hidden, {"features": features})

    # --- records ----------------------------------------------------------------------------------------------------

    def test(self) -> None:
        """Measure all members on the test images, and on the validation images of their seeds."""
        self.test_logits = self.logits(self.data.dataset.test_images.unsqueeze(0))
        self.validated = self.validate()

    def validate(self) -> list[float | None]:
        """The accuracy of each member on the validation images of its seed; None where none are held out. Of a text bits a character."""
        if not self.first.validation:
            return [None] * len(self.members)
        if self.data.dataset.is_text:
            return [self._bits_of_validation(k, k * len(self.seeds) // len(self.members)) for k in range(len(self.members))]
        predictions = self.logits(self.data.validation_images).max(dim=-1).indices  # (K, v)
        return (predictions == self._to_members(self.data.validation_labels)).double().mean(dim=1).tolist()

    def _bits_of_validation(self, k: int, seed: int) -> float:
        """Of one member: the logits of all at once would be a hundred times as many as those of images."""
        logits = teachers.logits(self.member(k), self.data.dataset, self.data.validation_images[seed])
        return analysis.score_on(logits, self.data.validation_labels[seed], self.data.dataset)

    @torch.no_grad()
    def logits(self, images: Tensor) -> Tensor:
        """Logits `(K, N, C)` of all members on uint8 images `(S, N, D, H, W)`, where S may be 1 for images that all share."""
        dataset, dtype = self.data.dataset, self.data.dtype
        if isinstance(self.network.stem, nn.Conv2d | nn.Embedding):  # whose outputs of all members at once would not fit into the cache
            of_members = [images[k * len(images) // len(self.members)] for k in range(len(self.members))]
            return torch.stack([teachers.logits(self.member(k), dataset, own) for k, own in enumerate(of_members)])
        batches = [dataset.pixels(batch).to(dtype) for batch in images.split(500, dim=1)]
        if self._layers:
            return torch.cat([perceptrons.forward(self._layers, images.flatten(2))[-1] for images in batches], dim=2).transpose(1, 2)
        weights = self.constraint.rounded(self.weights)
        return torch.cat([self.forward(images, weights) for images in batches], dim=1)

    def test_logits_of(self, k: int) -> Tensor:
        """Logits `(N_test, C)` of one member on the test images, computed by itself."""
        return teachers.logits(self.member(k), self.data.dataset, self.data.dataset.test_images)

    def member(self, k: int) -> nn.Module:
        """One member as a network by itself; the next call overwrites it."""
        own = {name: value[k] for name, value in self.constraint.rounded(self.weights).items() if not name.startswith(REGRESSOR)}
        self.network.load_state_dict(own)
        return self.network

    def _log(self, what: str) -> list[Record]:
        """A record for student and baseline of every experiment."""
        epoch = self.step / self.schedule.steps_per_epoch
        measured: dict[str, list[float]] = {name: (self._sums[name] / number).tolist() for name, number in self._examples.items()}
        self._examples.clear()
        for total in self._sums.values():
            total.zero_()  # in place: a replay adds to it
        if what == "test":
            self.test()
            predictions = self.test_logits.max(dim=-1).indices  # (K, N_test); four times as fast as argmax
            if self.data.dataset.is_text:
                bits = [analysis.score(logits, self.data.dataset) for logits in self.test_logits]
                measured |= {name: [one[name] for one in bits] for name in bits[0]}
            else:
                measured["test_accuracy"] = (predictions == self.data.dataset.test_labels).double().mean(dim=1).tolist()
            of_teacher = self.data.teacher_test_logits.argmax(dim=-1).unsqueeze(1)  # (1 or S, 1, N_test)
            agrees = predictions.unflatten(0, (len(of_teacher), -1)) == of_teacher
            measured["agreement"] = agrees.flatten(0, 1).flatten(1).double().mean(dim=1).tolist()
            if self.first.validation:
                measured[analysis.measure_of(self.data.dataset).validation] = self.validated
            if self.data.dataset.is_text:
                if epoch in self.schedule.sampled_epochs(len(self.members)) and self.roles == MEMBERS:
                    self.samples.append({"epoch": int(epoch), **self.write_samples()})
            elif epoch == int(epoch):
                self.predictions[int(epoch)] = predictions[list(self.pair(self.first))].to(torch.uint8).cpu()
        self._own_seconds = time.perf_counter() - self._started
        records = []
        for i, experiment in enumerate(self.experiments):
            for role, k in zip(self.roles, self.pair(experiment), strict=True):
                fields = logged_measures(self.method, role)
                own = {name: values[k] for name, values in measured.items() if name in fields}
                if self.members[k][0].temperature != experiment.temperature:  # a shared baseline, measured at another's T
                    own.pop("soft_loss", None)
                place = {"step": self.step, "epoch": epoch, "seconds": self.seconds, "of_text": self.data.dataset.is_text}
                records.append({**record(role, **place, **own), "experiment": i})
        return records

    def write_samples(self) -> dict[str, str]:
        """What student and baseline of the first experiment write now, by role; their random numbers are their own."""
        return {
            role: writing.sample(self.member(k), self.data.dataset, seed=self.first.seed)
            for role, k in zip(self.roles, self.pair(self.first), strict=True)
        }

    def _results(self) -> list[Record]:
        if self.test_logits is None:  # restored after the last step
            self.test()
        scores = [
            self.data.scores(member, logits, validated=validated)
            for (member, _), logits, validated in zip(self.members, self.test_logits, self.validated, strict=True)
        ]
        correct = self.data.correct(self.test_logits)  # (K, N_test)
        self._own_seconds = time.perf_counter() - self._started
        results = []
        for i, experiment in enumerate(self.experiments):
            places = dict(zip(self.roles, self.pair(experiment), strict=True))
            own = {"scores": {role: scores[k] for role, k in places.items()}, "correct": {role: correct[k] for role, k in places.items()}}
            assistants = self.assistants[self.seeds.index(experiment.seed)]
            found = result(experiment, self.data, seconds=self.seconds, assistants=assistants, **own)
            results.append({**found, "experiment": i})
        return results

    def pair(self, experiment: Experiment) -> list[int]:
        """The indices of an experiment's recorded members, such as its student and its baseline."""
        return [self.index[member_key(experiment, role)] for role in self.roles]

    # --- keeping ----------------------------------------------------------------------------------------------------

    def state(self) -> bytes:
        """All that is needed to go on later with the same numbers; after a finished epoch."""
        if not self.at_epoch_end:
            raise ValueError(f"step {self.step} is in the middle of an epoch; the state can be kept at its end")
        tensors = {"weights": self.optimizer.weights, **{f"optimizer.{name}": value for name, value in self.optimizer.state.items()}}
        tensors["progress"] = torch.tensor([self.epoch, self.step, self._own_seconds], dtype=torch.float64)
        tensors |= {f"predictions.{epoch}": predictions for epoch, predictions in self.predictions.items()}
        tensors["samples"] = torch.frombuffer(bytearray(json.dumps(self.samples).encode()), dtype=torch.uint8)
        if self.before:
            tensors["before"] = torch.frombuffer(bytearray(self.before.state()), dtype=torch.uint8)
        return save({name: value.cpu().contiguous() for name, value in tensors.items()})

    def restore(self, state: bytes) -> None:
        """Go on from what `state()` kept."""
        tensors = load(state)
        epoch, step, self._own_seconds = tensors["progress"].tolist()
        self.epoch, self.step = int(epoch), int(step)
        self.predictions = {int(name.split(".")[1]): value for name, value in tensors.items() if name.startswith("predictions.")}
        self.samples = json.loads(tensors["samples"].numpy().tobytes()) if "samples" in tensors else []  # an older lab's state has none
        if self.before:
            self.before.restore(tensors["before"].numpy().tobytes())
            if self._teacher_is_trained:
                self._use_trained_teachers()
        self.optimizer.weights.copy_(tensors["weights"])
        for name, value in self.optimizer.state.items():
            value.copy_(tensors[f"optimizer.{name}"])

    def texts(self) -> dict[str, bytes]:
        """The file of the texts that the first experiment's networks have written so far, as JSON; none of images.

        `{"prompt", "samples": [{"epoch", "student", "baseline"}]}`.
        """
        if not self.samples:
            return {}
        prompt = writing.PROMPTS.get(self.first.dataset, "")
        return {"texts.json": json.dumps({"prompt": prompt, "samples": self.samples}).encode()}

    def artefacts(self) -> dict[str, bytes]:
        """Of the first experiment: the trained weights, and all predictions on the test images after each epoch.

        Of a text, what its student and its baseline wrote after some of the epochs takes the place of the predictions.

        Generation 0 is among the weights, as `teacher`: no file has it.
        """
        number = self.data.number_of(self.first)
        weights = {
            f"{role}.{name}": value.detach()[k].cpu().contiguous()
            for role, k in zip(self.roles, self.pair(self.first), strict=True)
            for name, value in self.constraint.rounded(self.weights).items()
            if not name.startswith(REGRESSOR)
        }
        for network in self.own_teachers[number : number + 1]:
            weights |= {f"{TEACHER}.{name}": value.cpu().contiguous() for name, value in network.state_dict().items()}
        if self.data.dataset.is_text:
            return {"weights.safetensors": save(weights), **self.texts()}
        predictions = {
            "epochs": torch.tensor(sorted(self.predictions)),  # (E,)
            "by_epoch": torch.stack([self.predictions[epoch] for epoch in sorted(self.predictions)]),  # (E, 2, N_test)
            "teacher": self.data.teacher_test_logits[number % len(self.data.teacher_test_logits)].argmax(dim=-1).to(torch.uint8).cpu(),
            "labels": self.data.dataset.test_labels.to(torch.uint8).cpu(),
        }
        return {"weights.safetensors": save(weights), "predictions.safetensors": save(predictions)}
