"""Figure 1: exact variances against sampled ones, files that survive an interrupt."""

import json
import os
import re
from dataclasses import replace

import pandas as pd
import pytest
import torch

from gumbelrao_edu import cli
from gumbelrao_edu.diagnostics import variance
from gumbelrao_edu.experiments import EXPERIMENTS, fig1, reproduce
from gumbelrao_edu.experiments.fig1 import Sampling
from gumbelrao_edu.problems import QuadraticProgramme, exact_fields, simplex_grid
from gumbelrao_edu.training import files as results

CPU = torch.device("cpu")
SMALL = Sampling(rows=6, num_samples=40, k=10)


def run(sampling, out, say=lambda line: None, experiment=fig1.EXPERIMENT):
    return reproduce(experiment, sampling, out, say=say)["fig1"]


@pytest.fixture(scope="module")
def table():
    """Three temperatures, 300 points with 200 draws each: half a minute of the paper's method."""
    sampling = Sampling(rows=24, num_samples=200, k=100, seed=1)
    return pd.concat([fig1.compare(sampling, tau, device=CPU) for tau in sampling.taus])


# --- exact and sampled ----------------------------------------------------------------------------


@pytest.mark.paper("Figure 1")
def test_sampled_variances_agree_with_the_exact_ones(table):
    """`agreement` fails by chance once in 1e6 runs; it notices a deviation of 20 %, see below."""
    verdicts = fig1.agreement(table)
    assert len(verdicts) == 3 * 2 * 2
    assert [str(verdict) for verdict in verdicts if not verdict.agrees] == []
    # The standard errors are right: about 95 % are within two; heavy tails at τ = 0.1 cost some.
    assert all(verdict.within > 0.8 for verdict in verdicts)
    for verdict in verdicts:
        limit = 6.0 * verdict.ratio_se  # more than the quantile used, plus a power of 0.999:
        assert limit + 3.1 * verdict.ratio_se < 0.2


@pytest.mark.parametrize("name", ["st_gs", "gr"])
@pytest.mark.parametrize("factor", [0.8, 1.25])
def test_wrong_variances_are_noticed(table, name, factor):
    wrong = table.assign(**{name: table[name] * factor})
    verdicts = [verdict for verdict in fig1.agreement(wrong) if verdict.estimator == name]
    assert not any(verdict.agrees for verdict in verdicts)


def test_variance_of_the_wrong_k_or_derivative_is_noticed(table):
    programme, p = QuadraticProgramme(), simplex_grid(24)
    terms = exact_fields(programme, p, 0.5)
    here = table[table.tau == 0.5]
    for derivative in ("fixed", "whole"):
        rows = here[here.derivative == derivative]
        other = terms["whole" if derivative == "fixed" else "fixed"]
        for wrong in (variance(terms[derivative], 2), variance(other, 100)):
            verdicts = fig1.agreement(rows.assign(gr=wrong.numpy()))
            assert [v.agrees for v in verdicts if v.estimator == "gr"] == [False]


def test_columns_fit_together(table):
    for letter in ("", "_mc"):
        ratio = table[f"st_gs{letter}"] / table[f"gr{letter}"]
        assert (10 ** table[f"gap{letter}"]).to_numpy() == pytest.approx(ratio.to_numpy())
    assert table[["p1", "p2", "p3"]].sum(axis=1).to_numpy() == pytest.approx(1)
    assert (table.gap > 0).all()  # Proposition 2


# --- files ----------------------------------------------------------------------------------------


def test_run_writes_the_table_and_its_origin(tmp_path):
    lines = []
    table = run(SMALL, tmp_path, lines.append)
    out = tmp_path / "fig1"
    assert {path.name for path in out.iterdir()} == {
        *("fig1.csv", "agreement.csv", "fig1.html", "runs.csv", "runs")
    }
    pd.testing.assert_frame_equal(pd.read_csv(out / "fig1.csv"), table)
    assert len(table) == 3 * 2 * 21
    assert table.notna().all().all()
    origins = [json.loads(path.read_text()) for path in (out / "runs").iterdir()]
    assert sorted(origin["config"]["taus"] for origin in origins) == [[0.1], [0.5], [1.0]]
    for origin in origins:
        assert {**origin["config"], "taus": 0} == {
            "rows": 6, "num_samples": 40, "taus": 0, "k": 10, "seed": 0,
        }  # fmt: skip
        assert origin["provenance"]["torch"] == torch.__version__
        date = origin["provenance"]["date"]
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00", date)
    assert len(pd.read_csv(out / "agreement.csv")) == 12
    assert sum("agrees" in line for line in "\n".join(lines).splitlines()) == 12


