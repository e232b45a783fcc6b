"""Figures 2 and 3: what is measured along a training, and the files that are written."""

import json
import math
from dataclasses import replace

import pandas as pd
import pytest
import torch
from seeded import seeded

from gumbelrao_edu import cli
from gumbelrao_edu.experiments import fig2, fig3, reproduce, search, trajectories
from gumbelrao_edu.experiments.fig2 import figure_2
from gumbelrao_edu.experiments.fig3 import figure_3
from gumbelrao_edu.experiments.trajectories import Trajectories
from gumbelrao_edu.figures.rows import GR_10, GR_INF, RLOO, ST, ST_GS, ZGR
from gumbelrao_edu.training.run import Run
from gumbelrao_edu.vae import squared_bias, variance_split

TINY = Trajectories(
    (4,),
    (2, 6),
    (0.5, 0.2),
    rows=lambda: (ST, ST_GS, GR_10, GR_INF, ZGR, RLOO),
    num_batches=4,
    bias_batches=2,
    bias_samples=3,
    reference_samples=4,
    full=False,
    hidden=(5,),
)


pytestmark = pytest.mark.usefixtures("few")


def test_profiles_have_what_the_paper_has():
    paper = fig2.PROFILES["paper"]
    assert paper.num_batches == 5000
    assert paper.measure_at[-1] == 50_000
    assert {row.label for row in paper.rows()} >= {"ST", "ST-GS", "GR-MC10", "GR-MC1000", "GR-∞"}
    assert [config["arity"] for config in trajectories.configurations(fig3.PROFILES["paper"])] == [
        2,
        4,
        8,
        16,
    ]
    for name, settings in fig3.PROFILES.items():
        assert settings.bias_batches == 0
        assert settings.taus == fig2.PROFILES[name].taus[:1] == (0.5,)
    for settings in (*fig2.PROFILES.values(), *fig3.PROFILES.values()):
        texts = [json.dumps(config) for config in trajectories.configurations(settings)]
        assert len({*texts}) == len(texts)


@pytest.mark.paper("Figure 2", "Figure 3")
def test_what_is_measured_is_what_the_library_measures(few):
    config = trajectories.configurations(TINY)[0]
    model, _ = search.build(config)
    table = [*trajectories.measure(model, few.train, config)]
    cells = {(entry["row"], entry["tau"]): entry for entry in table}
    assert len(cells) == len(table) == 4 * 2 + 2  # ZGR and RLOO have no τ

    for row, tau in ((ST_GS, 0.2), (RLOO, None)):
        estimator = trajectories._draws(row, tau, few.train)
        split = variance_split(
            model,
            few.train,
            estimator,
            batch_size=20,
            num_batches=4,
            generator=seeded(5),
        )
        cell = cells[row.label, tau]
        assert (cell["monte_carlo"], cell["monte_carlo_error"]) == split.monte_carlo
        assert (cell["minibatch"], cell["minibatch_error"]) == split.minibatch
    # Proposition 1: one bias for ST-GS and all K, measured with K = ∞.
    generator = seeded(6)
    order = torch.randperm(len(few.train), generator=generator)[:40]
    bias = squared_bias(
        model,
        few.train[order].view(2, 20, -1),
        trajectories._draws(GR_INF, 0.5, few.train),
        num_samples=3,
        reference_samples=4,
        generator=generator,
    )
    for row in (ST_GS, GR_10, GR_INF):
        cell = cells[row.label, 0.5]
        assert (cell["squared_bias"], cell["squared_bias_error"]) == bias
    assert cells["ST", 0.5]["squared_bias"] != bias.value
    assert cells["ST-GS", 0.2]["squared_bias"] != bias.value


def test_a_measurement_changes_nothing_and_a_stop_neither(tmp_path):
    config = trajectories.configurations(TINY)[0]
    whole = trajectories.train(Run(config, tmp_path / "a"))
    assert [entry["step"] for entry in whole["measured"]] == [2] * 10 + [6] * 10

    def stops(fraction):
        if fraction > 0.5:
            raise KeyboardInterrupt

    stopped = Run(config, tmp_path / "b")
    stopped.tick = stops
    with pytest.raises(KeyboardInterrupt):
        trajectories.train(stopped)
    assert trajectories.train(Run(config, tmp_path / "b")) == whole
    # Measured at the last step only, the numbers there are the same.
    config = {**config, "measure_at": [6]}
    last = trajectories.train(Run(config, tmp_path / "c"))
    assert last["measured"] == whole["measured"][10:]


