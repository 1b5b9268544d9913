// Opens a page in headless Chromium, waits for an element, and takes a picture.
//
//   node look.mjs --url URL --selector CSS [--dark] [--screenshot FILE]
//
// Prints one JSON object: whether the element came, its text, and what went wrong.

import { parseArgs } from 'node:util';
import { withPage } from './chromium.mjs';

const WAIT_MS = 20_000;

const { values: options } = parseArgs({
  options: {
    url: { type: 'string' },
    selector: { type: 'string' },
    dark: { type: 'boolean', default: false },
    screenshot: { type: 'string' },
  },
});
if (!options.url || !options.selector) {
  console.error('usage: node look.mjs --url URL --selector CSS [--dark] [--screenshot FILE]');
  process.exit(2);
}

await withPage(async (page, seen) => {
  await page.emulateMedia({ colorScheme: options.dark ? 'dark' : 'light' });
  await page.goto(options.url, { waitUntil: 'load' });
  const found = page.locator(options.selector).first();
  const text = await found.waitFor({ timeout: WAIT_MS }).then(() => found.innerText(), () => null);
  if (options.screenshot) await page.screenshot({ path: options.screenshot });
  console.log(JSON.stringify({ found: text !== null, text, ...seen }));
});
