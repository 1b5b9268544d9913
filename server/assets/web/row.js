// One stream in the list.

import { streamPath } from "./api.js";
import { copyable, h, setPairs, setText } from "./dom.js";
import * as format from "./format.js";

const HISTORY = 60;
const STATES = { publishing: "Live", idle: "Waiting for its publisher", ended: "Ended" };

export class StreamRow {
  constructor(key, onKick) {
    this.history = [];
    this.name = h("a", { class: "stream-name", href: streamPath("/watch", key) }, key);
    this.state = h("span");
    this.chips = h("div", { class: "media" });
    this.bitrate = h("b");
    this.spark = sparkline();
    this.viewers = h("b");
    this.uptime = h("b");
    this.kick = h("button", { type: "button", class: "danger small", onclick: onKick, "aria-label": `End ${key}` }, "End");
    this.more = h("div", { class: "more" });
    this.technical = h("dl", { class: "pairs" });
    this.health = h("dl", { class: "pairs" });
    this.tracks = h("dl", { class: "pairs" });
    this.addresses = h("section", { class: "wide" });
    this.more.append(
      h("section", {}, h("h3", {}, "Tracks"), this.tracks),
      h("section", {}, h("h3", {}, "Health"), this.health),
      h("section", {}, h("h3", {}, "Publisher"), this.technical),
      this.addresses);
    this.details = h("details", {}, h("summary", {}, "Details"), this.more);
    this.element = h("li", { class: "stream" },
      h("div", { class: "stream-head" },
        h("div", { class: "cell identity" }, this.name,
          h("div", { class: "stream-state" }, h("i", { class: "dot", "aria-hidden": "true" }), this.state)),
        this.chips,
        h("div", { class: "numbers" },
          h("div", { class: "cell" }, this.bitrate, this.spark.element),
          h("div", { class: "cell" }, this.viewers, h("span", {}, "viewers")),
          h("div", { class: "cell" }, this.uptime, h("span", {}, "uptime"))),
        h("div", { class: "actions" }, this.kick)),
      this.details);
  }

  update(stream, access) {
    this.element.dataset.state = stream.state;
    const notes = [STATES[stream.state] ?? stream.state];
    if (stream.recording) notes.push("recording");
    if (stream.packaging?.reason) notes.push(stream.packaging.reason);
    setText(this.state, notes.join(", "));
    this.showChips(stream);
    setText(this.bitrate, format.bitrate(stream.qos.bitrate));
    setText(this.viewers, format.count(stream.viewers));
    setText(this.uptime, format.span(stream.uptime));
    this.history = [...this.history, stream.qos.bitrate ?? 0].slice(-HISTORY);
    this.spark.show(this.history);
    this.kick.hidden = !access.manage;
    if (this.details.open || !this.filled) this.showDetails(stream);
  }

  showChips(stream) {
    const texts = [];
    for (const track of stream.tracks) {
      if (track.width && track.height) texts.push(`${track.width} × ${track.height}`);
      if (track.kind === "video") {
        if (stream.qos.frame_rate || track.frame_rate) texts.push(format.rate(stream.qos.frame_rate, track.frame_rate));
      }
      texts.push(track.codec_name || track.codec);
    }
    if (this.chips.dataset.shown === texts.join()) return;
    this.chips.dataset.shown = texts.join();
    this.chips.replaceChildren(...texts.map((text) => h("span", { class: "chip" }, text)));
  }

  showDetails(stream) {
    this.filled = true;
    setPairs(this.tracks, stream.tracks.map((track) => [
      `${track.kind} ${track.id}`,
      [...format.track(track), track.codec_string].filter(Boolean).join(", "),
    ]));
    setPairs(this.health, [
      ["Keyframe every", format.seconds(stream.qos.gop)],
      ["Frame rate", format.rate(stream.qos.frame_rate, stream.tracks.find((track) => track.frame_rate)?.frame_rate)],
      ["Clock repairs", format.count(stream.repairs)],
      ["Discontinuities", format.count(stream.discontinuities)],
      ["Dropped for slow readers", format.count(stream.drops)],
      ["Memory", memory(stream)],
    ]);
    const publisher = stream.publisher;
    setPairs(this.technical, [
      ["Protocol", publisher ? publisher.protocol.toUpperCase() : "–"],
      ...(publisher?.encoder ? [["Encoder", publisher.encoder]] : []),
      ...(publisher?.peer ? [["From", publisher.peer]] : []),
      ["Since", format.clock(stream.started_at)],
      ["Received", format.size(stream.qos.bytes)],
      ["Readers inside", format.count(stream.subscribers)],
      ["Session", `${stream.session}, publish ${stream.epoch}`],
    ]);
    const addresses = Object.entries(stream.playback ?? {}).filter(([kind]) => kind !== "watch");
    const shown = JSON.stringify(addresses);
    if (this.addresses.dataset.shown !== shown) {
      this.addresses.dataset.shown = shown;
      this.addresses.replaceChildren(...addresses.flatMap(([kind, path]) => [
        h("h3", {}, kind.toUpperCase()),
        copyable(new URL(path, location.href).href, `${kind} address of ${stream.key}`),
      ]));
    }
  }
}

function memory(stream) {
  const { bus, window } = stream.memory ?? {};
  const parts = [];
  if (bus != null) parts.push(`${format.size(bus)} bus`);
  if (window != null) parts.push(`${format.size(window)} segments`);
  return parts.join(", ") || "–";
}

/** The bitrate of the last minute as a line. */
function sparkline() {
  const NS = "http://www.w3.org/2000/svg";
  const svg = document.createElementNS(NS, "svg");
  const path = document.createElementNS(NS, "path");
  svg.setAttribute("viewBox", `0 0 ${HISTORY - 1} 20`);
  svg.setAttribute("preserveAspectRatio", "none");
  svg.setAttribute("class", "spark");
  svg.setAttribute("aria-hidden", "true");
  svg.append(path);
  return {
    element: svg,
    show(values) {
      const top = Math.max(...values, 1) * 1.15;
      const left = HISTORY - values.length;
      const points = values.map((value, index) => `${left + index} ${(19 - (value / top) * 18).toFixed(2)}`);
      path.setAttribute("d", points.length > 1 ? `M${points.join("L")}` : "");
    },
  };
}
