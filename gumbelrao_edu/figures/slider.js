// A slider over given positions; the model knows the position, `index`, and its texts, `_labels`.

function render({ model, el }) {
  const labels = model.get("_labels");
  el.classList.add("gumbelrao-control", "gumbelrao-slider");
  el.innerHTML = `<label><span></span><input type="range" min="0" step="1"></label>
    <output aria-live="off"></output>`;  // the slider says itself what it is moved to
  const [name, input, output] = el.querySelectorAll("span, input, output");
  name.textContent = model.get("description");
  input.title = model.get("tooltip");
  input.max = labels.length - 1;
  const show = (index) => {
    input.value = index;
    output.textContent = labels[index];
    input.setAttribute("aria-valuetext", labels[index]);
  };
  const follow = () => show(model.get("index"));
  input.addEventListener("input", () => {
    show(input.valueAsNumber);
    model.set("index", input.valueAsNumber);
    model.save_changes();
  });
  input.addEventListener("keydown", (event) => {
    // JupyterLab would go to the next cell.
    if (/^(Arrow|Page|Home|End)/.test(event.key)) event.stopPropagation();
  });
  model.on("change:index", follow);
  follow();
  return () => model.off("change:index", follow);
}
export default { render };
