// The panel that says how to publish: with the addresses of the ingests that
// this server runs, and the host that this browser reached it by.

import { copyable, h } from "./dom.js";

/** The panel's content for the given plugins; `needsToken` as the API says it. */
export function publishPanel(plugins, needsToken, empty) {
  const ways = plugins.filter((plugin) => plugin.role === "ingest" && plugin.publish_url && plugin.address);
  if (ways.length === 0) {
    const text = "No ingest of this server takes streams from outside: it was built or configured without one.";
    return empty ? [h("h2", {}, "Nothing is live"), h("p", { class: "quiet" }, text)] : [];
  }
  const content = [];
  if (needsToken) {
    content.push(h("p", { class: "quiet" }, "This server asks publishers for a token: put it where TOKEN stands."));
  }
  for (const plugin of ways) content.push(wayOf(plugin, needsToken));
  if (empty) return [h("h2", {}, "Nothing is live yet. Publish a stream:"), ...content];
  return [h("details", {}, h("summary", {}, "Publish another stream"), ...content)];
}

function wayOf(plugin, needsToken) {
  const url = fill(plugin, "live/cam", needsToken);
  const quoted = /^[\w:/.[\]-]+$/.test(url) ? url : `'${url}'`;
  const format = url.startsWith("rtmp") ? "flv" : "mpegts";
  const ways = h("div", { class: "ways" });
  ways.append(h("section", {},
    h("h3", {}, `FFmpeg, ${plugin.name.toUpperCase()}`),
    copyable(`ffmpeg -re -i video.mp4 -c copy -f ${format} ${quoted}`, "command for FFmpeg")));
  const encoder = h("section", {}, h("h3", {}, "OBS: Settings, Stream, Service “Custom…”"));
  if (url.startsWith("rtmp")) {
    const slash = url.indexOf("/", url.indexOf("/", "rtmp://".length) + 1);
    encoder.append(
      h("div", { class: "field" }, h("span", { class: "copy-label" }, "Server"), copyable(url.slice(0, slash), "server for OBS")),
      h("div", { class: "field" }, h("span", { class: "copy-label" }, "Stream key"), copyable(url.slice(slash + 1), "stream key for OBS")));
  } else {
    encoder.append(h("div", { class: "field" }, h("span", { class: "copy-label" }, "Server"), copyable(url, "server for OBS")));
  }
  ways.append(encoder);
  return ways;
}

// `rtmp://{host}:{port}/{key}[?token={token}]`: what is in brackets is for
// servers that ask for a token.
function fill(plugin, key, needsToken) {
  const split = plugin.address.lastIndexOf(":");
  const bound = plugin.address.slice(0, split);
  const everywhere = bound === "0.0.0.0" || bound === "[::]";
  const host = everywhere ? location.hostname : bound;
  return plugin.publish_url
    .replace(/\[([^\]]*\{token\}[^\]]*)\]/, needsToken ? "$1" : "")
    .replaceAll("{host}", host)
    .replaceAll("{port}", plugin.address.slice(split + 1))
    .replaceAll("{key}", key)
    .replaceAll("{token}", "TOKEN");
}
