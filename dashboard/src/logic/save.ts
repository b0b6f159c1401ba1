// Files that the page makes itself.

/** A name that every file system takes: `orders-LoadStatistics-2026-11-28T14-03-07.csv`. */
export function fileName(parts: readonly string[], extension: string): string {
  const safe = parts.map((part) => part.replace(/[^A-Za-z0-9._-]+/g, "-").replace(/^[-.]+|-+$/g, "")).filter(Boolean);
  return `${safe.join("-") || "monigo"}.${extension}`;
}

/** Hands a text to the user as a file. */
export function save(name: string, kind: string, text: string): void {
  const url = URL.createObjectURL(new Blob([text], { type: kind }));
  const link = document.createElement("a");
  link.href = url;
  link.download = name;
  document.body.append(link);
  link.click();
  link.remove();
  // Revoked later: the download may begin after this returns.
  window.setTimeout(() => { URL.revokeObjectURL(url); }, 60_000);
}
