"""The mathematics of distillation, each loss written as its formula.

Every function takes the student's tensor first and the teacher's second: logits `(N, C)`, features `(N, D, H, W)` or
embeddings `(N, D)`, for N examples, C classes, D channels and H x W pixels. Each loss is a scalar, averaged over the N
examples; divergences are in nats. No gradient reaches the teacher.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

# --- labels and soft targets ----------------------------------------------------------------------------------------


def soften(logits: Tensor, *, temperature: float | Tensor) -> Tensor:
    r"""Class probabilities at a temperature; those of a teacher are the soft targets.

    $$p_c = \frac{\exp(z_c / T)}{\sum_k \exp(z_k / T)}$$

    T = 1 is the ordinary softmax. A higher T moves probability from the top class to the others and makes the ratios
    between *wrong* classes visible; as T grows, the distribution becomes uniform.

    - `logits`: `(N, C)`; `temperature`: above 0. Returns probabilities `(N, C)`; each row sums to 1.

    Source: Hinton, Vinyals and Dean 2015, section 2, equation 1.
    """
    return torch.softmax(logits / _positive(temperature), dim=-1)


def hard_loss(student_logits: Tensor, labels: Tensor) -> Tensor:
    r"""Cross-entropy with the true labels at T = 1: the loss of a student without a teacher.

    $$L_{hard} = -\frac{1}{N} \sum_n \log p^{student}_{n, y_n}$$

    - `student_logits`: `(N, C)`; `labels`: `(N,)`, class indices. Returns a scalar in nats, averaged over the N examples.
    """
    log_p = torch.log_softmax(student_logits, dim=-1)  # (N, C)
    return -log_p.gather(-1, labels.unsqueeze(-1)).mean()


def bits_per_character(logits: Tensor, labels: Tensor, *, characters: float = 1.0) -> Tensor:
    r"""What a language model needs to encode a text: the hard loss in bits, divided by the characters of a token.

    $$\frac{1}{c \, \ln 2} \, L_{hard}$$

    Two models can be compared by it whatever their tokens are. No model is below the entropy rate of the text.

    - `logits`: `(N, V)` or `(B, L, V)`; `labels`: `(N,)` or `(B, L)`, the next tokens; `characters`: c, the mean length of a token.
    - Returns a scalar in bits a character.
    """
    return hard_loss(logits, labels) / (characters * math.log(2))


def soft_loss(student_logits: Tensor, teacher_logits: Tensor, *, temperature: float | Tensor) -> Tensor:
    r"""KL divergence of the student's softened distribution from the teacher's soft targets, times $T^2$.

    $$L_{soft} = T^2 \cdot \frac{1}{N} \sum_n \sum_c p^{teacher}_{n,c}
      \left( \log p^{teacher}_{n,c} - \log p^{student}_{n,c} \right),
      \qquad p = \mathrm{softmax}(z / T)$$

    The sum is over the classes, the mean over the examples. (PyTorch's `F.kl_div` averages over both by default,
    which is C times too small.) The paper has the cross-entropy with the soft targets, which differs by the teacher's
    entropy and has the same gradient. The gradient of the divergence shrinks as $1/T^2$; the factor $T^2$ keeps its size,
    so that a value of alpha has the same effect at every temperature.

    - `student_logits`, `teacher_logits`: `(N, C)`; `temperature`: above 0.
    - Returns a scalar in nats, averaged over the N examples; 0 exactly when both distributions are equal.

    Source: Hinton, Vinyals and Dean 2015, section 2.
    """
    temperature = _positive(temperature)
    log_p_teacher = torch.log_softmax(teacher_logits.detach() / temperature, dim=-1)  # (N, C)
    log_p_student = torch.log_softmax(student_logits / temperature, dim=-1)  # (N, C)
    return temperature**2 * _divergence(log_p_teacher, log_p_student).mean()


def total_loss(
    student_logits: Tensor,
    teacher_logits: Tensor,
    labels: Tensor,
    *,
    alpha: float | Tensor,
    temperature: float | Tensor,
) -> Tensor:
    r"""The loss of the distilled student: alpha is the weight of the **hard** loss, 1 - alpha that of the soft loss.

    $$L_{total} = \alpha \, L_{hard} + (1 - \alpha) \, L_{soft}$$

    `alpha = 1` is the baseline, without the teacher; `alpha = 0` uses no labels. (Some code defines alpha as the weight
    of the soft loss: check this before comparing values.)

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


