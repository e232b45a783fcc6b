"""From each equation, proposition, figure and table of the paper to what has it in this project.

Functions are found by the numbers in their docstrings and in the registry, sections of notebooks by
the numbers in their text, tests by their mark: `@pytest.mark.paper("(9)", "Proposition 1")`.
"""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from pathlib import Path
from typing import NamedTuple

from crossrefs import slug
from pins import repository

import notebooks as tools

ROOT = Path(__file__).resolve().parents[2]

# What the paper numbers, in its order, and what it is.
ENTRIES = {
    "(1)": "the objective: the expectation of a loss over discrete choices",
    "(2)": "REINFORCE, the score-function estimator",
    "(3)": "the Gumbel-max trick and the relaxed sample $S_τ$",
    "(4)": "the Gumbel-Softmax estimator (GS)",
    "(5)": "the straight-through estimator (ST)",
    "(6)": "the straight-through Gumbel-Softmax estimator (ST-GS)",
    "(7)": "the Gumbel-Rao estimator (GR)",
    "Proposition 1": "the mean squared error of GR is at most that of ST-GS",
    "(8)": "Proposition 1 as an inequality",
    "(9)": "Gumbels, given the choice",
    "(10)": "Gumbel-Rao with K samples (GR-MCK)",
    "Proposition 2": "the mean squared error of GR-MCK is at most that of ST-GS",
    "(11)": "Proposition 2 as an inequality",
    "(12)": "the mean of B estimates, a minibatch",
    "Proposition 3": "how the variance falls with K and with B",
    "(13)": "Proposition 3 as an equation",
    "Figure 1": "the quadratic programme and the ratio of variances over the simplex",
    "Table 1": "accuracies on ListOps",
    "Table 2": "bounds of discrete autoencoders on MNIST",
    "Figure 2": "variance, mean squared error and steps, along the training of an autoencoder",
    "(14)": "the objective with several choices",
    "(15)": "surrogate objective of REINFORCE",
    "(16)": "surrogate objective of GS",
    "(17)": "surrogate objective of ST",
    "(18)": "surrogate objective of ST-GS",
    "(19)": "surrogate objective of GR-MCK",
    "(20)": "the objective with choices that depend on each other",
    "(21)": "ST in a chain of choices, the last one",
    "(22)": "ST in a chain, the others",
    "(23)": "ST-GS in a chain, the last one",
    "(24)": "ST-GS in a chain, the others",
    "(25)": "GR-MCK in a chain, the last one",
    "(26)": "GR-MCK in a chain, the others",
    "(27)": "proof of Proposition 1, first step",
    "(28)": "proof of Proposition 1: the gradient is a constant",
    "(29)": "proof of Proposition 1: Jensen's inequality",
    "(30)": "proof of Proposition 1: the tower rule",
    "(31)": "proof of Proposition 2, first step",
    "(32)": "proof of Proposition 2: Jensen's inequality",
    "(33)": "proof of Proposition 2: the expectation is linear",
    "(34)": "proof of Proposition 2: all samples have one law",
    "(35)": "proof of Proposition 3: the law of total variance",
    "(36)": "proof of Proposition 3: the mean put in",
    "(37)": "proof of Proposition 3: estimates are independent",
    "(38)": "proof of Proposition 3: the samples are independent given D",
    "(39)": "proof of Proposition 3, last step",
    "Figure 3": "variance of the draws and of the minibatch, along a training",
    "Table 3": "bounds over batch sizes",
    "Figure 4": "bounds over the batch size and over K",
}

# The steps of the proofs have no function or test of their own: those of what is proved.
PROOFS = {"Proposition 1": range(27, 31), "Proposition 2": range(31, 35)}
PROOFS["Proposition 3"] = range(35, 40)


class Place(NamedTuple):
    """Where something is.

    Attributes:
        text: what a reader sees.
        target: the full name of a function, the file and the anchor of a section, or the address
            of a test.
    """

    text: str
    target: str


def numbers(text: str) -> set[str]:
    """Return the entries that a text names.

    >>> sorted(numbers("By (13) and Propositions 1 and 2, see Figure 2b; f(3) is a value."))
    ['(13)', 'Figure 2', 'Proposition 1', 'Proposition 2']
    """
    found = {f"({n})" for n in re.findall(r"(?<![\w\])}])\((\d\d?)\)", text)}
    for first, last in re.findall(r"(?<![\w\])}])\((\d\d?)\)[-–]\((\d\d?)\)", text):
        found |= {f"({n})" for n in range(int(first), int(last))}
    for several in re.findall(r"\((\d\d(?:, \d\d)+)\)", text):
        found |= {f"({n})" for n in several.split(", ")}
    found |= {f"({n})" for n in re.findall(r"\((\d\d), [A-Z]", text)}  # (17, ST)
    found |= {f"({n})" for n in re.findall(r"\bequations? \(?(\d\d?)\b", text)}
    found |= {f"({n})" for n in re.findall(r"\bequations? \d+ (?:and|to) (\d\d?)\b", text)}
    for kind, first, last in re.findall(
        r"(Proposition|Figure|Table)s?\s(\d)[a-d]?(?:(?:,| and| to)\s(\d))?", text
    ):
        found |= {f"{kind} {n}" for n in (first, last) if n}
    return found & ENTRIES.keys()