def test_what_was_measured_before_a_stop_is_not_measured_again(tmp_path, monkeypatch):
    config = trajectories.configurations(TINY)[0]
    whole = trajectories.train(Run(config, tmp_path / "a"))
    calls = []

    def counted(*args, **kwargs):
        calls.append("variance")
        if len(calls) == 4 + 10:  # while ST-GS is measured at the last step
            raise KeyboardInterrupt
        return variance_split(*args, **kwargs)

    def bias(*args, **kwargs):
        biases.append("bias")
        return squared_bias(*args, **kwargs)

    biases = []
    monkeypatch.setattr(trajectories, "variance_split", counted)
    monkeypatch.setattr(trajectories, "squared_bias", bias)
    with pytest.raises(KeyboardInterrupt):
        trajectories.train(Run(config, tmp_path / "b"))
    assert trajectories.train(Run(config, tmp_path / "b")) == whole
    assert len(calls) == 20 + 1
    # At each step: ST and ST-GS (for all K) at two τ, ZGR and RLOO.
    assert len(biases) == 2 * (2 * 2 + 2)


def some_row(folder, seed, estimator, k, losses, **other):
    """A training of Table 2 as `run_all` leaves it; without losses it has diverged at once."""
    history = [
        {"step": 100 * i, "loss": 0.0, "valid_elbo": -loss} for i, loss in enumerate(losses, 1)
    ]
    config = {"estimator": estimator, "k": k, "num_samples": 0, "arity": 8, "batch_size": 20}
    config |= {"seed": seed, "full": False, "hidden": [200], "valid_samples": 10, "images": 200}
    results = {"valid_bound": -1.0, "valid_elbo": -1.0, "history": history}
    run = Run({**config, **other}, folder)
    run.end(*(("done", None, results) if losses else ("diverged", "why", {})), 1.0)


def test_steps_to_thresholds_are_means_over_the_runs_that_reach_them(tmp_path):
    some_row(tmp_path, 0, "st_gumbel_softmax", None, [140, 120, 130])
    some_row(tmp_path, 1, "st_gumbel_softmax", None, [150, 140, 124])
    some_row(tmp_path, 2, "st_gumbel_softmax", None, [])
    some_row(tmp_path, 3, "st_gumbel_softmax", None, [100])  # a draw that no other row has
    some_row(tmp_path, 0, "gumbel_rao", math.inf, [110])
    some_row(tmp_path, 1, "gumbel_rao", math.inf, [150, 120])
    some_row(tmp_path, 2, "gumbel_rao", math.inf, [])
    some_row(tmp_path, 0, "gumbel_rao", math.inf, [110], valid_samples=5)  # the same training
    some_row(tmp_path, 0, "zgr", None, [110], full=True)  # of other searches
    some_row(tmp_path, 0, "zgr", None, [110], hidden=[16])
    Run({"estimator": "zgr"}, tmp_path).end("failed", "an error", {}, 1.0)
    (tmp_path / "runs" / "damaged.json").write_text('{"config": {}, "status": "foo"}')
    with pytest.warns(UserWarning, match=r"damaged.json is left out: .*there is no 'error'"):
        steps = fig2.steps_to_thresholds(tmp_path, (125.0, 115.0), full=False, hidden=(200,))
    paired = steps[steps.threshold == 125].pivot(index="draw", columns="row", values="steps")
    assert paired["ST-GS"].dropna().tolist() == [200, 300, 100]
    found = fig2.crossings(steps).set_index(["row", "threshold"])
    assert [*found.index.unique("row")] == ["ST-GS", "GR-∞"]  # as in the tables
    both = found.loc[("ST-GS", 125.0)]
    assert (both.runs, both.reached, both.steps) == (3, 2, 250)
    assert both.standard_error == pytest.approx(50)
    assert found.loc[("ST-GS", 115.0)].reached == 0
    assert found.loc[("GR-∞", 115.0)].runs == 3
    assert math.isnan(found.loc[("ST-GS", 115.0)].steps)
    assert found.loc[("GR-∞", 115.0)].steps == 100


