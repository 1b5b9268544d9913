// The page that plays one stream: waits for it when it is not live yet, plays
// it, follows it into its next session, and says what goes on in words.

import * as api from "./api.js";
import { byId, copyable, setPairs, setText } from "./dom.js";
import { chooseDashPlayer } from "./dash.js";
import * as format from "./format.js";
import { CannotPlay, choosePlayer } from "./player.js";

const ASK_WAITING = 1500;
const ASK_PLAYING = 3000;
/** Seconds without progress, while the stream is live, before the player is started again. */
const PATIENCE = 12;
/** Seconds beyond the player's best that count as behind. */
const BEHIND = 4;

const root = document.documentElement;
const video = byId("video");
const key = location.pathname.split("/").slice(2).map(decodePart).join("/");
const wanted = new URLSearchParams(location.search).get("player");

/** By which protocol: "hls" or "dash", from the page's address. */
let protocol = new URLSearchParams(location.search).get("protocol") === "dash" ? "dash" : "hls";

let stream = null;
let player = null;
let Player = null;
let session = null;
let refused = null;
let clockOffset = 0;
let retryAt = 0;
let failures = 0;
let progress = { time: 0, at: 0 };
let asked;
let best = Infinity;

function decodePart(part) {
  try { return decodeURIComponent(part); } catch { return part; }
}

// What the page says.

function say(state, title = "", text = "", action = null) {
  root.dataset.state = state;
  video.controls = state === "playing" || state === "waiting";
  setText(byId("overlay-title"), title);
  setText(byId("overlay-text"), text);
  const button = byId("overlay-button");
  button.hidden = !action;
  if (action) {
    setText(button, action.label);
    button.onclick = action.run;
  }
}

// What the server says.

async function ask() {
  clearTimeout(asked);
  try {
    const sent = Date.now();
    stream = await api.stream(key);
    const now = Date.parse(stream.started_at) + stream.uptime * 1000;
    clockOffset = now - (sent + Date.now()) / 2;
    follow();
  } catch (error) {
    onAskFailed(error);
  }
  asked = setTimeout(ask, player ? ASK_PLAYING : ASK_WAITING);
}

function follow() {
  showElsewhere();
  showProtocols();
  const url = stream.playback?.[protocol];
  if (root.dataset.state === "waiting") say("waiting", stalledFor());
  if (player && stream.session === session) return;
  if (refused) return;
  if (!url) return say("error", `This server does not serve ${protocol.toUpperCase()}`, "It was built or configured without that egress.");
  if (stream.packaging?.state === "refused") {
    return say("error", "This stream cannot be played in a browser", stream.packaging.reason ?? "");
  }
  if (stream.state !== "publishing" && !player) {
    return say("offline", "The publisher is away", "The picture comes back by itself when the publisher does.");
  }
  // A session that is over may still be in the player's buffer: let it run out.
  if (player && !video.ended && !video.paused && video.readyState > 2 && !video.error) return;
  if (Date.now() >= retryAt) start(url);
}

function onAskFailed(error) {
  if (error.status !== 404 && error.status !== 400) {
    if (!player) say("offline", "The server does not answer", "Trying again.");
    return;
  }
  stream = null;
  if (player && !video.ended && !video.error && video.readyState > 2 && !video.paused) return;
  const before = session !== null;
  stop();
  if (error.status === 400) return say("error", "That is no name of a stream", error.message);
  say(before ? "ended" : "offline",
    before ? "The stream has ended" : `${key} is not live`,
    "When it is live again, it plays here by itself.".replace(before ? "" : " again", ""));
}

// A short stall shows no words; a publisher that is away does.
function stalledFor() {
  return stream && stream.state !== "publishing" ? "The publisher is away" : "";
}

// Playing.

async function start(url) {
  stop();
  say("loading", "Starting");
  try {
    Player ??= await (protocol === "dash" ? chooseDashPlayer() : choosePlayer(video, wanted));
  } catch (error) {
    return onCannotPlay(error);
  }
  if ((stream.packaging?.segments ?? 0) < Player.leastSegments) {
    // Packaging may begin with the first request for it.
    if (!stream.packaging) fetch(url).catch(() => {});
    return say("loading", "Starting", "Waiting for the first segments.");
  }
  session = stream.session;
  retryAt = Date.now() + 2000;
  root.dataset.player = Player.kind;
  progress = { time: -1, at: performance.now() };
  best = Infinity;
  player = new Player(video, url, onBroken);
  play();
}

function stop() {
  player?.destroy();
  player = null;
  byId("live").disabled = true;
}

/** Goes on by the other protocol; the address says so to who shares it. */
function switchTo(other) {
  if (other === protocol) return;
  protocol = other;
  const address = new URL(location.href);
  if (other === "dash") address.searchParams.set("protocol", other);
  else address.searchParams.delete("protocol");
  history.replaceState(null, "", address);
  [Player, refused, failures, retryAt] = [null, null, 0, 0];
  stop();
  root.dataset.player = "none";
  say("loading", "Starting");
  ask();
}

async function play() {
  try {
    await video.play();
  } catch (error) {
    if (error.name !== "NotAllowedError") return;
    // Sound needs a click first: the picture does not.
    video.muted = true;
    try {
      await video.play();
      byId("unmute").hidden = false;
    } catch {
      say("ready", "Ready", "", { label: "Play", run: () => { video.muted = false; play(); } });
    }
  }
}

