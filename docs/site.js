// The course's figures on a page without a kernel: the model is a table of recorded states.
// `front` has the same scripts that draw in JupyterLab; `states` comes from the record of a panel.

const BASE = new URL(".", document.currentScript.src);
const records = {};
// What is too wide for its place gets smaller, to this share of its size.
const [LEAST_FORMULA, LEAST_PRINTED] = [0.85, 0.75];

// What the scripts use of the models of Jupyter's widgets.
class Model {
  constructor(values) {
    this.values = values;
    this.listeners = [];
  }
  get(name) {
    return this.values[name];
  }
  set(name, value) {
    if (this.values[name] === value) return;
    this.values[name] = value;
    for (const [event, listener] of this.listeners.slice()) {
      if (event === `change:${name}`) listener();
    }
  }
  save_changes() {}
  on(events, listener) {
    for (const event of events.split(" ")) this.listeners.push([event, listener]);
  }
  off(events, listener) {
    this.listeners = this.listeners.filter((each) => each[1] !== listener);
  }
}

const scripts = {};
function script(path) {
  scripts[path] ??= loaded(path, 3);
  return scripts[path];
}

// A connection may break, on a train for instance: what did not come is asked for again.
function loaded(path, tries) {
  return new Promise((resolve, reject) => {
    const element = document.createElement("script");
    element.src = new URL(path, BASE);
    element.onload = resolve;
    element.onerror = () => {
      element.remove();
      if (tries === 1) return reject(new Error(`${path} is missing`));
      setTimeout(() => loaded(path, tries - 1).then(resolve, reject), 1000);
    };
    document.head.append(element);
  });
}

// The value of a property in a state; grids are stored as steps from one number to the next.
function value(moved, state) {
  const stored = moved.values[moved.states[state]];
  if (moved.step === undefined) return stored;
  const rows = [];
  let last = 0;
  stored.forEach((difference, place) => {
    if (place % moved.columns === 0) rows.push([]);
    if (difference !== null) last += difference;
    rows.at(-1).push(difference === null ? null : last * moved.step);
  });
  return rows;
}

function properties(record, state) {
  const parts = {};
  for (const moved of record.moved) {
    (parts[moved.trace] ??= {})[moved.name] = value(moved, state);
  }
  return JSON.stringify(parts);
}

function player(el, control, model) {
  const last = control.labels.length - 1;
  const button = document.createElement("button");
  button.type = "button";
  const name = (text) => {
    button.textContent = text;
  };
  name("Play");
  let timer = null;
  const stop = () => {
    clearInterval(timer);
    timer = null;
    name("Play");
  };
  button.addEventListener("click", () => {
    if (timer !== null) return stop();
    if (model.get("index") === last) model.set("index", 0);
    name("Stop");
    timer = setInterval(() => {
      model.set("index", model.get("index") + 1);
      if (model.get("index") >= last) stop();
    }, Math.max(60, 6000 / last));
  });
  el.append(button);
}

async function show(panel) {
  const id = panel.dataset.states;
  const status = document.createElement("p");
  status.className = "status";
  status.role = "status";
  panel.append(status);
  const slow = setTimeout(() => {
    status.textContent = "The live figure is loading …";
  }, 1000);
  try {
    await Promise.all([script(`states/${id}.js`), script("plotly.min.js")]);
  } catch (error) {
    status.textContent = "The live figure did not load. Reload the page to try again.";
    throw error;
  } finally {
    clearTimeout(slow);
  }
  status.remove();
  const record = records[id];
  const controls = record.controls.map((control) => ({
    ...control,
    model: new Model({
      description: control.name,
      tooltip: control.tooltip,
      _labels: control.labels,
      index: control.index,
    }),
  }));
  // The last control moves fastest.
  const state = () =>
    controls.reduce((sum, { labels, model }) => sum * labels.length + model.get("index"), 0);
  const caption = () => record.texts[record.captions[state()]];
  const plot = new Model({
    caption: caption(),
    error: "",
    _library: "plotly",
    _figure: JSON.stringify(record.figure),
    _moved: properties(record, state()),
  });
  plot.widget_manager = { get_model: async () => ({ plotly: window.Plotly }) };

  const live = document.createElement("div");
  live.className = "gumbelrao-panel";
  for (const control of controls) {
    const el = document.createElement("div");
    live.append(el);
    front[control.kind === "choice" ? "choice" : "slider"].render({ model: control.model, el });
    if (control.kind === "player") player(el, control, control.model);
    control.model.on("change:index", () => {
      plot.set("_moved", properties(record, state()));
      plot.set("caption", caption());
    });
  }
  const el = document.createElement("div");
  live.append(el);
  panel.classList.add("gumbelrao-loading");
  panel.append(live);
  await front.plot.render({ model: plot, el });
  panel.replaceWith(live);
  if (panel.querySelector(".sideways")) sideways(el.querySelector(".gumbelrao-frame"));
}

// A diagram scrolls where the page is narrow; its caption and its button stay.
function sideways(frame) {
  const around = document.createElement("div");
  around.className = "sideways";
  frame.replaceWith(around);
  around.append(frame);
  // The figure is drawn again after the page has got another width, and is too wide until then.
  const sizes = new ResizeObserver(() => mark(around));
  for (const each of [around, frame.querySelector(".svg-container")]) sizes.observe(each);
}