def test_commands_write_numbers_and_pages(tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(fig2.PROFILES, "smoke", TINY)
    monkeypatch.setitem(
        fig3.PROFILES, "smoke", replace(TINY, arities=(2, 4), taus=(0.5,), bias_batches=0)
    )
    some_row(tmp_path / "table2", 0, "zgr", None, [130, 110], arity=4, hidden=[5])
    some_row(tmp_path / "table2", 0, "reinforce", None, [150], arity=4, hidden=[5])
    some_row(tmp_path / "table2", 0, "zgr", None, [140, 120], arity=8, hidden=[5])
    for name in ("fig2", "fig3"):
        command = ["reproduce", name, "--profile", "smoke", "--out", str(tmp_path)]
        assert cli.main(command) == 0
        before = (tmp_path / name / f"{name}.csv").read_bytes()
        assert cli.main(command) == 0  # and now there is nothing left to do
        assert (tmp_path / name / f"{name}.csv").read_bytes() == before
        assert "src=" not in (tmp_path / name / f"{name}.html").read_text().split("<table")[-1]
    said = capsys.readouterr().out
    assert "1 of 1 runs are in" in said
    assert "2 of 2 runs are in" in said

    table = pd.read_csv(tmp_path / "fig2/fig2.csv")
    assert table.mse.tolist() == pytest.approx(
        (table.monte_carlo + table.squared_bias).tolist(), rel=1e-4
    )
    reached = pd.read_csv(tmp_path / "fig2/thresholds.csv")
    figure = figure_2(table, reached)
    curves = {(t.name, t.xaxis): (t.x, t.y) for t in figure.data}
    st_gs = table[table["row"] == "ST-GS"]
    first = st_gs[st_gs.tau == 0.5]
    assert curves["ST-GS", "x"] == (tuple(first.step), tuple(first.monte_carlo))
    last = st_gs[st_gs.step == 6].sort_values("tau")
    assert curves["ST-GS", "x2"] == ((0.2, 0.5), tuple(last.mse))
    assert curves["ZGR", "x2"][0] == (0.0,)
    # Of Table 2 the trainings at this arity, REINFORCE among them.
    assert {*reached.arity} == {4, 8}
    for name in ("ZGR", "REINFORCE"):
        mine = reached[(reached["row"] == name) & (reached.arity == 4)]
        assert curves[name, "x3"][1] == tuple(mine.steps.dropna())
    assert all(axis.title.text for axis in [*figure.select_xaxes(), *figure.select_yaxes()])

    table = pd.read_csv(tmp_path / "fig3/fig3.csv")
    assert table.squared_bias.isna().all()
    figure = figure_3(table)
    assert len(figure.data) == 6 * 2 * 2
    named = [t.name for t in figure.data if t.showlegend]
    assert sorted(named) == sorted({t.name for t in figure.data})
    two = table[(table["row"] == "ZGR") & (table.arity == 2)]
    at = {(t.name, t.xaxis): t.y for t in figure.data}
    assert at["ZGR", "x"] == tuple(two.monte_carlo)
    assert at["ZGR", "x3"] == tuple(two.minibatch)


def test_without_a_search_the_third_part_is_left_out(tmp_path):
    lines = []
    tables = reproduce(fig2.EXPERIMENT, TINY, tmp_path, say=lines.append)
    assert "table2" in lines[-2]
    assert {t.xaxis for t in figure_2(tables["fig2"]).data} == {"x", "x2"}
    assert "Bottom: mean number of steps" not in (tmp_path / "fig2/fig2.html").read_text()


def test_steps_of_other_models_do_not_stay(tmp_path):
    """Those of the profile before would be shown beside the numbers of this one."""
    some_row(tmp_path / "table2", 0, "zgr", None, [140, 120], arity=8, hidden=[5])
    reproduce(fig2.EXPERIMENT, TINY, tmp_path, say=str)
    names = ("thresholds", "steps")
    assert all(len(pd.read_csv(tmp_path / f"fig2/{name}.csv")) for name in names)
    reproduce(fig2.EXPERIMENT, replace(TINY, hidden=(6,)), tmp_path, say=str)
    kept = [pd.read_csv(tmp_path / f"fig2/{name}.csv") for name in names]
    assert [(len(table), next(iter(table))) for table in kept] == [(0, "row"), (0, "row")]


def test_several_arities_have_curves_of_their_own():
    """And not one zigzag line."""
    row = {"step": 100, "row": "ST-GS", "tau": 0.5, "monte_carlo": 9.0, "monte_carlo_error": 1.0}
    row |= {"minibatch": 4.0, "minibatch_error": 1.0, "mse": 10.0}
    table = pd.DataFrame([{"arity": arity, **row} for arity in (2, 8)])
    thresholds = pd.DataFrame(
        [
            ("REINFORCE", n, 20, t, 3, 2, s, 1.0)
            for n, t, s in ((2, 150.0, 10), (8, 150.0, 20), (2, 140.0, 30), (8, 140.0, 40))
        ],
        columns=[
            "row",
            "arity",
            "batch_size",
            "threshold",
            "runs",
            "reached",
            "steps",
            "standard_error",
        ],
    )
    curves = {(t.name, t.xaxis): t.y for t in figure_2(table, thresholds).data}
    assert curves["REINFORCE, binary", "x3"] == (10, 30)
    assert curves["REINFORCE, 8-ary", "x3"] == (20, 40)
    assert curves["ST-GS, 8-ary", "x"] == (9.0,)
