// SPDX-License-Identifier: MIT OR Apache-2.0
// Reads a page as others would: html-validate as a parser, Chromium as a person's browser at two
// widths, light and dark and without scripts, axe as somebody who needs more than eyes. Prints what
// they object to, one line each.
//
// node read.mjs CHROMIUM PAGE FOLDER-FOR-SCREENSHOTS

import { createRequire } from "node:module";
import { join } from "node:path";
import { pathToFileURL } from "node:url";

const require = createRequire(join(process.cwd(), "package.json"));
const { FileSystemConfigLoader, HtmlValidate } = require("html-validate");
const { chromium } = require("playwright-core");
const axe = require("axe-core");

const [executablePath, report, folder] = process.argv.slice(2);
const WIDTHS = [360, 390, 900, 1280];
const objections = [];
const object = (who, what) => objections.push(`${who}: ${what}`);

// html-validate
const config = {
  extends: ["html-validate:recommended", "html-validate:a11y"],
  rules: {
    // Matters of style: the file is written for browsers.
    "long-title": "off",
    "no-inline-style": "error",
    "no-trailing-whitespace": "off",
  },
};
const validate = new HtmlValidate(new FileSystemConfigLoader(config));
for (const { messages } of (await validate.validateFile(report)).results) {
  for (const m of messages) {
    object("html-validate", `${m.line}:${m.column} ${m.ruleId}: ${m.message}`);
  }
}

// Chromium
const browser = await chromium.launch({
  executablePath,
  args: [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
  ],
});
const url = pathToFileURL(report).href;
const too_wide = () => {
  const page = document.documentElement;
  if (page.scrollWidth <= page.clientWidth) return [];
  const right = page.clientWidth + 0.5;
  const is_wide = (e) => !e.closest(".scroll *") && e.getBoundingClientRect().right > right;
  const wide = [...document.querySelectorAll("body *")].filter(is_wide);
  const said = (e) => {
    const start = `<${e.tagName.toLowerCase()} class="${e.getAttribute("class") ?? ""}">`;
    return `${start} ${e.textContent.slice(0, 40)}`;
  };
  return [`${page.scrollWidth} of ${page.clientWidth} px`, ...wide.slice(0, 5).map(said)];
};
const open_all = () => {
  document.querySelectorAll("details").forEach((details) => (details.open = true));
};
for (const width of WIDTHS) {
  for (const colorScheme of ["light", "dark"]) {
    const who = `chromium ${width} px ${colorScheme}`;
    const viewport = { width, height: 900 };
    const context = await browser.newContext({ viewport, colorScheme, javaScriptEnabled: false });
    const page = await context.newPage();
    page.on("request", (request) => {
      const asked = request.url();
      const is_ours = asked.split("#")[0] === url || asked.startsWith("data:");
      if (!is_ours) object(who, `asks for ${asked}`);
    });
    page.on("pageerror", (error) => object(who, error));
    await page.goto(url);
    const shot = (name) => {
      const path = join(folder, `${width}-${colorScheme}-${name}.png`);
      return page.screenshot({ path, clip: undefined });
    };
    await shot("top");
    for (const what of await page.evaluate(too_wide)) {
      object(who, `closed, wider than the page: ${what}`);
    }
    // The grid of a report leads to the evidence, and opens it, without scripts.
    const link = page.locator("a.cell").first();
    if (await link.count()) {
      const target = (await link.getAttribute("href")).slice(1);
      await link.click();
      const is_open = await page.locator(`[id="${target}"]`).isVisible();
      if (!is_open) object(who, `a click in the grid does not open ${target}`);
      await shot("cell");
    }
    await page.evaluate(open_all);
    for (const what of await page.evaluate(too_wide)) {
      object(who, `opened, wider than the page: ${what}`);
    }
    await context.close();
    // axe needs scripts, and a page that lets them in.
    const lenient = await browser.newContext({ viewport, colorScheme, bypassCSP: true });
    const heard = await lenient.newPage();
    heard.on("dialog", (dialog) => {
      object(who, `a script ran: ${dialog.message()}`);
      return dialog.dismiss();
    });
    await heard.goto(url);
    await heard.evaluate(open_all);
    await heard.evaluate(axe.source);
    const { violations } = await heard.evaluate(() => axe.run({ resultTypes: ["violations"] }));
    for (const { id, help, nodes } of violations) {
      const said = `${id}: ${help} (${nodes.length} times): ${nodes[0].html.slice(0, 160)}`;
      object(`axe ${width} px ${colorScheme}`, said);
    }
    await lenient.close();
  }
}
await browser.close();
objections.forEach((objection) => console.log(objection));
process.exit(objections.length === 0 ? 0 : 1);