// Numbers are compared down their columns: the tables that pandas makes stay as they are.
function isStackable(table) {
  return table.tHead?.rows.length === 1 && !table.matches(".dataframe");
}

// Columns of two or three words a line, half a screen high, cannot be read, though they fit.
function isNarrow(table) {
  return [...table.querySelectorAll("td")].some((cell) => cell.clientHeight > 400);
}

// Each row becomes a block, each cell a line that begins with the name of its column.
function stack(table) {
  table.classList.add("stacked");
  if (table.role) return;
  // What is no longer laid out as a table is one to a screen reader.
  table.role = "table";
  const names = [...table.tHead.rows[0].cells];
  for (const part of [table.tHead, ...table.tBodies]) part.role = "rowgroup";
  for (const row of table.rows) row.role = "row";
  for (const cell of names) cell.role = cell.matches("th") ? "columnheader" : "cell";
  for (const row of [...table.tBodies].flatMap(({ rows }) => [...rows])) {
    [...row.cells].forEach((cell, column) => {
      cell.role = "cell";
      const name = document.createElement("span");
      name.className = "column";
      name.ariaHidden = "true";
      name.append(...names[column].cloneNode(true).childNodes);
      const content = document.createElement("div");
      content.append(...cell.childNodes);
      cell.append(name, content);
    });
  }
}

function nameOf(table) {
  const columns = [...table.querySelectorAll("thead th")].map((cell) => cell.textContent.trim());
  return `Table of ${columns.join(", ")}; it scrolls sideways`;
}

// What is wider than the page scrolls by itself, with the keyboard too.
const WIDE = ".formula, .bd-article table, pre, .output, .sideways";
const isWide = (element) => element.scrollWidth > element.clientWidth + 1;

function isCut(element) {
  const left = element.scrollWidth - element.clientWidth - element.scrollLeft;
  element.classList.toggle("cut", left > 1);
}

// Gets smaller, as far as it can be read. Returns whether there is room now.
function shrink(element, least) {
  element.style.fontSize = "";
  if (!isWide(element)) return true;
  const { fontSize, paddingLeft, paddingRight } = getComputedStyle(element);
  const around = parseFloat(paddingLeft) + parseFloat(paddingRight); // which stays as it is
  const share = (0.99 * (element.clientWidth - around)) / (element.scrollWidth - around);
  element.style.fontSize = `${Math.max(least, share) * parseFloat(fontSize)}px`;
  return !isWide(element);
}

// Sentences wrap. Columns do not: they have two spaces within a line.
const isSentences = (text) => !/\S {2,}\S/.test(text);

// A formula may be broken after its relations and sums, but not within brackets or a norm.
function keepBrackets(formula) {
  let open = 0;
  let inNorm = false;
  let last = null;
  for (const part of formula.querySelectorAll(".katex-html > .katex-base")) {
    if (open > 0 || inNorm) {
      if (!last.matches(".whole")) {
        const whole = document.createElement("span");
        whole.className = "whole";
        last.replaceWith(whole);
        whole.append(last);
        last = whole;
      }
      last.append(part);
    } else last = part;
    for (const sign of part.textContent) {
      if ("([{⟨⌊⌈".includes(sign)) open += 1;
      if (")]}⟩⌋⌉".includes(sign)) open -= 1;
      if (sign === "∥" && open === 0) inNorm = !inNorm; // within, it divides, as in KL(q ∥ p)
    }
  }
}

