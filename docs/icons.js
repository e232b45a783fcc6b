/*! Icons: Font Awesome Free by Fonticons, Inc., https://fontawesome.com/license/free, CC BY 4.0 */
// In place of the theme's script with all of Font Awesome: the icons that the pages have. As that one
// does, it puts an svg with the same classes where the name of an icon stands. `icons` stands above.

const SVG = "http://www.w3.org/2000/svg";

for (const place of document.querySelectorAll("i[class*='fa-'], span[class*='fa-']")) {
  const name = [...place.classList].find((each) => Object.hasOwn(icons, each.slice(3)));
  if (name === undefined) continue;
  const [width, height, path] = icons[name.slice(3)];
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("aria-hidden", "true");
  svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
  for (const { name, value } of place.attributes) svg.setAttribute(name, value);
  svg.classList.add("svg-inline--fa");
  svg.classList.remove("fas", "fab", "fa-solid", "fa-brands"); // styles are for the letters of a font
  const shape = document.createElementNS(SVG, "path");
  shape.setAttribute("fill", "currentColor");
  shape.setAttribute("d", path);
  svg.append(shape);
  place.replaceWith(svg);
}
