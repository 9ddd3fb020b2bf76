r"""Products in bfloat16: the numbers of a matrix product with fewer bits, for the machines that multiply those several times as fast.

bfloat16 has the range of float32 and 8 significant bits instead of 24, so that rounding to it changes a number by at most the
unit roundoff $u = 2^{-8}$ of itself. In a product of matrices, or a convolution, of a student in training

- both factors are rounded to bfloat16, and whole numbers up to 256 are exact in it;
- the sums are added up in float32, and each is rounded to bfloat16 once. (PyTorch's products on a CPU return no other type.)

Element by element, for sums of n products, a layer's product is therefore off by at most

$$|\hat C - C| \le \big((1 + u)^3 (1 + n \, 2^{-23}) - 1\big) \, |A| \, |B| \approx 3 u \, |A| \, |B|$$

and so are both products of its backward pass. All else is float32: weights, biases, what is between two layers, losses, the
optimizer, the teacher, and every test, so that an accuracy is that of the network which is exported.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

PRECISIONS = ("float32", "bfloat16", "bfloat16-emulated")
UNIT_ROUNDOFF = 2.0**-8


def instructions(device: torch.device) -> str:
    """The instructions of a device for products in bfloat16, by name; empty where it has none."""
    if device.type == "cuda":
        major, minor = torch.cuda.get_device_capability(device)
        return f"CUDA {major}.{minor}" if major >= 8 else ""
    if torch.cpu._is_amx_tile_supported() and torch.cpu._init_amx():  # the system must allow a process to use them
        return "AMX"
    return "AVX512-BF16" if torch.cpu._is_avx512_bf16_supported() else ""


def check_precision(precision: str, device: torch.device) -> None:
    """Raise `ValueError` with one sentence where the device cannot train in this precision.

    Without the instructions PyTorch would multiply in bfloat16 too, several times as slowly as in float32, without a warning.
    """
    if precision == "bfloat16" and not instructions(device):
        raise ValueError(
            "precision 'bfloat16' needs a processor with AMX or AVX512-BF16, or a GPU of compute capability 8.0 or more, and this machine "
            "has neither; choose float32, or bfloat16-emulated, which rounds in the same places and is slower than float32"
        )


def products(precision: str) -> contextlib.AbstractContextManager:
    """The context in which a student's layers compute: `with products("bfloat16"): network(images)`."""
    return contextlib.nullcontext() if precision == "float32" else Products(emulated=precision == "bfloat16-emulated")


class Products(TorchFunctionMode):
    """While it is entered, this thread's products of matrices and convolutions have factors and results rounded to bfloat16.

    Autograd rounds alike in the backward pass, since each rounding is a conversion that it follows back. `emulated`: the rounded
    factors are multiplied in their own type, which is exact for each two numbers and needs no special instructions.
    """

    def __init__(self, *, emulated: bool) -> None:
        super().__init__()
        self.emulated = emulated
        self._own = {
            F.linear: self._linear,
            F.conv2d: self._conv2d,
            torch.baddbmm: self._baddbmm,
            torch.bmm: self._bmm,
            torch.matmul: self._matmul,
            Tensor.matmul: self._matmul,
        }
        torch.backends.cuda.matmul.allow_bf16_reduced_precision_reduction = False  # a GPU then adds up in float32 only

    def __torch_function__(self, function: Callable, types: object, args: tuple = (), kwargs: dict | None = None) -> object:
        return self._own.get(function, function)(*args, **(kwargs or {}))

    def _linear(self, inputs: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
        if bias is None:
            return self._multiply(F.linear, inputs, weight, wide=inputs.dtype).to(inputs.dtype)
        return self._multiply(F.linear, inputs, weight, wide=bias.dtype) + bias  # in the type of the bias

    def _conv2d(self, images: Tensor, weight: Tensor, bias: Tensor | None = None, *more: object, **named: object) -> Tensor:
        maps = self._multiply(F.conv2d, images, weight, None, *more, wide=images.dtype, **named)
        return maps.to(images.dtype) if bias is None else maps + bias.view(-1, 1, 1)

    def _baddbmm(self, added: Tensor, left: Tensor, right: Tensor) -> Tensor:
        return added + self._multiply(torch.bmm, left, right, wide=added.dtype)

    def _bmm(self, left: Tensor, right: Tensor, *, out: Tensor | None = None) -> Tensor:
        product = self._multiply(torch.bmm, left, right, wide=left.dtype)
        return product.to(left.dtype) if out is None else out.copy_(product)

    def _matmul(self, left: Tensor, right: Tensor) -> Tensor:
        return self._multiply(torch.matmul, left, right, wide=left.dtype).to(left.dtype)

    def _multiply(
        self, multiply: Callable[..., Tensor], left: Tensor, right: Tensor, *more: object, wide: torch.dtype, **named: object
    ) -> Tensor:
        """The product of the rounded factors, rounded: in bfloat16, also where it was computed in the `wide` type."""
        narrow = wide if self.emulated else torch.bfloat16
        return multiply(left.bfloat16().to(narrow), right.bfloat16().to(narrow), *more, **named).bfloat16()


class FirstLayer:
    r"""The normalisation of pixels as a part of the first layer's weights, so that the layer multiplies whole numbers, which are exact.

    For a pixel $p$ of mean $m$ and standard deviation $s$, and $\bar m$, the mean rounded to a whole number,

    $$W \frac{p - m}{s} + b = W' (p - \bar m) + b', \qquad W' = \frac{W}{s}, \qquad b' = b - W' (m - \bar m)$$

    with $W'$ rounded to bfloat16 in both places. The factor $(p - \bar m)$ of the product is not rounded. A convolution has no such
    form: it pads its images with the mean, which is no whole number.
    """

    def __init__(self, mean: Tensor, deviation: Tensor, image_shape: tuple[int, int, int], dtype: torch.dtype) -> None:
        self.channels = (mean - mean.round()).to(dtype).flatten()  # (D,)
        self.shift, self.scale = (
            values.to(dtype).expand(image_shape).flatten() for values in (mean - mean.round(), 1 / deviation)
        )  # (D * H * W,) each

    def fold(self, weight: Tensor, bias: Tensor) -> tuple[Tensor, Tensor]:
        """W' and b' for weights `(..., units, pixels)` and biases; a gradient passes as if W' were not rounded."""
        if torch.is_grad_enabled():
            scaled = weight * self.scale
            rounded = scaled + (scaled.bfloat16().to(scaled.dtype) - scaled).detach()
        else:  # the same numbers, of half the bytes
            rounded = torch.mul(weight, self.scale, out=torch.empty_like(weight, dtype=torch.bfloat16))
        shifts = rounded.unflatten(-1, (len(self.channels), -1)).sum(dim=-1, dtype=weight.dtype).mul(self.channels)
        return rounded, bias - shifts.sum(dim=-1).view_as(bias)

    def fold_names(self, weights: dict[str, Tensor]) -> dict[str, Tensor]:
        """The same for the weights of a network by their names."""
        weight, bias = self.fold(weights["stem.weight"], weights["stem.bias"])
        return {**weights, "stem.weight": weight, "stem.bias": bias}

    def unfold_gradient(self, to_weight: Tensor, to_bias: Tensor) -> None:
        """Make the gradients with respect to W' and b' `(..., units, 1)` those with respect to W and b, in place."""
        to_weight.addcmul_(to_bias, self.shift, value=-1).mul_(self.scale)
