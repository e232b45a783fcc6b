"""Accessibility as axe-core judges it, in a page of the browser."""

from lab_server import NODE, missing

AXE = NODE / "axe-core" / "axe.min.js"


def load_axe(page):
    if not AXE.exists():
        missing("axe-core is not installed (make site)", needed="SITE")
    page.add_script_tag(path=str(AXE))


def judge(page, places=("html",), **options):
    """Return what breaks a rule at these places of a page with axe, and the rules that are kept."""
    context = {"include": [[place] for place in places]}
    options = {"resultTypes": ["violations"], **options}
    found = page.evaluate("given => axe.run(...given)", [context, options])
    violations = [
        f"{rule['id']}: {node['target']} {node['html'][:200]}"
        for rule in found["violations"]
        for node in rule["nodes"]
    ]
    return violations, [rule["id"] for rule in found["passes"]]
