// Plays one HLS address in a <video>: by hls.js, which stays a second behind
// live, or by the browser's own player where that does too (Apple's), or where
// this server was built without hls.js.

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
  // Apple's players know low latency, and tell the date of their picture; others
  // of the browsers' own stay some segments behind.
  const apple = native && typeof video.getStartDate === "function";
  if (wanted === "native" && !native) {
    throw new CannotPlay("This browser has no HLS player of its own.", "native");
  }
  if (wanted === "native" || (apple && wanted !== "hls")) return NativePlayer;
  const sources = globalThis.ManagedMediaSource ?? globalThis.MediaSource;
  if (sources && (await loadLibrary(LIBRARY, () => globalThis.Hls?.isSupported()))) return LibraryPlayer;
  if (native && wanted !== "hls") return NativePlayer;
  if (!sources) throw new CannotPlay("This browser can play neither HLS nor media from a script.", "browser");
  const why = native ? "hls.js is asked for" : "This browser has no HLS player of its own";
  throw new CannotPlay(`${why}, and this server was built without hls.js.`, "library");
}

const libraries = new Map();

/** Fetches a library once; whether it is there and works in this browser. */
export function loadLibrary(src, works) {
  if (!libraries.has(src)) {
    libraries.set(src, new Promise((resolve) => {
      const onload = () => resolve(Boolean(works()));
      const onerror = () => { libraries.delete(src); resolve(false); };
      document.head.append(h("script", { src, onload, onerror }));
    }));
  }
  return libraries.get(src);
}

// Both players tell `onBroken(message, certain)` when they cannot go on by
// themselves; `certain` means that trying the same again will not help.

/** The browser's own HLS player. */
export class NativePlayer {
  static kind = "native";
  // Chromium 156 gives up on a live playlist of one segment: one is being cut
  // and two are listed.
  static leastSegments = 3;

  constructor(video, url, onBroken) {
    this.video = video;
    this.url = url;
    this.clock = video.getStartDate ? null : new PlaylistClock(video, url);
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
    this.clock?.stop();
    this.video.removeEventListener("error", this.onError);
    this.video.removeAttribute("src");
    this.video.load();
  }

  /** Seconds to the newest picture that the playlist lists, if the browser says so. */
  distance() {
    const { seekable, currentTime } = this.video;
    if (seekable.length === 0) return null;
    const end = seekable.end(seekable.length - 1);
    return Number.isFinite(end) ? Math.max(0, end - currentTime) : null;
  }

  /** When the picture that is shown was taken, in milliseconds of the server's clock. */
  shownAt() {
    const start = this.clock ? this.clock.start() : this.video.getStartDate().getTime();
    return Number.isFinite(start) ? start + this.video.currentTime * 1000 : null;
  }

  goLive() {
    // What cannot seek begins at the live edge anew.
    const { seekable } = this.video;
    if (seekable.length) this.video.currentTime = Math.max(0, seekable.end(seekable.length - 1) - 6);
    else this.video.src = this.url;
  }
}

/**
 * The clock of a player that does not tell which date its time stands for:
 * Chromium's. What it has buffered ends where the playlist ended when it last
 * looked, and the playlist says which date that is. A look at the playlist
 * just before the player's own gives a date that is too late by a segment, so
 * the earliest of several looks is the right one.
 */
class PlaylistClock {
  constructor(video, url) {
    this.video = video;
    this.url = url;
    this.looks = [];
    this.timer = setTimeout(() => this.look(), 1500);
  }

  stop() {
    clearTimeout(this.timer);
    this.stopped = true;
  }

  /** The date of the player's time zero, in milliseconds; NaN while unknown. */
  start() {
    return this.looks.length > 2 ? Math.min(...this.looks) : NaN;
  }

  async look() {
    try {
      const { buffered } = this.video;
      const end = await this.end();
      if (this.stopped) return;
      if (end !== null && buffered.length) {
        this.looks = [...this.looks, end - buffered.end(buffered.length - 1) * 1000].slice(-8);
      }
    } catch {
      // The player tells of a server that is gone; this clock only goes without.
    }
    // Quickly at first, and never in step with the segments.
    this.timer = setTimeout(() => this.look(), this.looks.length < 5 ? 900 : 5300);
  }

