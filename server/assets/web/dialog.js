// The two questions that the list asks: whether a stream is really to be
// ended, and for the admin token.

import * as api from "./api.js";
import { byId, h, setText } from "./dom.js";

function open(title, content, action, onSubmit) {
  const dialog = byId("dialog");
  const trouble = h("p", { class: "bad", role: "alert" });
  const confirm = h("button", { type: "submit", class: action.danger ? "danger sure" : "" }, action.label);
  const form = h("form", {
    method: "dialog",
    onsubmit: async (event) => {
      event.preventDefault();
      confirm.disabled = true;
      try {
        await onSubmit();
        dialog.close();
      } catch (error) {
        setText(trouble, error.message);
      }
      confirm.disabled = false;
    },
  },
  h("h2", { id: "dialog-title" }, title), ...content, trouble,
  h("menu", {}, h("button", { type: "button", class: "plain", onclick: () => dialog.close() }, "Cancel"), confirm));
  dialog.replaceChildren(form);
  dialog.showModal();
}

export function askKick(key, done) {
  const text = "Its publisher is disconnected and its viewers see the end. A publisher that tries again is let in again.";
  open(`End ${key}?`, [h("p", { class: "quiet" }, text)], { label: "End the stream", danger: true }, async () => {
    await api.kick(key);
    done();
  });
}

export function askToken(done) {
  const input = h("input", { type: "password", autocomplete: "current-password", required: true, autofocus: true });
  const label = h("label", {}, "Admin token", input);
  open("Sign in", [label], { label: "Sign in" }, async () => {
    api.token.set(input.value);
    const { access } = await api.streams();
    if (!access.manage) {
      api.token.clear();
      throw new Error("That is not the admin token.");
    }
    done();
  });
}
