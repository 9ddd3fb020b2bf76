"""Training with products in bfloat16: what is rounded, by how much, and where it is refused."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from torch.nn import functional as F

from distill_core import precision
from distill_core.experiment import Experiment
from distill_core.precision import UNIT_ROUNDOFF, FirstLayer, Products, check_precision, instructions, products
from distill_core.runs.engine import Engine
from distill_core.runs.store import Store
from distill_core.training import perceptrons
from distill_core.training.cohort import Cohort
from distill_core.training.loop import train
from distill_core.training.run_data import prepare

EMULATED = "bfloat16-emulated"
SMALL = Experiment(images=96, batch_size=48, epochs=3, student="mlp-12x2", alpha=0.3, optimizer="sgd")
CPU = torch.device("cpu")


def rounding(n, factors=2):
    """The most by which a product with sums of n terms is off, relative to |A| |B|, with so many rounded factors and a rounded result."""
    return (1 + UNIT_ROUNDOFF) ** (factors + 1) * (1 + n * 2.0**-23) - 1


def drawn(*shape):
    return torch.randn(shape, generator=torch.Generator().manual_seed(sum(shape)))


PRODUCTS = {
    "linear": (lambda a, b: F.linear(a, b), (9, 50), (7, 50), 50),
    "linear of windows": (lambda a, b: F.linear(a, b), (2, 9, 50), (7, 50), 50),
    "bmm": (torch.bmm, (3, 9, 50), (3, 50, 7), 50),
    "matmul": (lambda a, b: a @ b, (2, 3, 9, 50), (2, 3, 50, 7), 50),
    "baddbmm": (lambda a, b: torch.baddbmm(torch.zeros(1, 1, 1, dtype=a.dtype), a, b), (3, 9, 50), (3, 50, 7), 50),
    "conv2d": (lambda a, b: F.conv2d(a, b, padding=1), (2, 3, 6, 6), (4, 3, 3, 3), 27),
    "conv2d of a cohort": (lambda a, b: F.conv2d(a, b, padding=1, groups=2), (2, 6, 6, 6), (4, 3, 3, 3), 27),
}


@pytest.mark.parametrize("emulated", (True, False))
@pytest.mark.parametrize("name", PRODUCTS)
def test_a_product_is_within_its_bound_and_so_is_its_backward_pass(name, emulated):
    multiply, *shapes, n = PRODUCTS[name]
    factors = [drawn(*shape).requires_grad_() for shape in shapes]
    with Products(emulated=emulated):
        found = multiply(*factors)
    direction = drawn(*found.shape)
    gradients = torch.autograd.grad(found, factors, direction)
    exact, sizes = ([values.detach().double().requires_grad_() for values in some] for some in (factors, [f.abs() for f in factors]))
    wanted, size = multiply(*exact), multiply(*sizes)
    assert found.dtype == torch.float32 and torch.equal(found, found.bfloat16().float())
    off = (found.double() - wanted).abs() / size
    assert rounding(n) / 30 < off.max() <= rounding(n)
    wanted, size = torch.autograd.grad(wanted, exact, direction.double()), torch.autograd.grad(size, sizes, direction.double().abs())
    for ours, theirs, most in zip(gradients, wanted, size, strict=True):
        off = (ours.double() - theirs).abs() / most
        assert rounding(1000) / 30 < off.max() <= rounding(1000)


def test_the_emulation_multiplies_what_the_instructions_multiply():
    """They may add up in another order, and then round a few sums to a neighbour."""
    a, b = drawn(40, 784), drawn(30, 784)
    found = []
    for emulated in (True, False):
        with Products(emulated=emulated):
            found.append(F.linear(a, b))
    differing = (found[0] != found[1]).float().mean()
    assert differing < 0.05 and torch.allclose(*found, rtol=2 * UNIT_ROUNDOFF, atol=1e-3)


def test_nothing_else_is_rounded_in_the_context_and_nothing_after_it():
    a, b = drawn(5, 5), drawn(5, 5)
    with Products(emulated=True):
        assert torch.equal(a + b, (a.double() + b.double()).float()) and torch.equal(a.mv(b[0]), torch.mv(a, b[0]))
        rounded = a @ b
    assert not torch.equal(a @ b, rounded)


def test_a_first_layer_of_whole_pixels_is_the_layer_of_normalised_ones_with_rounded_weights():
    torch.manual_seed(0)
    mean, deviation, pixels = torch.tensor([33.32, 125.31]).view(2, 1, 1), torch.tensor([78.57, 63.0]).view(2, 1, 1), 2 * 16
    images = torch.randint(0, 256, (6, 2, 4, 4))
    whole, normalised = (values.flatten(1).double() for values in (images - mean.round(), (images - mean.double()) / deviation.double()))
    assert torch.equal(whole.bfloat16().double(), whole)
    weight, bias = torch.randn(3, 5, pixels).double().requires_grad_(), torch.randn(3, 5).double().requires_grad_()
    layer = FirstLayer(mean.double(), deviation.double(), (2, 4, 4), torch.float64)
    ours = torch.stack([F.linear(whole, w, b) for w, b in zip(*layer.fold(weight, bias), strict=True)])
    scale = (1 / deviation.double()).expand(2, 4, 4).flatten()
    as_rounded = (weight * scale).bfloat16().double() / scale
    theirs = torch.einsum("kup,bp->kbu", as_rounded, normalised) + bias[:, None]
    torch.testing.assert_close(ours, theirs, rtol=1e-10, atol=1e-10)

    direction = torch.randn_like(ours)
    by_autograd = torch.autograd.grad(ours, (weight, bias), direction)
    to_weight, to_bias = torch.einsum("kbu,bp->kup", direction, whole), direction.sum(dim=1).unsqueeze(2)
    layer.unfold_gradient(to_weight, to_bias)
    torch.testing.assert_close((to_weight, to_bias.squeeze(2)), by_autograd, rtol=1e-10, atol=1e-10)


def whole_pixels(data, indices):
    """The pixels minus their rounded mean `(P, B)`, what is left of the mean, and the standard deviation."""
    mean, deviation = (float(value) for value in data.dataset.pixel_mean_std)
    return data.dataset.train_images[indices].flatten(1).double().T - round(mean), mean - round(mean), deviation


def bounds(cohort, places):
    r"""How far each layer's output, and each gradient, of a step in bfloat16 may be from those of the exact step, element by element.

    With $u = 2^{-8}$ and $c_n = (1 + u)^3 (1 + n 2^{-23}) - 1$, the output $z_l = W_l a_{l-1} + b_l$ of a layer of n inputs is off by

    $$e_l \le |W_l| e_{l-1} + c_n |W_l| (|a_{l-1}| + e_{l-1})$$

    and a ReLU makes no error larger. The first layer rounds its weights and its result, no pixel. The gradient of the logits is off
    by half the largest error of an example's logits, over the number of examples, because a softmax is 1/2-Lipschitz in the maximum
    norm, and T divides its logits and multiplies its gradient. From there on each of the two products of a layer adds the error of its
    factors and $c_n$ times their sizes; a unit whose sign is within its error may pass all of its gradient or none.
    """
    layers = [
        (cohort.weights[f"{name}.weight"].double(), cohort.weights[f"{name}.bias"].double()) for name in ("stem", "blocks.1.0", "head")
    ]
    whole, shift, deviation = whole_pixels(cohort.data, cohort.data.indices[0, places])
    below = (whole - shift) / deviation
    outputs, errors, activations = [], [], [(below, torch.zeros_like(below))]
    for number, (weight, bias) in enumerate(layers):
        a, e = activations[-1]
        outputs.append(weight @ a + bias.unsqueeze(2))
        if number == 0:
            size = weight.abs() / deviation @ whole.abs()
            errors.append(UNIT_ROUNDOFF * (weight.abs() @ a.abs()) + rounding(len(a), 1) * size - UNIT_ROUNDOFF * size)
        else:
            errors.append(weight.abs() @ (a.abs() + e) * (1 + rounding(a.shape[1])) - weight.abs() @ a.abs())
        activations.append((outputs[-1].relu(), errors[-1]))
    return layers, outputs, errors, activations


def cohorts():
    """The same student and baseline in float32 and in bfloat16, and the places of one batch in their transfer set."""
    return [Cohort([dataclasses.replace(SMALL, precision=one)], device="cpu") for one in ("float32", EMULATED)], torch.arange(48)


def test_each_layer_of_a_step_stays_within_its_bound_of_float32():
    both, places = cohorts()
    _, outputs, errors, _ = bounds(both[0], places)
    found = []
    for cohort in both:
        inputs = cohort.data.get_batch(cohort.data.indices[:, places], 0)
        own = [cohort.first_layer.fold(*cohort._layers[0]), *cohort._layers[1:]] if cohort.first_layer else cohort._layers
        seen = []
        with cohort.products:
            for depth in range(len(own)):
                seen.append(perceptrons.forward(own[: depth + 1], inputs.images.flatten(2))[-1].double())
        found.append(seen)
    for in_float32, in_bfloat16, exact, most in zip(*found, outputs, errors, strict=True):
        torch.testing.assert_close(in_float32, exact, rtol=1e-4, atol=1e-4)
        off = (in_bfloat16 - in_float32).abs()
        assert (off <= 1.01 * most + 1e-6).all() and most.max() / 500 < off.max() and most.max() < exact.abs().max() / 2


def test_each_gradient_of_a_step_stays_within_its_bound_of_float32_and_so_do_the_weights_after_it():
    both, places = cohorts()
    data, indices = both[0].data, both[0].data.indices[0, places]
    layers, outputs, errors, activations = bounds(both[0], places)
    whole, shift, deviation = whole_pixels(data, indices)
    for cohort in both:
        cohort.train_step(cohort.data.indices[:, places], learning_rate=0.1)
    reference, ours = (cohort._gradients for cohort in both)
    teacher, labels, examples = data.teacher_logits[0][indices].double().T, F.one_hot(data.labels[0][indices], 10).T.double(), len(places)
    alpha = torch.tensor([one.alpha if role == "student" else 1.0 for one, role in both[0].members]).view(-1, 1, 1).double()
    t = SMALL.temperature
    soft = t * ((outputs[-1] / t).softmax(dim=1) - (teacher / t).softmax(dim=0))
    g = (alpha * (outputs[-1].softmax(dim=1) - labels) + (1 - alpha) * soft) / examples
    e_g = (0.5 * errors[-1].amax(dim=1, keepdim=True) / examples).expand_as(g)
    for number, name in ((2, "head"), (1, "blocks.1.0"), (0, "stem")):
        a, e_a = activations[number]
        if number:
            exact = g @ a.transpose(-1, -2)
            most = (g.abs() + e_g) @ (a.abs() + e_a).transpose(-1, -2) * (1 + rounding(examples)) - g.abs() @ a.abs().transpose(-1, -2)
        else:
            exact = g @ a.T
            sizes = (g.abs() + e_g) @ whole.abs().T * (1 + rounding(examples, 1)) - g.abs() @ whole.abs().T
            most = (sizes + abs(shift) * e_g.sum(dim=2, keepdim=True)) / deviation
        for kind, wanted, allowed in (("weight", exact, most), ("bias", g.sum(dim=2), e_g.sum(dim=2))):
            torch.testing.assert_close(reference[f"{name}.{kind}"].double(), wanted, rtol=1e-3, atol=1e-5)
            off = (ours[f"{name}.{kind}"].double() - reference[f"{name}.{kind}"].double()).abs()
            assert (off <= 1.01 * allowed + 1e-6).all(), f"{name}.{kind} is off by {(off / allowed).max():.2f} times its bound"
            assert kind == "bias" or off.max() > 1e-5 * wanted.abs().max()
            step = (both[1].weights[f"{name}.{kind}"] - both[0].weights[f"{name}.{kind}"]).double().abs()
            assert (step <= 0.1 * (1.01 * allowed + 1e-6) + 1e-6).all()  # of the first step of SGD
        if number:
            z, e_z, weight = outputs[number - 1], errors[number - 1], layers[number][0].transpose(1, 2)
            size, all_of_it = weight.abs() @ g.abs(), weight.abs() @ (g.abs() + e_g) * (1 + rounding(weight.shape[2]))
            e_g = torch.where(z.abs() <= e_z, all_of_it, torch.where(z > 0, all_of_it - size, 0.0))
            g = torch.where(z > 0, weight @ g, 0.0)


def without_seconds(records):
    return [{name: value for name, value in one.items() if name != "seconds"} for one in records]


@pytest.mark.parametrize("student", ("mlp-12x2", "cnn-2"))
def test_the_same_seed_gives_the_same_numbers(student):
    experiment = dataclasses.replace(SMALL, student=student, precision=EMULATED, epochs=1)
    first, second, other = (list(train(one, device="cpu")) for one in (experiment, experiment, dataclasses.replace(experiment, seed=1)))
    assert without_seconds(first) == without_seconds(second) != without_seconds(other)
    cohorts = [Cohort([experiment], device="cpu") for _ in range(2)]
    for one in cohorts:
        list(one.steps())
    assert torch.equal(cohorts[0].optimizer.weights, cohorts[1].optimizer.weights)


def test_a_student_learns_in_bfloat16_what_it_learns_in_float32():
    """Rounded, its losses are others, by less than a hundredth."""
    experiments = [dataclasses.replace(SMALL, images=400, epochs=10, optimizer="adam", precision=one) for one in ("float32", EMULATED)]
    (*_, usual), (*_, ours) = ([r for rs in Cohort([one], device="cpu").steps() for r in rs] for one in experiments)
    for role in ("student", "baseline"):
        assert ours[role]["test_accuracy"] == pytest.approx(usual[role]["test_accuracy"], abs=0.03)
    assert ours["student"] != usual["student"] and usual["student"]["test_accuracy"] > 0.8


def test_in_float32_nothing_is_rounded_and_no_pixel_is_whole(monkeypatch):
    monkeypatch.setattr(Products, "__init__", lambda *_, **__: pytest.fail("a product in float32 was to be rounded"))
    monkeypatch.setattr(FirstLayer, "__init__", lambda *_, **__: pytest.fail("a first layer of float32 was to be folded"))
    cohort = Cohort([SMALL], device="cpu")
    list(cohort.steps())
    list(train(dataclasses.replace(SMALL, student="cnn-2", epochs=1), device="cpu"))
    inputs = cohort.data.get_batch(cohort.data.indices[:, :5], 0)
    assert torch.equal(inputs.images[0], cohort.data.dataset.pixels(cohort.data.dataset.train_images[cohort.data.indices[0, :5]]))


# --- where it is refused --------------------------------------------------------------------------------------------


@pytest.fixture
def without(monkeypatch):
    """A machine without instructions for bfloat16."""
    monkeypatch.setattr(precision, "instructions", lambda device: "")


def test_a_machine_without_the_instructions_says_so_before_anything_is_loaded(without, refused, monkeypatch):
    monkeypatch.setattr("distill_core.data.datasets.fetch", lambda name: pytest.fail("data was fetched"))
    fast = dataclasses.replace(SMALL, precision="bfloat16")
    for start in (lambda: next(prepare(fast)), lambda: next(train(fast)), lambda: Cohort([fast])):
        with refused("precision 'bfloat16'", "AMX", "AVX512-BF16", "GPU", "float32", "bfloat16-emulated"):
            start()
    with refused("precision 'float16' is not known", "float32, bfloat16, bfloat16-emulated"):
        dataclasses.replace(SMALL, precision="float16")


def test_a_server_refuses_it_before_the_queue_unless_its_workers_are_elsewhere(without, refused, tmp_path):
    fast = dataclasses.replace(SMALL, precision="bfloat16")
    here = Engine(Store(tmp_path / "here.sqlite"))
    with refused("precision 'bfloat16'", "this machine"):
        here.submit([fast])
    assert here.submit([dataclasses.replace(SMALL, precision=EMULATED)])[0]
    assert Engine(Store(tmp_path / "there.sqlite"), address="tcp://127.0.0.1:1").submit([fast])[0]


@pytest.mark.parametrize(
    ("amx", "allowed", "avx", "found"),
    [(True, True, True, "AMX"), (True, False, True, "AVX512-BF16"), (False, True, True, "AVX512-BF16"), (True, False, False, "")],
)
def test_the_instructions_are_those_that_the_processor_has_and_the_system_allows(monkeypatch, refused, amx, allowed, avx, found):
    for name, value in {"_is_amx_tile_supported": amx, "_init_amx": allowed, "_is_avx512_bf16_supported": avx}.items():
        monkeypatch.setattr(torch.cpu, name, lambda value=value: value)
    assert instructions(CPU) == found
    if found:
        check_precision("bfloat16", CPU)
    else:
        with refused("precision 'bfloat16'"):
            check_precision("bfloat16", CPU)
    check_precision(EMULATED, CPU)


@pytest.mark.parametrize(("capability", "found"), [((7, 5), ""), ((8, 0), "CUDA 8.0"), ((9, 0), "CUDA 9.0")])
def test_a_gpu_has_them_from_compute_capability_8(monkeypatch, capability, found):
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability)
    assert instructions(torch.device("cuda")) == found


def test_the_context_of_float32_is_none():
    with products("float32"):
        assert torch.equal(drawn(3, 3) @ drawn(3, 3), torch.mm(drawn(3, 3), drawn(3, 3)))
    assert isinstance(products("bfloat16"), Products) and not products("bfloat16").emulated and products(EMULATED).emulated
