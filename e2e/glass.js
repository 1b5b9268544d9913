// Reads the clock that the publisher draws into its pictures (xtask's
// Source::clock) back from the <video>: injected by play.mjs for --glass. Each
// picture that is shown gives one latency, from glass to glass but for the two
// panes: from the moment it was handed to the encoder to the one at which the
// browser expects to show it. Both ends read the clock of the same machine.
(() => {
  'use strict';

  // As xtask/src/e2e/publisher.rs draws it: squares in one row from the top left,
  // one white and one black, then the bits of the wall clock in milliseconds, Gray
  // code, the lowest first. Neighbours differ in one bit then, so that a clock which
  // ticks while it is drawn is still right to a millisecond.
  const WIDTH = 640;
  const SQUARE = 32;
  const BITS = 16;
  const WRAP = 2 ** BITS;

  const samples = [];
  const report = { samples, unread: 0 };
  window.rillcastGlass = report;

  const canvas = document.createElement('canvas');
  canvas.width = (BITS + 2) * 4;
  canvas.height = 4;
  const draw = canvas.getContext('2d', { willReadFrequently: true });

  /** The clock in the picture, or null where none can be read. */
  function read(video) {
    const scale = video.videoWidth / WIDTH;
    // The middle of each square: its rims blur into the next one.
    for (let i = 0; i < BITS + 2; i++) {
      const [x, y, size] = [(i + 0.25) * SQUARE, 0.25 * SQUARE, 0.5 * SQUARE].map((it) => it * scale);
      draw.drawImage(video, x, y, size, size, i * 4, 0, 4, 4);
    }
    const { data } = draw.getImageData(0, 0, canvas.width, 4);
    const bits = [];
    for (let i = 0; i < BITS + 2; i++) {
      const at = 4 * (canvas.width + i * 4 + 1);
      const grey = (data[at] + data[at + 1] + data[at + 2]) / 3;
      if (grey > 90 && grey < 165) return null;
      bits.push(grey >= 165 ? 1 : 0);
    }
    if (bits[0] !== 1 || bits[1] !== 0) return null;
    let value = 0;
    let bit = 0;
    for (let i = BITS - 1; i >= 0; i--) {
      bit ^= bits[i + 2];
      value = value * 2 + bit;
    }
    return value;
  }

  function attach(video) {
    const frame = (now, metadata) => {
      const shown = Date.now() + Math.max(0, metadata.expectedDisplayTime - performance.now());
      const clock = read(video);
      if (clock === null) report.unread++;
      else samples.push(Math.round((((shown % WRAP) - clock) % WRAP + WRAP) % WRAP));
      video.requestVideoFrameCallback(frame);
    };
    video.requestVideoFrameCallback(frame);
  }

  const find = () => {
    const video = document.querySelector('video');
    if (video) attach(video);
    return Boolean(video);
  };
  if (!find()) {
    const observer = new MutationObserver(() => find() && observer.disconnect());
    observer.observe(document, { childList: true, subtree: true });
  }
})();