function onBroken(message, certain) {
  failures += 1;
  stop();
  // The one may stumble over what the other plays.
  if (Player && !wanted && protocol === "hls" && failures >= 2) {
    choosePlayer(video, Player.kind === "native" ? "hls" : "native").then((other) => { Player = other; }, () => {});
  }
  const wait = Math.min(1000 * 2 ** failures, 10_000);
  retryAt = Date.now() + wait;
  if (certain && failures > 4) {
    return say("error", "The player cannot go on", message, { label: "Try again", run: () => { failures = 0; retryAt = 0; ask(); } });
  }
  say("loading", "Interrupted, trying again", message);
  clearTimeout(asked);
  asked = setTimeout(ask, Math.min(wait, ASK_WAITING));
}

function onCannotPlay(error) {
  refused = error;
  const reason = error instanceof CannotPlay ? error.reason : "error";
  root.dataset.player = "none";
  const mend = reason === "library"
    ? "Any player of the protocol plays the address below. Whoever runs the server can add the library: run “cargo xtask web” before building."
    : "Any player of the protocol plays the address below.";
  say("error", "This browser cannot play the stream", `${error.message} ${mend}`);
}

video.addEventListener("playing", () => { failures = 0; say("playing"); });
video.addEventListener("waiting", () => { if (player) say("waiting", stalledFor()); });
video.addEventListener("ended", () => { stop(); say("ended", "The stream has ended", "When it is live again, it plays here by itself."); ask(); });
video.addEventListener("volumechange", () => { if (!video.muted) byId("unmute").hidden = true; });
for (const button of byId("protocols").children) button.addEventListener("click", () => switchTo(button.value));
byId("unmute").addEventListener("click", () => { video.muted = false; video.focus(); });
byId("live").addEventListener("click", () => { player?.goLive(); video.play(); });

// Keys of players everywhere; the browser's own controls have theirs when focused.
document.addEventListener("keydown", (event) => {
  if (event.target !== document.body || event.ctrlKey || event.metaKey || event.altKey) return;
  const actions = {
    " ": () => (video.paused ? play() : video.pause()),
    k: () => (video.paused ? play() : video.pause()),
    m: () => { video.muted = !video.muted; },
    f: () => (document.fullscreenElement ? document.exitFullscreen() : byId("stage").requestFullscreen()),
    l: () => player?.goLive(),
  };
  const action = actions[event.key];
  if (action) { event.preventDefault(); action(); }
});

// Figures.

function latency() {
  const shown = player?.shownAt();
  if (shown === null || shown === undefined) return null;
  const value = (Date.now() + clockOffset - shown) / 1000;
  return value > -1 && value < 86_400 ? Math.max(0, value) : null;
}

function buffered() {
  for (let index = 0; index < video.buffered.length; index += 1) {
    if (video.buffered.start(index) <= video.currentTime + 0.1 && video.currentTime <= video.buffered.end(index)) {
      return video.buffered.end(index) - video.currentTime;
    }
  }
  return 0;
}

function tick() {
  const now = performance.now();
  if (video.currentTime !== progress.time || video.paused || !player) progress = { time: video.currentTime, at: now };
  if (player && stream?.state === "publishing" && now - progress.at > PATIENCE * 1000) {
    progress = { time: video.currentTime, at: now };
    onBroken("The player stood still.", false);
  }
  showLive();
  const video0 = stream?.tracks.find((track) => track.kind === "video");
  const quality = video.getVideoPlaybackQuality?.();
  const late = latency();
  const distance = player?.distance() ?? null;
  const pairs = [
    late === null && distance !== null ? ["Behind live", format.seconds(distance)] : ["Latency", format.seconds(late)],
    ["Picture", video.videoWidth ? `${video.videoWidth} × ${video.videoHeight}` : "–"],
    ["Frame rate", format.rate(stream?.qos.frame_rate, video0?.frame_rate)],
    ["Bitrate", format.bitrate(stream?.qos.bitrate)],
    ["Codecs", stream?.tracks.map((track) => track.codec_name || track.codec).join(", ") || "–"],
    ["Buffered", format.seconds(player ? buffered() : null)],
    ["Dropped pictures", quality ? `${quality.droppedVideoFrames} of ${quality.totalVideoFrames}` : "–"],
    ["Viewers", format.count(stream?.viewers)],
    ["Player", root.dataset.player],
  ];
  setPairs(byId("figures"), pairs);
  byId("figures").parentElement.hidden = !stream;
}

function showLive() {
  const button = byId("live");
  const playing = player !== null && video.readyState > 1;
  // How far behind is judged by the least that this player has managed.
  const now = latency() ?? player?.distance() ?? null;
  if (playing && now !== null && !video.paused) best = Math.min(best, now);
  const behind = playing && now !== null ? now - best : 0;
  const isBehind = behind > BEHIND;
  const live = stream?.state === "publishing";
  button.disabled = !isBehind || !live;
  button.dataset.live = !playing || !live ? "no" : isBehind ? "behind" : "yes";
  setText(byId("live-text"), !playing ? "Not playing" : !live ? "Not live" : isBehind ? `${format.seconds(behind)} behind, go live` : "Live");
}

function showProtocols() {
  const place = byId("protocols");
  place.hidden = !(stream.playback?.hls && stream.playback?.dash);
  for (const button of place.children) {
    button.setAttribute("aria-pressed", String(button.value === protocol));
  }
}

function showElsewhere() {
  const addresses = Object.entries(stream.playback ?? {}).filter(([kind]) => kind !== "watch");
  const place = byId("addresses");
  const shown = JSON.stringify(addresses);
  if (place.dataset.shown === shown) return;
  place.dataset.shown = shown;
  place.replaceChildren(...addresses.map(([kind, path]) => copyable(new URL(path, location.href).href, `${kind} address`)));
  byId("elsewhere").hidden = addresses.length === 0;
}

setText(byId("title"), key);
document.title = `${key}, rillcast`;
say("loading", "Loading", "");
ask();
tick();
setInterval(tick, 500);
document.addEventListener("visibilitychange", () => { if (!document.hidden) ask(); });
