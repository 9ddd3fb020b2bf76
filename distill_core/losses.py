"""The mathematics of distillation, each loss written as its formula.

Every function takes the student's first and the teacher's second: logits of shape `(N, C)`, features `(N, D, H, W)` or
embeddings `(N, D)`, with N examples, C classes, D channels and H x W pixels. Each loss is one number, averaged over the
N examples; a divergence is measured in nats. No gradient reaches the teacher.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

# --- labels and soft targets ----------------------------------------------------------------------------------------


def soften(logits: Tensor, *, temperature: float | Tensor) -> Tensor:
    r"""Class probabilities at a temperature: the soft targets, when the logits are a teacher's.

    $$p_c = \frac{\exp(z_c / T)}{\sum_k \exp(z_k / T)}$$

    T = 1 is the ordinary softmax. A higher T moves probability from the top class to the others and makes the
    ratios between *wrong* classes visible; as T grows, all classes become equally likely.

    - `logits`: `(N, C)`; `temperature`: above 0. Returns probabilities `(N, C)`; each row sums to 1.

    Source: Hinton, Vinyals and Dean 2015, *Distilling the Knowledge in a Neural Network*, equation 1.
    """
    return torch.softmax(logits / _positive(temperature), dim=-1)


def hard_loss(student_logits: Tensor, labels: Tensor) -> Tensor:
    r"""Cross-entropy with the true labels, at T = 1: what a student without a teacher minimises.

    $$L_{hard} = -\frac{1}{N} \sum_n \log p^{student}_{n, y_n}$$

    - `student_logits`: `(N, C)`; `labels`: `(N,)`, class indices. Returns a scalar in nats, averaged over the N examples.
    """
    log_p = torch.log_softmax(student_logits, dim=-1)  # (N, C)
    return -log_p.gather(-1, labels.unsqueeze(-1)).mean()


def soft_loss(student_logits: Tensor, teacher_logits: Tensor, *, temperature: float | Tensor) -> Tensor:
    r"""How far the student's softened distribution is from the teacher's soft targets, times $T^2$.

    $$L_{soft} = T^2 \cdot \frac{1}{N} \sum_n \sum_c p^{teacher}_{n,c}
      \left( \log p^{teacher}_{n,c} - \log p^{student}_{n,c} \right),
      \qquad p = \mathrm{softmax}(z / T)$$

    The sum runs over the classes, the mean over the examples. (PyTorch's `F.kl_div` averages over both by default,
    which is C times too small.) The gradient of the divergence shrinks as $1/T^2$; the factor $T^2$ keeps its size,
    so that alpha means the same at every temperature.

    - `student_logits`, `teacher_logits`: `(N, C)`; `temperature`: above 0.
    - Returns a scalar in nats, averaged over the N examples; 0 exactly when both distributions agree.

    Source: Hinton, Vinyals and Dean 2015, section 2.
    """
    temperature = _positive(temperature)
    log_p_teacher = torch.log_softmax(teacher_logits.detach() / temperature, dim=-1)  # (N, C)
    log_p_student = torch.log_softmax(student_logits / temperature, dim=-1)  # (N, C)
    divergence = (log_p_teacher.exp() * (log_p_teacher - log_p_student)).sum(dim=-1)  # (N,)
    return temperature**2 * divergence.mean()


def total_loss(
    student_logits: Tensor,
    teacher_logits: Tensor,
    labels: Tensor,
    *,
    alpha: float | Tensor,
    temperature: float | Tensor,
) -> Tensor:
    r"""What the distilled student minimises: alpha weighs the **hard** loss, 1 - alpha the soft loss.

    $$L_{total} = \alpha \, L_{hard} + (1 - \alpha) \, L_{soft}$$

    `alpha = 1` is the baseline, a student that never hears the teacher; `alpha = 0` never sees a label.
    (Other code gives alpha the opposite meaning: look before you compare.)

    - `student_logits`, `teacher_logits`: `(N, C)`; `labels`: `(N,)`; `alpha` from 0 to 1; `temperature`: above 0.
    - Returns a scalar in nats, averaged over the N examples.

    Source: Hinton, Vinyals and Dean 2015, section 2: "a weighted average of two different objective functions".
    """
    hard = hard_loss(student_logits, labels)
    soft = soft_loss(student_logits, teacher_logits, temperature=temperature)
    return mixed_loss(hard, soft, alpha=alpha)


def mixed_loss(hard: Tensor, method_loss: Tensor, *, alpha: float | Tensor, weight: float = 1.0) -> Tensor:
    r"""The mixture that every method minimises: alpha weighs the hard loss, 1 - alpha the method's own loss.

    $$L_{total} = \alpha \, L_{hard} + (1 - \alpha) \, w \, L_{method}$$

    The soft loss has $w = 1$. Losses of features and relations have other units, so each method has a weight w of its own.

    - `hard`, `method_loss`: scalars, averaged over the examples; `alpha` from 0 to 1; `weight`: w, above 0.
    - Returns a scalar.
    """
    return alpha * hard + (1 - alpha) * weight * method_loss


# --- two close relatives: no teacher, no softmax --------------------------------------------------------------------


def smoothing_loss(student_logits: Tensor, labels: Tensor, *, smoothing: float | Tensor) -> Tensor:
    r"""Cross-entropy with smoothed labels: soft targets without a teacher, the same for every example of a class.

    $$L_{smooth} = -\frac{1}{N} \sum_n \sum_c q_{n,c} \log p^{student}_{n,c},
      \qquad q_{n,c} = (1 - \epsilon) \, [c = y_n] + \frac{\epsilon}{C}$$

    The true class keeps $1 - \epsilon + \epsilon / C$; every wrong class gets the same $\epsilon / C$, so these targets
    say that an answer is never certain, but not which mistakes are close: what remains is the teacher's own share.

    - `student_logits`: `(N, C)`; `labels`: `(N,)`; `smoothing`: $\epsilon$, from 0 (the hard loss) to 1 (labels ignored).
    - Returns a scalar in nats, summed over the classes and averaged over the N examples.

    Source: Szegedy et al. 2016, *Rethinking the Inception Architecture for Computer Vision*, section 7.
    """
    if not isinstance(smoothing, Tensor) and not 0 <= smoothing <= 1:
        raise ValueError(f"smoothing {smoothing} has no meaning; give a number from 0 to 1, such as 0.1")
    hard = hard_loss(student_logits, labels)
    uniform = -torch.log_softmax(student_logits, dim=-1).mean()  # cross-entropy with 1 / C for every class
    return (1 - smoothing) * hard + smoothing * uniform


def logit_loss(student_logits: Tensor, teacher_logits: Tensor) -> Tensor:
    r"""How far the student's logits are from the teacher's: regression, without a softmax and a temperature.

    $$L_{logits} = \frac{1}{N} \sum_n \frac{1}{2} \sum_c \left( z^{student}_{n,c} - z^{teacher}_{n,c} \right)^2$$

    Distillation comes close to it as T grows: when the logits of each example have mean 0, the soft loss (with its
    $T^2$) tends to $L_{logits} / C$. Here a constant added to all logits of an example counts, and the logits of very
    unlikely classes count as much as those of the top class.

    - `student_logits`, `teacher_logits`: `(N, C)`.
    - Returns a scalar in squared logits: half the squares, summed over the classes, averaged over the N examples.

    Source: Ba and Caruana 2014, *Do Deep Nets Really Need to be Deep?*; Hinton, Vinyals and Dean 2015, section 2.1.
    """
    squares = (student_logits - teacher_logits.detach()).square()  # (N, C)
    return squares.sum(dim=-1).mean() / 2


# --- a closer look at soft targets ----------------------------------------------------------------------------------


def standardize(logits: Tensor) -> Tensor:
    r"""Logits of each example with mean 0 and standard deviation 1, so that only their relations are left to learn.

    $$\tilde z_c = \frac{z_c - \bar z}{\sigma}, \qquad \bar z = \frac{1}{C} \sum_c z_c,
      \qquad \sigma^2 = \frac{1}{C - 1} \sum_c (z_c - \bar z)^2$$

    Given to the soft loss in place of both logits, it spares a small student from having to copy the size of the
    teacher's logits. With C - 1 as in the authors' code; equal logits have no relations, and become 0.

    - `logits`: `(N, C)`. Returns `(N, C)`, without a unit; each row has mean 0 and standard deviation 1.

    Source: Sun et al. 2024, *Logit Standardization in Knowledge Distillation*.
    """
    deviations = _centred(logits)  # (N, C)
    return math.sqrt(logits.shape[-1] - 1) * _unit(deviations)  # sigma is a row's length over the root of C - 1


def decoupled_loss(
    student_logits: Tensor,
    teacher_logits: Tensor,
    labels: Tensor,
    *,
    temperature: float | Tensor,
    target_weight: float | Tensor = 1.0,
    nontarget_weight: float | Tensor = 8.0,
) -> Tensor:
    r"""The soft loss in two parts with weights of their own: how sure of the label, and which wrong classes are close.

    $$L_{decoupled} = \frac{T^2}{N} \sum_n \left[
      w_{target} \, \mathrm{KL}\left( b^{teacher}_n \,\|\, b^{student}_n \right)
      + w_{nontarget} \, \mathrm{KL}\left( \hat p^{\,teacher}_n \,\|\, \hat p^{\,student}_n \right) \right]$$

    with $b_n = (p_{n,y_n}, 1 - p_{n,y_n})$, the label against all others, and $\hat p_n$, the softmax of the C - 1 other
    classes alone, both at temperature T. The soft loss is the case $w_{target} = 1$,
    $w_{nontarget} = 1 - p^{teacher}_{n,y_n}$: there a teacher who is sure of the label silences what it knows about the
    wrong classes.

    - `student_logits`, `teacher_logits`: `(N, C)`, at least three classes; `labels`: `(N,)`; `temperature`: above 0;
      `target_weight`, `nontarget_weight`: the two w, called alpha and beta in the paper.
    - Returns a scalar in nats, each divergence summed over its classes, averaged over the N examples.

    Source: Zhao et al. 2022, *Decoupled Knowledge Distillation*; $T^2$ as in the authors' code.
    """
    student_pair, student_others = _decouple(student_logits, labels, temperature)  # (N, 2), (N, C - 1)
    teacher_pair, teacher_others = _decouple(teacher_logits, labels, temperature)
    target = soft_loss(student_pair, teacher_pair, temperature=temperature)
    nontarget = soft_loss(student_others, teacher_others, temperature=temperature)
    return target_weight * target + nontarget_weight * nontarget


def correlation_loss(
    student_logits: Tensor,
    teacher_logits: Tensor,
    *,
    temperature: float | Tensor = 1.0,
    inter_weight: float | Tensor = 1.0,
    intra_weight: float | Tensor = 1.0,
) -> Tensor:
    r"""Whether student and teacher order and space the classes, and the examples, alike: correlation in place of KL.

    $$L_{DIST} = T^2 \left[
      w_{inter} \, \Big( 1 - \frac{1}{N} \sum_n \rho\left( p^{student}_{n,:}, p^{teacher}_{n,:} \right) \Big)
      + w_{intra} \, \Big( 1 - \frac{1}{C} \sum_c \rho\left( p^{student}_{:,c}, p^{teacher}_{:,c} \right) \Big) \right]$$

    $\rho$ is Pearson's correlation and $p = \mathrm{softmax}(z / T)$. The first term compares the classes within an
    example, the second the examples within a class. Probabilities of another scale and offset correlate fully, so that
    a student need not be as sure as a much stronger teacher. With a row or column of equal values, such as every
    column of a batch of one, $\rho$ is 0.

    - `student_logits`, `teacher_logits`: `(N, C)`; `temperature`: above 0; `inter_weight`, `intra_weight`: the
      two w, called beta and gamma in the paper.
    - Returns a scalar without a unit: averaged over the N examples and over the C classes; 0 when all correlate fully.

    Source: Huang et al. 2022, *Knowledge Distillation from A Stronger Teacher*.
    """
    p_student = soften(student_logits, temperature=temperature)  # (N, C)
    p_teacher = soften(teacher_logits.detach(), temperature=temperature)  # (N, C)
    inter = 1 - _correlation(p_student, p_teacher).mean()  # over N rows
    intra = 1 - _correlation(p_student.mT, p_teacher.mT).mean()  # over C columns
    return temperature**2 * (inter_weight * inter + intra_weight * intra)


# --- features: what happens before the logits -----------------------------------------------------------------------


def hint_loss(student_features: Tensor, teacher_features: Tensor) -> Tensor:
    r"""How far the student's guided layer is from the teacher's hint, value by value.

    $$L_{hint} = \frac{1}{N D H W} \sum_{n,d,h,w} \left( f^{student}_{n,d,h,w} - f^{teacher}_{n,d,h,w} \right)^2$$

    A narrower student first needs a regressor: a layer, trained along and thrown away afterwards, that gives its
    features the teacher's shape. (The paper has half the sum; the mean does not grow with the layer.)

    - `student_features`, `teacher_features`: `(N, D, H, W)` or `(N, D)`, both of the same shape.
    - Returns a scalar in squared activations, averaged over all elements.

    Source: Romero et al. 2015, *FitNets: Hints for Thin Deep Nets*, equation 3.
    """
    if student_features.shape != teacher_features.shape:
        ours, theirs = tuple(student_features.shape), tuple(teacher_features.shape)
        raise ValueError(f"student's features {ours} are not of the hint's shape {theirs}; give them its shape by a regressor")
    return (student_features - teacher_features.detach()).square().mean()


def attention_loss(student_features: Tensor, teacher_features: Tensor) -> Tensor:
    r"""Whether student and teacher look at the same places: their attention maps, whatever the number of channels.

    $$L_{attention} = \frac{1}{N H W} \sum_n \left\lVert
      \frac{a^{student}_n}{\lVert a^{student}_n \rVert} - \frac{a^{teacher}_n}{\lVert a^{teacher}_n \rVert}
      \right\rVert^2, \qquad a_{n,hw} = \frac{1}{D} \sum_d f_{n,d,h,w}^2$$

    The map of an example is large where its channels are active; its length does not count. When one side has more
    pixels, its features are first averaged down to the other's height and width. A map of zeros stays 0.

    - `student_features`, `teacher_features`: `(N, D, H, W)`; D, H and W may differ.
    - Returns a scalar without a unit, averaged over examples and pixels, from 0 to 2 / (H W).

    Source: Zagoruyko and Komodakis 2017, *Paying More Attention to Attention*, as in the authors' code.
    """
    height, width = (min(sizes) for sizes in zip(_pixels(student_features), _pixels(teacher_features), strict=True))
    student = F.adaptive_avg_pool2d(student_features, (height, width))  # (N, D, H, W)
    teacher = F.adaptive_avg_pool2d(teacher_features.detach(), (height, width))
    return (attention_map(student) - attention_map(teacher)).square().mean()


def attention_map(features: Tensor) -> Tensor:
    r"""Where the channels are active: the mean of their squares at each place, brought to length 1 for each example.

    $$\hat a_n = \frac{a_n}{\lVert a_n \rVert}, \qquad a_{n,hw} = \frac{1}{D} \sum_d f_{n,d,h,w}^2$$

    - `features`: `(N, D, H, W)`. Returns `(N, H, W)`, without a unit; a map of zeros stays 0.

    Source: Zagoruyko and Komodakis 2017, section 3.1.
    """
    activity = features.square().mean(dim=-3)  # (N, H, W)
    return _unit(activity.flatten(-2)).view(activity.shape)


# --- relations between the examples of a batch ----------------------------------------------------------------------


def similarity_loss(student_features: Tensor, teacher_features: Tensor) -> Tensor:
    r"""Whether the examples that are alike for the teacher are alike for the student.

    $$L_{similarity} = \frac{1}{N^2} \sum_{i,j} \left( \hat G^{student}_{i,j} - \hat G^{teacher}_{i,j} \right)^2,
      \qquad \hat G_{i,j} = \frac{G_{i,j}}{\sqrt{\sum_k G_{i,k}^2}}, \qquad G = F F^\top$$

    The rows of F are the examples, all their features in one line, and G holds the inner products of every two. Each
    row of G is brought to length 1 (a row of zeros stays 0). The widths do not matter, for G is always N by N.

    - `student_features`, `teacher_features`: `(N, D, H, W)` or `(N, D)`; only N must agree. One example alone is
      like itself for both: the loss is 0.
    - Returns a scalar without a unit, averaged over the $N^2$ pairs.

    Source: Tung and Mori 2019, *Similarity-Preserving Knowledge Distillation*.
    """
    return (similarity_matrix(student_features) - similarity_matrix(teacher_features.detach())).square().mean()


def similarity_matrix(features: Tensor) -> Tensor:
    r"""Which examples are alike: inner products of their features, each row brought to length 1.

    $$\hat G_{i,j} = \frac{G_{i,j}}{\sqrt{\sum_k G_{i,k}^2}}, \qquad G = F F^\top$$

    - `features`: `(N, D, H, W)` or `(N, D)`. Returns `(N, N)`, without a unit.

    Source: Tung and Mori 2019, equations 1 and 2.
    """
    flat = features.flatten(1)  # (N, D * H * W)
    return _unit(flat @ flat.mT)


def distance_relation_loss(student_embeddings: Tensor, teacher_embeddings: Tensor) -> Tensor:
    r"""Whether every two examples are as far apart for the student as for the teacher, each in its own measure.

    $$L_{distance} = \frac{1}{N^2} \sum_{i,j} \mathrm{huber}\left( \frac{d^{student}_{i,j}}{\mu^{student}}
      - \frac{d^{teacher}_{i,j}}{\mu^{teacher}} \right), \qquad d_{i,j} = \lVert x_i - x_j \rVert$$

    $\mu$ is the mean of the distances that are not 0; $\mathrm{huber}(u)$ is $u^2 / 2$ up to $|u| = 1$ and
    $|u| - 1/2$ beyond. The sum counts the diagonal. Moving, turning or stretching all embeddings changes nothing.

    - `student_embeddings`, `teacher_embeddings`: `(N, D)`; D may differ. Says something from three examples on: one has
      no distance, and two have a single one, which is its own mean: the loss is 0.
    - Returns a scalar without a unit, averaged over the $N^2$ pairs.

    Source: Park et al. 2019, *Relational Knowledge Distillation*, section 3.2.
    """
    return F.huber_loss(relative_distances(student_embeddings), relative_distances(teacher_embeddings.detach()))


def relative_distances(embeddings: Tensor) -> Tensor:
    r"""How far every two examples are apart, over the mean of the distances that are not 0.

    $$\hat d_{i,j} = \frac{d_{i,j}}{\mu}, \qquad d_{i,j} = \lVert x_i - x_j \rVert$$

    - `embeddings`: `(N, D)`. Returns `(N, N)`, without a unit; all 0 where no two examples differ.

    Source: Park et al. 2019, *Relational Knowledge Distillation*, equation 6.
    """
    distances = _length(_differences(embeddings)).squeeze(-1)  # (N, N)
    mean = distances.sum() / (distances > 0).sum().clamp(min=1)
    return distances / mean.masked_fill(mean == 0, math.inf)


def angle_relation_loss(student_embeddings: Tensor, teacher_embeddings: Tensor) -> Tensor:
    r"""Whether every three examples form the same angle for the student as for the teacher.

    $$L_{angle} = \frac{1}{N^3} \sum_{i,j,k} \mathrm{huber}\left( \cos^{student}_{i,j,k} - \cos^{teacher}_{i,j,k} \right),
      \qquad \cos_{i,j,k} = \left\langle \frac{x_j - x_i}{\lVert x_j - x_i \rVert},
      \frac{x_k - x_i}{\lVert x_k - x_i \rVert} \right\rangle$$

    The angle is at example i; $\mathrm{huber}(u)$ is $u^2 / 2$ up to $|u| = 1$ and $|u| - 1/2$ beyond. Two examples in the
    same place have no direction: their cosine is 0. All triples count, also those that name an example twice.

    - `student_embeddings`, `teacher_embeddings`: `(N, D)`; D may differ. Says something from three examples on: fewer form
      no angle, and the loss is 0.
    - Returns a scalar without a unit, averaged over the $N^3$ triples.

    Source: Park et al. 2019, *Relational Knowledge Distillation*, section 3.2.
    """
    student, teacher = _unit(_differences(student_embeddings)), _unit(_differences(teacher_embeddings.detach()))  # (N, N, D)
    return F.huber_loss(student @ student.mT, teacher @ teacher.mT)  # (N, N, N) cosines


# --- students that teach each other ---------------------------------------------------------------------------------


def mutual_loss(logits: Tensor, peer_logits: Tensor, labels: Tensor) -> Tensor:
    r"""What one of K networks minimises when they learn together: the labels, and every other's soft targets.

    $$L_{mutual} = L_{hard} + \frac{1}{K - 1} \sum_{k} \frac{1}{N} \sum_n \sum_c p^{peer}_{k,n,c}
      \left( \log p^{peer}_{k,n,c} - \log p_{n,c} \right)$$

    No network is trained before: each is student and, for the others, teacher, at T = 1. All logits come from one
    forward pass, before any of the networks is changed.

    - `logits`: `(N, C)`, the network's own; `peer_logits`: `(K - 1, N, C)`, at least one peer; `labels`: `(N,)`.
    - Returns a scalar in nats, summed over the classes, averaged over the peers and the N examples.

    Source: Zhang et al. 2018, *Deep Mutual Learning*.
    """
    if peer_logits.shape[0] == 0:
        raise ValueError("a network without peers cannot learn from them; give the logits of at least one other network")
    return hard_loss(logits, labels) + soft_loss(logits, peer_logits, temperature=1.0)  # mean over peers and examples


# --- what the formulas share ----------------------------------------------------------------------------------------


def _positive(temperature: float | Tensor) -> float | Tensor:
    """Refuse a temperature that has no meaning; a tensor of them (a cohort's) was checked by its Experiments."""
    if isinstance(temperature, Tensor) or (temperature > 0 and math.isfinite(temperature)):
        return temperature
    raise ValueError(f"temperature {temperature} has no meaning; give a number above 0, such as 4")


def _decouple(logits: Tensor, labels: Tensor, temperature: float | Tensor) -> tuple[Tensor, Tensor]:
    """The label's logit beside one that stands for all others, `(N, 2)`: softmax at T gives p and 1 - p; the others, `(N, C - 1)`."""
    classes = logits.shape[-1]
    if classes < 3:
        raise ValueError(f"logits of {classes} classes have no relation between wrong classes; decouple at least 3, or use soft_loss")
    wrong = (labels.unsqueeze(-1) + torch.arange(1, classes, device=labels.device)) % classes  # (N, C - 1), every class but the label
    label, others = logits.gather(-1, labels.unsqueeze(-1)), logits.gather(-1, wrong)
    together = temperature * torch.logsumexp(others / temperature, dim=-1, keepdim=True)  # (N, 1)
    return torch.cat([label, together], dim=-1), others


def _correlation(one: Tensor, other: Tensor) -> Tensor:
    """Pearson's correlation of each row: the cosine of the deviations from the mean; 0 where a row's values are all equal."""
    return (_unit(_centred(one)) * _unit(_centred(other))).sum(dim=-1)


def _centred(rows: Tensor) -> Tensor:
    """Each row minus its mean; without the row's first value before, equal values would leave a rounding error, not 0."""
    rows = rows - rows[..., :1].detach()
    return rows - rows.mean(dim=-1, keepdim=True)


def _unit(vectors: Tensor) -> Tensor:
    """Each vector over its length; one without length has no direction and becomes 0, with gradient 0."""
    length = _length(vectors)
    return vectors / length.masked_fill(length == 0, math.inf)


def _length(vectors: Tensor) -> Tensor:
    """Euclidean lengths `(..., 1)`. Below 1e-12 they are 0 with gradient 0: there the root's own gradient has no limit."""
    squares = vectors.square().sum(dim=-1, keepdim=True)
    short = squares < 1e-24
    return squares.masked_fill(short, 1).sqrt().masked_fill(short, 0)  # filled twice: 0 times an infinite gradient is no number


def _differences(embeddings: Tensor) -> Tensor:
    """`(N, N, D)`: at `[i, j]` the way from example i to example j."""
    return embeddings.unsqueeze(-3) - embeddings.unsqueeze(-2)


def _pixels(features: Tensor) -> tuple[int, int]:
    """Height and width of feature maps; what has no places cannot be looked at."""
    if features.dim() != 4:
        raise ValueError(f"features of shape {tuple(features.shape)} have no places to attend to; give a convolution's, (N, D, H, W)")
    return features.shape[-2], features.shape[-1]