# --- related losses: without a teacher, without a softmax -----------------------------------------------------------


def smoothing_loss(student_logits: Tensor, labels: Tensor, *, smoothing: float | Tensor) -> Tensor:
    r"""Cross-entropy with smoothed labels: soft targets without a teacher, equal for all examples of a class.

    $$L_{smooth} = -\frac{1}{N} \sum_n \sum_c q_{n,c} \log p^{student}_{n,c},
      \qquad q_{n,c} = (1 - \epsilon) \, [c = y_n] + \frac{\epsilon}{C}$$

    The true class has $1 - \epsilon + \epsilon / C$, every wrong class $\epsilon / C$. Unlike a teacher's soft targets,
    smoothed labels carry no information on similarities between classes.

    - `student_logits`: `(N, C)`; `labels`: `(N,)`; `smoothing`: $\epsilon$, from 0 (the hard loss) to 1 (labels ignored).
    - Returns a scalar in nats, summed over the classes and averaged over the N examples.

    Source: Szegedy et al. 2016, section 7.
    """
    if not isinstance(smoothing, Tensor) and not 0 <= smoothing <= 1:
        raise ValueError(f"smoothing {smoothing} is out of range; give a number from 0 to 1, such as 0.1")
    hard = hard_loss(student_logits, labels)
    uniform = -torch.log_softmax(student_logits, dim=-1).mean()  # cross-entropy with 1 / C for every class
    return (1 - smoothing) * hard + smoothing * uniform


def logit_loss(student_logits: Tensor, teacher_logits: Tensor) -> Tensor:
    r"""Squared error between the logits: regression on the teacher's logits, without a softmax or a temperature.

    $$L_{logits} = \frac{1}{N} \sum_n \frac{1}{2} \sum_c \left( z^{student}_{n,c} - z^{teacher}_{n,c} \right)^2$$

    It is the limit of distillation as T grows: when the logits of each example have mean 0, the soft loss (with its
    $T^2$) tends to $L_{logits} / C$. Unlike the soft loss, it changes with a constant added to all logits of an example,
    and the logits of very unlikely classes count as much as that of the top class.

    - `student_logits`, `teacher_logits`: `(N, C)`.
    - Returns a scalar in squared logits: half the squares, summed over the classes, averaged over the N examples.

    Source: Ba and Caruana 2014, section 2.2; Hinton, Vinyals and Dean 2015, section 2.1, for the limit.
    """
    squares = (student_logits - teacher_logits.detach()).square()  # (N, C)
    return squares.sum(dim=-1).mean() / 2


# --- variants of the soft loss --------------------------------------------------------------------------------------


def standardize(logits: Tensor) -> Tensor:
    r"""Logits standardised per example to mean 0 and standard deviation 1.

    $$\tilde z_c = \frac{z_c - \bar z}{\sigma}, \qquad \bar z = \frac{1}{C} \sum_c z_c,
      \qquad \sigma^2 = \frac{1}{C - 1} \sum_c (z_c - \bar z)^2$$

    Applied to both logits before the soft loss, it frees a small student from matching the magnitude of the teacher's
    logits. C - 1 is from the authors' code; algorithm 1 of the paper has C. Equal logits become 0.

    - `logits`: `(N, C)`. Returns `(N, C)`, without a unit; each row has mean 0 and standard deviation 1.

    Source: Sun et al. 2024, section 4.3.
    """
    deviations = _centred(logits)  # (N, C)
    return math.sqrt(logits.shape[-1] - 1) * _unit(deviations)  # sigma is a row's norm over the root of C - 1


def reverse_soft_loss(student_logits: Tensor, teacher_logits: Tensor, *, temperature: float | Tensor) -> Tensor:
    r"""The soft loss with the two distributions exchanged: KL divergence of the teacher from the student, times $T^2$.

    $$L_{reverse} = T^2 \cdot \frac{1}{N} \sum_n \sum_c p^{student}_{n,c}
      \left( \log p^{student}_{n,c} - \log p^{teacher}_{n,c} \right),
      \qquad p = \mathrm{softmax}(z / T)$$

    The soft loss is large where the student gives little probability to a class that the teacher considers likely. This
    one is large where the student gives probability to a class that the teacher considers unlikely: a student that
    cannot match every class leaves classes out instead of spreading over all. As T grows, both tend to the same
    limit, so that $T^2$ has the same purpose here.

    - `student_logits`, `teacher_logits`: `(N, C)`; `temperature`: above 0.
    - Returns a scalar in nats, averaged over the N examples; 0 exactly when both distributions are equal.

    Source: Gu et al. 2024 (MiniLLM), section 2.1; there at T = 1, for sequences.
    """
    temperature = _positive(temperature)
    log_p_teacher = torch.log_softmax(teacher_logits.detach() / temperature, dim=-1)  # (N, C)
    log_p_student = torch.log_softmax(student_logits / temperature, dim=-1)  # (N, C)
    return temperature**2 * _divergence(log_p_student, log_p_teacher).mean()


