"""What a reader needs to find a page and to read it on a phone: search, wrong addresses, widths."""

import json
import re
import urllib.parse

import pytest
from accessibility import judge, load_axe
from site_server import MARKS, PAGES, ROOT_OF_SITE, SITE, compressed, make_live, schemes

pytestmark = MARKS

PHONE = {"width": 360, "height": 740, "has_touch": True, "is_mobile": True}
# Pages with diagrams: a picture whose record asks for a width.
DIAGRAMS = [name for name in PAGES if 'class="sideways"' in (SITE / name).read_text("utf-8")]


# --- Wrong addresses ------------------------------------------------------------------------------


@pytest.fixture
def lost(chromium, address):
    """Opens an address that leads nowhere; returns the page and what it could not load."""
    contexts = []

    def open_(path, **options):
        context = chromium.new_context(**options)
        contexts.append(context)
        page = context.new_page()
        failed = []
        page.on("response", lambda r: failed.append(r.url) if r.status >= 400 else None)
        page.goto(f"{address}/{path}")
        page.wait_for_load_state("networkidle")
        return page, [url for url in failed if url != f"{address}/{path}"]

    yield open_
    for context in contexts:
        context.close()


@pytest.mark.parametrize("path", ["wrong", "notebooks/03_gumbel.html", "a/b/c/"])
@pytest.mark.parametrize("width", [360, 1366])
def test_a_wrong_address_leads_on(lost, address, path, width):
    page, failed = lost(path, viewport={"width": width, "height": 740})
    assert page.locator("article h1").inner_text().startswith("There is no page")
    assert failed == []  # its styles and scripts come from wherever it is
    links = page.locator("a[href]").evaluate_all("all => all.map(a => a.href)")
    inside = {urllib.parse.urldefrag(link).url.removeprefix(f"{address}/") for link in links}
    inside = {each for each in inside if not each.startswith("http")} - {path}
    assert [each for each in inside if not (SITE / urllib.parse.unquote(each)).is_file()] == []
    wanted = {"index.html", "notebooks/00_start_here.html", "library.html", "glossary.html"}
    named = page.locator("article a").evaluate_all("all => all.map(a => a.href)")
    assert {f"{address}/{each}" for each in wanted} <= {*named}
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    load_axe(page)
    for _ in schemes(page):
        assert judge(page)[0] == []


def test_a_wrong_address_offers_the_search(lost, address):
    page, _ = lost("no/such/page", viewport={"width": 360, "height": 740})
    page.locator("article input[type=search]").fill("temperature")
    page.locator("article button").click()
    page.wait_for_selector("#search-results li", timeout=20_000)
    assert page.url.startswith(f"{address}/search.html?q=temperature")


def test_the_search_shows_a_formula_once(open_page):
    page = open_page("search.html?q=softmax", wait=False)
    page.wait_for_selector("#search-results p.context", timeout=20_000)
    page.wait_for_load_state("networkidle")
    said = page.locator("#search-results p.context").all_inner_texts()
    assert len(said) > 3
    assert [text for text in said if "\\" in text] == []  # the formula's source


def test_the_search_does_not_find_the_page_for_wrong_addresses():
    index = (SITE / "searchindex.js").read_text("utf-8")
    names = json.loads(re.search(r'"?docnames"?:(\[[^]]*\])', index)[1])
    titles = json.loads(re.search(r'"?titles"?:(\[.*?\])[,}]', index)[1])
    assert (SITE / "404.html").exists()
    assert "404" not in names or not titles[names.index("404")]


# --- Search ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("query", "place"),
    [("K", "term-K"), ("k", "term-K"), ("tau", "term-temperature"), ("τ", "term-temperature")],
)
def test_the_search_finds_what_the_letters_mean(open_page, query, place):
    page = open_page(f"search.html?q={urllib.parse.quote(query)}", wait=False)
    page.wait_for_selector("#search-results li", timeout=20_000)
    page.wait_for_function("document.querySelector('#search-summary, .search-summary')")
    found = page.locator("#search-results li a").evaluate_all("all => all.map(a => a.href)")
    places = [n for n, link in enumerate(found) if "glossary.html#term-" in link]
    assert places, found
    page.goto(found[places[0]])
    near = page.locator(f"#{urllib.parse.unquote(urllib.parse.urldefrag(page.url).fragment)}")
    entry = near.evaluate(
        "dt => { while (dt.tagName === 'DT') dt = dt.nextElementSibling; return dt.innerText; }"
    )
    meaning = page.locator(f"#{place}").evaluate(
        "dt => { while (dt.tagName === 'DT') dt = dt.nextElementSibling; return dt.innerText; }"
    )
    assert entry == meaning
    assert places[0] < 5


