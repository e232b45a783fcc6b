"""The Gumbel Tree-LSTM against a slow one that takes a sentence at a time; spans; scores."""

import functools
import itertools
import math

import pytest
import torch
import torch.nn.functional as F
from seeded import seeded
from statistical import assert_mean

from gumbelrao_edu import estimators, gumbel_rao, surrogate
from gumbelrao_edu.estimators import sampler
from gumbelrao_edu.listops import (
    Batch,
    Parse,
    Split,
    TreeLSTM,
    accuracy,
    generate,
    greedy,
    losses,
    score,
    spans_of,
    trees,
)

LENGTHS = [4, 9, 1, 6, 2, 9, 3]


def soft(logits):
    """A relaxation: everything is smooth in it."""
    return (logits * 7).softmax(-1)


def hard(logits):
    """D without noise, with a gradient: what a sentence gets does not depend on its batch."""
    return surrogate.replace_gradient(greedy(logits), soft(logits))


def some_batch(lengths, seed=0):
    generator = seeded(seed)
    tokens = torch.randint(15, (sum(lengths),), generator=generator)
    labels = torch.randint(10, (len(lengths),), generator=generator)
    return Batch(tokens, torch.tensor(lengths), labels)


def some_model(estimator, dim=8, seed=0, dtype=torch.float64):
    generator = seeded(seed)
    model = TreeLSTM(estimator, dim=dim, generator=generator).to(dtype)
    with torch.no_grad():  # a query that prefers something, biases that are not 0
        model.query.normal_(generator=generator)
        for layer in (model.leaf, model.compose, model.hidden, model.output):
            layer.bias.normal_(std=0.3, generator=generator)
        model.output.weight.normal_(generator=generator)
    return model


def sentences(batch):
    return zip(batch.tokens.split(batch.lengths.tolist()), batch.labels, strict=True)


def slowly(model, tokens, estimator):
    """Choi et al. (2018), line by line, one sentence; the hidden state, and the merges."""
    d = model.dim
    h, c = model.leaf(model.embedding(tokens)).split(d, -1)
    merges = []
    while len(h) > 1:
        new_h, new_c = [], []
        for left in range(len(h) - 1):
            gates = model.compose(torch.cat([h[left], h[left + 1]]))
            i, f_l, f_r, o, u = gates.split(d)
            cell = c[left] * (f_l + 1).sigmoid() + c[left + 1] * (f_r + 1).sigmoid()
            cell = cell + u.tanh() * i.sigmoid()
            new_c.append(cell)
            new_h.append(o.sigmoid() * cell.tanh())
        if len(h) == 2:
            h, c = torch.stack(new_h), torch.stack(new_c)
            merges.append(0)
            break
        scores = torch.stack([torch.dot(model.query, each) / math.sqrt(d) for each in new_h])
        choice = estimator(scores)
        merges.append(int(choice.argmax()))

        def put(old, new, choice=choice):
            return torch.stack(
                [
                    sum(choice[j + 1 :]) * old[j]
                    + choice[j] * new[j]
                    + sum(choice[:j]) * old[j + 1]
                    for j in range(len(new))
                ]
            )

        h, c = put(h, new_h), put(c, new_c)
    return h[0], merges


# --- the model ------------------------------------------------------------------------------------


@pytest.mark.parametrize("estimator", [soft, hard])
def test_states_merges_and_gradients_are_those_of_the_slow_version(estimator):
    model, batch = some_model(estimator), some_batch(LENGTHS)
    slow = [slowly(model, tokens, estimator) for tokens, _ in sentences(batch)]
    parse = model.parse(batch)
    torch.testing.assert_close(parse.root, torch.stack([root for root, _ in slow]))
    assert parse.merges(LENGTHS) == [merges for _, merges in slow]
    for of_one in (parse.merges, parse.spans):
        with pytest.raises(ValueError, match=rf"lengths: expected {len(LENGTHS)}, .*got 1"):
            of_one(LENGTHS[:1])
    loss = F.cross_entropy(model(batch), batch.labels)
    wanted = F.cross_entropy(model.classify(torch.stack([h for h, _ in slow])), batch.labels)
    parameters = dict(model.named_parameters())
    gradients = torch.autograd.grad(loss, list(parameters.values()))
    slow_gradients = torch.autograd.grad(wanted, list(parameters.values()))
    for name, gradient, expected in zip(parameters, gradients, slow_gradients, strict=True):
        assert expected.norm() > 1e-6, name  # each is tested
        torch.testing.assert_close(
            gradient, expected, msg=lambda text, name=name: f"{name}: {text}"
        )