def jensen_shannon_loss(
    student_logits: Tensor, teacher_logits: Tensor, *, temperature: float | Tensor, beta: float | Tensor = 0.5
) -> Tensor:
    r"""Generalised Jensen-Shannon divergence: both distributions against a mixture of the two, times $T^2$.

    $$L_{JS} = \frac{T^2}{N} \sum_n \left[ \beta \, \mathrm{KL}\left( p^{teacher}_n \,\|\, m_n \right)
      + (1 - \beta) \, \mathrm{KL}\left( p^{student}_n \,\|\, m_n \right) \right],
      \qquad m_n = \beta \, p^{teacher}_n + (1 - \beta) \, p^{student}_n$$

    It lies between the soft loss and its reverse: $L_{JS} / \beta$ tends to the soft loss as $\beta$ tends to 0, and
    $L_{JS} / (1 - \beta)$ to the reverse as $\beta$ tends to 1. Unlike both, the divergence is bounded, by $\log 2$ at
    $\beta = 1/2$. As T grows, it tends to $\beta (1 - \beta)$ times the soft loss: a quarter at $\beta = 1/2$.

    - `student_logits`, `teacher_logits`: `(N, C)`; `temperature`: above 0; `beta`: above 0 and below 1.
    - Returns a scalar in nats, averaged over the N examples; 0 exactly when both distributions are equal.

    Source: Agarwal et al. 2024 (GKD), section 2; $T^2$ as in the soft loss.
    """
    if not isinstance(beta, Tensor) and not 0 < beta < 1:
        raise ValueError(f"beta {beta} is out of range; give a number above 0 and below 1, such as 0.5")
    temperature = _positive(temperature)
    if not isinstance(beta, Tensor):
        beta = torch.full((), beta, dtype=student_logits.dtype, device=student_logits.device)  # unlike a copy, a GPU is not waited for
    log_p_teacher = torch.log_softmax(teacher_logits.detach() / temperature, dim=-1)  # (N, C)
    log_p_student = torch.log_softmax(student_logits / temperature, dim=-1)  # (N, C)
    log_mixture = torch.logaddexp(log_p_teacher + beta.log(), log_p_student + torch.log1p(-beta))  # (N, C)
    teacher, student = _divergence(log_p_teacher, log_mixture), _divergence(log_p_student, log_mixture)  # (N,)
    return temperature**2 * (beta * teacher + (1 - beta) * student).mean()


def top_k_loss(student_logits: Tensor, teacher_logits: Tensor, *, k: int, temperature: float | Tensor, keep_rest: bool = True) -> Tensor:
    r"""The soft loss from the teacher's k largest probabilities alone: what an API with log-probabilities gives.

    Of the other classes only the probability of all together is known. With `keep_rest` they are one further class, whose logit is
    the logarithm of their sum in both networks; without it they are left out, and the k classes are scaled to 1.

    $$L_{soft}(z^{student}, z^{teacher}), \qquad z = \left( \log p_{c_1}, \dots, \log p_{c_k}, \log \textstyle\sum_{c \ne c_i} p_c \right)$$

    with $c_1 \dots c_k$ the teacher's most probable classes and p the probabilities at T = 1.

    - `student_logits`, `teacher_logits`: `(N, C)`; `k`: 1 or more, of which C are all: the soft loss; `temperature`: above 0.
    - Returns a scalar in nats, averaged over the N examples; 0 where both networks give the k classes and the rest equal probabilities.

    Source: Peng et al. 2024, section 3.2, for the truncation of a teacher's logits; the class of the rest is ours.
    """
    if k >= teacher_logits.shape[-1]:
        return soft_loss(student_logits, teacher_logits, temperature=temperature)
    of_teacher = torch.log_softmax(teacher_logits.detach(), dim=-1)  # (N, C)
    top = of_teacher.topk(k, dim=-1).indices  # (N, k)
    both = []
    for log_p in (torch.log_softmax(student_logits, dim=-1), of_teacher):
        chosen = log_p.gather(-1, top)
        rest = torch.logsumexp(log_p.scatter(-1, top, -torch.inf), dim=-1, keepdim=True)
        both.append(torch.cat([chosen, rest], dim=-1) if keep_rest else chosen)
    return soft_loss(*both, temperature=temperature)


