// Looks at every frame of the page and writes down what is wrong, a line for each fault.
"use strict";
const faults = [];

/** Numbers of a colour: red, green, blue, opacity. */
function colour(text) {
  const numbers = text.match(/[\d.]+/g).map(Number);
  return numbers.length === 3 ? [...numbers, 1] : numbers;
}

function luminance([red, green, blue]) {
  const linear = (x) => (x / 255 <= 0.03928 ? x / 255 / 12.92 : ((x / 255 + 0.055) / 1.055) ** 2.4);
  return 0.2126 * linear(red) + 0.7152 * linear(green) + 0.0722 * linear(blue);
}

/** What lies behind an element. */
function ground(view, element) {
  for (let at = element; at; at = at.parentElement) {
    const found = colour(view.getComputedStyle(at).backgroundColor);
    if (found[3] === 1) return found;
  }
  return [255, 255, 255, 1];
}

function ownText(element) {
  const own = [...element.childNodes].filter((node) => node.nodeType === 3);
  return own.map((node) => node.textContent).join("").trim();
}

function look(frame) {
  const view = frame.contentWindow;
  const page = frame.contentDocument;
  const fault = (text) => faults.push(`${frame.title}: ${text}`);
  const root = page.documentElement;
  if (root.scrollWidth > view.innerWidth) fault(`${root.scrollWidth} wide in ${view.innerWidth}`);
  if (!root.lang || !page.title || page.querySelectorAll("h1").length !== 1) fault("no language, title or heading");
  if (!page.querySelector("main") || !page.querySelector("header")) fault("no landmarks");
  page.querySelectorAll("details").forEach((details) => { details.open = true; });
  let level = 0;
  for (const heading of page.querySelectorAll("h1,h2,h3,h4,h5,h6")) {
    const own = Number(heading.tagName[1]);
    if (own > level + 1) fault(`heading '${heading.textContent}' skips a level`);
    level = own;
  }
  for (const element of page.querySelectorAll("h1,h2,h3,h4,h5,p,li,dt,dd,th,td,caption,summary,figcaption,a,code")) {
    const drawn = element.querySelector("span,svg,code");
    if (!element.textContent.trim() && !drawn) fault(`an empty ${element.tagName} in ${element.parentElement.outerHTML.slice(0, 200)}`);
  }
  for (const picture of page.querySelectorAll("[role=img]")) {
    for (const by of ["aria-labelledby", "aria-describedby"]) {
      const named = page.getElementById(picture.getAttribute(by));
      if (!named || !named.textContent.trim()) fault(`a picture without ${by}`);
    }
    const within = picture.getBoundingClientRect();
    for (const text of picture.querySelectorAll("text")) {
      const at = text.getBoundingClientRect();
      const outside = at.left < within.left - 1 || at.right > within.right + 1 || at.top < within.top - 1 || at.bottom > within.bottom + 1;
      if (outside) fault(`'${text.textContent}' leaves its picture`);
      if (at.height < 7) fault(`'${text.textContent}' is ${at.height} high`);
    }
  }
  for (const box of page.querySelectorAll(".box")) {
    if (!box.getAttribute("aria-label") || box.tabIndex !== 0) fault("a box without name or focus");
  }
  for (const element of page.querySelectorAll("body *")) {
    const at = element.getBoundingClientRect();
    if (at.width && at.right > view.innerWidth + 1 && !element.closest(".box,pre")) fault(`${element.tagName} ends at ${at.right}`);
    if (!ownText(element) || !at.width) continue;
    const style = view.getComputedStyle(element);
    const ink = element.closest("svg") ? style.fill : style.color;
    const [one, other] = [luminance(colour(ink)), luminance(ground(view, element))].sort((a, b) => b - a);
    const contrast = (one + 0.05) / (other + 0.05);
    if (contrast < 4.5) fault(`'${ownText(element).slice(0, 40)}' has a contrast of ${contrast.toFixed(2)}`);
  }
}

window.addEventListener("load", () => {
  const frames = [...document.querySelectorAll("iframe")];
  frames.forEach(look);
  const dark = matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light";
  const unique = [...new Set(faults)].slice(0, 50);
  document.getElementById("found").textContent = [`looked at ${frames.length} frames, ${dark}`, ...unique].join("\n");
});
