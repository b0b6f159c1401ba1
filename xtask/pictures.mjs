// node pictures.mjs PACKAGE_JSON URL SVG OUT: photographs the dashboard and turns the picture of
// the terminal interface into a PNG. playwright-core comes from the dashboard's packages.
import { createRequire } from 'node:module';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';

const [packageJson, url, svg, out] = process.argv.slice(2);
const { chromium } = createRequire(packageJson)('playwright-core');

const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
  args: ['--no-sandbox', '--disable-gpu', '--disable-quic', '--disable-background-networking'],
});
try {
  const page = await browser.newPage({ viewport: { width: 1440, height: 900 } });
  await page.goto(url);
  await page.locator('.charts canvas').first().waitFor();
  // Charts fill with the next flushes; a picture has no other sign of being complete.
  await page.waitForTimeout(4000);
  await page.screenshot({ path: join(out, 'dashboard-overview.png') });
  await page.goto(new URL('#/functions', url).href);
  const rows = page.locator('table tbody tr');
  await rows.first().waitFor();
  await rows.first().click();
  await page.waitForTimeout(4000);
  await page.screenshot({ path: join(out, 'dashboard.png') });

  const text = await readFile(svg, 'utf8');
  await page.setContent(`<body style="margin:0;background:#fff">${text}</body>`);
  await page.locator('svg').screenshot({ path: join(out, 'tui.png') });
} finally {
  await browser.close();
}
