// Plays one stream in headless Chromium and reports what a viewer would see and
// hear. Measures only: the verdict is xtask's (xtask/src/e2e/).
//
//   node play.mjs --player watch|hls|shaka|native|dash|shaka-dash --url URL [--seconds N] [--screenshot FILE] [--glass] [--low] [--any-certificate]
//
// `--url` is the page for `watch`, the multivariant playlist or the manifest for the
// others; --low asks players that do not choose themselves for low latency, and
// --any-certificate has the server believed whatever it shows.
// Standard output is one JSON object a line: {"event":"first_frame",…} once there
// is a picture, and {"event":"report",…} after N seconds of watching from then
// on, or as soon as standard input is closed; with --glass it has the latency of
// each picture (glass.js). Exit code 0 says only that there
// is a report.

import { createServer } from 'node:http';
import { createReadStream, readFileSync } from 'node:fs';
import { dirname, extname, join, normalize } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { withPage } from './chromium.mjs';

const here = dirname(fileURLToPath(import.meta.url));
const FIRST_FRAME_MS = 30_000;

const { values: options } = parseArgs({
  options: {
    player: { type: 'string' },
    url: { type: 'string' },
    seconds: { type: 'string', default: '20' },
    screenshot: { type: 'string' },
    glass: { type: 'boolean', default: false },
    low: { type: 'boolean', default: false },
    'any-certificate': { type: 'boolean', default: false },
  },
});
if (!['watch', 'hls', 'shaka', 'native', 'dash', 'shaka-dash'].includes(options.player) || !options.url) {
  console.error('usage: node play.mjs --player watch|hls|shaka|native|dash|shaka-dash --url URL [--seconds N] [--screenshot FILE] [--glass] [--low] [--any-certificate]');
  process.exit(2);
}

const say = (event, data) => process.stdout.write(`${JSON.stringify({ event, ...data })}\n`);

/** Serves the bare pages and the libraries, from an origin that is not the server's. */
function servePages() {
  const types = { '.html': 'text/html; charset=utf-8', '.js': 'text/javascript', '.map': 'application/json' };
  const server = createServer((request, response) => {
    const { pathname } = new URL(request.url, 'http://localhost');
    const path = pathname.startsWith('/lib/')
      ? join(here, 'node_modules', normalize(pathname.slice('/lib/'.length)))
      : join(here, 'pages', normalize(pathname));
    const stream = createReadStream(path);
    stream.on('open', () => {
      response.writeHead(200, { 'content-type': types[extname(path)] ?? 'application/octet-stream' });
      stream.pipe(response);
    });
    stream.on('error', () => response.writeHead(404).end());
  });
  return new Promise((resolve) => server.listen(0, '127.0.0.1', () => resolve(server)));
}

const stopped = new Promise((resolve) => process.stdin.once('close', resolve).resume());

const pages = await servePages();
await withPage(async (page, seen) => {
  await page.addInitScript(readFileSync(join(here, 'probe.js'), 'utf8'));
  if (options.glass) await page.addInitScript(readFileSync(join(here, 'glass.js'), 'utf8'));
  const address =
    options.player === 'watch'
      ? options.url
      : `http://127.0.0.1:${pages.address().port}/${options.player}.html?url=${encodeURIComponent(options.url)}${options.low ? '&low' : ''}`;
  await page.goto(address, { waitUntil: 'commit' });

  const first = await page
    .waitForFunction(() => window.rillcastProbe.report().firstFrameMs, null, { timeout: FIRST_FRAME_MS, polling: 50 })
    .then((handle) => handle.jsonValue(), () => null);
  if (first !== null) {
    say('first_frame', { ms: first });
    let timer;
    const enough = new Promise((resolve) => (timer = setTimeout(resolve, Number(options.seconds) * 1000)));
    await Promise.race([enough, stopped]);
    clearTimeout(timer);
  }
  if (options.screenshot) await page.screenshot({ path: options.screenshot });
  const [report, glass, figures, protocols] = await page.evaluate(() => [
    window.rillcastProbe.report(),
    window.rillcastGlass ?? null,
    document.getElementById('figures')?.innerText ?? null,
    // What each request of the page itself was made by, like "h2".
    [...new Set(performance.getEntries().map((entry) => entry.nextHopProtocol).filter(Boolean))],
  ]);
  say('report', { player: options.player, ...report, glass, figures, protocols, ...seen });
}, options['any-certificate'] ? ['--ignore-certificate-errors'] : []);
pages.close();
process.exit(0);
