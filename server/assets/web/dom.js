// Making and changing elements. Text is only ever set as text, so no name that
// a publisher chose can become markup.

/** Makes an element: h("a", {href, class, onclick, hidden}, ...children). */
export function h(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (value === true) element.setAttribute(name, "");
    else if (value !== false && value != null) element.setAttribute(name, value);
  }
  element.append(...children.filter((child) => child != null));
  return element;
}

/** The element of that id. */
export const byId = (id) => document.getElementById(id);

/** Sets an element's text if it differs, so that nothing is announced twice. */
export function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/** Brings a <dl> to the given [term, text] pairs, reusing what is there. */
export function setPairs(list, pairs) {
  while (list.children.length > pairs.length) list.lastChild.remove();
  pairs.forEach(([term, text], index) => {
    const pair = list.children[index] ?? list.appendChild(h("div", {}, h("dt"), h("dd")));
    setText(pair.firstChild, term);
    setText(pair.lastChild, text);
  });
}

/** A text with a button that copies it. */
export function copyable(text, label) {
  const code = h("code", { class: "copy-text", tabindex: "0" }, text);
  if (label) code.setAttribute("aria-label", label);
  const button = h("button", { type: "button", class: "plain small" }, "Copy");
  button.setAttribute("aria-label", label ? `Copy: ${label}` : "Copy");
  button.addEventListener("click", async () => {
    const done = await copy(code);
    button.textContent = done ? "Copied" : "Press Ctrl+C";
    setTimeout(() => { button.textContent = "Copy"; }, 2000);
  });
  return h("div", { class: "copy" }, code, button);
}

// The clipboard is closed to pages that came over plain HTTP; then the text is
// selected, and the old command tried.
async function copy(element) {
  try {
    await navigator.clipboard.writeText(element.textContent);
    return true;
  } catch {
    const selection = getSelection();
    selection.selectAllChildren(element);
    return document.execCommand("copy");
  }
}
