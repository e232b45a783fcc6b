"""Figure 4: the protocol, the numbers of the paper beside ours, and the page."""

import itertools
import math
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from small_search import refusing, small

from gumbelrao_edu import cli
from gumbelrao_edu.experiments import EXPERIMENTS, fig4, table2, table3
from gumbelrao_edu.experiments.fig4 import figure_4
from gumbelrao_edu.figures import trace
from gumbelrao_edu.figures.rows import GR_10, GR_100, GR_INF, ST_GS, ZGR

pytestmark = pytest.mark.usefixtures("few")

COLUMNS = ["part", "arity", "batch_size", "row", "k", "test", "standard_error", "paper"]


@pytest.fixture
def table():
    """The whole figure with made-up numbers."""
    random = np.random.default_rng(0)
    cells = [
        (row.label, arity, batch_size, random.uniform(90, 110), 0.2)
        for row, arity, batch_size in fig4.EXPERIMENT.profiles["paper"].cells()
    ]
    columns = ["row", "arity", "batch_size", "test", "standard_error"]
    return fig4.arrange(pd.DataFrame(cells, columns=columns))


def test_profiles_are_table_3_and_more_k():
    cells = {
        module: {name: {*profile.cells()} for name, profile in module.EXPERIMENT.profiles.items()}
        for module in (fig4, table2, table3)
    }
    for name, profile in fig4.EXPERIMENT.profiles.items():
        other = table3.EXPERIMENT.profiles[name]
        assert replace(profile, cells=None) == replace(other, cells=None)
        assert len(cells[fig4][name]) == len(profile.cells())
        assert cells[table3][name] < cells[fig4][name]
    assert cells[fig4]["paper"] - cells[table3]["paper"] == {
        *itertools.product((GR_10, GR_100), (2, 4, 8, 16), (20,))
    }
    # After Tables 2 and 3 nothing is left to train.
    for name in ("cpu", "paper"):
        assert cells[fig4][name] <= cells[table2][name] | cells[table3][name]


@pytest.mark.paper("Figure 4")
def test_both_rows_of_the_figure_and_the_paper_s_numbers(table):
    assert table.columns.tolist() == COLUMNS
    first, second = (table[table.part == part] for part in ("batch_size", "k"))
    assert len(first) == 4 * 4 * 8
    assert first["row"].unique().tolist() == ["ST-GS", "GR-MC1000", "GR-∞", "ZGR"]
    assert second[second.arity == 8].k.tolist() == [1, 10, 100, 1000, math.inf]
    assert {*second.batch_size} == {20}
    assert second[second.arity == 8].paper.tolist()[:4] == [98.0, 97.4, 96.8, 96.5]  # Table 2
    for arity, cells in first[first["row"] == "GR-MC1000"].groupby("arity"):  # Table 3, TEST
        column = table3.PAPER_COLUMNS.index((arity, "test"))
        printed = [n[column] for (_, row), n in table3.PAPER.items() if row == "GR-MC1000"]
        assert cells.paper.tolist() == printed
    assert table[table["row"].isin(["GR-∞", "ZGR"])].paper.isna().all()
    assert table[~table["row"].isin(["GR-∞", "ZGR"])].paper.notna().all()
    assert table.k.isna().equals(table["row"] == "ZGR")
    # Cells at batch size 20 are in both rows, with one number.
    both = first.merge(second, on=["arity", "batch_size", "row"])
    assert len(both) == 4 * 3
    assert (both.test_x == both.test_y).all()


def shown(figure, table, arity, part):
    """The points (row, x, y) of one plot, ours and the paper's, from its traces."""
    row = 1 if part == "batch_size" else 2
    column = sorted({*table.arity}).index(arity) + 1
    traces = [t for t in figure.select_traces(row=row, col=column) if "markers" in t.mode]
    return {(t.name, x, y) for t in traces for x, y in zip(t.x, t.y, strict=True)}


def expected(table, arity, part):
    points = set()
    for cell in table[(table.arity == arity) & (table.part == part)].itertuples():
        x = cell.batch_size if part == "batch_size" else f"{cell.k:g}".replace("inf", "∞")
        points.add((cell.row, x, cell.test))
        if not math.isnan(cell.paper):
            points.add((f"{cell.row}, paper", x, cell.paper))
    return points


