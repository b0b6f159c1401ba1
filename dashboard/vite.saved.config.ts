// The script and the style of saved pages: monigo puts them into each file that it writes.
import { defineConfig } from "vite";

export default defineConfig({
  oxc: { jsx: { runtime: "automatic", importSource: "preact" } },
  build: {
    target: "es2022",
    outDir: "dist/saved",
    copyPublicDir: false,
    lib: { entry: "src/saved.tsx", formats: ["iife"], name: "monigo", fileName: () => "page.js", cssFileName: "page" },
  },
});