def test_a_sentence_does_not_feel_its_neighbours():
    model, batch = some_model(hard), some_batch(LENGTHS)
    logits = model(batch)
    losses = F.cross_entropy(logits, batch.labels, reduction="none")
    for row, (tokens, label) in enumerate(sentences(batch)):
        alone = Batch(tokens, torch.tensor([len(tokens)]), label[None])
        torch.testing.assert_close(model(alone)[0], logits[row])
        mine = torch.autograd.grad(losses[row], model.compose.weight, retain_graph=True)[0]
        loss = F.cross_entropy(model(alone), alone.labels)
        if len(tokens) > 1:
            torch.testing.assert_close(torch.autograd.grad(loss, model.compose.weight)[0], mine)
        else:
            assert mine.abs().max() == 0  # one token composes nothing


def test_order_of_the_batch_is_kept():
    model, batch = some_model(hard), some_batch(LENGTHS)
    there = list(sentences(batch))
    order = [3, 0, 6, 2, 5, 1, 4]
    turned = Batch(
        torch.cat([there[i][0] for i in order]), batch.lengths[order], batch.labels[order]
    )
    torch.testing.assert_close(model(turned), model(batch)[order])
    assert model.parse(turned).spans(turned.lengths.tolist()) == [
        model.parse(batch).spans(LENGTHS)[i] for i in order
    ]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("name", [n for n in estimators.names() if estimators.get(n).samples])
def test_every_estimator_that_samples_trains_it(name, dtype):
    record = estimators.get(name)
    generator = seeded()
    draw = functools.partial(record.function, generator=generator, **record.example)
    model, batch = some_model(draw, dtype=dtype), some_batch(LENGTHS)
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    losses = []
    for _ in range(60):
        loss = F.cross_entropy(model(batch), batch.labels)
        optimizer.zero_grad()
        loss.backward()
        assert all(p.grad.isfinite().all() for p in model.parameters())
        optimizer.step()
        losses.append(loss.item())
    assert losses[0] > 1.5
    assert sum(losses[-10:]) / 10 < 0.5 * losses[0]


def test_score_function_gradient_by_way_of_log_probability():
    """E over all sequences of merges of f ∇log q + ∇f is the gradient of E f, to rounding."""
    model = some_model(greedy)
    batch = some_batch([4, 3])  # 3·2 and 2 sequences of merges
    parameters = [model.query, model.compose.weight]

    def forced(first, second):
        answers = iter((first, second))

        def choose(logits):
            return F.one_hot(torch.tensor(next(answers)), logits.shape[-1]).to(logits.dtype)

        return choose

    total = torch.zeros((), dtype=torch.float64)
    estimate = [torch.zeros_like(p) for p in parameters]
    for a, b, c in itertools.product(range(3), range(2), range(2)):
        # The step with 3 nodes draws for both sentences.
        parse = model.parse(batch, estimator=forced([a], [b, c]))
        losses = F.cross_entropy(model.classify(parse.root), batch.labels, reduction="none")
        log_q = parse.log_probability()
        q = log_q.sum().exp()  # the two sentences are independent
        total = total + q * losses.sum()
        loss = (losses.detach() * log_q + losses).sum()
        # Each sentence's own score is enough: the other's has mean 0.
        for g, new in zip(
            estimate, torch.autograd.grad(loss, parameters, retain_graph=True), strict=True
        ):
            g += q.detach() * new
    exact = torch.autograd.grad(total, parameters)
    for got, expected in zip(estimate, exact, strict=True):
        assert expected.norm() > 1e-4
        torch.testing.assert_close(got, expected)