  /** The date at which the playlist ends, in milliseconds; null if it does not say. */
  async end() {
    this.media ??= await this.findMedia();
    const answer = await fetch(this.media);
    if (!answer.ok) {
      this.media = null;
      return null;
    }
    let date = null;
    for (const line of (await answer.text()).split("\n")) {
      if (line.startsWith("#EXT-X-PROGRAM-DATE-TIME:")) date = Date.parse(line.slice(line.indexOf(":") + 1));
      else if (line.startsWith("#EXTINF:") && date !== null) date += parseFloat(line.slice(8)) * 1000;
    }
    return date;
  }

  /** The address of the first media playlist that the multivariant playlist names. */
  async findMedia() {
    const lines = (await (await fetch(this.url)).text()).split("\n").map((line) => line.trim());
    const uri = lines.find((line) => line && !line.startsWith("#"));
    return new URL(uri ?? "", new URL(this.url, location.href));
  }
}

/** How often the distance to the live edge is looked at, in milliseconds. */
const STEER_MS = 200;
/** Seconds off the wanted distance that are let be. */
const SLACK = 0.05;
/** The most that the speed is changed by: more can be heard. */
const MOST_FASTER = 0.1;
const MOST_SLOWER = 0.03;
/** Seconds behind the wanted distance, after a wait, from which it jumps. */
const JUMP = 1.5;
/**
 * Seconds farther from the edge after each wait, and at most; milliseconds without a
 * wait after which it comes nearer again, which double each time that was too soon;
 * and the seconds by which it comes nearer in a second.
 */
const RESERVE = 0.2;
const MOST_RESERVE = 2;
const CALM = 20_000;
const MOST_CALM = 320_000;
const NEARER = 0.02;
/**
 * Milliseconds of standing still, while there is more to play than is buffered,
 * after which it jumps to the live edge, and after which it begins anew there.
 */
const STUCK = 600;
const BROKEN = 2500;

/** hls.js. */
export class LibraryPlayer {
  static kind = "hls.js";
  static leastSegments = 0;

  constructor(video, url, onBroken) {
    const { Hls } = globalThis;
    this.video = video;
    this.recoveries = 0;
    this.waited = false;
    this.reserve = { seconds: 0, since: 0, calm: CALM, shrunk: false };
    this.hls = new Hls({
      lowLatencyMode: true,
      backBufferLength: 30,
      liveDurationInfinity: true,
      // It would stay farther from the edge for good after each wait: see `reserve`.
      liveSyncOnStallIncrease: 0,
    });
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
    this.hls.on(Hls.Events.FRAG_PARSED, (_, data) => this.markRest(data));
    this.onWaiting = () => { this.waited = true; this.keepMore(); };
    // Who seeks wants to be where they went.
    this.onSeeking = () => { this.waited = false; };
    video.addEventListener("waiting", this.onWaiting);
    video.addEventListener("seeking", this.onSeeking);
    this.still = { time: -1, since: 0, mends: 0 };
    this.timer = setInterval(() => { this.mindStandstill(); this.steer(); }, STEER_MS);
    this.hls.loadSource(url);
    this.hls.attachMedia(video);
  }

  destroy() {
    clearInterval(this.timer);
    this.video.removeEventListener("waiting", this.onWaiting);
    this.video.removeEventListener("seeking", this.onSeeking);
    this.video.playbackRate = 1;
    this.hls.destroy();
  }

  /**
   * Tells hls.js that a segment is not whole yet. Up to 1.7.4 at least it takes one
   * for whole if it learns that the segment is complete while one of its parts is
   * on the way into the buffer, and asks for no other part of it: the picture then
   * stands still until those parts have left the playlist.
   */
  markRest({ frag, part }) {
    if (!part) return;
    const { levels, audioTracks } = this.hls;
    const tracks = frag.type === "audio" ? audioTracks : levels;
    const parts = tracks[frag.level]?.details?.partList ?? [];
    const rest = parts.some((it) => it.fragment.sn === frag.sn && it.index > part.index && !it.loaded);
    for (const stream of Object.values(frag.elementaryStreams)) {
      if (stream) stream.partial = rest;
    }
  }

