// A figure with its caption and its errors. The model is the kernel's, or a table of states. phone.js
// stands in front of it.

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
  frame.classList.toggle("gumbelrao-map", figure.data.some(isMap));
  figure.layout.uirevision = true; // keeps what the reader has zoomed or hidden
  if (matchMedia("(pointer: coarse)").matches) figure.layout.dragmode = false; // a finger scrolls

  let panel = el; // until the figure is put into its panel
  const isWhole = () => document.fullscreenElement === panel;
  let width;
  let tall;
  let room = height; // of the figure, in pixels
  const low = () => {
    const around = panel.offsetHeight - frame.offsetHeight + 1; // heights are rounded
    const wanted = width < NARROW ? tallness(figure, height) : height;
    if (wanted > height) return wanted; // a phone scrolls
    return Math.min(height, Math.max(seen(panel) - around, LOW));
  };
  const size = () => {
    width = frame.clientWidth || WIDTH;
    // On the whole screen everything is as many times as large as there is room for.
    const below = el.getBoundingClientRect().bottom - frame.getBoundingClientRect().bottom;
    const top = frame.getBoundingClientRect().top - panel.getBoundingClientRect().top;
    tall = panel.clientHeight;
    const spare = tall < 500 ? 8 : 56; // for a caption that gets longer
    room = isWhole() ? Math.max(tall - top - below - spare, LOW) : low();
    frame.style.height = `${room}px`;
    if (isWhole() && panel.scrollHeight > tall) {
      room = Math.max(room - (panel.scrollHeight - tall), LOW); // a lower screen scrolls
      frame.style.height = `${room}px`;
    }
    const least = figure.layout.meta?.least ?? 0;
    let times = Math.min(1, width / least);
    if (isWhole()) times = Math.max(times, Math.min(width / 800, room / height));
    plot.style.transform = times === 1 ? "" : `scale(${times})`;
    figure.layout.width = width / times;
    figure.layout.height = room / times;
  };
  const draw = () => {
    for (const [key, properties] of Object.entries(JSON.parse(model.get("_moved")))) {
      Object.assign(key === "layout" ? figure.layout : figure.data[key], properties);
    }
    const { data, layout } = width < NARROW ? onPhone(figure) : figure;
    return Plotly.react(plot, data, layout, CONFIG);
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
