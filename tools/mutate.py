"""Break the estimators in obvious ways, one at a time, and see that a test fails each time.

    python tools/mutate.py              # every mutation; needs the environment of make test-kernels
    python tools/mutate.py gumbel_rao   # those of files whose name contains this

A mutation replaces one piece of text in a copy of the package. One that no test notices is printed,
and the exit status is 1. The mistakes found in public implementations are among them.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

# file, what stands there, what it becomes, which mistake that is
MUTATIONS = [
    ("gumbel.py", ".neg_().log1p_().neg_()", ".neg_().log1p_().neg_().mul_(0.9)", "exponentials of another rate"),
    ("gumbel.py", "uniform.add_(grid / 2)", "uniform", "log of zero"),
    ("gumbel.py", ".clamp_max_(largest)", "", "log of an infinite exponential"),
    ("gumbel.py", ".clamp_max_(largest)", ".clamp_max_(largest).log().neg()", "Gumbels where exponentials belong"),
    ("gumbel.py", ".neg_().log1p_().neg_()", ".neg_().add_(1 + 1e-3).log_().neg_().abs_()", "ε inside a log"),
    ("gumbel.py", "some_small = _some_below(draws, _SMALL)", "some_small = False", "no Gumbel above 17.4"),
    ("gumbel.py", "dtype) * _SMALL", "dtype)", "the tail drawn as if it were all"),
    ("gumbel.py", "return perturbed + excess", "return perturbed", "rounding makes two entries the largest"),
    ("gumbel.py", "perturbed = theta - log_e", "perturbed = theta", "D = argmax θ, without noise"),
    ("gumbel.py", "perturbed = theta - log_e", "perturbed = theta + log_e", "Gumbels of the wrong sign"),
    ("gumbel.py", "largest = log_z - (log_e", "largest = -(log_e", "(9) without log Z"),
    ("gumbel.py", "others = -torch.logaddexp(", "others = torch.logaddexp(", "(9) without its minus"),
    ("gumbel.py", "theta.masked_fill(never, 0.0), -largest)", "theta.masked_fill(never, 0.0), 0 * largest)", "(9) without truncation"),
    ("gumbel.py", "return theta / tau", "return theta * tau", "softmax at 1/τ"),
    ("gumbel.py", "return divided(centred(logits), tau).softmax(-1).to(logits.dtype)", "return ((e := divided(logits, tau).exp()) / e.sum(-1, keepdim=True)).to(logits.dtype)", "exp(logits) that overflows"),
    ("surrogate.py", "value.detach() + (surrogate - surrogate.detach())", "value + (surrogate - surrogate).detach()", "the gradient goes to the value"),
    ("surrogate.py", "return value.detach() + (surrogate - surrogate.detach())", "return surrogate", "the surrogate's value is returned"),
    ("surrogate.py", "return value.detach() + (surrogate - surrogate.detach())", "return value.detach() + surrogate - surrogate.detach()", "the value is rounded"),
    ("surrogate.py", "(downstream + direct[j]).detach()", "direct[j].detach()", "(22) without what comes from below"),
    ("estimators/straight_through.py", "temper(logits, tau)", "temper(logits, 1.0)", "no slope annealing"),
    ("estimators/st_gumbel_softmax.py", "temper(perturbed, tau)", "temper(logits, tau)", "ST in place of ST-GS"),
    ("estimators/st_gumbel_softmax.py", "temper(perturbed, tau)", "temper(perturbed.detach() + logits, tau)", "2θ + G in place of θ + G"),
    ("estimators/gumbel_softmax.py", "temper(perturbed, tau)", "temper(perturbed, 1.0)", "the temperature is ignored"),
    ("estimators/gumbel_rao.py", "centred(logits.detach())", "centred(logits.detach().masked_fill(logits == -math.inf, 1.0))", "padding set to 1 in place of −∞"),
    ("estimators/gumbel_rao.py", "return r.div_(r.sum(0, keepdim=True))", "return r.div_(r.sum(-1, keepdim=True))", "a softmax over positions in place of classes"),
    ("estimators/gumbel_rao.py", "(total / (k * tau))", "(total / k)", "1/τ forgotten"),
    ("estimators/gumbel_rao.py", "(total / (k * tau))", "(total / tau)", "a sum in place of a mean over K"),
    ("estimators/gumbel_rao.py", "total += g * s.sum(1) - s.mul_(inner).sum(1)", "total += g * s.sum(1)", "the Jacobian's second term forgotten"),
    ("estimators/gumbel_rao.py", "inner = (g.unsqueeze(1) * s).sum(0)", "inner = (g.unsqueeze(1) * s).sum(1)[:1]", "a sum over draws in place of classes"),
    ("estimators/gumbel_rao.py", "r.scatter_(0, at_i, 1.0)", "pass", "r_i = 1 forgotten"),
    ("estimators/gumbel_rao.py", "noise.div_(noise.gather(0, at_i))", "noise", "E_i forgotten"),
    ("estimators/gumbel_rao.py", ".mul_(inverse_p.unsqueeze(1))", ".div_(inverse_p.unsqueeze(1))", "p in place of 1/p"),
    ("estimators/gumbel_rao.py", ".add_(rest.unsqueeze(1))", "", "a class whose probability is rounded to 0 forgotten"),
    ("training/loop.py", "torch.empty_like(parameter).copy_(momentum)", "momentum", "a momentum in another order than its weight"),
    ("training/stacked.py", "requires_grad_(parameters[0].requires_grad)", "requires_grad_()", "frozen weights trained"),
    ("estimators/gumbel_rao.py", "index = one_hot.argmax(-1).reshape(1, -1)", "index = theta.argmax(0, keepdim=True)", "given another class than was drawn"),
    ("estimators/gumbel_rao.py", "return tensor.reshape(-1, tensor.shape[-1]).T.contiguous()", "return tensor.reshape(tensor.shape[-1], -1).contiguous()", "a reshape for a transpose"),
    ("estimators/gumbel_rao.py", "torch.Generator(logits.device).manual_seed(int(seed))", "torch.Generator(logits.device).manual_seed(0)", "the same noise at each call"),
    ("estimators/gumbel_rao.py", "opposite = (1 - torch.finfo(theta.dtype).eps / 2) - half", "opposite = half", "a draw twice in place of its opposite"),
    ("estimators/gumbel_rao.py", "u = (points + shift).remainder_(1)", "u = points.expand(n, draws, rows).clone()", "a low-discrepancy set that is not random"),
    ("estimators/gumbel_rao.py", "return zgr(logits, generator=generator)", "return zgr(-logits, generator=generator)", "the limit of another variable"),
    ("estimators/zgr.py", "(p + (one_hot - p).detach() * ratio) / 2", "p + (one_hot - p).detach() * ratio", "the half forgotten"),
    ("estimators/zgr.py", "(one_hot - p).detach()", "one_hot.detach()", "no baseline ⟨g, p⟩"),
    ("estimators/_score.py", "if baseline.shape != trailing or", "if", "a baseline that is broadcast to more losses"),
    ("estimators/_score.py", "(baseline.detach() if", "(baseline if", "a gradient into the baseline"),
    ("estimators/_score.py", "return (losses + advantage", "return (losses.detach() + advantage", "∂f/∂θ forgotten"),
    ("estimators/_score.py", "advantage = losses - (", "advantage = -losses + (", "the wrong sign"),
    ("estimators/reinforce.py", "        past.update(losses)\n", "", "the baseline never moves"),
    ("estimators/_score.py", "log_p.flatten(axes).sum(-1)", "log_p.flatten(axes).mean(-1)", "a mean over variables in place of a sum"),
    ("estimators/reinforce.py", "self.mean / self.weight if self.weight else 0.0", "self.mean", "no correction for the start"),
    ("estimators/_score.py", " * (len(losses) / (len(losses) - 1))", "", "the baseline contains the sample itself"),
    ("estimators/_score.py", "return (losses - losses.mean(0))", "return losses", "no baseline"),
    ("estimators/exact.py", "p_each.flatten(losses.dim()).prod(-1)", "p_each.flatten(losses.dim()).mean(-1)", "a mean in place of a product"),
    ("quadrature.py", "own = -w_q.sum(-1, keepdim=True)", "own = w_q.sum(-1, keepdim=True)", "the sign of the chosen class"),
    ("quadrature.py", "r_sum = 1.0 + plain @ rho  # ρ_i = 1", "r_sum = plain @ rho", "ρ_i = 1 forgotten"),
    ("quadrature.py", ".scatter_(-1, i, -torch.inf)", "", "the chosen class counted among the others"),
    ("estimators/reinmax.py", "2 * jacobian(middle, theta) - jacobian(", "2 * jacobian(middle, theta) + jacobian(", "the sign of the second term"),
    ("estimators/reinmax.py", "theta.detach().softmax(-1), theta) / 2", "theta.detach().softmax(-1), theta)", "the half forgotten"),
    ("estimators/reinmax.py", "jacobian(theta.detach().softmax(-1), theta)", "jacobian(temper(theta.detach(), tau), theta)", "the temperature in the second term, too"),
    ("estimators/reinmax.py", "return p * (finite - (p * finite).sum(-1, keepdim=True))", "return p * finite", "the Jacobian's second term forgotten"),
    ("estimators/gapped_straight_through.py", "torch.where(one_hot == 1, -fixed, ", "torch.where(one_hot == 1, 0 * fixed.clamp(min=-1e30), ", "the chosen class is not raised"),
    ("estimators/gapped_straight_through.py", "-(fixed + gap).clamp(min=0.0)", "-fixed.clamp(min=0.0)", "no gap"),
    ("estimators/gapped_straight_through.py", "-(fixed + gap).clamp(min=0.0)", "-(fixed + gap)", "the others are raised, too"),
    ("estimators/gapped_straight_through.py", "theta = first_order(centred(logits), \"gapped_straight_through\")  # max θ = 0", "theta = centred(logits.masked_fill(logits == -torch.inf, 1.0))", "padding set to 1 in place of −∞"),
    ("estimators/decoupled_straight_through.py", "(divided(theta.detach(), tau_forward) + noise)", "(theta.detach() + noise)", "the forward temperature is ignored"),
    ("estimators/decoupled_straight_through.py", "(divided(theta, tau) + noise)", "divided(theta + noise, tau)", "the temperature divides the noise"),
    ("estimators/reinmax_rao.py", "2 * rao - jacobian", "rao - jacobian", "the factor 2 forgotten"),
    ("estimators/reinmax_rao.py", "log_p.logaddexp(one_hot.log()) - math.log(2)", "log_p", "Gumbel-Rao at p in place of the middle"),
    ("estimators/reinmax_cv.py", "eta * (rao - temper(perturbed, tau))", "eta * (temper(perturbed, tau) - rao)", "the bracket's sign"),
    ("estimators/reinmax_cv.py", "perturb(middle, generator)", "perturb(theta, generator)", "ST-GS at θ in place of θ_D"),
    ("diagnostics/comparison.py", "b.square().sum().item() - y.square().sum().item()", "b.square().sum().item()", "a squared bias that contains the noise"),
    ("diagnostics/comparison.py", "self.variance.value / m,", "self.variance.value,", "the MSE of one gradient for a mean of m"),
    ("diagnostics/comparison.py", "mse(evaluations / r.evaluations)", "mse(evaluations)", "S evaluations counted as one"),
    ("diagnostics/comparison.py", "if value >= self.squared_norm / 2:", "if False:", "an estimate of nearly 0 is recommended"),
    ("diagnostics/samples.py", "losses.masked_fill(p == 0, 0.0)", "losses + 1 / p", "impossible classes in the exact gradient"),
    ("distributions.py", "tau=self.tau,", "tau=1.0,", "the temperature is ignored"),
    ("distributions.py", ".masked_fill(never, -torch.inf)", "", "a class of probability zero is drawn"),
    ("distributions.py", "n.lgamma()", "0", "(n − 1)! forgotten"),
    ("distributions.py", "(n - 1) * t.log()", "n * t.log()", "a power of τ too many"),
    ("modules.py", "(1 + c) / 2 * a", "c * a", "a cosine that overshoots"),
    ("modules.py", "min(tau, max(a, b))", "tau", "rounding past the end"),
    ("modules.py", "            check_logits(theta)\n", "", "the most probable class of NaN"),
    ("modules.py", "noise=self.noise,", "", "the noise is ignored"),
    ("modules.py", "missing_keys.append(key)", "pass", "a schedule that begins anew without a word"),
    ("estimators/_fused.py", "half = tl.where(large, ~high, high)", "half = tl.where(large, high, high)", "1 − U for U"),
    ("estimators/_fused.py", "tl.where(large, far, near), tl.where(large, near, far)", "near, far", "only the smaller half"),
    ("estimators/_fused.py", "theta - tl.log(e), 1", "theta + tl.log(e), 1", "Gumbels of the wrong sign"),
    ("estimators/_fused.py", "r = tl.where(chosen, 1.0, r)", "r = r", "r_i = 1 forgotten"),
    ("estimators/_fused.py", "e / own * inverse_p", "e * inverse_p", "E_i forgotten"),
    ("estimators/_fused.py", "s * (g - tl.sum(g * s, 1)[:, None])", "s * g", "the Jacobian's second term forgotten"),
    ("estimators/_fused.py", "(draw + 1 < k).to(F)", "1.0", "the opposite of the last draw of an odd K"),
    ("estimators/_fused.py", "total / (k * tau)", "total / k", "1/τ forgotten"),
    ("estimators/_fused.py", "zero + draw, zero + 1)", "zero, zero + 1)", "the same draw K times"),
    ("estimators/_fused.py", "number + zero, col + zero, zero + draw", "zero, col + zero, zero + draw", "all rows have one noise"),
    ("estimators/_fused.py", "rho = tl.where(chosen[:, :, None], 1.0, rho)", "rho = rho", "ρ_i = 1 forgotten"),
    ("estimators/_fused.py", "& (chosen == 0)", "", "the chosen class counted among the others"),
    ("estimators/_fused.py", "rho *= scale[:, :, None] / phi", "rho *= scale[:, :, None]", "ρ without its 1/φ"),
    ("estimators/_fused.py", "taus + row * each_tau, mask=row < rows, other=1.0)\n    # Below", "taus, mask=row < rows, other=1.0)\n    # Below", "one temperature for all rows"),
]  # fmt: skip

TESTS = [
    "tests/test_gumbel.py",
    "tests/test_surrogate.py",
    "tests/test_estimators.py",
    "tests/test_score.py",
    "tests/test_successors.py",
    "tests/test_modules.py",
    "tests/test_compare.py",
    "tests/test_quadrature.py",
]

_FUSED = "estimators/_fused.py"
_KERNELS = ROOT / ".venv-kernels/bin/python"


def survives(file: str, old: str, new: str) -> bool:
    """Whether all tests pass in spite of the mutation; with nothing to replace, whether they pass."""
    with tempfile.TemporaryDirectory() as folder:
        for name in ("gumbelrao_edu", "tests", "tools"):
            shutil.copytree(
                ROOT / name, Path(folder, name), ignore=shutil.ignore_patterns("__pyc*")
            )
        shutil.copy(ROOT / "pyproject.toml", folder)
        target = Path(folder, "gumbelrao_edu", file)
        text = target.read_text("utf-8")
        if text.count(old) < 1:
            raise ValueError(f"{file}: expected to find {old!r}, got a file without it")
        target.write_text(text.replace(old, new, 1), "utf-8")
        python, tests = sys.executable, TESTS
        environment = {**os.environ, "PYTHONPATH": folder, "OMP_NUM_THREADS": "1"}
        if file == _FUSED:  # what `make test-kernels` runs
            python, tests = str(_KERNELS), ["tests/test_kernels.py"]
            environment["TRITON_INTERPRET"] = "1"
        command = [python, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", *tests]
        run = subprocess.run(
            command, cwd=folder, env=environment, capture_output=True, text=True, check=False
        )
        if run.returncode not in (0, 1):
            raise RuntimeError(f"{file}: the tests did not run\n{run.stdout}\n{run.stderr}")
        return run.returncode == 0


def main() -> int:
    wanted = sys.argv[1] if len(sys.argv) > 1 else ""
    chosen = [mutation for mutation in MUTATIONS if wanted in mutation[0]]
    if not chosen:
        sys.exit(f"MUTATIONS has none of a file with {wanted!r} in its name; write them into it")
    if not _KERNELS.exists() and any(file == _FUSED for file, *_ in chosen):
        sys.exit(f"mutations of {_FUSED} need {_KERNELS}, which `make test-kernels` makes")
    for fused in {file == _FUSED for file, *_ in chosen}:  # else each would count as noticed
        if not survives(_FUSED if fused else "gumbel.py", "", ""):
            sys.exit("the tests fail without any mutation")
    survivors = 0
    for file, old, new, mistake in chosen:
        alive = survives(file, old, new)
        survivors += alive
        print(f"{'NOT NOTICED' if alive else 'noticed':12} {file:34} {mistake}", flush=True)
    print(f"{survivors} mutations were not noticed")
    return int(survivors > 0)


if __name__ == "__main__":
    sys.exit(main())
