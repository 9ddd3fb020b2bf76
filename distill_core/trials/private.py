"""Private learning: teachers that each saw their own people's images vote, with noise, on images of the public.

Each teacher learns from a part of the images that no other teacher sees (a *shard*). The student learns from public images
alone, with the class that got most votes after noise was added. One person's image can change one vote, and the noise hides
it. How well is stated by epsilon: the smaller, the more private.
Source: Papernot et al. 2017, *Semi-supervised Knowledge Transfer for Deep Learning from Private Training Data*, sections 2 and 3.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from distill_core.data import datasets
from distill_core.data.dataset import seeded
from distill_core.together import Results, Together, one_hot, results

TEACHER, STUDENT = "linear", "mlp-30x2"
TEACHERS, QUERIES, DELTA = 100, 100, 1e-4
SCALES = {f"noise of {scale} votes": 1 / scale for scale in (5, 10, 20)}  # gamma by arm: the noise has the scale 1 / gamma


def run(seeds: int) -> Results:
    """Students of votes with noise, each beside a student of the same votes without; `epsilon` beside their accuracies."""
    dataset = datasets.load("digits")
    images, counts = [], []
    for seed in range(seeds):
        order = torch.randperm(len(dataset.train_labels), generator=seeded(seed, "shards"))
        public, private = order[:QUERIES], order[QUERIES:]
        counts.append(votes(dataset.train_images[public], private[: len(private) // TEACHERS * TEACHERS].view(TEACHERS, -1), seed))
        images.append(dataset.train_images[public])

    def students(winners: list[Tensor]) -> Tensor:
        together = Together(STUDENT, dataset, range(seeds))
        return together.fit(torch.stack(images), one_hot(torch.stack(winners), dataset), epochs=60).accuracies()

    exact, found = students([own.argmax(dim=-1) for own in counts]), {}
    for arm, gamma in SCALES.items():
        noisy = students([noisy_winners(own, gamma=gamma, seed=seed) for seed, own in enumerate(counts)])
        epsilons = [epsilon(own, gamma=gamma, delta=DELTA) for own in counts]
        found[arm] = [{**one, "epsilon": value} for one, value in zip(results(noisy, exact, dataset), epsilons, strict=True)]
    return found


def votes(images: Tensor, shards: Tensor, seed: int) -> Tensor:
    """`(n, C)`: how many teachers vote for each class of public images `(n, D, H, W)`. `shards`: training images `(teachers, m)`."""
    dataset = datasets.load("digits")
    teachers = Together(TEACHER, dataset, [1000 * seed + number for number in range(len(shards))])
    teachers.fit(dataset.train_images[shards], one_hot(dataset.train_labels[shards], dataset), epochs=30, batch_size=16, seed=seed)
    return one_hot(teachers.logits(images).argmax(dim=-1), dataset).sum(dim=0)


def noisy_winners(counts: Tensor, *, gamma: float, seed: int) -> Tensor:
    """`(n,)`: the class with the largest count after Laplace noise of scale 1 / gamma (Papernot et al. 2017, equation 1)."""
    noise = np.random.default_rng(seed).laplace(scale=1 / gamma, size=counts.shape)
    return (counts.double() + torch.from_numpy(noise)).argmax(dim=-1)


def epsilon(counts: Tensor, *, gamma: float, delta: float, moments: int = 64) -> float:
    r"""The epsilon of (epsilon, delta) differential privacy of all answers together, by the moments accountant.

    With $q$, a bound on the probability that another class than the one with most votes wins, the moment $\lambda$ of one answer is

    $$\alpha(\lambda) \le \min\left(2\gamma^2\lambda(\lambda+1),\ \log\left((1-q)\left(\frac{1-q}{1-e^{2\gamma}q}\right)^\lambda
      + q\,e^{2\gamma\lambda}\right)\right),\qquad q \le \sum_{j \ne j^*} \frac{2+\gamma(n_{j^*}-n_j)}{4\,e^{\gamma(n_{j^*}-n_j)}}$$

    and $\varepsilon = \min_\lambda (\sum \alpha(\lambda) + \log(1/\delta)) / \lambda$ (Papernot et al. 2017, section 3).
    It depends on the votes, so that it must not be published itself; a lecture may.

    - `counts`: votes `(n, C)`. No counts give $\min_\lambda \log(1/\delta) / \lambda$.
    """
    lead = counts.max(dim=-1, keepdim=True).values.double() - counts.double()  # (n, C)
    terms = (2 + gamma * lead) / (4 * torch.exp(gamma * lead))
    q = terms.sum(dim=-1) - 0.5  # without the winner's own term, 2 / 4
    best = float("inf")
    for order in range(1, moments + 1):
        bound = torch.full_like(q, 2 * gamma**2 * order * (order + 1))
        small = q < (np.exp(2 * gamma) - 1) / (np.exp(4 * gamma) - 1)  # where the second bound holds
        inner = (1 - q) * ((1 - q) / (1 - np.exp(2 * gamma) * q)) ** order + q * np.exp(2 * gamma * order)
        bound = torch.where(small, torch.minimum(bound, inner.clamp(min=1).log()), bound)
        best = min(best, float(bound.sum() + np.log(1 / delta)) / order)
    return best