@pytest.mark.parametrize(("name", "copies"), [("reinforce", 2500), ("rloo", 250)])
def test_score_function_estimators_are_unbiased(name, copies):
    """40 means over copies of a sentence of four tokens against the sum over all its trees."""
    batch = some_batch([4])
    model = some_model(greedy)
    total = torch.zeros((), dtype=torch.float64)
    for merges in itertools.product(range(3), range(2)):
        answers = iter(merges)
        parse = model.parse(
            batch,
            estimator=lambda logits, answers=answers: F.one_hot(
                torch.tensor([next(answers)]), logits.shape[-1]
            ).to(logits.dtype),
        )
        loss = F.cross_entropy(model.classify(parse.root), batch.labels)
        total = total + parse.log_probability().sum().exp() * loss
    exact = torch.autograd.grad(total, model.query)[0]

    model.estimator = sampler(name, generator=seeded())
    many = Batch(*(part.repeat(copies) for part in batch))
    means = []
    for _ in range(40):
        loss = losses(model, many).mean()
        means.append(torch.autograd.grad(loss, model.query)[0])
    notice = 0.5 * float(exact.abs().max())
    assert_mean(torch.stack(means), exact, notice=notice)
    # Power: without the score the query learns nothing, which is off by twice what is noticed.
    model.estimator = functools.partial(sampler(name))
    without = losses(model, many).mean()
    assert torch.autograd.grad(without, model.query, allow_unused=True)[0] is None


def test_log_probability_is_computed_in_float32_at_least():
    theta = torch.randn(1, 40, generator=seeded(1)).bfloat16()
    choice = torch.nn.functional.one_hot(torch.tensor([3]), 40).bfloat16()
    parse = Parse(torch.zeros(1, 4).bfloat16(), torch.tensor([0]), [theta], [choice])
    torch.testing.assert_close(parse.log_probability(), theta.float().log_softmax(-1)[:, 3])


def test_draws_that_carry_the_gradient_need_no_score():
    draw = sampler("gumbel_rao", tau=0.5, k=3, generator=seeded())
    again = sampler("gumbel_rao", tau=0.5, k=3, generator=seeded())
    model, batch = some_model(draw), some_batch(LENGTHS)
    plain = F.cross_entropy(model(batch), batch.labels, reduction="none")
    model.estimator = again
    torch.testing.assert_close(losses(model, batch), plain)


def test_what_cannot_be_drawn_is_refused():
    with pytest.raises(ValueError, match=r"name: expected an estimator that draws .* 'exact'"):
        sampler("exact")
    with pytest.raises(ValueError, match="name: expected one of"):
        sampler("nonsense")


def test_draws_follow_the_probabilities_of_the_merges():
    """G-test of 4,000 trees of a sentence of four tokens; fails by chance once in 1e6 runs."""
    from scipy import stats

    draw = functools.partial(gumbel_rao, tau=1.0, k=1, generator=seeded(1))
    model, num = some_model(draw), 4000
    with torch.no_grad():
        model.query *= 4  # far from even
    batch = some_batch([4])
    many = Batch(batch.tokens.repeat(num), torch.full((num,), 4), batch.labels.repeat(num))
    parse = model.parse(many)
    probability = {
        tuple(merges): q
        for merges, q in zip(
            parse.merges([4] * num), parse.log_probability().exp().tolist(), strict=True
        )
    }
    assert len(probability) == 6
    assert sum(probability.values()) == pytest.approx(1)
    counts = dict.fromkeys(probability, 0)
    for merges in parse.merges([4] * num):
        counts[tuple(merges)] += 1
    expected = [num * q for q in probability.values()]
    observed = list(counts.values())
    assert stats.power_divergence(observed, expected, lambda_="log-likelihood").pvalue > 1e-6
    # Power: trees drawn evenly would be noticed.
    assert stats.chisquare([num / 6] * 6, expected).pvalue < 1e-12


def test_logits_are_few_and_finite_where_others_pad():
    seen = []

    def spy(logits):
        seen.append(logits.shape)
        assert logits.isfinite().all()
        return hard(logits)

    some_model(spy).parse(some_batch(LENGTHS))
    # With m nodes left there are m − 1 candidates, of the sentences that are as long.
    assert seen == [
        (sum(length >= m for length in LENGTHS), m - 1) for m in range(max(LENGTHS), 2, -1)
    ]


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"estimator": "gumbel_rao"}, TypeError, "estimator: expected a function, got str"),
        ({"dim": 0}, ValueError, "dim: expected at least 1, got 0"),
        ({"dim": 8.0}, TypeError, "dim: expected a whole number, got float"),
        ({"classes": 0}, ValueError, "classes: expected at least 1"),
        ({"vocabulary": -1}, ValueError, "vocabulary: expected at least 1"),
    ],
)
def test_wrong_arguments(arguments, error, message):
    with pytest.raises(error, match=message):
        TreeLSTM(**{"estimator": greedy, **arguments})


