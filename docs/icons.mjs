// Answers names of Font Awesome's icons with their drawings: {"sun": [width, height, path]}.

import { createRequire } from "node:module";

const [modules, ...names] = process.argv.slice(2);
const require = createRequire(modules + "/");
const kinds = ["solid", "brands"].map((kind) => require(`@fortawesome/free-${kind}-svg-icons`));

const found = {};
for (const name of names) {
  const key = `-${name}`.replace(/-(.)/g, (_, letter) => letter.toUpperCase());
  const kind = kinds.find((icons) => `fa${key}` in icons);
  if (kind === undefined) continue;
  const [width, height, , , path] = kind[`fa${key}`].icon;
  found[name] = [width, height, path];
}
console.log(JSON.stringify(found));
