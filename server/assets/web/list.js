// The list of streams: asks once a second while it is seen, and changes only
// what changed, so that focus, open details and selections stay.

import * as api from "./api.js";
import { askKick, askToken } from "./dialog.js";
import { byId, h, setText } from "./dom.js";
import * as format from "./format.js";
import { publishPanel } from "./publish.js";
import { StreamRow } from "./row.js";

const PERIOD = 1000;
const rows = new Map();
let plugins = null;
let pluginsAt = 0;
let shownPublish = "";
let timer;

async function refresh() {
  clearTimeout(timer);
  if (document.hidden) return;
  try {
    if (!plugins || Date.now() - pluginsAt > 10_000) {
      plugins = (await api.plugins()).plugins;
      pluginsAt = Date.now();
    }
    show(await api.streams());
    setText(byId("connection"), "");
  } catch (error) {
    setText(byId("connection"), error.status === 0 ? "Connection lost, trying again" : error.message);
  }
  timer = setTimeout(refresh, PERIOD);
}

function show({ access, streams }) {
  const live = streams.filter((stream) => stream.state === "publishing");
  const sum = (values) => values.reduce((total, value) => total + (value ?? 0), 0);
  setText(byId("total-streams"), format.count(live.length));
  setText(byId("total-viewers"), format.count(sum(streams.map((stream) => stream.viewers))));
  setText(byId("total-bitrate"), format.bitrate(sum(live.map((stream) => stream.qos.bitrate))));
  document.title = live.length ? `(${live.length}) rillcast` : "rillcast";
  showStreams(streams, access);
  showNotices();
  showPublish(access, streams.length === 0);
  showLogin(access);
}

function showStreams(streams, access) {
  const list = byId("streams");
  const gone = new Set(rows.keys());
  streams.forEach((stream, index) => {
    gone.delete(stream.key);
    let row = rows.get(stream.key);
    if (!row) {
      row = new StreamRow(stream.key, () => askKick(stream.key, refresh));
      rows.set(stream.key, row);
    }
    row.update(stream, access);
    if (list.children[index] !== row.element) list.insertBefore(row.element, list.children[index] ?? null);
  });
  for (const key of gone) {
    rows.get(key).element.remove();
    rows.delete(key);
  }
}

function showNotices() {
  const failed = plugins.filter((plugin) => plugin.state === "failed");
  const texts = failed.map((plugin) => `${plugin.name} does not run: ${plugin.error}`);
  const notices = byId("notices");
  if (notices.dataset.shown === texts.join("\n")) return;
  notices.dataset.shown = texts.join("\n");
  notices.replaceChildren(...texts.map((text) => h("p", { class: "notice bad" }, text)));
}

function showPublish(access, empty) {
  const state = JSON.stringify([plugins, access.publish_token, empty]);
  if (state === shownPublish) return;
  shownPublish = state;
  const panel = byId("publish");
  const content = publishPanel(plugins, access.publish_token, empty);
  panel.replaceChildren(...content);
  panel.hidden = content.length === 0;
}

function showLogin(access) {
  const button = byId("login");
  button.hidden = !access.login;
  setText(button, access.manage ? "Sign out" : "Sign in");
  button.onclick = () => {
    if (!access.manage) return askToken(refresh);
    api.token.clear();
    refresh();
  };
}

document.addEventListener("visibilitychange", refresh);
refresh();
api.version().then((about) => setText(byId("version"), about.version), () => {});
