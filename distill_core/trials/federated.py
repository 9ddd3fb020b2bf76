"""Federated distillation: clients with their own private images exchange logits on public images, and no weights.

Each client has images of a few classes only. In each round, all clients output logits for public images without labels; each
client then learns the mean of these logits, and its own images again. Compared with clients that exchange nothing.
Source: Li and Wang 2019, *FedMD: Heterogenous Federated Learning via Model Distillation*, abstract.
"""

from __future__ import annotations

import torch
from torch import Tensor

from distill_core.data import datasets
from distill_core.data.dataset import Dataset, seeded
from distill_core.together import Results, Together, one_hot, results

MODEL = "mlp-30x2"
CLIENTS, OWN_CLASSES, OWN_IMAGES, PUBLIC = 5, 4, 100, 400
ROUNDS, OWN_EPOCHS, PUBLIC_EPOCHS = 5, 5, 10
TEMPERATURE = 2.0
ARM = "clients that exchange logits"


def run(seeds: int) -> Results:
    """The mean accuracy of the clients that exchange logits, beside that of clients that train as long on their own images."""
    dataset = datasets.load("digits")
    together, alone = [], []
    for seed in range(seeds):
        public, own = divide(dataset, seed)
        images, labels = dataset.train_images[own], one_hot(dataset.train_labels[own], dataset)
        weight_seeds = [1000 * seed + client for client in range(CLIENTS)]
        clients = Together(MODEL, dataset, weight_seeds).fit(images, labels, epochs=2 * OWN_EPOCHS, seed=seed)
        for round_number in range(ROUNDS):
            mean = clients.logits(dataset.train_images[public]).mean(dim=0)
            soft = (mean / TEMPERATURE).softmax(dim=-1)
            order = 100 * seed + round_number
            clients.fit(dataset.train_images[public], soft, epochs=PUBLIC_EPOCHS, temperature=TEMPERATURE, seed=order)
            if round_number < ROUNDS - 1:  # last, what all have learned
                clients.fit(images, labels, epochs=OWN_EPOCHS, seed=order)
        together.append(clients.accuracies().mean())
        solitary = Together(MODEL, dataset, weight_seeds).fit(images, labels, epochs=(ROUNDS + 1) * OWN_EPOCHS, seed=seed)
        alone.append(solitary.accuracies().mean())
    return {ARM: results(torch.stack(together), torch.stack(alone), dataset)}


def divide(dataset: Dataset, seed: int) -> tuple[Tensor, Tensor]:
    """Training images by index: the public ones `(PUBLIC,)`, and those of each client `(CLIENTS, OWN_IMAGES)`, of a few classes.

    The classes go round, so that every class has a client. An image may belong to two clients, but not to a client and the public.
    """
    order = torch.randperm(len(dataset.train_labels), generator=seeded(seed, "clients"))
    public, private = order[:PUBLIC], order[PUBLIC:]
    labels, own = dataset.train_labels[private], []
    for client in range(CLIENTS):
        classes = torch.tensor([(2 * client + step) % dataset.classes for step in range(OWN_CLASSES)])
        own.append(private[torch.isin(labels, classes)][:OWN_IMAGES])
    return public, torch.stack(own)


def exchanged(*, rounds: int = ROUNDS) -> dict[str, int]:
    """Bytes that one client sends in all rounds, as float32: its logits on the public images, against its weights."""
    dataset = datasets.load("digits")
    weights = sum(weight[0].numel() for weight in Together(MODEL, dataset, [0]).weights.values())
    return {"logits": 4 * rounds * PUBLIC * dataset.classes, "weights": 4 * rounds * weights}
