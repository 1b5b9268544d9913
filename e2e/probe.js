// Measures the page's <video> from inside the page: injected before any script
// of the page runs, by play.mjs. It touches nothing that a viewer would not:
// it unmutes, reads pictures through a canvas, and routes the sound through an
// analyser. Everything it sees goes into `window.rillcastProbe.report()`.
(() => {
  'use strict';

  const SAMPLE_MS = 100;
  const PICTURE_MS = 500;
  const TONE_MS = 500;
  // A short pip's spectrum is this wide, in Hz, above a tone that sounds beside it.
  const APART = 200;
  // A picture counts as moved when its mean absolute difference from the one
  // before, over 64x36 grey pixels of 0..255, is at least this. Decoder noise on
  // a still picture stays below 0.05.
  const MOVED = 0.2;
  const GREY_W = 64;
  const GREY_H = 36;

  const state = {
    firstFrameMs: null, // since the navigation began
    frames: 0,
    framesDropped: 0,
    width: 0,
    height: 0,
    played: 0, // seconds that currentTime went forward, seeks left out
    seeks: 0,
    waiting: 0, // "waiting" events after the first frame
    longestFreezeMs: 0, // longest time without progress after the first frame
    stillForMs: 0, // time since the last progress
    pictures: 0,
    picturesMoved: 0,
    tones: [], // loudest frequency of each look, in Hz
    undertones: [], // loudest one that is well apart from it
    toneLevels: [], // its level, in dB
    errors: [],
    currentTime: 0,
    ended: false,
  };
  let video = null;

  const fail = (what, error) => {
    const text = `${what}: ${error && error.message ? error.message : error}`;
    if (!state.errors.includes(text)) state.errors.push(text);
  };

  function watchPictures() {
    const canvas = document.createElement('canvas');
    canvas.width = GREY_W;
    canvas.height = GREY_H;
    const draw = canvas.getContext('2d', { willReadFrequently: true });
    let before = null;
    const look = () => {
      try {
        draw.drawImage(video, 0, 0, GREY_W, GREY_H);
        const rgba = draw.getImageData(0, 0, GREY_W, GREY_H).data;
        const grey = new Float32Array(GREY_W * GREY_H);
        for (let i = 0; i < grey.length; i++) {
          grey[i] = (rgba[4 * i] + rgba[4 * i + 1] + rgba[4 * i + 2]) / 3;
        }
        if (before) {
          let sum = 0;
          for (let i = 0; i < grey.length; i++) sum += Math.abs(grey[i] - before[i]);
          state.pictures++;
          if (sum / grey.length >= MOVED) state.picturesMoved++;
        }
        before = grey;
      } catch (error) {
        fail('picture', error);
      }
    };
    setInterval(look, PICTURE_MS);
  }

  function watchTone() {
    try {
      const audio = new AudioContext();
      const analyser = audio.createAnalyser();
      analyser.fftSize = 16384;
      analyser.smoothingTimeConstant = 0;
      audio.createMediaElementSource(video).connect(analyser);
      analyser.connect(audio.destination);
      const levels = new Float32Array(analyser.frequencyBinCount);
      setInterval(() => {
        if (audio.state !== 'running') audio.resume();
        analyser.getFloatFrequencyData(levels);
        const width = audio.sampleRate / analyser.fftSize;
        const loudest = (but) => {
          let best = 0;
          for (let i = 1; i < levels.length; i++) {
            if (levels[i] > levels[best] && !(Math.abs(i - but) * width < APART)) best = i;
          }
          return best;
        };
        const first = loudest(NaN);
        if (Number.isFinite(levels[first]) && levels[first] > -70) {
          state.tones.push(Math.round(first * width));
          state.undertones.push(Math.round(loudest(first) * width));
          state.toneLevels.push(Math.round(levels[first]));
        }
      }, TONE_MS);
    } catch (error) {
      fail('tone', error);
    }
  }

  function watchProgress() {
    let lastTime = video.currentTime;
    let lastProgress = performance.now();
    setInterval(() => {
      const now = performance.now();
      const step = video.currentTime - lastTime;
      if (step !== 0) {
        // Forward by at most what the clock allows is playing; the rest is a seek.
        if (step > 0 && step < 2) state.played += step;
        else state.seeks++;
        state.longestFreezeMs = Math.max(state.longestFreezeMs, now - lastProgress);
        lastProgress = now;
        lastTime = video.currentTime;
      } else {
        state.longestFreezeMs = Math.max(state.longestFreezeMs, now - lastProgress);
      }
      state.stillForMs = Math.round(now - lastProgress);
    }, SAMPLE_MS);
    video.addEventListener('waiting', () => state.waiting++);
  }

  function attach(found) {
    video = found;
    video.addEventListener('error', () =>
      fail('video', video.error ? `${video.error.code} ${video.error.message}` : 'unknown'));
    video.addEventListener('ended', () => (state.ended = true));
    const frame = (now) => {
      if (state.firstFrameMs === null) {
        state.firstFrameMs = Math.round(now);
        // Before the sound is routed away from the element: a muted one is silent.
        video.muted = false;
        video.volume = 1;
        watchProgress();
        watchPictures();
        watchTone();
      }
    };
    video.requestVideoFrameCallback(frame);
  }

  const find = () => {
    const found = document.querySelector('video');
    if (found) attach(found);
    return Boolean(found);
  };
  if (!find()) {
    const observer = new MutationObserver(() => find() && observer.disconnect());
    observer.observe(document, { childList: true, subtree: true });
  }

  window.rillcastProbe = {
    fail,
    report() {
      if (video) {
        const quality = video.getVideoPlaybackQuality();
        state.frames = quality.totalVideoFrames;
        state.framesDropped = quality.droppedVideoFrames;
        state.width = video.videoWidth;
        state.height = video.videoHeight;
        state.currentTime = video.currentTime;
      } else {
        fail('page', 'there is no video element');
      }
      return state;
    },
  };
})();
