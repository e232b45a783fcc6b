// Answers each line of the input, {"tex", "display"} as JSON, with a line: {"html"} or {"error"}.

import { createInterface } from "node:readline";
import { createRequire } from "node:module";

const katex = createRequire(process.argv[2] + "/")("katex");

for await (const line of createInterface({ input: process.stdin })) {
  const { tex, display } = JSON.parse(line);
  let answer;
  try {
    answer = { html: katex.renderToString(tex, { displayMode: display, strict: "ignore" }) };
  } catch (error) {
    answer = { error: error.message };
  }
  console.log(JSON.stringify(answer));
}