# --- Icons ----------------------------------------------------------------------------------------


def test_icons_weigh_less_than_the_first_figure(open_page, record_property):
    page = open_page("index.html", wait=False)
    asked = []
    page.on("request", lambda request: asked.append(request.url))
    page.reload()
    page.wait_for_load_state("networkidle")
    paths = [urllib.parse.urlparse(url).path.removeprefix(ROOT_OF_SITE) for url in asked]
    sizes = {each: len(compressed(SITE / (each or "index.html"))) for each in paths}
    record_property("measured", f"index.html: {sum(sizes.values()):,} bytes, compressed")
    icons = {name: size for name, size in sizes.items() if "fontawesome" in name}
    assert sum(icons.values()) < 10_000, icons
    drawn = page.locator("svg.svg-inline--fa path").evaluate_all(
        "all => all.map(path => path.getBBox().width)"
    )
    assert len(drawn) > 10
    assert page.locator("i[class*=fa-], span[class*=fa-]").count() == 0
    assert page.locator("svg:is(.fas, .fab, .fa-solid, .fa-brands)").count() == 0
    seen = page.locator("svg.svg-inline--fa:visible").evaluate_all(
        "all => all.map(svg => svg.getBoundingClientRect()).map(box => [box.width, box.height])"
    )
    assert len(seen) >= 4
    assert all(8 < side < 40 for box in seen for side in box), seen


def test_every_page_has_its_icons(open_page):
    for name in [*PAGES, "genindex.html", "search.html"]:
        page = open_page(name, wait=False)
        assert page.locator("i[class*=fa-], span[class*=fa-]").count() == 0, name
        page.context.close()


# --- Widths ---------------------------------------------------------------------------------------


def test_there_are_diagrams():
    assert len(DIAGRAMS) >= 3


@pytest.mark.parametrize("name", [name for name in PAGES if name[10:12] in ("00", "06", "07")])
def test_a_diagram_is_read_on_a_phone(open_page, name):
    """Its texts are as large as those of other figures, and it scrolls in a box of its own."""
    page = open_page(name, **PHONE)
    make_live(page)
    page.wait_for_selector(".sideways .main-svg")
    page.wait_for_function("document.querySelector('.sideways').matches('.cut')")
    for box in page.locator("div.sideways").all():
        texts = box.locator(".main-svg text").evaluate_all(
            """all => all.filter(text => text.textContent.trim()).map(text => {
                const plot = text.closest('.js-plotly-plot');
                const scale = plot.getBoundingClientRect().width / plot.offsetWidth;
                return scale * parseFloat(getComputedStyle(text).fontSize);
            })"""
        )
        assert min(texts) >= 10
        inner, outer, tab, cut = box.evaluate(
            "box => [box.scrollWidth, box.clientWidth, box.tabIndex, box.matches('.cut')]"
        )
        assert inner > outer
        assert tab == 0
        assert cut
        end = box.evaluate("box => { box.scrollLeft = 9999; return box.scrollLeft; }")
        assert end == inner - outer
        page.wait_for_function("box => !box.matches('.cut')", arg=box.element_handle())
        assert box.evaluate("box => box.scrollHeight <= box.clientHeight")
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    load_axe(page)
    assert judge(page, ["article"])[0] == []
    # Where there is room it is all seen.
    page.set_viewport_size({"width": 1366, "height": 900})
    page.wait_for_function("!document.querySelector('.sideways.cut, .sideways[tabindex]')")
    # And where the page gets narrow in a window that stays, it scrolls again.
    page.evaluate("document.querySelector('article').style.width = '340px'")
    page.wait_for_function("document.querySelector('.sideways.cut[tabindex]')")


def test_a_diagram_is_read_on_a_phone_without_scripts(open_page):
    page = open_page(DIAGRAMS[0], wait=False, java_script_enabled=False, **PHONE)
    box = page.locator(".sideways img").first.bounding_box()
    assert box["width"] >= 540
    assert page.locator("article").first.bounding_box()["width"] <= 360


