// A figure with its caption and its errors. The model is the kernel's, or a table of states.

// On a phone the scale of colours lies under its map, plots that stand side by side stand under each
// other (four and more in two columns), a legend has its rows above, and a diagram gets smaller.
const NARROW = 500;
const BELOW = { orientation: "h", x: 0.5, xanchor: "center", y: -0.28, yanchor: "top", len: 0.9 };
const [PLOT, BETWEEN, AROUND, ENTRY] = [210, 85, 110, 18]; // pixels of height
const ABOVE = { orientation: "h", x: 0.5, xanchor: "center", y: 1.15, yanchor: "bottom" };
const WHOLE = [0, 1];

const names = (layout, kind) => Object.keys(layout).filter((key) => key.startsWith(kind));
const sorted = (numbers) => [...new Set(numbers)].sort((a, b) => a - b);
const place = (values, x) => values.reduce((last, value, i) => (value <= x ? i : last), 0);

// The rectangles of a layout's plots, with the names of the axes of each.
function cells(layout) {
  const axes = names(layout, "xaxis").map((x) => {
    const y = (layout[x].anchor ?? x.replace("axis", "").replace("x", "y")).replace("y", "yaxis");
    return { x, y, box: [layout[x].domain ?? WHOLE, layout[y]?.domain ?? WHOLE] };
  });
  const triangles = names(layout, "ternary").map((ternary) => {
    const { x = WHOLE, y = WHOLE } = layout[ternary].domain ?? {};
    return { ternary, box: [x, y] };
  });
  return [...axes, ...triangles];
}

// How the plots of a figure stand on a phone: their rows, and where each of them goes.
function stacking(layout) {
  const found = cells(layout);
  const lefts = sorted(found.map(({ box }) => box[0][0]));
  const bottoms = sorted(found.map(({ box }) => box[1][0]));
  const beside = lefts.length < 4 ? 1 : 2;
  const down = Math.ceil(lefts.length / beside);
  const rows = bottoms.length * down;
  const gap = BETWEEN / (rows * PLOT + (rows - 1) * BETWEEN);
  const [width, height] = [1 - 0.14 * (beside - 1), 1 - gap * (rows - 1)];
  const to = ([x, y]) => {
    const column = place(lefts, x[0]);
    const row = (bottoms.length - 1 - place(bottoms, y[0])) * down + Math.floor(column / beside);
    const left = (column % beside) * (width / beside + 0.14);
    const top = 1 - row * (height / rows + gap);
    return [[left, left + width / beside], [top - height / rows, top]];
  };
  return { found, rows, to, isMoved: lefts.length > 1 };
}

function onPhone(layout) {
  const { found, to, isMoved } = stacking(layout);
  const moved = { ...layout, legend: { ...layout.legend, font: { size: 11 } } };
  if (names(layout, "ternary").length && !(layout.legend?.y < 0.5)) {
    Object.assign(moved.legend, ABOVE);
  }
  if (!isMoved) return moved;
  for (const { x, y, ternary, box } of found) {
    const [across, up] = to(box);
    if (ternary) {
      moved[ternary] = { ...layout[ternary], domain: { x: across, y: up } };
      continue;
    }
    moved[x] = { ...layout[x], domain: across };
    moved[y] = { ...layout[y], domain: up };
    // What an axis has in common with that to its left is said again.
    if (across[0] === 0 && layout[y]?.showticklabels === false && layout[y].visible !== false) {
      Object.assign(moved[y], { showticklabels: true, title: layout.yaxis.title });
    }
  }
  const within = ([from, end], [low, high], x) => low + ((x - from) / (end - from)) * (high - low);
  moved.annotations = layout.annotations?.map((note) => {
    if (note.xref !== "paper" || note.yref !== "paper") return note;
    const distance = ({ box: [x, y] }) =>
      Math.hypot(note.x - (x[0] + x[1]) / 2, note.y - (y[0] + y[1]) / 2);
    const { box } = found.reduce((best, cell) => (distance(cell) < distance(best) ? cell : best));
    const [across, up] = to(box);
    return { ...note, x: within(box[0], across, note.x), y: within(box[1], up, note.y) };
  });
  return moved;
}

// The height that a figure asks for on a phone.
function tallness(layout, data) {
  const { rows } = stacking(layout);
  const entries = data.filter(({ name, showlegend }) => name && showlegend !== false).length;
  const legend = Math.max(0, entries - 6) * ENTRY;
  const stacked = rows * PLOT + (rows - 1) * BETWEEN + AROUND;
  return (rows > 1 ? Math.max(layout.height, stacked) : layout.height) + legend;
}

// On a low screen a figure gets lower, so that its controls and its caption are seen with it.
const LOW = 230;
const scrollers = (el) => {
  const found = [];
  for (let outer = el.parentElement; outer !== null; outer = outer.parentElement) {
    if (["auto", "scroll"].includes(getComputedStyle(outer).overflowY)) found.push(outer);
  }
  return found;
};
const seen = (el) => {
  const heights = scrollers(el)
    .filter(({ scrollHeight, clientHeight }) => scrollHeight > clientHeight && clientHeight > LOW)
    .map(({ clientHeight }) => clientHeight);
  return Math.min(window.innerHeight, ...heights);
};

const WIDTH = 700; // while the cell is out of view, and has none
const CONFIG = { displayModeBar: false }; // its buttons are many, and one uploads the figure

function load(source) {
  const module = { exports: {} };
  new Function("module", "exports", source)(module, module.exports);
  return module.exports;
}

