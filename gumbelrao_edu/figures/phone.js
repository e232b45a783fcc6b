// How a figure fits a phone; it stands in front of plot.js in one script. The scale of colours lies
// under its map, plots that stand side by side stand under each other (four and more in two
// columns), a legend has its rows above, and a diagram and texts beside points get smaller.
const NARROW = 500;
const BELOW = { orientation: "h", x: 0.5, xanchor: "center", y: -0.28, yanchor: "top", len: 0.9 };
const [PLOT, BETWEEN, AROUND, ENTRY] = [210, 85, 110, 18]; // pixels of height
const SMALL = { size: 11 }; // the font of a legend, and of texts beside points
const ABOVE = { orientation: "h", x: 0.5, xanchor: "center", y: 1.15, yanchor: "bottom" };
const WHOLE = [0, 1];
const ASIDE = 0.14; // between two columns, of the width

const isMap = ({ type }) => type === "heatmap" || type === "contour";
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
  const tall = rows * PLOT + (rows - 1) * BETWEEN;
  const gap = BETWEEN / tall;
  const [width, height] = [1 - ASIDE * (beside - 1), 1 - gap * (rows - 1)];
  const to = ([x, y]) => {
    const column = place(lefts, x[0]);
    const row = (bottoms.length - 1 - place(bottoms, y[0])) * down + Math.floor(column / beside);
    const left = (column % beside) * (width / beside + ASIDE);
    const top = 1 - row * (height / rows + gap);
    return [[left, left + width / beside], [top - height / rows, top]];
  };
  return { found, rows, tall, to, isMoved: lefts.length > 1 };
}

// The figure as a phone shows it; the one that is given stays as it is.
function onPhone({ data, layout }) {
  const scales = data.filter((trace) => isMap(trace) && trace.showscale !== false);
  const isScale = (trace) => scales.length === 1 && trace === scales[0];
  const fitted = (trace) => {
    if (isScale(trace)) return { ...trace, colorbar: { ...trace.colorbar, ...BELOW } };
    return trace.mode?.includes("text") ? { ...trace, textfont: SMALL } : trace;
  };
  return {
    data: data.map(fitted),
    layout: stacked(layout, scales.length === 1),
  };
}

function stacked(layout, isScaled) {
  const { found, to, isMoved } = stacking(layout);
  const moved = { ...layout, legend: { ...layout.legend, font: SMALL } };
  const isTriangle = names(layout, "ternary").length > 0;
  if (isTriangle && !(layout.legend?.y < 0.5)) Object.assign(moved.legend, ABOVE);
  if (isTriangle || isScaled) moved.margin = { ...layout.margin, l: 50, r: 50 };
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

// The height that a figure, this high elsewhere, asks for on a phone.
function tallness({ data, layout }, height) {
  const { rows, tall } = stacking(layout);
  const entries = data.filter(({ name, showlegend }) => name && showlegend !== false).length;
  const legend = Math.max(0, entries - 6) * ENTRY;
  return (rows > 1 ? Math.max(height, tall + AROUND) : height) + legend;
}