  /**
   * Gets hls.js going again where it asks for nothing though there is something: it
   * loses count of its parts when it clears its buffer at the wrong moment.
   */
  mindStandstill() {
    const { video, hls, still } = this;
    const now = performance.now();
    const details = hls.latestLevelDetails;
    const here = video.currentTime + this.ahead();
    const more = details?.live && details.partTarget && details.edge - here > 2 * details.partTarget;
    if (video.currentTime !== still.time || video.paused || video.seeking || !more) {
      if (video.currentTime !== still.time) still.mends = 0;
      still.time = video.currentTime;
      still.since = now;
      return;
    }
    const stood = now - still.since;
    if (still.mends === 0 && stood > STUCK) {
      still.mends = 1;
      this.goLive();
    } else if (still.mends === 1 && stood > BROKEN) {
      still.mends = 2;
      hls.recoverMediaError();
      this.goLive();
    }
  }

  /** Keeps farther from the live edge, after a wait. */
  keepMore() {
    const { video, reserve } = this;
    // Who has just begun, or goes elsewhere, has to wait.
    if (video.seeking || !video.played.length || video.currentTime - video.played.start(0) < 1) return;
    if (reserve.shrunk) reserve.calm = Math.min(2 * reserve.calm, MOST_CALM);
    reserve.shrunk = false;
    reserve.seconds = Math.min(reserve.seconds + RESERVE, MOST_RESERVE);
    reserve.since = performance.now();
  }

  /** Seconds behind the live edge where the picture should be. */
  target() {
    return this.hls.targetLatency + this.reserve.seconds;
  }

  /**
   * Keeps the distance to the live edge that the playlist asks for, and what waits have
   * shown to be needed here. hls.js can do
   * that itself, but only with more than a second in its buffer, which is more
   * than there is at this distance.
   */
  steer() {
    const { video, hls } = this;
    const details = hls.latestLevelDetails;
    if (!details?.live || !details.partTarget || video.paused || video.seeking || video.readyState < 3) return;
    if (hls.targetLatency === null || !Number.isFinite(hls.latency)) return;
    const { reserve } = this;
    if (reserve.seconds > 0 && performance.now() - reserve.since > reserve.calm) {
      reserve.seconds = Math.max(0, reserve.seconds - NEARER * STEER_MS / 1000);
      reserve.shrunk = true;
    }
    const over = hls.latency - this.target();
    if (this.waited && over > JUMP) {
      this.goLive();
      return;
    }
    let rate = 1;
    // What is far behind was paused or sought there: it stays.
    if (over > SLACK && over < details.targetduration * 2 && this.ahead() > details.partTarget) {
      rate = 1 + Math.min(MOST_FASTER, over / 5);
    } else if (over < -2 * SLACK) {
      rate = 1 - Math.min(MOST_SLOWER, -over / 5);
    }
    if (over < JUMP) this.waited = false;
    // Steps of a hundredth: each change restarts what stretches the sound.
    rate = Math.round(rate * 100) / 100;
    if (video.playbackRate !== rate) video.playbackRate = rate;
  }

  /** Seconds that are buffered beyond the picture. */
  ahead() {
    const { buffered, currentTime } = this.video;
    for (let index = 0; index < buffered.length; index += 1) {
      if (buffered.start(index) <= currentTime + 0.1 && currentTime <= buffered.end(index)) {
        return buffered.end(index) - currentTime;
      }
    }
    return 0;
  }

  distance() {
    return this.video.readyState > 0 && Number.isFinite(this.hls.latency) ? this.hls.latency : null;
  }

  shownAt() {
    return this.hls.playingDate?.getTime() ?? null;
  }

  goLive() {
    this.waited = false;
    const position = this.hls.liveSyncPosition;
    if (position != null) this.video.currentTime = position - this.reserve.seconds;
  }
}
