// Plays one DASH address in a <video>, by dash.js.

import { CannotPlay, loadLibrary } from "./player.js";

const LIBRARY = "/assets/vendor/dash.min.js";

/** Finds out whether DASH can be played here. */
export async function chooseDashPlayer() {
  const sources = globalThis.ManagedMediaSource ?? globalThis.MediaSource;
  if (!sources) throw new CannotPlay("This browser cannot play media from a script.", "browser");
  if (await loadLibrary(LIBRARY, () => globalThis.dashjs?.MediaPlayer)) return DashPlayer;
  throw new CannotPlay("DASH needs dash.js, and this server was built without it.", "library");
}

/** dash.js, which takes low latency where the manifest offers it. */
class DashPlayer {
  static kind = "dash.js";
  static leastSegments = 0;

  constructor(video, url, onBroken) {
    const { MediaPlayer, Debug } = globalThis.dashjs;
    this.video = video;
    this.player = MediaPlayer().create();
    this.player.updateSettings({ debug: { logLevel: Debug.LOG_LEVEL_NONE } });
    this.player.on(MediaPlayer.events.ERROR, ({ error }) => {
      onBroken(`dash.js: ${error?.message ?? error}`, false);
    });
    this.player.initialize(video, url, false);
  }

  destroy() {
    this.player.destroy();
    this.video.playbackRate = 1;
    this.video.removeAttribute("src");
    this.video.load();
  }

  distance() {
    const late = this.video.readyState > 0 ? this.player.getCurrentLiveLatency() : NaN;
    return Number.isFinite(late) ? late : null;
  }

  /** When the picture that is shown was taken, in milliseconds of the server's clock. */
  shownAt() {
    const late = this.distance();
    const offset = this.player.getDvrWindow() ? this.player.timeAsUTC() * 1000 : NaN;
    return late === null || !Number.isFinite(offset) || offset <= 0 ? null : offset;
  }

  goLive() {
    this.player.seekToOriginalLive();
  }
}