def decoupled_loss(
    student_logits: Tensor,
    teacher_logits: Tensor,
    labels: Tensor,
    *,
    temperature: float | Tensor,
    target_weight: float | Tensor = 1.0,
    nontarget_weight: float | Tensor = 8.0,
) -> Tensor:
    r"""The soft loss in two parts with separate weights: label against all other classes, and the other classes alone.

    $$L_{decoupled} = \frac{T^2}{N} \sum_n \left[
      w_{target} \, \mathrm{KL}\left( b^{teacher}_n \,\|\, b^{student}_n \right)
      + w_{nontarget} \, \mathrm{KL}\left( \hat p^{\,teacher}_n \,\|\, \hat p^{\,student}_n \right) \right]$$

    with $b_n = (p_{n,y_n}, 1 - p_{n,y_n})$, the label against all others, and $\hat p_n$, the softmax over the C - 1 other
    classes, both at temperature T. The soft loss is the case $w_{target} = 1$,
    $w_{nontarget} = 1 - p^{teacher}_{n,y_n}$: a teacher that is confident of the label gives the second part little weight.

    - `student_logits`, `teacher_logits`: `(N, C)`, at least three classes; `labels`: `(N,)`; `temperature`: above 0;
      `target_weight`, `nontarget_weight`: the two w, called alpha and beta in the paper.
    - Returns a scalar in nats, each divergence summed over its classes, averaged over the N examples.

    Source: Zhao et al. 2022 (DKD), the authors' code: $T^2$ on both parts, and by default the weights 1 and 8.
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
    r"""One minus the Pearson correlation of the probabilities, over the classes of an example and the examples of a class.

    $$L_{DIST} = T^2 \left[
      w_{inter} \, \Big( 1 - \frac{1}{N} \sum_n \rho\left( p^{student}_{n,:}, p^{teacher}_{n,:} \right) \Big)
      + w_{intra} \, \Big( 1 - \frac{1}{C} \sum_c \rho\left( p^{student}_{:,c}, p^{teacher}_{:,c} \right) \Big) \right]$$

    $\rho$ is the Pearson correlation and $p = \mathrm{softmax}(z / T)$. Correlation ignores scale and offset, so that a
    student need not match the confidence of a much stronger teacher. It is 0 for a row or column of equal values, such
    as every column of a batch of one.

    - `student_logits`, `teacher_logits`: `(N, C)`; `temperature`: above 0; `inter_weight`, `intra_weight`: the
      two w, called beta and gamma in the paper.
    - Returns a scalar without a unit: averaged over the N examples and over the C classes; 0 when all correlations are 1.

    Source: Huang et al. 2022 (DIST), the authors' code.
    """
    p_student = soften(student_logits, temperature=temperature)  # (N, C)
    p_teacher = soften(teacher_logits.detach(), temperature=temperature)  # (N, C)
    inter = 1 - _correlation(p_student, p_teacher).mean()  # over N rows
    intra = 1 - _correlation(p_student.mT, p_teacher.mT).mean()  # over C columns
    return temperature**2 * (inter_weight * inter + intra_weight * intra)


# --- features of hidden layers --------------------------------------------------------------------------------------


def hint_loss(student_features: Tensor, teacher_features: Tensor) -> Tensor:
    r"""Mean squared error between the student's guided layer and the teacher's hint.

    $$L_{hint} = \frac{1}{N D H W} \sum_{n,d,h,w} \left( f^{student}_{n,d,h,w} - f^{teacher}_{n,d,h,w} \right)^2$$

    A narrower student needs a regressor: a layer that maps its features to the teacher's shape, trained with the student
    and discarded afterwards. (The paper has half the sum; the mean does not grow with the size of the layer.)

    - `student_features`, `teacher_features`: `(N, D, H, W)` or `(N, D)`, both of the same shape.
    - Returns a scalar in squared activations, averaged over all elements.

    Source: Romero et al. 2015 (FitNets), section 2.2, equation 3.
    """
    if student_features.shape != teacher_features.shape:
        student, teacher = tuple(student_features.shape), tuple(teacher_features.shape)
        raise ValueError(f"student_features {student} differ in shape from teacher_features {teacher}; map them with a regressor first")
    return (student_features - teacher_features.detach()).square().mean()


def attention_loss(student_features: Tensor, teacher_features: Tensor) -> Tensor:
    r"""Mean squared difference between the normalised attention maps of student and teacher.

    $$L_{attention} = \frac{1}{N H W} \sum_n \left\lVert
      \frac{a^{student}_n}{\lVert a^{student}_n \rVert} - \frac{a^{teacher}_n}{\lVert a^{teacher}_n \rVert}
      \right\rVert^2, \qquad a_{n,hw} = \frac{1}{D} \sum_d f_{n,d,h,w}^2$$

    The map of an example is large where its channels are active; its norm does not matter. Features with more pixels are
    first average-pooled to the height and width of the other side. A map of zeros stays 0.

    - `student_features`, `teacher_features`: `(N, D, H, W)`; D, H and W may differ.
    - Returns a scalar without a unit, averaged over examples and pixels, between 0 and 2 / (H W).

    Source: Zagoruyko and Komodakis 2017, the authors' code.
    """
    height, width = (min(sizes) for sizes in zip(_pixels(student_features), _pixels(teacher_features), strict=True))
    student = F.adaptive_avg_pool2d(student_features, (height, width))  # (N, D, H, W)
    teacher = F.adaptive_avg_pool2d(teacher_features.detach(), (height, width))
    return (attention_map(student) - attention_map(teacher)).square().mean()


def attention_map(features: Tensor) -> Tensor:
    r"""The attention map of each example: the mean square of the channels at each position, normalised to norm 1.

    $$\hat a_n = \frac{a_n}{\lVert a_n \rVert}, \qquad a_{n,hw} = \frac{1}{D} \sum_d f_{n,d,h,w}^2$$

    - `features`: `(N, D, H, W)`. Returns `(N, H, W)`, without a unit; a map of zeros stays 0.

    Source: Zagoruyko and Komodakis 2017, the authors' code.
    """
    activity = features.square().mean(dim=-3)  # (N, H, W)
    return _unit(activity.flatten(-2)).view(activity.shape)


# --- relations between the examples of a batch ----------------------------------------------------------------------


def cosine_loss(student_features: Tensor, teacher_features: Tensor) -> Tensor:
    r"""How far the features of student and teacher point apart: one minus the cosine of their angle.

    $$L_{cos} = 1 - \frac{1}{N} \sum_n
      \frac{f^{student}_n \cdot f^{teacher}_n}{\lVert f^{student}_n \rVert \, \lVert f^{teacher}_n \rVert}$$

    - `student_features`, `teacher_features`: `(N, D)`, or `(N, L, D)` where each of L positions is an example; both of the same width D.
    - Returns a scalar without a unit from 0 (the same direction) to 2 (opposite ones), averaged over the examples.

    Source: Sanh et al. 2019 (DistilBERT), section 3.
    """
    return 1 - torch.cosine_similarity(student_features, teacher_features.detach(), dim=-1).mean()


def similarity_loss(student_features: Tensor, teacher_features: Tensor) -> Tensor:
    r"""Squared difference between the pairwise similarities of the examples of a batch, of student and teacher.

    $$L_{similarity} = \frac{1}{N^2} \sum_{i,j} \left( \hat G^{student}_{i,j} - \hat G^{teacher}_{i,j} \right)^2,
      \qquad \hat G_{i,j} = \frac{G_{i,j}}{\sqrt{\sum_k G_{i,k}^2}}, \qquad G = F F^\top$$

    The rows of F are the flattened features of the examples; G is their Gram matrix. Each row of G is normalised to
    norm 1 (a row of zeros stays 0). G is N by N for any width.

    - `student_features`, `teacher_features`: `(N, D, H, W)` or `(N, D)`; only N must agree. For a single example the
      loss is 0.
    - Returns a scalar without a unit, averaged over the $N^2$ pairs.

    Source: Tung and Mori 2019, equation 4; RepDistiller's code, which one of the authors verified.
    """
    return (similarity_matrix(student_features) - similarity_matrix(teacher_features.detach())).square().mean()


def similarity_matrix(features: Tensor) -> Tensor:
    r"""Pairwise similarities of the examples: the Gram matrix of their features, each row normalised to norm 1.

    $$\hat G_{i,j} = \frac{G_{i,j}}{\sqrt{\sum_k G_{i,k}^2}}, \qquad G = F F^\top$$

    - `features`: `(N, D, H, W)` or `(N, D)`. Returns `(N, N)`, without a unit.

    Source: Tung and Mori 2019, equation 3.
    """
    flat = features.flatten(1)  # (N, D * H * W)
    return _unit(flat @ flat.mT)


def distance_relation_loss(student_embeddings: Tensor, teacher_embeddings: Tensor) -> Tensor:
    r"""Huber loss between the relative distances of all pairs of examples, of student and teacher.

    $$L_{distance} = \frac{1}{N^2} \sum_{i,j} \mathrm{huber}\left( \frac{d^{student}_{i,j}}{\mu^{student}}
      - \frac{d^{teacher}_{i,j}}{\mu^{teacher}} \right), \qquad d_{i,j} = \lVert x_i - x_j \rVert$$

    $\mu$ is the mean of the distances that are not 0; $\mathrm{huber}(u)$ is $u^2 / 2$ up to $|u| = 1$ and
    $|u| - 1/2$ beyond. The sum includes the diagonal, as in the authors' code; the paper sums over pairs of different
    examples. The loss does not change when all embeddings of one network are translated, rotated or scaled.

    - `student_embeddings`, `teacher_embeddings`: `(N, D)`; D may differ. Below three examples the loss is 0: two have a
      single distance, which equals its mean.
    - Returns a scalar without a unit, averaged over the $N^2$ pairs.

    Source: Park et al. 2019, section 3.2.1.
    """
    return _mean_huber(relative_distances(student_embeddings) - relative_distances(teacher_embeddings.detach()))


def relative_distances(embeddings: Tensor) -> Tensor:
    r"""Euclidean distances of all pairs of examples, divided by the mean of those that are not 0.

    $$\hat d_{i,j} = \frac{d_{i,j}}{\mu}, \qquad d_{i,j} = \lVert x_i - x_j \rVert$$

    - `embeddings`: `(N, D)`. Returns `(N, N)`, without a unit; all 0 if all examples are equal.

    Source: Park et al. 2019, section 3.2.1.
    """
    distances = _distances(embeddings)  # (N, N)
    mean = distances.sum() / (distances > 0).sum().clamp(min=1)
    return distances / mean.masked_fill(mean == 0, math.inf)


def angle_relation_loss(student_embeddings: Tensor, teacher_embeddings: Tensor) -> Tensor:
    r"""Huber loss between the cosines of the angles of all triples of examples, of student and teacher.

    $$L_{angle} = \frac{1}{N^3} \sum_{i,j,k} \mathrm{huber}\left( \cos^{student}_{i,j,k} - \cos^{teacher}_{i,j,k} \right),
      \qquad \cos_{i,j,k} = \left\langle \frac{x_j - x_i}{\lVert x_j - x_i \rVert},
      \frac{x_k - x_i}{\lVert x_k - x_i \rVert} \right\rangle$$

    The angle is at example i; $\mathrm{huber}(u)$ is $u^2 / 2$ up to $|u| = 1$ and $|u| - 1/2$ beyond. Equal examples have no
    direction between them: the cosine is 0. The sum includes triples in which an example occurs twice.

    - `student_embeddings`, `teacher_embeddings`: `(N, D)`; D may differ. Below three examples the loss is 0.
    - Returns a scalar without a unit, averaged over the $N^3$ triples.

    Source: Park et al. 2019, section 3.2.2.
    """
    return _mean_huber(angle_cosines(student_embeddings) - angle_cosines(teacher_embeddings.detach()))


def angle_cosines(embeddings: Tensor) -> Tensor:
    r"""The cosine of the angle at example i between the directions to examples j and k, by the law of cosines.

    $$\cos_{i,j,k} = \frac{d_{i,j}^2 + d_{i,k}^2 - d_{j,k}^2}{2 \, d_{i,j} \, d_{i,k}}, \qquad d_{i,j} = \lVert x_i - x_j \rVert$$

    - `embeddings`: `(N, D)`. Returns `(N, N, N)`, without a unit; 0 where $d_{i,j}$ or $d_{i,k}$ is 0. The differences
      themselves, `(N, N, D)`, would take several times as much memory for a wide layer.

    Source: Park et al. 2019, section 3.2.2.
    """
    distances = _distances(embeddings)  # (N, N)
    equal = distances == 0
    inverse = distances.masked_fill(equal, 1).reciprocal().masked_fill(equal, 0)  # filled twice: 0 times infinity is not a number
    squares = distances.square()
    products = (squares.unsqueeze(-1) + squares.unsqueeze(-2) - squares.unsqueeze(-3)) / 2  # (N, N, N)
    return products * inverse.unsqueeze(-1) * inverse.unsqueeze(-2)


def contrastive_loss(student_embeddings: Tensor, teacher_embeddings: Tensor, labels: Tensor, *, temperature: float = 0.07) -> Tensor:
    r"""Cross-entropy of finding an image by its embedding in the other network among the images of the batch.

    $$L_{contrast} = -\frac{1}{N} \sum_n \left[
      \log \frac{e^{s_{n,n}}}{e^{s_{n,n}} + \sum_{m \in A_n} e^{s_{n,m}}}
      + \log \frac{e^{s_{n,n}}}{e^{s_{n,n}} + \sum_{m \in A_n} e^{s_{m,n}}} \right],
      \qquad s_{n,m} = \frac{\langle g^{student}_n, g^{teacher}_m \rangle}
        {\tau \, \lVert g^{student}_n \rVert \, \lVert g^{teacher}_m \rVert},
      \qquad A_n = \{ m : y_m \ne y_n \}$$

    The negatives $A_n$ are the images of the batch with another label. The first term searches the teacher's embedding
    of the student's image, the second the reverse. The paper has a binary cross-entropy instead of the softmax, and
    draws 16,384 negatives for each image from a memory of the embeddings of all training images, in the authors' code
    also of other labels; batches of this lab have some dozens.

    - `student_embeddings`, `teacher_embeddings`: `(N, D)`, projections of both networks' features into one space, which
      are trained: the gradient reaches the teacher's projection, so that its features must be detached before.
      `labels`: `(N,)`; `temperature`: $\tau$, above 0; 0.07 is from the authors' code.
    - Returns a scalar in nats: the sum of both directions, averaged over the N examples; 0 for a batch of one label.

    Source: Tian, Krishnan and Isola 2020 (CRD), the authors' code; softmax over the negatives: van den Oord et al. 2018
    (CPC), section 2.3.
    """
    similarity = _unit(student_embeddings) @ _unit(teacher_embeddings).mT / _positive(temperature)  # (N, N)
    own = torch.arange(labels.shape[0], device=labels.device)
    same_label = (labels.unsqueeze(-1) == labels) & (own.unsqueeze(-1) != own)  # neither the image nor a negative
    similarity = similarity.masked_fill(same_label, -math.inf)
    return hard_loss(similarity, own) + hard_loss(similarity.mT, own)


# --- mutual learning ------------------------------------------------------------------------------------------------


def peer_loss(logits: Tensor, peer_logits: Tensor) -> Tensor:
    r"""The part of `mutual_loss` that needs no labels: the mean KL divergence of one of K networks from its peers.

    $$L_{peer} = \frac{1}{K - 1} \sum_{k} \frac{1}{N} \sum_n \sum_c p^{peer}_{k,n,c} \left( \log p^{peer}_{k,n,c} - \log p_{n,c} \right)$$

    - `logits`: `(N, C)`, of this network; `peer_logits`: `(K - 1, N, C)`, at least one peer.
    - Returns a scalar in nats, summed over the classes, averaged over the peers and the N examples.

    Source: Zhang et al. 2018, sections 3.1 and 3.3.
    """
    if peer_logits.shape[0] == 0:
        raise ValueError("mutual learning is not defined without peers; give the logits of at least one other network")
    return soft_loss(logits, peer_logits, temperature=1.0)  # mean over peers and examples


def mutual_loss(logits: Tensor, peer_logits: Tensor, labels: Tensor) -> Tensor:
    r"""The loss of one of K networks trained together: the hard loss plus the mean KL divergence from its peers.

    $$L_{mutual} = L_{hard} + \frac{1}{K - 1} \sum_{k} \frac{1}{N} \sum_n \sum_c p^{peer}_{k,n,c}
      \left( \log p^{peer}_{k,n,c} - \log p_{n,c} \right)$$

    No network is pretrained: each is a student, and at T = 1 a teacher of the others. All logits come from one forward
    pass, before any of the networks is updated. (The paper updates the networks in turn, algorithm 1.)

    - `logits`: `(N, C)`, of this network; `peer_logits`: `(K - 1, N, C)`, at least one peer; `labels`: `(N,)`.
    - Returns a scalar in nats, summed over the classes, averaged over the peers and the N examples.

    Source: Zhang et al. 2018, sections 3.1 and 3.3.
    """
    return hard_loss(logits, labels) + peer_loss(logits, peer_logits)


# --- shared parts ---------------------------------------------------------------------------------------------------


def _mean_huber(differences: Tensor) -> Tensor:
    """The mean Huber loss (delta 1) of differences, which `vmap` may have batched in one of their two sides only."""
    return F.huber_loss(differences, torch.zeros_like(differences))


def _positive(temperature: float | Tensor) -> float | Tensor:
    """Raise `ValueError` if the temperature is not above 0; a tensor, of a cohort, was checked by its Experiments."""
    if isinstance(temperature, Tensor) or (temperature > 0 and math.isfinite(temperature)):
        return temperature
    raise ValueError(f"temperature {temperature} is not a finite number above 0; give one, such as 4")


def _divergence(log_p: Tensor, log_q: Tensor) -> Tensor:
    """KL(p || q) of each row, `(N,)`, from log-probabilities `(N, C)`."""
    return (log_p.exp() * (log_p - log_q)).sum(dim=-1)


def _decouple(logits: Tensor, labels: Tensor, temperature: float | Tensor) -> tuple[Tensor, Tensor]:
    """Logits `(N, 2)` of the label and of all other classes together, whose softmax is p and 1 - p; logits `(N, C - 1)` of the others."""
    classes = logits.shape[-1]
    if classes < 3:
        raise ValueError(f"logits of {classes} classes have no second wrong class to compare; give at least 3 classes, or use soft_loss")
    wrong = (labels.unsqueeze(-1) + torch.arange(1, classes, device=labels.device)) % classes  # (N, C - 1), all classes but the label
    label, others = logits.gather(-1, labels.unsqueeze(-1)), logits.gather(-1, wrong)
    combined = temperature * torch.logsumexp(others / temperature, dim=-1, keepdim=True)  # (N, 1)
    return torch.cat([label, combined], dim=-1), others


def _correlation(one: Tensor, other: Tensor) -> Tensor:
    """The Pearson correlation of each row: the cosine of the deviations from the mean; 0 if a row's values are all equal."""
    return (_unit(_centred(one)) * _unit(_centred(other))).sum(dim=-1)