def test_the_same_sampling_gives_the_same_file(tmp_path):
    for name in "ab":
        run(SMALL, tmp_path / name)
    texts = [(tmp_path / name / "fig1/fig1.csv").read_bytes() for name in "ab"]
    assert texts[0] == texts[1]
    run(Sampling(rows=6, num_samples=40, k=10, seed=1), tmp_path / "c")
    assert (tmp_path / "c/fig1/fig1.csv").read_bytes() != texts[0]


def test_a_stopped_run_goes_on_and_ends_the_same(tmp_path):
    run(SMALL, tmp_path / "whole")
    computed = []

    def stops(one):
        if len(computed) == 1:
            raise KeyboardInterrupt
        return counts(one)

    def counts(one):
        computed.extend(one.config["taus"])
        return fig1.compute(one)

    with pytest.raises(KeyboardInterrupt):
        run(SMALL, tmp_path / "stopped", experiment=replace(fig1.EXPERIMENT, train=stops))
    assert len([*(tmp_path / "stopped/fig1/runs").iterdir()]) == 1
    counting = replace(fig1.EXPERIMENT, train=counts)
    run(SMALL, tmp_path / "stopped", experiment=counting)
    assert computed == [1.0, 0.5, 0.1]
    whole, stopped = (tmp_path / name / "fig1/fig1.csv" for name in ("whole", "stopped"))
    assert whole.read_bytes() == stopped.read_bytes()
    run(SMALL, tmp_path / "stopped", experiment=counting)  # now nothing is left to compute
    assert len(computed) == 3
    run(Sampling(rows=6, num_samples=41, k=10), tmp_path / "stopped", experiment=counting)
    assert len(computed) == 6  # with other settings all is


def test_disagreement_is_an_error_after_the_files_are_written(tmp_path):
    def wrong(one):
        points = fig1.compute(one)["points"]
        return {"points": {**points, "gr_mc": [3 * value for value in points["gr_mc"]]}}

    lines = []
    with pytest.raises(ArithmeticError, match="do not agree"):
        run(SMALL, tmp_path, lines.append, replace(fig1.EXPERIMENT, train=wrong))
    assert "\n".join(lines).count("DOES NOT AGREE") == 6
    assert (tmp_path / "fig1/fig1.csv").exists()


def test_write_keeps_the_old_file_when_it_fails(tmp_path, monkeypatch):
    path = tmp_path / "a.txt"
    results.write(path, "old")

    def full(*arguments):
        raise OSError("no space left")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(OSError, match="no space"):
        results.write(path, "new")
    assert [each.name for each in tmp_path.iterdir()] == ["a.txt"]
    assert path.read_text() == "old"


def test_arguments_of_reproduce(tmp_path):
    experiment = EXPERIMENTS["fig1"]
    with pytest.raises(TypeError, match="profile: expected a name or a Sampling, got NoneType"):
        reproduce(experiment, None, tmp_path)
    reproduce(experiment, "smoke", str(tmp_path), say=lambda line: None)
    assert (tmp_path / "fig1/fig1.csv").exists()


# --- the command ----------------------------------------------------------------------------------


def test_command_writes_a_page_that_asks_no_network(tmp_path, capsys):
    assert cli.main(["reproduce", "fig1", "--profile", "smoke", "--out", str(tmp_path)]) == 0
    page = (tmp_path / "fig1/fig1.html").read_text(encoding="utf-8")
    assert re.findall(r"<(?:script|link|img|iframe)[^>]*(?:src|href)=", page) == []
    assert page.count("Plotly.newPlot(") >= 2
    assert "A held fixed" in page
    assert "whole derivative" in page
    printed = capsys.readouterr().out
    assert printed.count(": agrees") == 12
    assert "fig1.csv, agreement.csv, runs.csv, fig1.html" in printed


def test_command_fails_when_the_numbers_do_not_agree(tmp_path, capsys, monkeypatch):
    def disagrees(tables):
        raise ArithmeticError("the sampled variances do not agree")

    monkeypatch.setitem(EXPERIMENTS, "fig1", replace(fig1.EXPERIMENT, check=disagrees))
    command = ["reproduce", "fig1", "--profile", "smoke", "--out", str(tmp_path)]
    assert cli.main(command) == 1
    assert "do not agree" in capsys.readouterr().err


def test_profiles_are_those_of_the_command():
    assert list(fig1.PROFILES) == ["smoke", "lecture", "cpu", "paper"]
    for settings in fig1.PROFILES.values():
        assert settings.rows % 3 == 0
    assert len(simplex_grid(fig1.PROFILES["lecture"].rows)) >= 1000
