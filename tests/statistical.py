"""Statistical assertions with a declared false-failure rate and a power that is checked first.

A correct program fails one of these with probability at most `FALSE_FAILURE_RATE` (Bonferroni over
the entries compared; the mean of many draws is taken as normal). Each call names the discrepancy
that it would notice; that it would, with probability 0.999, is asserted before the data are judged.
"""

from scipy import stats
from torch import Tensor

FALSE_FAILURE_RATE = 1e-6
MISS_RATE = 1e-3


def assert_mean(samples: Tensor, expected: Tensor, *, notice: float) -> None:
    """The mean over the first axis is `expected`, entry by entry."""
    _within(discrepancy(samples, expected, notice=notice))


def assert_same_mean(first: Tensor, second: Tensor, *, notice: float) -> None:
    """Two independent sets of draws have the same mean."""
    _within(discrepancy(first, second.mean(0), notice=notice, extra=_variance(second)))


def _within(found: float) -> None:
    assert found <= 1.0, f"the means differ by {found:.2g} times what chance allows"


def discrepancy(
    samples: Tensor, expected: Tensor, *, notice: float, extra: Tensor | float = 0.0
) -> float:
    """The largest deviation in units of what is still accepted."""
    samples = samples.double()
    error = (_variance(samples) + extra).sqrt()
    limit = float(stats.norm.isf(FALSE_FAILURE_RATE / 2 / max(1, expected.numel())))
    power = limit + float(stats.norm.isf(MISS_RATE))
    assert float(error.max()) * power < notice, "too few draws to notice the stated discrepancy"
    # An entry without any variance has to agree to rounding.
    accepted = (limit * error).clamp_min(1e-6)
    return float(((samples.mean(0) - expected.double()).abs() / accepted).max())


def assert_frequencies(counts: Tensor, probabilities: Tensor) -> None:
    """Pearson's goodness of fit; would notice a total variation of 2 % (checked)."""
    total = float(counts.sum())
    k = counts.numel()
    limit = stats.chi2.isf(FALSE_FAILURE_RATE, k - 1)
    # Moving 2 % of the probability gives at least a noncentrality of 4 · 0.02² · total.
    assert stats.ncx2.sf(limit, k - 1, 4 * 0.02**2 * total) > 1 - MISS_RATE, "too few draws"
    expected = probabilities.double() * total
    assert float(((counts - expected) ** 2 / expected).sum()) < limit


def _variance(samples: Tensor) -> Tensor:
    return samples.double().var(0) / len(samples)
