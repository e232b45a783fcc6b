"""A comparison of estimators as a page: the table, and squared bias against variance."""

from __future__ import annotations

import html

import plotly.graph_objects as go

from ..diagnostics import Comparison, Result
from .page import embedded, page
from .rows import Row
from .style import HAIR, RAY, THIN, hollow, layout, line, marker


def comparison_page(comparison: Comparison, title: str = "Estimators compared") -> str:
    """Return a page with the table and the figure.

    Args:
        comparison: from `diagnostics.compare`.
        title: plain text.

    Example:
        >>> import torch
        >>> from gumbelrao_edu.diagnostics import compare
        >>> f = lambda d: (d**2 * torch.tensor([1.0, 2.0])).sum(-1)
        >>> "bias²" in comparison_page(compare(f, torch.zeros(2), num_samples=50))
        True
    """
    said = (
        f"{comparison.caption} Each row: {comparison.num_samples:,} gradients; after each number "
        "its standard error."
    )
    figure = embedded(bias_against_variance(comparison))
    parts = [f"<p>{html.escape(line)}</p>" for line in (said, comparison.recommendation)]
    return page(title, *parts, _table(comparison), figure, f"<p>{_CAPTION}</p>")


_CAPTION = (
    "Squared bias against the variance of one gradient, both axes logarithmic. Error bars: one "
    "standard error. Open symbols: the squared bias is not twice its standard error; they stand at "
    "twice that error. Dotted: where the squared bias is the variance of a mean of m gradients; "
    "above such a line the bias is the larger part. An estimator without variance has no place "
    "here."
)


def bias_against_variance(comparison: Comparison) -> go.Figure:
    """Return the figure: a curve for each estimator, a point for each temperature.

    Args:
        comparison: from `diagnostics.compare`.

    Example:
        >>> import torch
        >>> from gumbelrao_edu.diagnostics import compare
        >>> f = lambda d: (d**2 * torch.tensor([1.0, 2.0])).sum(-1)
        >>> found = compare(f, torch.zeros(2), estimators=["zgr", "exact"], num_samples=50)
        >>> [trace.name for trace in bias_against_variance(found).data][0]
        'ZGR'
    """
    figure = go.Figure(
        layout=layout("variance of one gradient", "squared bias", height=560)
        | {"xaxis_type": "log", "yaxis_type": "log"}
        | {"legend": {"x": 1.02, "xanchor": "left", "y": 1, "yanchor": "top", "orientation": "v"}}
    )
    figure.update_xaxes(exponentformat="power")
    figure.update_yaxes(exponentformat="power")
    shown = [r for r in comparison.results if not r.failed and r.variance.value > 0]
    groups: dict[Row, list[Result]] = {}
    for result in shown:
        groups.setdefault(row_of_result(result), []).append(result)
    for row, results in groups.items():
        clear = [r.bias2.value > 2 * r.bias2.standard_error for r in results]
        figure.add_scatter(
            x=[r.variance.value for r in results],
            y=[
                r.bias2.value if sure else max(2 * r.bias2.standard_error, 1e-300)
                for r, sure in zip(results, clear, strict=True)
            ],
            error_x={"array": [r.variance.standard_error for r in results], "thickness": THIN},
            error_y={
                "array": [
                    r.bias2.standard_error if sure else 0.0
                    for r, sure in zip(results, clear, strict=True)
                ],
                "thickness": THIN,
            },
            name=row.label,
            mode="lines+markers",
            line=line(row, HAIR),
            marker=marker(
                row, symbol=[row.symbol if sure else hollow(row).symbol for sure in clear]
            ),
            text=[_hover(r) for r in results],
            hovertemplate="%{text}<extra></extra>",
        )
    if shown:
        ends = [min(r.variance.value for r in shown), max(r.variance.value for r in shown)]
        for m in comparison.batch_sizes:
            figure.add_scatter(
                x=ends,
                y=[x / m for x in ends],
                mode="lines+text",
                text=["", f"m = {m:,}"],
                textposition="bottom left",
                line=line(RAY, HAIR),
                showlegend=False,
                hoverinfo="skip",
            )
    return figure


def row_of_result(result: Result) -> Row:
    """Its row: the estimator and K, whose temperatures are one curve."""
    k = result.hyper.get("k")
    return Row(result.estimator, {} if k is None else {"k": k})


def _hover(result: Result) -> str:
    numbers = {"bias²": result.bias2, "variance": result.variance, "cosine": result.cosine}
    lines = [f"{name} {value}" for name, value in numbers.items()]
    return "<br>".join([html.escape(result.call), *lines])


def _table(comparison: Comparison) -> str:
    sizes = comparison.batch_sizes
    head = ["estimator", "bias²", "variance", *(f"MSE of the mean of {m:,}" for m in sizes)]
    head += ["cosine", "µs a gradient", "evaluations of f"]
    rows = []
    for r in comparison.results:
        named = f"<th scope='row'><code>{html.escape(r.call)}</code></th>"
        rest = "".join(f"<td>{html.escape(cell)}</td>" for cell in r.cells(sizes))
        rows.append(f"<tr>{named}{rest}</tr>")
    top = "".join(f"<th scope='col'>{html.escape(name)}</th>" for name in head)
    style = (
        "<style>table {border-collapse: collapse; font-size: 75%} th {text-align: left} "
        "td {text-align: right; white-space: nowrap} "
        "th, td {padding: 2px 6px; border-bottom: 1px solid #ddd}</style>"
    )
    return f"{style}<table><tr>{top}</tr>{''.join(rows)}</table>"
