r"""Many perceptrons at once, by hand: forward, the gradient of the losses, and backpropagation, each written out.

In a step of a small network the time is spent between the operations: recording them for autograd and batching them by
`vmap` takes three times as long as the arithmetic of `mlp-30x2`. Its derivative is short enough to be written out in
some thirty operations. `tests/test_perceptrons.py` compares them with autograd.

Examples are the *last* dimension, `(K, units, B)`: each product takes its factors without copying them, and a sum over
the ten classes runs along whole vectors of examples.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.func import grad, vmap

from distill_core.batch import Batch
from distill_core.models import Network
from distill_core.objectives import Method, objective

Layer = tuple[Tensor, Tensor]  # weights (K, units, inputs) and biases (K, units, 1) of K networks


def linear_layers(network: nn.Module) -> list[str] | None:
    """The names of the linear layers of a network that has only these, with a ReLU between each two; None for any other."""
    around = (Network, nn.Sequential, nn.ModuleList, nn.Identity)
    parts = [(name, part) for name, part in network.named_modules() if not isinstance(part, around)]
    kinds = [type(part) for _, part in parts]
    if len(kinds) % 2 and kinds == ([nn.Linear, nn.ReLU] * len(kinds))[: len(kinds)]:
        return [name for name, _ in parts[::2]]
    return None


def forward(layers: list[Layer], images: Tensor) -> list[Tensor]:
    """The output of each layer, `(K, units, B)`; the last are the logits `(K, C, B)`. `images`: `(S, B, pixels)`.

    K networks belong to S seeds, or all to one. Those of a seed have the same images: their first layers stand side by
    side like one layer with more units.
    """
    seeds, batch = images.shape[:2]
    weight, bias = layers[0]
    wide = torch.baddbmm(bias.view(seeds, -1, 1), weight.view(seeds, -1, weight.shape[-1]), images.transpose(1, 2))
    outputs = [wide.view(*bias.shape[:2], batch)]
    for weight, bias in layers[1:]:
        outputs.append(torch.baddbmm(bias, weight, outputs[-1].relu_()))
    return outputs


def backward(layers: list[Layer], images: Tensor, outputs: list[Tensor], gradient: Tensor, *, into: list[Layer]) -> None:
    """Backpropagation: from the gradient of the logits `(K, C, B)` to those of all weights and biases, written `into` theirs."""
    for (weight, _), (to_weight, to_bias), below in zip(layers[:0:-1], into[:0:-1], outputs[-2::-1], strict=True):
        torch.bmm(gradient, below.transpose(1, 2), out=to_weight)
        torch.sum(gradient, dim=2, keepdim=True, out=to_bias)
        gradient = torch.ops.aten.threshold_backward(torch.bmm(weight.transpose(1, 2), gradient), below, 0)  # where the ReLU was active
    to_weight, to_bias = into[0]
    wide = gradient.view(len(images), -1, images.shape[1])  # (S, M * units, B)
    torch.bmm(wide, images, out=to_weight.view(len(images), -1, images.shape[2]))
    torch.sum(gradient, dim=2, keepdim=True, out=to_bias)


Gradient = Callable[[Batch], tuple[Tensor, dict[str, Tensor]]]


def soft_targets_gradient(batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
    r"""The gradient of the total loss of soft targets with respect to the student's logits, and its raw losses.

    $$\frac{\partial L_{total}}{\partial z} =
      \frac{1}{N} \Big( \alpha \, (p - y) + (1 - \alpha) \, T \, (p_T - q_T) \Big)$$

    with the student's probabilities $p$ at T = 1 and $p_T$ at T, the labels $y$ as one-hot vectors, and the soft
    targets $q_T$: the gradient of each loss is the difference between probabilities and their target.

    - `batch`: `student_logits` `(S, M, C, N)`, `teacher_logits` `(S, 1, C, N)`, `labels` `(S, 1, 1, N)`; `alpha` and
      `temperature` `(S, M, 1, 1)`, where the alpha of a baseline is 1.
    - Returns the gradient `(S, M, C, N)` and the losses `(S * M,)`, each averaged over its examples: the hard loss over
      those with a label, whose number replaces N in its part of the gradient.
    """
    examples, alpha, temperature = batch.labels.shape[-1], batch.alpha, batch.temperature
    labelled = examples - batch.unlabelled
    index = batch.labels[..., :labelled].expand(-1, batch.student_logits.shape[1], -1, -1)  # (S, M, 1, labelled)
    logits = torch.stack((batch.student_logits, batch.student_logits / temperature, batch.teacher_logits / temperature))
    log_p = torch.log_softmax(logits, dim=-2)
    log_p_hard, log_p_soft, log_q = log_p.unbind()  # (S, M, C, N)
    p_hard, p_soft, q = log_p.exp().unbind()
    hard = -log_p_hard[..., :labelled].gather(-2, index).mean(dim=(-2, -1))
    soft = temperature**2 * (q * (log_q - log_p_soft)).sum(dim=(-2, -1), keepdim=True) / examples
    p_hard[..., :labelled].scatter_(-2, index, -1.0, reduce="add")  # p - y
    if batch.unlabelled:
        p_hard[..., :labelled].mul_(examples / labelled)
        p_hard[..., labelled:].zero_()
    gradient = torch.addcmul(alpha * p_hard, (1 - alpha) * temperature, p_soft - q)
    return gradient / examples, {"hard_loss": hard.flatten(), "soft_loss": soft.flatten()}


# The last two have the loss of soft targets: what differs is the teacher's logits that come in.
GRADIENTS: dict[str, Gradient] = dict.fromkeys(("soft-targets", "permuted-classes", "teacher-in-train-mode"), soft_targets_gradient)


def gradient_of(name: str, method: Method) -> Gradient:
    """The gradient of a method's total loss with respect to the logits: written out in GRADIENTS, or else by autograd."""
    return GRADIENTS.get(name) or gradient_by_autograd(method)


def gradient_by_autograd(method: Method) -> Gradient:
    """The same function as `soft_targets_gradient` for any method that compares logits."""

    def gradient(batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        common = {"unlabelled": batch.unlabelled, "progress": batch.progress}

        def total(student_logits: Tensor, teacher_logits: Tensor, labels: Tensor, choices: dict[str, Tensor]) -> tuple[Tensor, dict]:
            return objective(method, Batch(student_logits.T, teacher_logits.T, labels, **common, **choices))

        of_member = grad(total, has_aux=True)
        of_all = vmap(vmap(of_member, in_dims=(0, None, None, 0)))  # over seeds, and over the members of each
        with torch.inference_mode(False):
            logits = [value.clone() for value in (batch.student_logits, batch.teacher_logits[:, 0], batch.labels[:, 0, 0])]
            choices = {name: getattr(batch, name)[..., 0, 0].clone() for name in ("alpha", "temperature", "labels_only")}
            gradients, terms = of_all(*logits, choices)
        return gradients, {name: term.detach().flatten() for name, term in terms.items()}

    return gradient
