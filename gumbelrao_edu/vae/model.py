"""The discrete variational auto-encoder of section 5.4, and its importance-weighted bound."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .._checks import (
    check_count,
    check_floating,
    check_function,
    check_generator,
    check_kind,
    check_real,
    holds,
)
from ..estimators import RunningMean, samples_of, score_loss
from ..estimators._score import log_probability
from ..gumbel import computing_dtype

Estimator = Callable[[Tensor], Tensor]


class DiscreteVAE(nn.Module):
    """A variational auto-encoder whose code is made of categorical variables.

        q(D|x) = Π_v Cat(softmax θ_v(x)),    p(x, D) = n^(−V) Π_pixels Bernoulli(x | decoder(D))
        ELBO   = E_q log p(x|D) − KL(q(D|x) ‖ uniform)          (section 5.4 with M = 1)

    The paper does not give its layers. These are perceptrons with tanh and by default two hidden
    layers of 512 and 256 units, the widths in Jang's code for Gumbel-Softmax; his ReLU was seen to
    collapse to KL = 0. As in Burda et al. (2016) and Tucker et al. (2017), weights are drawn by
    Glorot's rule and the training mean is subtracted from the images and is what the decoder
    paints at first. Measured: 8-ary, B = 20, ST-GS at τ = 0.6, learning rate 0.001, momentum 0.9,
    50,000 steps: 98.8 ± 0.8 nats on 1,000 test images with M = 1000 (the paper: 98.0).

    Args:
        arity: n, the number of classes of each variable, a power of 2.
        estimator: maps logits `[*, V, n]` to samples of the same shape: an `estimators.sampler`,
            or a callable whose sample carries the gradient, for example
            ``functools.partial(gumbel_rao, tau=0.5, k=10)``. REINFORCE has the running mean of
            log p(x|D) as its baseline (section 5.1), a buffer of the model; see `elbo`.
        pixel_mean: mean of each training image's pixel, `[pixels]`.
        hidden: widths of the encoder's hidden layers; the decoder mirrors them.
        latent_bits: V·log2 n, the number of inputs of the decoder, whatever the arity. Class c of
            a variable enters as a corner of {−1, 1}^{log2 n}: the binary digits of c.
        generator: source of the initial weights; the global one when None.

    Raises:
        TypeError, ValueError: if an argument has the wrong type, shape or range.

    Example:
        >>> from functools import partial
        >>> from gumbelrao_edu import gumbel_rao
        >>> estimator = partial(gumbel_rao, tau=0.5, k=10)
        >>> model = DiscreteVAE(8, estimator, pixel_mean=torch.full([784], 0.13))
        >>> loss = -model.elbo(torch.zeros(20, 784)).mean()
        >>> loss.backward()

    Source: Paulus, Maddison & Krause (2021), section 5.4; Maddison et al. (2017) for the corners;
    Burda et al. (2016), Importance weighted autoencoders; Tucker et al. (2017), REBAR.
    """

    def __init__(
        self,
        arity: int,
        estimator: Estimator,
        *,
        pixel_mean: Tensor,
        hidden: Sequence[int] = (512, 256),
        latent_bits: int = 240,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        arity = check_count(arity, "arity")
        latent_bits = check_count(latent_bits, "latent_bits")
        bits = arity.bit_length() - 1
        if arity != 2**bits or bits == 0:
            raise ValueError(f"arity: expected a power of 2 from 2 on, got {arity}")
        if latent_bits % bits:
            raise ValueError(f"latent_bits: expected a multiple of {bits}, got {latent_bits}")
        check_function(estimator, "estimator")
        check_real(pixel_mean, "pixel_mean")
        if (
            pixel_mean.dim() != 1
            or len(pixel_mean) == 0
            or not bool(((pixel_mean >= 0) & (pixel_mean <= 1)).all())
        ):
            raise ValueError(
                f"pixel_mean: expected [pixels] in [0, 1], got shape {tuple(pixel_mean.shape)}"
            )
        if isinstance(hidden, (str, Tensor)) or not isinstance(hidden, Iterable):
            raise TypeError(f"hidden: expected a sequence of widths, got {hidden!r}")
        hidden = [check_count(width, "hidden") for width in hidden]
        check_generator(generator, torch.device("cpu"))
        self.arity = arity
        self.num_variables = latent_bits // bits
        self.estimator = estimator
        if samples_of(estimator) == 1:
            # The m of `RunningMean`, and 1 − γ^t, by which it is divided.
            self.running_mean: Tensor
            self.register_buffer("running_mean", torch.zeros(2, dtype=torch.float32, device="cpu"))
        pixels = len(pixel_mean)
        self.encoder = _perceptron([pixels, *hidden, self.num_variables * arity], generator)
        self.decoder = _perceptron([latent_bits, *reversed(hidden), pixels], generator)
        classes, places = (torch.arange(count, device="cpu") for count in (arity, bits))
        digits = (classes.unsqueeze(-1) >> places & 1).to(torch.float32)
        self.corners: Tensor
        self.register_buffer("corners", 2 * digits - 1)
        self.pixel_mean: Tensor
        self.register_buffer("pixel_mean", pixel_mean.detach().clone().float().cpu())
        output = self.decoder[-1]
        assert isinstance(output, nn.Linear)
        with torch.no_grad():  # clamped: a pixel that is never on has no finite logit
            output.bias.copy_(self.pixel_mean.clamp(1e-3, 1 - 1e-3).logit())

    def encode(self, x: Tensor) -> Tensor:
        """Return the logits of q(D|x), `[batch, V, n]`, for images `[batch, pixels]`.

        Raises:
            TypeError, ValueError: if `x` has the wrong type, shape or range.
        """
        self._check_images(x)
        logits: Tensor = self.encoder(x.to(self.pixel_mean) - self.pixel_mean)
        return logits.view(*logits.shape[:-1], self.num_variables, self.arity)

    def decode(self, sample: Tensor) -> Tensor:
        """Return the logits of the pixels, `[*, pixels]`, for a code D, `[*, V, n]`.

        Raises:
            TypeError, ValueError: if `sample` has the wrong type or shape.
        """
        if not isinstance(sample, Tensor):
            raise TypeError(f"sample: expected a tensor, got {type(sample).__name__}")
        if sample.shape[-2:] != (self.num_variables, self.arity):
            raise ValueError(
                f"sample: expected codes [*, {self.num_variables}, {self.arity}], "
                f"got shape {tuple(sample.shape)}"
            )
        pixels: Tensor = self.decoder((sample.to(self.corners) @ self.corners).flatten(-2))
        return pixels

    def log_likelihood(self, x: Tensor, sample: Tensor) -> Tensor:
        """Return log p(x|D), `[*]`, for images `[*, pixels]` and codes `[*, V, n]`.

        Raises:
            TypeError, ValueError: if an argument has the wrong type, shape or range.
        """
        self._check_images(x)
        pixels = self.decode(sample)
        if x.shape != pixels.shape:
            raise ValueError(
                f"x, sample: expected as many images as codes, got the shapes {tuple(x.shape)} and "
                f"{tuple(sample.shape)}"
            )
        return _log_bernoulli(x.to(self.pixel_mean), pixels)

    def _check_images(self, x: Tensor) -> None:
        pixels = len(self.pixel_mean)
        check_real(x, "x", "pixels")
        if x.dim() == 0 or x.shape[-1] != pixels:
            raise ValueError(f"x: expected images [*, {pixels}], got shape {tuple(x.shape)}")
        if not holds(lambda x: (x >= 0) & (x <= 1), x):
            raise ValueError("x: expected pixels from 0 to 1, got others (0 to 255: divide by 255)")

    def kl(self, logits: Tensor) -> Tensor:
        """Return KL(q ‖ uniform) = Σ_v (log n − entropy of variable v), `[batch]`, exactly.

        In float32 or wider: it is a small difference of large sums.

        Raises:
            TypeError, ValueError: if `logits` has the wrong type or shape.
        """
        check_floating(logits, "logits")
        if logits.shape[-2:] != (self.num_variables, self.arity):
            raise ValueError(
                f"logits: expected shape [*, {self.num_variables}, {self.arity}], "
                f"got {tuple(logits.shape)}"
            )
        log_q = logits.to(computing_dtype(logits.dtype)).log_softmax(-1)
        # A class that never occurs adds nothing: 0 · log 0 is 0.
        plogp = log_q.exp() * log_q.masked_fill(log_q == -torch.inf, 0.0)
        return plogp.sum((-2, -1)) + self.num_variables * math.log(self.arity)

    def elbo(self, x: Tensor, *, estimator: Estimator | None = None) -> Tensor:
        """Return log p(x|D) − KL with D drawn from q(D|x), `[batch]`: the objective, in nats.

        With a score-function estimator log p(x|D) is the mean over its S samples, with the gradient
        of `estimators.score_loss`. All variables of an image are one outcome here, and the KL and
        its gradient are exact as with any other estimator. A model's own REINFORCE has the running
        mean of log p(x|D) as its baseline. Each call in which gradients are enabled adds to it,
        after its use; so does the second one of activation checkpointing, which does not go
        together with it.

        Args:
            x: images `[batch, pixels]`, 0 or 1, of any dtype.
            estimator: takes the place of the model's own for this call, without a baseline.

        Raises:
            TypeError, ValueError: if an argument has the wrong type, shape or range.
        """
        draw = self.estimator if estimator is None else estimator
        check_function(draw, "estimator")
        logits = self.encode(x)
        num_samples = samples_of(draw)
        if num_samples == 0:
            return self.log_likelihood(x, draw(logits)) - self.kl(logits)
        many = logits.expand(num_samples, *logits.shape)
        sample = draw(many)
        values = self.log_likelihood(x.expand(num_samples, *x.shape), sample)
        log_q = log_probability(many, sample.argmax(-1), values.dim())
        own = estimator is None and "running_mean" in self._buffers
        baseline = self._baseline(values) if own else 0.0
        return score_loss(values, log_q, baseline=baseline) - self.kl(logits)

    def _baseline(self, values: Tensor) -> Tensor:
        """The mean of log p(x|D) in past steps, to which one adds its own; see `RunningMean`."""
        mean, weight = self.running_mean.clone()
        if torch.is_grad_enabled():
            finite = values.detach().isfinite()  # what is not is left out
            count = finite.sum()
            value = values.detach().where(finite, 0.0).sum() / count.clamp(min=1)
            new = torch.stack([value, torch.ones_like(value)]).to(self.running_mean)
            after = RunningMean.decay * self.running_mean + (1 - RunningMean.decay) * new
            self.running_mean.copy_(after.where(count > 0, self.running_mean))
        past: Tensor = mean / weight.clamp(min=1e-9)  # 0 before the first step
        return past

    forward = elbo

    @torch.no_grad()
    def reconstruct(self, x: Tensor) -> Tensor:
        """Return the mean images, `[batch, pixels]`, of the most probable codes of `x`.

        Raises:
            TypeError, ValueError: if `x` has the wrong type, shape or range.
        """
        code = F.one_hot(self.encode(x).argmax(-1), self.arity)
        return self.decode(code.to(self.corners)).sigmoid()

    @torch.no_grad()
    def sample(self, count: int, *, generator: torch.Generator | None = None) -> Tensor:
        """Return the mean images, `[count, pixels]`, of codes drawn from the prior.

        Args:
            count: how many.
            generator: source of randomness; the global one when None.

        Raises:
            TypeError, ValueError: if an argument has the wrong type or range.
        """
        count = check_count(count, "count")
        shape, device = (count, self.num_variables), self.corners.device
        check_generator(generator, device)
        code = torch.randint(self.arity, shape, generator=generator, device=device)
        return self.decode(F.one_hot(code, self.arity).to(self.corners)).sigmoid()


@torch.no_grad()
def importance_weighted_bound(
    model: DiscreteVAE,
    x: Tensor,
    *,
    num_samples: int,
    chunk: int = 100,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Estimate a lower bound of log p(x) from M samples of the code.

        L_M = log (1/M) Σ_j p(x, D^j) / q(D^j|x),    D^j ~ q(D|x)

    E[L_M] rises with M, from the ELBO at M = 1 to log p(x). (The formula printed in section 5.4
    lacks the weight 1/q.)

    Args:
        model: gives q, p(x|D) and the uniform prior.
        x: images `[*batch, pixels]`, 0 or 1.
        num_samples: M.
        chunk: samples alive at a time. It bounds the memory (chunk · batch · pixels numbers) and
            changes the result by rounding only: the same samples are drawn.
        generator: source of randomness; the global one when None.

    Returns:
        L_M of each image, `[*batch]`, in nats.

    Raises:
        TypeError, ValueError: if an argument has the wrong type, shape or range.

    Example:
        >>> model = DiscreteVAE(2, torch.softmax, pixel_mean=torch.full([784], 0.13))
        >>> importance_weighted_bound(model, torch.zeros(3, 784), num_samples=10).shape
        torch.Size([3])

    Source: Burda, Grosse & Salakhutdinov (2016), Importance weighted autoencoders.
    """
    check_kind(model, DiscreteVAE, "model")
    num_samples = check_count(num_samples, "num_samples")
    chunk = check_count(chunk, "chunk")
    log_q = model.encode(x).log_softmax(-1)
    check_generator(generator, log_q.device)
    x = x.to(model.pixel_mean)
    cumulative = log_q.exp().cumsum(-1)
    cumulative = cumulative / cumulative[..., -1:]
    log_prior = -model.num_variables * math.log(model.arity)
    total = torch.full(x.shape[:-1], -torch.inf, dtype=x.dtype, device=x.device)
    for done in range(0, num_samples, chunk):
        # One call for each sample, so that the draws do not depend on the chunk on any device.
        uniform = torch.stack(
            [
                torch.rand(
                    log_q.shape[:-1], generator=generator, device=x.device, dtype=torch.float32
                )
                for _ in range(min(chunk, num_samples - done))
            ]
        )
        index = (uniform.unsqueeze(-1) >= cumulative).sum(-1)  # inversion: D ~ q
        log_q_sample = log_q.expand(*index.shape, -1).gather(-1, index.unsqueeze(-1)).sum((-2, -1))
        pixels = model.decoder(model.corners[index].flatten(-2))
        log_weight = _log_bernoulli(x.expand_as(pixels), pixels) + log_prior - log_q_sample
        total = torch.logaddexp(total, log_weight.logsumexp(0))
    return total - math.log(num_samples)


def _log_bernoulli(x: Tensor, logits: Tensor) -> Tensor:
    return -F.binary_cross_entropy_with_logits(logits, x, reduction="none").sum(-1)


def _perceptron(sizes: Sequence[int], generator: torch.Generator | None) -> nn.Sequential:
    layers: list[nn.Module] = []
    for inputs, outputs in pairwise(sizes):
        # By way of "meta", which draws no weights: torch would take them from the global generator.
        linear = nn.Linear(inputs, outputs, device="meta", dtype=torch.float32).to_empty(
            device="cpu"
        )
        bound = math.sqrt(6 / (inputs + outputs))  # Glorot & Bengio (2010)
        with torch.no_grad():
            linear.weight.uniform_(-bound, bound, generator=generator)
            linear.bias.zero_()
        layers += [linear, nn.Tanh()]
    return nn.Sequential(*layers[:-1])
