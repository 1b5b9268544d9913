// Plays one HLS address in a <video>: by the browser's own player where it has
// one, else by hls.js if this server was built with it.

import { h } from "./dom.js";

const HLS_TYPE = "application/vnd.apple.mpegurl";
const LIBRARY = "/assets/vendor/hls.min.js";

/** Why nothing can play here; `reason` is "library" when hls.js is what is missing. */
export class CannotPlay extends Error {
  constructor(message, reason) {
    super(message);
    this.reason = reason;
  }
}

/**
 * Finds the player for this browser. `wanted` ("native", "hls" or null) is what
 * the page's address asks for.
 */
export async function choosePlayer(video, wanted) {
  const native = video.canPlayType(HLS_TYPE) !== "";
  if (native && wanted !== "hls") return NativePlayer;
  if (wanted === "native") {
    throw new CannotPlay("This browser has no HLS player of its own.", "native");
  }
  const sources = globalThis.ManagedMediaSource ?? globalThis.MediaSource;
  if (!sources) throw new CannotPlay("This browser can play neither HLS nor media from a script.", "browser");
  if (!(await loadLibrary())) {
    throw new CannotPlay(
      "This browser has no HLS player of its own, and this server was built without hls.js, which would stand in for it.",
      "library");
  }
  return LibraryPlayer;
}

let library;
function loadLibrary() {
  library ??= new Promise((resolve) => {
    const onload = () => resolve(Boolean(globalThis.Hls?.isSupported()));
    const onerror = () => { library = null; resolve(false); };
    document.head.append(h("script", { src: LIBRARY, onload, onerror }));
  });
  return library;
}

// Both players tell `onBroken(message, certain)` when they cannot go on by
// themselves; `certain` means that trying the same again will not help.

/** The browser's own HLS player. */
export class NativePlayer {
  static kind = "native";

  constructor(video, url, onBroken) {
    this.video = video;
    this.distances = [];
    this.onError = () => {
      const error = video.error;
      if (!error) return;
      const certain = error.code === MediaError.MEDIA_ERR_DECODE;
      onBroken(error.message || "The browser's player gave up.", certain);
    };
    video.addEventListener("error", this.onError);
    video.src = url;
  }

  destroy() {
    this.video.removeEventListener("error", this.onError);
    this.video.removeAttribute("src");
    this.video.load();
  }

  /** Seconds to the newest picture that the playlist lists. */
  distance() {
    const { seekable, currentTime } = this.video;
    if (seekable.length === 0) return null;
    const end = seekable.end(seekable.length - 1);
    return Number.isFinite(end) ? Math.max(0, end - currentTime) : null;
  }

  /** The distance that this player keeps by itself: the least of its first seconds. */
  target() {
    const distance = this.distance();
    if (distance !== null && !this.video.paused && this.distances.length < 8) this.distances.push(distance);
    return this.distances.length ? Math.min(...this.distances) : null;
  }

  /** When the picture that is shown was taken, in milliseconds of the server's clock. */
  shownAt() {
    const start = this.video.getStartDate?.().getTime();
    return Number.isFinite(start) ? start + this.video.currentTime * 1000 : null;
  }

  goLive() {
    const { seekable } = this.video;
    if (seekable.length) this.video.currentTime = seekable.end(seekable.length - 1) - (this.target() ?? 4);
  }
}

/** hls.js. */
export class LibraryPlayer {
  static kind = "hls.js";

  constructor(video, url, onBroken) {
    const { Hls } = globalThis;
    this.video = video;
    this.recoveries = 0;
    this.hls = new Hls({ lowLatencyMode: true, backBufferLength: 30, liveDurationInfinity: true });
    this.hls.on(Hls.Events.ERROR, (_, data) => {
      if (!data.fatal) return;
      const media = data.type === Hls.ErrorTypes.MEDIA_ERROR;
      if (media && this.recoveries < 3) {
        this.recoveries += 1;
        this.hls.recoverMediaError();
        return;
      }
      const status = data.response?.code ? ` (${data.response.code})` : "";
      onBroken(`hls.js: ${data.details}${status}`, media);
    });
    this.hls.loadSource(url);
    this.hls.attachMedia(video);
  }

  destroy() {
    this.hls.destroy();
  }

  distance() {
    return this.video.readyState > 0 && Number.isFinite(this.hls.latency) ? this.hls.latency : null;
  }

  target() {
    return this.hls.targetLatency;
  }

  shownAt() {
    return this.hls.playingDate?.getTime() ?? null;
  }

  goLive() {
    const position = this.hls.liveSyncPosition;
    if (position != null) this.video.currentTime = position;
  }
}
