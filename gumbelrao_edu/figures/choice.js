// A list of positions to choose from; the same model as that of a slider.

function render({ model, el }) {
  el.classList.add("gumbelrao-control");
  el.innerHTML = `<label><span></span><select></select></label>`;
  const [name, select] = el.querySelectorAll("span, select");
  name.textContent = model.get("description");
  select.title = model.get("tooltip");
  select.append(...model.get("_labels").map((text, index) => new Option(text, index)));
  const follow = () => {
    select.value = model.get("index");
  };
  select.addEventListener("change", () => {
    model.set("index", Number(select.value));
    model.save_changes();
  });
  select.addEventListener("keydown", (event) => {
    // JupyterLab would go to the next cell.
    if (/^(Arrow|Page|Home|End)/.test(event.key)) event.stopPropagation();
  });
  model.on("change:index", follow);
  follow();
  return () => model.off("change:index", follow);
}
export default { render };
