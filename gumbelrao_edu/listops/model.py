"""The Gumbel Tree-LSTM (Choi et al., 2017): a classifier that draws a parse tree of its input."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .._checks import check_count, check_function, check_generator, check_logits, holds
from ..gumbel import computing_dtype, one_hot_of_largest
from .data import VOCABULARY, Batch, check_batch, whole_numbers
from .trees import Span

Estimator = Callable[[Tensor], Tensor]


class Parse(NamedTuple):
    """What `TreeLSTM.parse` did with a batch; sentences are in order of falling length.

    Attributes:
        root: the hidden state of each whole sentence, `[B, dim]`, in the order of the batch.
        order: which sentence of the batch each row is, `[B]`.
        logits: θ of each draw, one tensor `[rows, m − 1]` for every m from the longest
            length down to 3: all sentences that have m nodes left.
        choices: what was drawn, of the same shapes.
    """

    root: Tensor
    order: Tensor
    logits: list[Tensor]
    choices: list[Tensor]

    def log_probability(self) -> Tensor:
        """Return log q(T|x) of the sequence of merges, `[B]`, in the order of the batch.

        In float32 or wider, as the gradients of score-function estimators need it.
        """
        dtype = computing_dtype(self.root.dtype)
        total = self.root.new_zeros(len(self.order), dtype=dtype)
        for theta, choice in zip(self.logits, self.choices, strict=True):
            log_p = (theta.to(dtype).log_softmax(-1) * choice.detach()).sum(-1)
            total = total + F.pad(log_p, (0, len(total) - len(log_p)))
        return total[self.order.argsort()]

    def merges(self, lengths: Sequence[int]) -> list[list[int]]:
        """Return for each sentence of the batch which node was merged with the next, step by step.

        Args:
            lengths: of the sentences of the batch.

        Raises:
            ValueError: if there are not as many as sentences.
        """
        if len(lengths) != len(self.order):
            raise ValueError(
                f"lengths: expected {len(self.order)}, one for each sentence, got {len(lengths)}"
            )
        rows = self.order.argsort().tolist()
        picked = [choice.argmax(-1).tolist() for choice in self.choices]
        longest = len(picked) + 2
        return [
            # The last merge has one candidate and draws nothing.
            [step[row] for step in picked[max(0, longest - length) :]] + [0] * (length > 1)
            for row, length in zip(rows, lengths, strict=True)
        ]

    def spans(self, lengths: Sequence[int]) -> list[frozenset[Span]]:
        """Return the inner nodes of each sentence's binary tree, see `trees`.

        Args:
            lengths: of the sentences of the batch.

        Raises:
            ValueError: if there are not as many as sentences.
        """
        return [
            spans_of(merges, length)
            for merges, length in zip(self.merges(lengths), lengths, strict=True)
        ]


def spans_of(merges: Sequence[int], length: int) -> frozenset[Span]:
    """Return the nodes that merging makes, as half-open ranges of tokens.

    Args:
        merges: at each step, which of the nodes left is merged with the next one.
        length: number of tokens.

    Returns:
        The inner nodes of a tree after length − 1 merges; of its parts so far after fewer.

    Raises:
        TypeError, ValueError: if a number has the wrong type or range.

    Example:
        >>> sorted(spans_of([1, 0], 3))
        [(0, 3), (1, 3)]
    """
    length, merges = check_count(length, "length"), whole_numbers(merges, "merges")
    bounds, spans = list(range(length + 1)), set()
    for step, position in enumerate(merges, start=1):
        if not 0 <= position < len(bounds) - 2:
            raise ValueError(
                f"merges: expected nodes that have a next one, 0 to {len(bounds) - 3}, got "
                f"{position} (merge {step})"
                if len(bounds) > 2
                else f"merges: expected at most {length - 1}, got {len(merges)}"
            )
        spans.add((bounds[position], bounds[position + 2]))
        del bounds[position + 1]
    return frozenset(spans)


def greedy(logits: Tensor) -> Tensor:
    """Return the most probable class as a one-hot vector, without gradient.

    Args:
        logits: θ, `[*batch, n]`.

    Returns:
        `[*batch, n]`; of equal classes the first.

    Raises:
        TypeError, ValueError: if the logits have the wrong type, shape or range.

    Example:
        >>> greedy(torch.tensor([0.0, 2.0, 1.0]))
        tensor([0., 1., 0.])
    """
    check_logits(logits)
    return one_hot_of_largest(logits)


class TreeLSTM(nn.Module):
    """Draw a binary tree bottom-up, compose the sentence along it, and classify the result.

    A node has a hidden state h and a cell c. Each step proposes to merge each node with the next:

        i, f_l, f_r, o = σ(W [h_l; h_r] + b),  u = tanh(·)      five blocks of one linear map,
        c = f_l c_l + f_r c_r + i u,   h = o tanh c             with 1 added inside of f_l and f_r

    gives the proposals the logits θ_j = ⟨q, h_j⟩ / √dim, draws D ~ Cat(softmax θ), puts the winner
    in the place of its two parts and copies the nodes to the left and right of it:

        node'_j = Σ_{i>j} D_i node_j + D_j proposal_j + Σ_{i<j} D_i node_{j+1}

    which is linear in D; so a gradient reaches D. The last step has one proposal and draws nothing.

    Nothing is padded: a step takes exactly the sentences that have m nodes left, and a sentence
    joins when m has come down to its length. What stands beside it in the batch makes no
    difference to it.

    Args:
        estimator: maps logits `[rows, n]` to samples of the same shape: an `estimators.sampler`,
            or a callable whose sample carries the gradient, for example
            ``functools.partial(gumbel_rao, tau=0.1, k=10)``.
        dim: size of the embedding, of h, c and the hidden layer of the classifier.
        vocabulary: number of different tokens.
        classes: number of labels.
        generator: source of the initial weights; the global one when None.

    Raises:
        TypeError, ValueError: if an argument has the wrong type or range.

    Example:
        >>> from functools import partial
        >>> from gumbelrao_edu import gumbel_rao
        >>> model = TreeLSTM(partial(gumbel_rao, tau=0.1, k=10), dim=16)
        >>> tokens, lengths = torch.tensor([11, 3, 7, 14, 5]), torch.tensor([4, 1])
        >>> batch = Batch(tokens, lengths, labels=torch.tensor([7, 5]))
        >>> loss = F.cross_entropy(model(batch), batch.labels)
        >>> loss.backward()

    Source: Choi, Yoo & Lee (2018), Learning to compose task-specific tree structures, the basic
    version and the initial weights of its public code; sizes from Paulus et al. (2021), app. D.1.
    """

    def __init__(
        self,
        estimator: Estimator,
        *,
        dim: int = 128,
        vocabulary: int = len(VOCABULARY),
        classes: int = 10,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        dim = check_count(dim, "dim")
        vocabulary = check_count(vocabulary, "vocabulary")
        classes = check_count(classes, "classes")
        check_function(estimator, "estimator")
        check_generator(generator, torch.device("cpu"))
        self.estimator, self.dim = estimator, dim
        # On "meta" no weights are drawn: torch would take them from the global generator.
        meta: dict[str, Any] = {"device": "meta", "dtype": torch.float32}
        self.embedding = nn.Embedding(vocabulary, dim, **meta)
        self.leaf = nn.Linear(dim, 2 * dim, **meta)
        self.compose = nn.Linear(2 * dim, 5 * dim, **meta)
        self.query = nn.Parameter(torch.empty(dim, **meta))
        self.hidden = nn.Linear(dim, dim, **meta)
        self.output = nn.Linear(dim, classes, **meta)
        self.to_empty(device="cpu")
        with torch.no_grad():
            nn.init.normal_(self.embedding.weight, generator=generator)
            nn.init.kaiming_normal_(self.leaf.weight, generator=generator)
            nn.init.orthogonal_(self.compose.weight, generator=generator)
            nn.init.normal_(self.query, std=0.01, generator=generator)
            nn.init.kaiming_normal_(self.hidden.weight, generator=generator)
            nn.init.uniform_(self.output.weight, -0.002, 0.002, generator=generator)
            for layer in (self.leaf, self.compose, self.hidden, self.output):
                nn.init.zeros_(layer.bias)

    def forward(self, batch: Batch, *, estimator: Estimator | None = None) -> Tensor:
        """Return the logits of the classes, `[B, classes]`.

        Args:
            batch: sentences.
            estimator: takes the place of the model's own for this call; `greedy` to evaluate.

        Raises:
            TypeError, ValueError: if an argument has the wrong type or shape; if a sentence is
                empty.
        """
        return self.classify(self.parse(batch, estimator=estimator).root)

    def classify(self, root: Tensor) -> Tensor:
        """Return the logits of the classes, `[B, classes]`, for the states of whole sentences."""
        logits: Tensor = self.output(self.hidden(root).relu())
        return logits

    def propose(self, nodes: Tensor) -> Tensor:
        """Return what each node and the next one would become, `[rows, m − 1, 2 dim]`.

        Args:
            nodes: (h, c) of each node, `[rows, m, 2 dim]`.
        """
        h, c = nodes.chunk(2, -1)
        gates: Tensor = self.compose(torch.cat([h[:, :-1], h[:, 1:]], -1))
        i, f_l, f_r, o, u = gates.chunk(5, -1)
        new_c = (f_l + 1).sigmoid() * c[:, :-1] + (f_r + 1).sigmoid() * c[:, 1:]
        new_c = new_c + i.sigmoid() * u.tanh()
        return torch.cat([o.sigmoid() * new_c.tanh(), new_c], -1)

    def logits(self, proposals: Tensor) -> Tensor:
        """Return θ of the proposals, `[rows, m − 1]`."""
        theta: Tensor = proposals[..., : self.dim] @ self.query / math.sqrt(self.dim)
        return theta

    def parse(self, batch: Batch, *, estimator: Estimator | None = None) -> Parse:
        """Draw a tree for each sentence and compose it; arguments and errors as for `forward`."""
        draw = self.estimator if estimator is None else estimator
        check_function(draw, "estimator")
        check_batch(batch)
        lengths = batch.lengths.tolist()
        if min(lengths, default=0) < 1:
            raise ValueError(
                f"batch: expected sentences of at least 1 token, got lengths {lengths}"
            )
        if batch.tokens.shape != (sum(lengths),):
            raise ValueError(
                f"batch: expected {sum(lengths)} tokens, the sum of the lengths, got the shape "
                f"{tuple(batch.tokens.shape)}"
            )
        words = self.embedding.num_embeddings
        if not holds(lambda tokens: (tokens >= 0) & (tokens < words), batch.tokens):
            raise ValueError(f"batch: expected tokens from 0 to {words - 1}, got others")
        starts = [0, *itertools.accumulate(lengths)]
        order = sorted(range(len(lengths)), key=lambda sentence: -lengths[sentence])
        at = [i for sentence in order for i in range(starts[sentence], starts[sentence + 1])]
        device = batch.tokens.device
        tokens = batch.tokens[torch.tensor(at, device="cpu").to(device, non_blocking=True)]
        # There are fewer different tokens than tokens: map each once.
        leaves = F.embedding(tokens, self.leaf(self.embedding.weight))

        logits, choices = [], []
        nodes, used = leaves.new_empty(0, max(lengths), 2 * self.dim), 0
        for left in range(max(lengths), 0, -1):
            if count := lengths.count(left):
                joining = leaves[used : used + count * left].view(count, left, -1)
                nodes, used = torch.cat([nodes, joining]), used + count * left
            if left == 1:
                break
            proposals = self.propose(nodes)
            if left == 2:
                nodes = proposals
                continue
            logits.append(self.logits(proposals))
            choice = draw(logits[-1])
            if not isinstance(choice, Tensor) or choice.shape != logits[-1].shape:
                got = tuple(choice.shape) if isinstance(choice, Tensor) else type(choice).__name__
                raise ValueError(
                    f"estimator: expected samples of the shape {tuple(logits[-1].shape)} of the "
                    f"logits, got {got}"
                )
            choices.append(choice)
            nodes = merge(choices[-1], proposals, nodes)
        ranks = torch.tensor(order, device="cpu").to(device, non_blocking=True)
        return Parse(nodes[:, 0, : self.dim][ranks.argsort()], ranks, logits, choices)


def merge(choice: Tensor, proposals: Tensor, nodes: Tensor) -> Tensor:
    """Return the nodes of the next step, `[rows, m − 1, d]`: `TreeLSTM`'s last formula.

    Args:
        choice: D, `[rows, m − 1]`.
        proposals: what each node and the next one would become, `[rows, m − 1, d]`.
        nodes: `[rows, m, d]`.

    Returns:
        `[rows, m − 1, d]`.

    Example:
        >>> nodes = torch.tensor([[[1.0], [2.0], [3.0]]])
        >>> proposals = torch.tensor([[[12.0], [23.0]]])
        >>> merge(torch.tensor([[1.0, 0.0]]), proposals, nodes).flatten()
        tensor([12.,  3.])
    """
    upto = choice.cumsum(-1)
    stays, shifts = 1 - upto, upto - choice  # Σ_{i>j} D_i and Σ_{i<j} D_i
    return (
        stays.unsqueeze(-1) * nodes[:, :-1]
        + choice.unsqueeze(-1) * proposals
        + shifts.unsqueeze(-1) * nodes[:, 1:]
    )