// Equations beside each other, with a wide space between them, are parts, each with its own lines.
function keepParts(formula) {
  const html = formula.querySelector(".katex-html");
  for (const space of html.querySelectorAll(":scope > .katex-base > .mspace")) {
    const base = space.parentElement;
    const rest = base.cloneNode();
    const after = [...base.children].slice([...base.children].indexOf(space) + 1);
    const isNumber = /^\(\d/.test(after.map((each) => each.textContent).join("")); // of an equation
    if (!/^[12]em$/.test(space.style.marginRight) || isNumber) continue;
    space.classList.add("between");
    rest.append(base.firstElementChild.cloneNode(), ...after); // the first one gives its height
    base.after(rest);
  }
  keepBrackets(formula);
  let part = null;
  for (const each of html.querySelectorAll(":scope > :not(.katex-tag)")) {
    if (part === null) {
      part = document.createElement("span");
      part.className = "part";
      each.before(part);
    }
    part.append(each);
    if ([...each.querySelectorAll("*")].at(-1)?.matches(".between")) part = null;
  }
}

function scrollable() {
  // A formula gets a little smaller, or else goes on in the next line; at last it does both.
  for (const formula of document.querySelectorAll(".formula")) {
    formula.classList.remove("lines");
    if (shrink(formula, LEAST_FORMULA)) continue;
    formula.classList.add("lines");
    shrink(formula, LEAST_FORMULA);
  }
  for (const printed of document.querySelectorAll(".cell_output pre")) {
    printed.classList.toggle("sentences", isSentences(printed.textContent));
    shrink(printed, LEAST_PRINTED);
  }
  document.querySelectorAll(".bd-article table").forEach(fit);
  document.querySelectorAll(WIDE).forEach(mark);
}

function fit(table) {
  table.classList.remove("small", "stacked");
  if (isWide(table)) table.classList.add("small");
  if (isStackable(table) && (isWide(table) || isNarrow(table))) stack(table);
}

function mark(element) {
  if (isWide(element)) element.tabIndex = 0;
  else element.removeAttribute("tabindex");
  if (element.tabIndex === 0 && element.matches("table")) element.ariaLabel = nameOf(element);
  isCut(element);
  element.onscroll = () => isCut(element);
}

function start() {
  const panels = document.querySelectorAll("[data-states]");
  const seen = new IntersectionObserver(
    (entries) => {
      for (const { isIntersecting, target } of entries) {
        if (!isIntersecting) continue;
        seen.unobserve(target);
        show(target).catch((error) => console.error(error)); // the still picture stays
      }
    },
    { rootMargin: "800px" },
  );
  panels.forEach((panel) => seen.observe(panel));

  // The key f fills the screen with the figure that is nearest to the middle of the page.
  document.addEventListener("keydown", (event) => {
    const plain = !(event.ctrlKey || event.metaKey || event.altKey);
    if (event.key !== "f" || !plain || event.target.matches("input, select, textarea")) return;
    const distance = (element) => {
      const { top, bottom } = element.getBoundingClientRect();
      return Math.abs((top + bottom - window.innerHeight) / 2);
    };
    const [nearest] = [...document.querySelectorAll(".gumbelrao-panel .gumbelrao-plot")].sort(
      (a, b) => distance(a) - distance(b),
    );
    nearest?.querySelector("button").click();
  });

  // Paper is light.
  const page = document.documentElement.dataset;
  let theme;
  window.addEventListener("beforeprint", () => {
    theme = page.theme;
    page.theme = "light";
  });
  window.addEventListener("afterprint", () => {
    page.theme = theme;
  });

  // What the theme leaves without a name.
  for (const summary of document.querySelectorAll("summary")) {
    if (!summary.textContent.trim()) summary.ariaLabel = "Show or hide the pages below";
  }
  for (const button of document.querySelectorAll(".search-button-field")) {
    button.removeAttribute("aria-label"); // its text says more
  }
  const sidebar = document.querySelector(".bd-sidebar-primary");
  sidebar?.setAttribute("role", "navigation");
  sidebar?.setAttribute("aria-label", "Site");

  // The theme's script listens to the first button of each menu, which stands in the bar that is
  // not shown; the others pass it on.
  const menus = { primary: "Pages of the site", secondary: "On this page" };
  for (const [kind, name] of Object.entries(menus)) {
    const [first, ...others] = document.querySelectorAll(`.${kind}-toggle`);
    for (const button of others) {
      button.ariaLabel = name;
      button.addEventListener("click", () => first.click());
    }
  }

  // The list of places on a page, which covers a phone, closes when one is chosen.
  document.addEventListener("click", ({ target }) => {
    target.closest('dialog a[href*="#"]')?.closest("dialog").close();
  });

  // Of what a search finds, the text is shown, not the buttons around it, nor a formula twice.
  if (typeof Search !== "undefined") {
    const text = Search.htmlToText;
    Search.htmlToText = (page, anchor) => {
      const article = new DOMParser().parseFromString(page, "text/html").querySelector("article");
      article?.querySelectorAll(".katex-mathml, noscript, .headerlink").forEach((e) => e.remove());
      return text(article ? `<div role="main">${article.innerHTML}</div>` : page, anchor);
    };
  }

  // Paper has no lists to choose from: the chosen name is printed.
  window.addEventListener("beforeprint", () => {
    for (const select of document.querySelectorAll(".gumbelrao-control select")) {
      const chosen = document.createElement("b");
      chosen.className = "chosen";
      chosen.textContent = select.selectedOptions[0]?.textContent ?? "";
      select.after(chosen);
    }
  });
  window.addEventListener("afterprint", () => {
    for (const chosen of document.querySelectorAll(".chosen")) chosen.remove();
  });

  document.querySelectorAll(".formula").forEach(keepParts);
  scrollable();
  window.addEventListener("resize", scrollable);
  document.fonts.addEventListener("loadingdone", scrollable); // letters have other widths now
  // Tables get wider after that, too, as when a phone has chosen the size of its letters.
  const sizes = new ResizeObserver((changed) => {
    const tables = changed.map(({ target }) => target.closest("table"));
    requestAnimationFrame(() => {
      tables.forEach(fit);
      tables.forEach(mark);
    });
  });
  for (const rows of document.querySelectorAll(".bd-article tbody")) sizes.observe(rows);
}

window.gumbelraoStates = (id, record) => {
  records[id] = record;
};
if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", start);
else start();

// The theme names what is folded by a label of its own; the words that are seen name it better.
for (const summary of document.querySelectorAll("article summary[aria-label]")) {
  summary.removeAttribute("aria-label");
}
