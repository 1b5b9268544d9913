// Opens the player page in headless Chromium and goes from HLS to DASH and back.
//
//   node switch.mjs --url URL [--screenshot FILE]
//
// Prints one JSON object: the player and the address after each change, how long it took
// until two seconds were played, and what went wrong.

import { parseArgs } from 'node:util';
import { withPage } from './chromium.mjs';

const WAIT_MS = 30_000;

const { values: options } = parseArgs({ options: { url: { type: 'string' }, screenshot: { type: 'string' } } });
if (!options.url) {
  console.error('usage: node switch.mjs --url URL [--screenshot FILE]');
  process.exit(2);
}

await withPage(async (page, seen) => {
  const steps = [];
  const plays = async (player) => {
    const begun = Date.now();
    const played = await page
      .waitForFunction(
        (player) => {
          const video = document.querySelector('video');
          if (document.documentElement.dataset.player !== player || video.readyState < 3) return false;
          // A change of the source begins the count of what was played anew.
          let seconds = 0;
          for (let index = 0; index < video.played.length; index += 1) {
            seconds += video.played.end(index) - video.played.start(index);
          }
          return seconds >= 2;
        },
        player,
        { timeout: WAIT_MS, polling: 100 },
      )
      .then(() => true, () => false);
    steps.push({
      player: await page.evaluate(() => document.documentElement.dataset.player),
      pressed: await page.evaluate(() => document.querySelector('#protocols [aria-pressed=true]')?.value ?? null),
      address: page.url(),
      played,
      ms: Date.now() - begun,
    });
  };
  await page.goto(options.url, { waitUntil: 'load' });
  await plays('hls.js');
  await page.click('#protocols [value=dash]');
  await plays('dash.js');
  if (options.screenshot) await page.screenshot({ path: options.screenshot });
  // By the keyboard, and from an address that somebody was sent.
  await page.reload({ waitUntil: 'load' });
  await plays('dash.js');
  await page.focus('#protocols [value=hls]');
  await page.keyboard.press('Enter');
  await plays('hls.js');
  console.log(JSON.stringify({ steps, ...seen }));
});
