// Elements, made and found.

/** An element with attributes, listeners (`onclick`) and children. */
export function h(name, given = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(given)) {
    if (value === undefined || value === null || value === false) continue;
    if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
    else element.setAttribute(key, value === true ? "" : value);
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined));
  return element;
}

/** Hands a file to the browser, to save it. */
export function save(blob, name) {
  const url = URL.createObjectURL(blob);
  const link = h("a", { href: url, download: name });
  document.body.append(link);
  link.click();
  link.remove();
  // The browser has read it long before.
  setTimeout(() => URL.revokeObjectURL(url), 60_000);
}

/** Writes a text only when it is another: what is read aloud is not said twice. */
export function say(element, text) {
  if (element.textContent !== text) element.textContent = text;
}
