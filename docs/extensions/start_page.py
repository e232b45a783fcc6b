"""The first page of the site, and the list of all pages."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import readme
from pins import binder_link, repository

import notebooks as tools

ROOT = Path(__file__).resolve().parents[2]

TEXT = """\
---
myst:
  html_meta:
    description: "A course and a library: gradients with less noise for networks that choose."
---
# Gumbel-Rao: choices that learn

{figure}

A network that chooses one of *n* things has no derivative at the choice; the straight-through
Gumbel-Softmax (ST-GS) makes one up, and it is noisy. Gumbel-Rao averages it over everything that
could have led to the same choice: the same mean, less variance, one changed line. Move the sliders:
each curve is the mean of 8 trainings; start, step size and random numbers are the same for both. τ
is the temperature, how soft the made-up derivative is; K is how many samples Gumbel-Rao averages.

<p class="buttons">
<a class="button" href="notebooks/{first}.html">Read the course</a>
<a class="button" href="{binder}">Run it on Binder</a>
<a class="button" href="#install">Install it</a>
</p>

```python
import torch
from gumbelrao_edu import gumbel_rao

logits = torch.zeros(20, 80, 8, requires_grad=True)  # a batch of 20, 80 variables, 8 classes
# before: torch.nn.functional.gumbel_softmax(logits, tau=0.5, hard=True)
sample = gumbel_rao(logits, tau=0.5, k=100)
```

## The course

{map}

## Install

The library alone needs torch and numpy:

```
pip install git+https://github.com/{repository}
```

The course in JupyterLab needs Python 3.11 to 3.14, git and make; there are [other
ways](install.md), for Windows too.

```
git clone https://github.com/{repository} && cd {folder}
make lab
```

## The estimators

*From* is the equation of the [paper](paper.md), or a later paper. Those whose mean is the exact
gradient are unbiased, whatever the loss. GR has the mean of ST-GS, and so its bias.

{estimators}

[The library](library.md) has an overview, and the [reference](reference/index.md) every name. [The
paper, from equation to code](paper.md) leads from each equation to the function, the notebook and
the test that have it; the [glossary](glossary.md) explains the terms; [for
teaching](teaching.md) is for lecturers.

```{{toctree}}
:hidden:
:caption: The course

{pages}
```

```{{toctree}}
:hidden:
:caption: To look things up

library
paper
glossary
reference/index
install
teaching
```
"""


def estimators() -> str:
    """The table of the registry."""
    from gumbelrao_edu import estimators

    rows = ["| estimator | function | from | mean of the gradient |", "|---|---|---|---|"]
    for record in sorted(map(estimators.get, estimators.names()), key=readme.place):
        name = record.name
        mean = "exact" if record.unbiased else f"that of {estimators.get(record.mean).label}"
        mean = "its own" if record.mean == name and not record.unbiased else mean
        place = f"{record.function.__module__}.{name}"
        link = f"{{py:func}}`{name} <{place}>`"
        rows.append(f"| {record.label} | {link} | {record.equation} | {mean} |")
    return "\n".join(rows)


def course(scripts: list[Path]) -> str:
    """The map of the course."""
    rows = ["| no. | notebook | what it is about | minutes |", "|---|---|---|---|"]
    for script in scripts:
        title = tools.title(tools.read_script(script))
        link = f"[{title.name}](notebooks/{script.stem}.ipynb)"
        rows.append(f"| {title.number} | {link} | {title.about} | {title.minutes} |")
    return "\n".join(rows)


def write(
    source: Path,
    scripts: list[Path],
    panel_html: Callable[..., str],
    write_states: Callable[[str, dict[str, Any], str], int],
) -> None:
    """Write the first page, with its figure computed."""
    from gumbelrao_edu.course.start_here.figures import race
    from gumbelrao_edu.figures.record import record

    panel = race()
    recorded = record(panel)
    picture = tools.picture(json.loads(panel.figure.to_json()))
    write_states("start", recorded, base64.b64encode(picture).decode())
    address = repository(ROOT)
    text = TEXT.format(
        figure=panel_html("start", recorded, panel.caption, up=""),
        first=scripts[0].stem,
        binder=binder_link(address, scripts[0].stem),
        repository=address,
        folder=address.split("/")[1],
        map=course(scripts),
        estimators=estimators(),
        pages="\n".join(f"notebooks/{script.stem}" for script in scripts),
    )
    (source / "index.md").write_text(text, "utf-8")