def test_the_figure_shows_the_numbers(table):
    figure = figure_4(table)
    for arity in (2, 4, 8, 16):
        for part in ("batch_size", "k"):
            assert shown(figure, table, arity, part) == expected(table, arity, part)
        lines = [t for t in figure.select_traces(row=2) if t.mode == "lines"]
        assert len(lines) == 4
    second = table[(table.part == "k") & (table.arity == 2)]
    assert [*lines[0].y] == second.test.tolist()
    first = trace(figure, "ST-GS", xaxis="x", yaxis="y")
    assert first.error_y.array == (0.4,) * 8  # two standard errors


def test_markers_differ_in_form_and_axes_have_labels(table):
    figure = figure_4(table)
    markers = {t.name: t.marker.symbol for t in figure.data if "markers" in t.mode}
    assert len(markers) == 6 + 4
    assert len({*markers.values()}) == len(markers)
    for name, symbol in markers.items():
        assert ("paper" in name) == symbol.endswith("-open")
        assert symbol.removesuffix("-open") == markers[name.removesuffix(", paper")]
    named = [t.name for t in figure.data if t.showlegend]
    assert sorted(named) == sorted(markers)  # each once
    assert all(axis.title.text for axis in figure.select_xaxes())
    assert all(axis.title.text for axis in figure.select_yaxes(col=1))
    titles = [note.text for note in figure.layout.annotations]
    assert titles == ["binary", "4-ary", "8-ary", "16-ary"]
    assert figure.layout.height >= 300


def test_the_page_says_the_numbers_and_needs_no_network(table):
    page = fig4.page(table)
    assert page.count("<li>") == 4 * 4 + 4
    cell = table[(table["row"] == "ZGR") & (table.arity == 16) & (table.batch_size == 200)]
    assert f", {cell.test.item():.1f} at 200</li>" in page
    assert f"{table.test.iloc[-1]:.1f} at ∞</li>" in page
    assert 'src="http' not in page


def test_command_writes_the_figure_and_computes_nothing_twice(tmp_path, monkeypatch, capsys):
    cells = [(row, n, b) for row in (ST_GS, GR_INF, ZGR) for n in (2, 8) for b in (5, 20)]
    profile = small([*cells, (GR_10, 2, 20), (GR_10, 8, 20)], draws=1)
    monkeypatch.setitem(fig4.EXPERIMENT.profiles, "smoke", profile)
    command = ["reproduce", "fig4", "--profile", "smoke", "--out", str(tmp_path)]
    assert cli.main(command) == 0
    out = tmp_path / "fig4"
    assert pd.read_csv(out / "runs.csv").status.tolist() == ["done"] * 14
    table = pd.read_csv(out / "fig4.csv")
    assert table.columns.tolist() == COLUMNS
    assert table.part.tolist() == ["batch_size"] * 12 + ["k"] * 6
    assert table.k.tolist()[-3:] == [1, 10, math.inf]
    tests = pd.read_csv(out / "test/runs.csv")
    assert sorted(-tests.test_bound) == pytest.approx(
        sorted(table.drop_duplicates(["row", "arity", "batch_size"]).test), rel=1e-5
    )
    figure = figure_4(table)
    for arity, part in itertools.product((2, 8), ("batch_size", "k")):
        assert shown(figure, table, arity, part) == expected(table, arity, part)
    page = (out / "fig4.html").read_text(encoding="utf-8")
    assert page.count('<html lang="en">') == page.count('<meta charset="utf-8">') == 1
    assert "Plotly.newPlot(" in page
    assert f"binary, ST-GS: {table.test[0]:.1f} at 5, {table.test[1]:.1f} at 20</li>" in page
    assert "fig4.csv, runs.csv, fig4.html" in capsys.readouterr().out

    monkeypatch.setitem(EXPERIMENTS, "fig4", refusing(fig4.EXPERIMENT))
    before = (out / "fig4.csv").read_bytes()
    assert cli.main(command) == 0
    assert "14 of 14 runs are in" in capsys.readouterr().out
    assert (out / "fig4.csv").read_bytes() == before