def test_the_same_generator_gives_the_same_weights():
    first, second = (TreeLSTM(greedy, dim=4, generator=seeded(3)) for _ in range(2))
    for a, b in zip(first.parameters(), second.parameters(), strict=True):
        assert torch.equal(a, b)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_gpu_gives_what_the_cpu_gives():
    model, batch = some_model(hard), some_batch(LENGTHS)
    here = model(batch)
    there = model.cuda()(Batch(batch.tokens.cuda(), batch.lengths, batch.labels.cuda()))
    torch.testing.assert_close(there.cpu(), here)


# --- trees and scores -----------------------------------------------------------------------------


def test_spans_of_all_sequences_of_merges_are_the_binary_trees():
    for length, trees_there in ((1, 1), (2, 1), (3, 2), (4, 5), (5, 14)):  # Catalan numbers
        steps = (range(left - 1) for left in range(length, 1, -1))
        found = {spans_of(merges, length) for merges in itertools.product(*steps)}
        assert len(found) == trees_there
        for spans in found:
            trees.check_tree(spans, length)


def test_score_counts_labels_and_spans():
    split = Split(generate(300, max_length=12, generator=seeded()), "some")
    model = some_model(greedy, dtype=torch.float32)
    got = score(model, split, chunk=7)
    right = agreement = depth = 0
    for example in split.examples:
        root, merges = slowly(model, torch.tensor(example.tokens), greedy)
        right += int(model.classify(root).argmax()) == example.label
        spans = spans_of(merges, len(example.tokens))
        agreement += trees.f1(spans, example.spans)
        depth += trees.average_depth(spans, len(example.tokens))
    assert got.accuracy == right / 300
    assert got.f1 == pytest.approx(agreement / 300)
    assert got.depth == pytest.approx(depth / 300)
    assert score(model, split).f1 == pytest.approx(got.f1)
    assert accuracy(model, split, chunk=7) == got.accuracy
    assert accuracy(torch.compile(model, backend="eager"), split, chunk=7) == got.accuracy
    assert 0 < got.accuracy < 1


def test_score_of_nothing_is_refused():
    with pytest.raises(ValueError, match="split: expected sentences, got none in nothing"):
        score(some_model(greedy), Split([], "nothing"))
    with pytest.raises(ValueError, match="split: expected sentences, got none in nothing"):
        accuracy(some_model(greedy), Split([], "nothing"))


def test_the_first_weights_are_those_of_the_public_code():
    """Each from 64 × 64 numbers or more but the query, 64: within five standard errors."""
    model = TreeLSTM(greedy, dim=64, generator=seeded())
    for weight, std in (
        (model.embedding.weight, 1.0),
        (model.leaf.weight, math.sqrt(2 / 64)),
        (model.hidden.weight, math.sqrt(2 / 64)),
        (model.query, 0.01),
    ):
        assert abs(weight.std().item() / std - 1) < 5 / math.sqrt(2 * weight.numel())
    assert 0.0018 < model.output.weight.abs().max() <= 0.002
    columns = model.compose.weight.T @ model.compose.weight
    torch.testing.assert_close(columns, torch.eye(128), rtol=0, atol=1e-5)


def test_log_probabilities_are_in_the_order_of_the_batch():
    model = some_model(hard)
    batch = some_batch(LENGTHS)
    found = model.parse(batch).log_probability()
    for i, (tokens, label) in enumerate(sentences(batch)):
        alone = Batch(tokens, torch.tensor([len(tokens)]), label[None])
        torch.testing.assert_close(found[i], model.parse(alone).log_probability()[0])
    assert found.unique().numel() > 4


def test_scores_are_of_the_estimator_that_is_named():
    def leftmost(logits):
        return F.one_hot(torch.zeros(logits.shape[:-1], dtype=torch.long), logits.shape[-1]).to(
            logits.dtype
        )

    examples = generate(30, max_length=10, generator=seeded(1))
    split = Split(examples, "few")
    model = some_model(hard)
    left, own = score(model, split, estimator=leftmost), score(model, split)
    want = [trees.f1(trees.left_branching(len(e.tokens)), e.spans) for e in examples]
    assert left.f1 == pytest.approx(sum(want) / len(want))
    assert left.f1 != pytest.approx(own.f1)
