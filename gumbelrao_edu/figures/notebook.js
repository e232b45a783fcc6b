// What a notebook adds to the scripts of a page: a picture of each figure in the saved file, the live
// figure again where its kernel still runs, and controls that stop when it does not.

const VIEW = "application/vnd.jupyter.widget-view+json";
const PICTURE = { format: "png", width: 700 };
const REST = 1000; // ms without a move before a picture is made
const GONE = ["restarting", "autorestarting", "terminating", "dead"];
const SAYS = "The kernel that drew this was restarted or shut down. Run the cell again to go on.";

// JupyterLab's model of the notebook; other programs show widgets without one.
const notebookOf = (model) => model.widget_manager?.context?.model;
const panelOf = (output) => output.metadata?.gumbelrao_edu?.panel;

// The file gets pictures instead of widgets, which nothing could show without their kernel.
function keepPictures(model) {
  const notebook = notebookOf(model);
  if (typeof notebook?.toJSON !== "function") return null;
  if (notebook.gumbelrao) return notebook.gumbelrao;
  const { context } = model.widget_manager;
  const kept = { pictures: new Map(), due: new Map() }; // due: what takes them
  const toJSON = notebook.toJSON.bind(notebook);
  const saved = (output) => {
    const id = panelOf(output);
    if (!id || !output.data?.[VIEW]) return output;
    const { [VIEW]: _, ...data } = output.data;
    return { ...output, data: { ...data, ...kept.pictures.get(id) } };
  };
  notebook.toJSON = () => {
    const json = toJSON();
    const cells = json.cells.map((cell) =>
      cell.outputs ? { ...cell, outputs: cell.outputs.map(saved) } : cell,
    );
    return { ...json, cells };
  };
  // What was due at a save is taken at once, and the file is saved once more.
  let again = false;
  context.saveState.connect(async (_, state) => {
    if (state !== "completed" || (again = !again && kept.due.size > 0) === false) return;
    await Promise.all([...kept.due.values()].map((take) => take()));
    context.save();
  });
  notebook.gumbelrao = kept;
  return kept;
}

// A tab that was closed and is open again shows pictures; the kernel still has the figures.
function initialize({ model }) {
  const notebook = notebookOf(model);
  const panel = model.get("_panel");
  if (!panel || !notebook) return;
  keepPictures(model);
  const view = { version_major: 2, version_minor: 0, model_id: panel };
  for (const { outputs } of notebook.cells) {
    for (let i = 0; i < (outputs?.length ?? 0); i++) {
      const output = outputs.get(i);
      if (panelOf(output) === panel && !output.data[VIEW]) {
        output.setData({ data: { [VIEW]: view, ...output.data }, metadata: output.metadata });
      }
    }
  }
}

// Take a picture whenever the figure has come to rest. Returns what ends it.
function photograph(model, plot, plotly) {
  const kept = keepPictures(model);
  if (!kept) return () => {};
  const panel = model.get("_panel");
  const { height } = JSON.parse(model.get("_figure")).layout;
  let timer;
  const forget = () => {
    clearTimeout(timer);
    kept.due.delete(panel);
  };
  const take = async () => {
    forget();
    const { html } = model.get("_still");
    const caption = model.get("caption");
    const image = new Image();
    image.src = await plotly.toImage(plot, { ...PICTURE, height });
    image.alt = caption;
    if (html !== model.get("_still").html) return; // it has moved on: another will follow
    const whole = html.replace("<figcaption", () => `${image.outerHTML}<figcaption`);
    kept.pictures.set(panel, { "text/html": whole, "text/plain": caption });
  };
  const later = () => {
    forget();
    timer = setTimeout(take, REST);
    kept.due.set(panel, take);
  };
  plot.on("plotly_afterplot", later);
  later();
  return () => {
    forget();
    plot.removeListener("plotly_afterplot", later);
  };
}

// Say when the kernel that has the model is no longer there. Returns what ends that.
function whenGone(model, tell) {
  const session = model.widget_manager?.context?.sessionContext;
  const look = () => {
    const status = session.session?.kernel?.status;
    if (status === undefined || GONE.includes(status)) tell();
  };
  model.on("comm_live_update", tell);
  session?.statusChanged.connect(look);
  session?.kernelChanged.connect(look);
  return () => {
    model.off("comm_live_update", tell);
    session?.statusChanged.disconnect(look);
    session?.kernelChanged.disconnect(look);
  };
}

// Put the controls where they were when the figure was drawn, and stop them.
function stop(panel, positions) {
  const inputs = [...panel.querySelectorAll("input, select, textarea")];
  const own = inputs.filter((input) => input.closest(".gumbelrao-control"));
  own.forEach((input, i) => {
    if (input.disabled) return;
    input.value = positions[i];
    input.dispatchEvent(new Event("input"));
  });
  for (const input of inputs) input.disabled = true;
  return inputs.length > 0;
}

async function renderInNotebook({ model, el }) {
  const end = await render({ model, el });
  const plot = el.querySelector(".gumbelrao-frame > div");
  if (!plot) return end;
  const id = model.get("_library").replace("IPY_MODEL_", "");
  const { plotly } = await model.widget_manager.get_model(id);
  const endPictures = photograph(model, plot, plotly);
  const tell = () => {
    const panel = el.closest(".gumbelrao-panel");
    if (panel && stop(panel, model.get("_still").positions)) {
      el.querySelector("[role=alert]").textContent = SAYS;
    }
  };
  const endWatch = whenGone(model, tell);
  return () => {
    endPictures();
    endWatch();
    end();
  };
}
export default { initialize, render: renderInNotebook };