@pytest.mark.parametrize("name", PAGES)
def test_formulas_are_read_on_a_phone(open_page, name):
    page = open_page(name, wait=False, **PHONE)
    page.evaluate("document.querySelectorAll('details').forEach(fold => { fold.open = true; })")
    page.evaluate("dispatchEvent(new Event('resize'))")
    page.evaluate("document.fonts.ready")
    formulas = page.locator(".formula").evaluate_all(
        """all => all.map(formula => {
            const text = formula.querySelector('.katex');
            const number = formula.querySelector('.katex-tag')?.getBoundingClientRect();
            const parts = [...formula.querySelectorAll('.katex-base')]
                .map(part => part.getBoundingClientRect());
            return {
                tex: formula.querySelector('annotation').textContent,
                size: parseFloat(getComputedStyle(text).fontSize),
                wide: formula.scrollWidth > formula.clientWidth + 1,
                tabIndex: formula.tabIndex,
                high: formula.scrollHeight > formula.clientHeight + 1,
                met: number !== undefined && parts.some(part => part.right > number.left + 1
                    && part.bottom > number.top + 1 && part.top < number.bottom - 1),
            };
        })"""
    )
    assert [each for each in formulas if each["size"] < 14] == []
    assert [each for each in formulas if each["wide"] and each["tabIndex"] != 0] == []
    assert [each for each in formulas if each["high"] or each["met"]] == []
    assert sum(each["wide"] for each in formulas) <= 2
    assert page.evaluate("document.documentElement.scrollWidth") <= 360


@pytest.mark.skipif("notebooks/04_why_it_works.html" not in PAGES, reason="not built")
def test_a_formula_is_broken_between_brackets(open_page):
    page = open_page("notebooks/04_why_it_works.html", wait=False, **PHONE)
    lines = page.locator(".formula.lines .katex-html").evaluate_all(
        """all => all.map(formula => {
            const found = {};
            for (const part of formula.querySelectorAll('.katex-base')) {
                const {bottom, top, height} = part.getBoundingClientRect();
                if (height === 0) continue;
                const seen = Object.keys(found).find(y => y > top && y < bottom);
                const line = seen ?? (top + bottom) / 2;
                found[line] = (found[line] ?? '') + part.textContent;
            }
            return Object.values(found);
        }).filter(lines => lines.length > 1)"""
    )
    assert lines
    for line in (each for formula in lines for each in formula):
        for opening, closing in ("()", "[]", "⟨⟩"):
            assert line.count(opening) == line.count(closing), lines
        assert line.count("∥") % 2 == 0, lines


@pytest.mark.parametrize(
    ("name", "starts"),
    [("05_quadratic_programme", "A"), ("07_discrete_vae", "D"), ("08_relatives", "mgJ")],
)
def test_equations_beside_each_other_have_lines_of_their_own(open_page, name, starts):
    """Else a line would end behind the = of the next equation."""
    if (name := f"notebooks/{name}.html") not in PAGES:
        pytest.skip("not built")
    page = open_page(name, wait=False, **PHONE)
    parts = page.locator(".formula.lines .part").evaluate_all(
        """all => all.filter(part => part.previousElementSibling?.matches('.part')).map(part => {
            const [box, before] = [part, part.previousElementSibling].map(
                each => each.getBoundingClientRect());
            return [part.textContent, box.top >= before.bottom - 1];
        })"""
    )
    assert "".join(text.strip("\u200b")[0] for text, _ in parts) == starts
    assert all(below for _, below in parts)


@pytest.mark.parametrize("name", PAGES)
def test_what_cells_print_is_read_on_a_phone(open_page, name):
    """Sentences wrap; names with numbers fit; what is wider scrolls in its box, and says so."""
    page = open_page(name, wait=False, **PHONE)
    page.evaluate("document.querySelectorAll('details').forEach(fold => { fold.open = true; })")
    page.evaluate("dispatchEvent(new Event('resize'))")
    printed = page.locator(".cell_output pre").evaluate_all(
        """all => all.map(pre => ({
            text: pre.textContent,
            size: parseFloat(getComputedStyle(pre).fontSize),
            wide: pre.scrollWidth > pre.clientWidth + 1,
            tabIndex: pre.tabIndex,
            cut: pre.matches('.cut'),
            scrolls: getComputedStyle(pre).overflowX,
            right: pre.getBoundingClientRect().right,
        }))"""
    )
    for each in printed:
        assert each["size"] >= 9.5, each
        assert each["right"] <= 360, each
        longest = max(map(len, each["text"].splitlines()), default=0)
        if longest <= 50 or not re.search(r"\S {2,}\S", each["text"]):
            assert not each["wide"], each
        if each["wide"]:
            assert (each["scrolls"], each["tabIndex"], each["cut"]) == ("auto", 0, True), each
    # Beside the text there is room for all of it, as large as before.
    page.set_viewport_size({"width": 1366, "height": 900})
    page.wait_for_function(
        "[...document.querySelectorAll('.cell_output pre')]"
        ".every(pre => getComputedStyle(pre).fontSize === '12.8px')"
    )
