// What an OpenAPI description lists.

export interface Operation {
  method: string;
  path: string;
  summary: string;
}

const methods = ["get", "post", "put", "patch", "delete"];

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null;
}

/** Operations in the order of the description; what cannot be read is left out. */
export function operations(description: unknown): Operation[] {
  const paths = isObject(description) ? description["paths"] : null;
  if (!isObject(paths)) return [];
  return Object.entries(paths).flatMap(([path, item]) => (isObject(item) ? methods : []).flatMap((method) => {
    const operation = (item as Record<string, unknown>)[method];
    if (!isObject(operation)) return [];
    const text = operation["summary"] ?? operation["description"] ?? "";
    return [{ method: method.toUpperCase(), path, summary: String(text).split("\n")[0] ?? "" }];
  }));
}