async function render({ model, el }) {
  el.classList.add("gumbelrao-plot");
  el.innerHTML = `<div class="gumbelrao-frame"><div role="img"></div></div>
    <button type="button" title="Fill the screen; the key f does it, too">Full screen</button>
    <p role="status"></p><p role="alert"></p>`;
  const [frame, button, caption, error] = el.children;
  const [plot] = frame.children;
  const write = () => {
    caption.textContent = model.get("caption");
    error.textContent = model.get("error");
    plot.setAttribute("aria-label", model.get("caption"));
  };
  write();

  const id = model.get("_library").replace("IPY_MODEL_", "");
  const library = await model.widget_manager.get_model(id);
  const Plotly = (library.plotly ??= load(library.get("source")));
  const figure = JSON.parse(model.get("_figure"));
  const height = figure.layout.height;
  const isMap = ({ type }) => type === "heatmap" || type === "contour";
  frame.classList.toggle("gumbelrao-map", figure.data.some(isMap));
  figure.layout.uirevision = true; // keeps what the reader has zoomed or hidden
  if (matchMedia("(pointer: coarse)").matches) figure.layout.dragmode = false; // a finger scrolls

  const maps = figure.data.filter((trace) => isMap(trace) && trace.showscale !== false);
  const scale = maps.length === 1 ? (maps[0].colorbar ??= {}) : null;
  const beside = { ...scale };
  const margin = figure.layout.margin ?? {};

  let panel = el; // until the figure is put into its panel
  const isWhole = () => document.fullscreenElement === panel;
  let width;
  let tall;
  let room = height; // of the figure, in pixels
  const wanted = () => (width < NARROW ? tallness({ ...figure.layout, height }, figure.data) : height);
  const low = () => {
    const around = panel.offsetHeight - frame.offsetHeight + 1; // heights are rounded
    const smaller = Math.max(seen(panel) - around, LOW);
    return wanted() > height ? wanted() : Math.min(height, smaller); // a phone scrolls
  };
  const size = () => {
    width = frame.clientWidth || WIDTH;
    // On the whole screen everything is as many times as large as there is room for.
    const below = el.getBoundingClientRect().bottom - frame.getBoundingClientRect().bottom;
    const top = frame.getBoundingClientRect().top - panel.getBoundingClientRect().top;
    tall = panel.clientHeight;
    room = isWhole() ? Math.max(panel.clientHeight - top - below - 56, 200) : low();
    frame.style.height = `${room}px`;
    if (isWhole() && panel.scrollHeight > tall) {
      room -= panel.scrollHeight - tall;
      frame.style.height = `${room}px`;
    }
    const least = figure.layout.meta?.least ?? 0;
    let times = Math.min(1, width / least);
    if (isWhole()) times = Math.max(times, Math.min(width / 800, room / height));
    plot.style.transform = times === 1 ? "" : `scale(${times})`;
    figure.layout.width = width / times;
    figure.layout.height = room / times;
    for (const name of scale ? Object.keys(BELOW) : []) {
      scale[name] = width < NARROW ? BELOW[name] : beside[name];
    }
    const isTriangle = figure.data.some(({ type }) => type === "scatterternary");
    if (scale || isTriangle) {
      figure.layout.margin = width < NARROW ? { ...margin, l: 50, r: 50 } : margin;
    }
  };
  const draw = () => {
    for (const [key, properties] of Object.entries(JSON.parse(model.get("_moved")))) {
      Object.assign(key === "layout" ? figure.layout : figure.data[key], properties);
    }
    const layout = width < NARROW ? onPhone(figure.layout) : figure.layout;
    return Plotly.react(plot, figure.data, layout, CONFIG);
  };
  const resize = () => {
    size();
    return draw();
  };
  await resize();

  // The width is known when the cell is in view, and changes with the window and the panes.
  const observer = new ResizeObserver(() => {
    adopt();
    const changed = frame.clientWidth !== width || (isWhole() && panel.clientHeight !== tall);
    if (frame.clientWidth && (changed || (!isWhole() && low() !== room))) resize();
  });
  const fill = () => (isWhole() ? document.exitFullscreen() : panel.requestFullscreen());
  const changed = () => {
    button.textContent = isWhole() ? "Back (Esc)" : "Full screen";
    resize();
  };
  const key = (event) => {
    const plain = !(event.ctrlKey || event.metaKey || event.altKey);
    if (event.key !== "f" || !plain || event.target.matches("input:not([type=range])")) return;
    event.stopPropagation(); // JupyterLab would open its search
    fill();
  };
  const release = () => {
    observer.disconnect();
    panel.removeEventListener("fullscreenchange", changed);
    panel.removeEventListener("keydown", key);
  };
  const adopt = (first) => {
    const around = el.closest(".gumbelrao-panel") ?? el;
    if (around === panel && !first) return;
    release();
    panel = around;
    panel.addEventListener("fullscreenchange", changed);
    panel.addEventListener("keydown", key);
    for (const each of [frame, panel, document.documentElement, ...scrollers(panel)]) {
      observer.observe(each);
    }
  };
  adopt(true);
  button.hidden = !document.fullscreenEnabled;
  button.addEventListener("click", fill);
  model.on("change:caption change:error", write);
  model.on("change:_moved", draw);
  return () => {
    model.off("change:caption change:error", write);
    model.off("change:_moved", draw);
    release();
    Plotly.purge(plot);
  };
}
export default { render };