def functions(root: Path = ROOT) -> dict[str, list[Place]]:
    """Return the public functions, classes and modules whose docstrings name an entry."""
    found: defaultdict[str, list[Place]] = defaultdict(list)
    package = root / "gumbelrao_edu"
    for file in sorted(package.rglob("*.py")):
        parts = file.relative_to(root).with_suffix("").parts
        parts = parts[:-1] if parts[-1] == "__init__" else parts
        if any(part.startswith("_") for part in parts):
            continue
        module = ".".join(parts)
        tree = ast.parse(file.read_text("utf-8"))
        for name, node in _definitions(tree):
            text = "\n".join(
                line
                for line in (ast.get_docstring(node) or "").splitlines()
                if not line.lstrip().startswith((">>>", "..."))
            )
            for decorator in getattr(node, "decorator_list", ()):
                if isinstance(decorator, ast.Call):  # the registry
                    text += " ".join(
                        str(ast.literal_eval(k.value))
                        for k in decorator.keywords
                        if k.arg == "equation"
                    )
            for entry in numbers(text):
                found[entry].append(Place(name or parts[-1], f"{module}.{name}".rstrip(".")))
    return dict(found)


def _definitions(tree: ast.Module) -> list[tuple[str, ast.AST]]:
    """The module, and its public functions, classes and methods, with their names."""
    found: list[tuple[str, ast.AST]] = [("", tree)]
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_"):
            found.append((node.name, node))
            for inner in node.body if isinstance(node, ast.ClassDef) else ():
                if isinstance(inner, ast.FunctionDef) and not inner.name.startswith("_"):
                    found.append((f"{node.name}.{inner.name}", inner))
    return found


def sections(root: Path = ROOT) -> dict[str, list[Place]]:
    """Return the sections of the notebooks whose text names an entry."""
    found: defaultdict[str, list[Place]] = defaultdict(list)
    for script in tools.find(root / "notebooks" / tools.SOLUTIONS, []):
        heading = ""
        for cell in tools.read_script(script).cells:
            if cell.cell_type != "markdown":
                continue
            for block in re.split(r"(?m)^(?=## )", cell.source):
                head = re.match(r"## (.+)", block)
                heading = head[1].strip() if head else heading
                for entry in sorted(numbers(block)):
                    number = int(script.name[:2])
                    target = f"notebooks/{script.stem}.ipynb"
                    target += f"#{slug(heading)}" if heading else ""
                    place = Place(f"{number}: {heading or 'the beginning'}", target)
                    if place not in found[entry]:
                        found[entry].append(place)
    return dict(found)


def marked_tests(root: Path = ROOT) -> dict[str, list[Place]]:
    """Return the tests whose mark names an entry."""
    found: defaultdict[str, list[Place]] = defaultdict(list)
    address = f"https://github.com/{repository(root)}/blob/main/tests"
    for file in sorted((root / "tests").glob("test_*.py")):
        for node in ast.parse(file.read_text("utf-8")).body:
            if not isinstance(node, ast.FunctionDef):
                continue
            for decorator in node.decorator_list:
                if isinstance(decorator, ast.Call) and ast.unparse(decorator.func) == MARK:
                    for argument in decorator.args:
                        entry = ast.literal_eval(argument)
                        if entry not in ENTRIES:
                            raise ValueError(f"{file.name}: {entry!r} is nothing in the paper")
                        text = f"{file.stem}::{node.name}"
                        found[entry].append(Place(text, f"{address}/{file.name}#L{node.lineno}"))
    return dict(found)


MARK = "pytest.mark.paper"


class Found(NamedTuple):
    """What an entry is found in."""

    functions: list[Place]
    sections: list[Place]
    tests: list[Place]


def index(root: Path = ROOT) -> dict[str, Found]:
    """Return everything that is found, for each entry; steps of a proof have what it proves."""
    all_functions, all_sections, all_tests = functions(root), sections(root), marked_tests(root)
    found = {
        entry: Found(
            all_functions.get(entry, []), all_sections.get(entry, []), all_tests.get(entry, [])
        )
        for entry in ENTRIES
    }
    same = {f"({n})": what for what, steps in PROOFS.items() for n in steps}
    same |= {"(8)": "Proposition 1", "(11)": "Proposition 2", "(13)": "Proposition 3"}
    for entry, what in same.items():
        pairs = zip(found[entry], found[what], strict=True)
        found[entry] = Found(*(list(dict.fromkeys([*own, *proved])) for own, proved in pairs))
    return found


def write(path: Path) -> None:
    """Write the page."""
    lines = [
        "# The paper, from equation to code",
        "",
        "Each equation, proposition, figure and table of the",
        "[paper](https://arxiv.org/abs/2010.04838), and where this project has it. The list is",
        "made from the docstrings, the notebooks and the tests.",
        "",
    ]
    for entry, found in index().items():
        lines += [f"## {entry}", "", f"{ENTRIES[entry][0].upper()}{ENTRIES[entry][1:]}.", ""]
        if found.functions:
            links = [f"{{py:obj}}`{p.text} <{p.target}>`" for p in found.functions]
            lines.append(f"- **Library:** {', '.join(links)}")
        if found.sections:
            links = [f"[{p.text}]({p.target})" for p in found.sections]
            lines.append(f"- **Course:** {'; '.join(links)}")
        if found.tests:
            lines.append(
                f"- **Tests:** {', '.join(f'[`{p.text}`]({p.target})' for p in found.tests)}"
            )
        lines.append("")
    path.write_text("\n".join(lines), "utf-8")


if __name__ == "__main__":
    for entry, found in index().items():
        print(entry, *(len(each) for each in found))
