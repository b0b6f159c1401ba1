import { defineConfig } from "vite";

// `npm run dev` needs a monigo with a dashboard: MONIGO_URL, by default the usual address.
const monigo = process.env["MONIGO_URL"] ?? "http://127.0.0.1:8080";

export default defineConfig({
  base: "./",
  oxc: { jsx: { runtime: "automatic", importSource: "preact" } },
  build: {
    target: "es2022",
    // The content security policy refuses data: scripts and styles.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
  },
  server: {
    // monigo answers its own pages only.
    proxy: Object.fromEntries(["/api", "/monigo", "/metrics", "/healthz", "/readyz"].map((path) => (
      [path, { target: monigo, changeOrigin: true, headers: { origin: monigo } }]
    ))),
  },
});