def _centred(rows: Tensor) -> Tensor:
    """Each row minus its mean. The first value is subtracted before, so that equal values give 0, not a rounding error."""
    rows = rows - rows[..., :1].detach()
    return rows - rows.mean(dim=-1, keepdim=True)


def _unit(vectors: Tensor) -> Tensor:
    """Each vector divided by its norm; a vector of norm 0 becomes 0, with gradient 0."""
    norm = _norm(vectors)
    return vectors / norm.masked_fill(norm == 0, math.inf)


def _norm(vectors: Tensor) -> Tensor:
    """Euclidean norms `(..., 1)`. Below 1e-12 they are 0 with gradient 0: the gradient of the square root is infinite at 0."""
    squares = vectors.square().sum(dim=-1, keepdim=True)
    tiny = squares < 1e-24
    return squares.masked_fill(tiny, 1).sqrt().masked_fill(tiny, 0)  # filled twice: 0 times an infinite gradient is not a number


def _distances(embeddings: Tensor) -> Tensor:
    """Euclidean distances `(N, N)` of every two rows. Below 1e-12 they are 0, with gradient 0."""
    # The mode with matrix products is faster, but loses all digits of small distances.
    distances = torch.cdist(embeddings, embeddings, compute_mode="donot_use_mm_for_euclid_dist")
    return distances.masked_fill(distances < 1e-12, 0)


def _pixels(features: Tensor) -> tuple[int, int]:
    """Height and width of feature maps `(N, D, H, W)`."""
    if features.dim() != 4:
        raise ValueError(f"features of shape {tuple(features.shape)} are not feature maps; give the output of a convolution, (N, D, H, W)")
    return features.shape[-2], features.shape[-1]
