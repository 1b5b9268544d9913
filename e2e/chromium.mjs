// Headless Chromium with a new profile, and what goes wrong in its page.

import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { chromium } from 'playwright-core';

const LOCAL = ['127.0.0.1', 'localhost', '[::1]'];

/**
 * Calls `use(page, seen)` and cleans up behind it. `seen` fills with what a page
 * must not have: errors on the console, answers from 400 on, requests that failed,
 * requests to other hosts. `more` are further arguments of Chromium's.
 */
export async function withPage(use, more = []) {
  const profile = await mkdtemp(join(tmpdir(), 'rillcast-e2e-'));
  const context = await chromium.launchPersistentContext(profile, {
    executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
    headless: true,
    viewport: { width: 1280, height: 800 },
    args: [
      '--headless=new',
      '--no-sandbox',
      '--disable-gpu',
      '--disable-quic',
      '--no-first-run',
      '--disable-background-networking',
      '--disable-component-update',
      '--disable-sync',
      '--autoplay-policy=no-user-gesture-required',
      ...more,
    ],
  });
  try {
    const page = context.pages()[0] ?? (await context.newPage());
    const seen = { consoleErrors: [], httpErrors: [], failedRequests: [], foreignHosts: [] };
    page.on('pageerror', (error) => seen.consoleErrors.push(`uncaught: ${error.message}`));
    page.on('console', (message) => {
      if (message.type() === 'error') seen.consoleErrors.push(`${message.text()} ${message.location().url ?? ''}`.trim());
    });
    page.on('requestfailed', (request) => seen.failedRequests.push(`${request.failure()?.errorText} ${request.url()}`));
    page.on('response', (response) => {
      if (response.status() >= 400) seen.httpErrors.push(`${response.status()} ${response.url()}`);
    });
    page.on('request', (request) => {
      const { protocol, hostname } = new URL(request.url());
      const foreign = protocol.startsWith('http') && !LOCAL.includes(hostname);
      if (foreign && !seen.foreignHosts.includes(hostname)) seen.foreignHosts.push(hostname);
    });
    await use(page, seen);
  } finally {
    await context.close();
    await rm(profile, { recursive: true, force: true });
  }
}
