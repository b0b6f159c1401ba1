// The configuration in force, as sections of lines.

export interface Setting {
  /** Dotted path without the section. */
  name: string;
  value: string;
  source: string;
}

export interface Section {
  name: string;
  settings: Setting[];
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** `{"value": …, "source": …}`. */
function isLeaf(value: unknown): value is { value: unknown; source: unknown } {
  return isObject(value) && "value" in value && "source" in value && typeof value["source"] === "string";
}

function shown(value: unknown): string {
  if (value === null || value === undefined || value === "") return "–";
  if (typeof value === "boolean") return value ? "yes" : "no";
  if (Array.isArray(value)) return value.length === 0 ? "none" : value.map((each) => (isObject(each) ? JSON.stringify(each) : shown(each))).join(", ");
  return isObject(value) ? JSON.stringify(value) : String(value);
}

function leaves(tree: unknown, path: readonly string[]): Setting[] {
  if (isLeaf(tree)) return [{ name: path.join("."), value: shown(tree.value), source: String(tree.source) }];
  if (isObject(tree)) return Object.entries(tree).flatMap(([key, value]) => leaves(value, [...path, key]));
  if (Array.isArray(tree) && tree.some((each) => isObject(each))) {
    return tree.flatMap((each: unknown, index) => leaves(each, [...path, String(index + 1)]));
  }
  return [{ name: path.join("."), value: shown(tree), source: "" }];
}

/** Sections of the tree; what is in none comes first, without a name. */
export function sections(tree: unknown): Section[] {
  if (!isObject(tree)) return [];
  const loose: Setting[] = [];
  const found: Section[] = [];
  for (const [name, value] of Object.entries(tree)) {
    if (isLeaf(value) || !(isObject(value) || Array.isArray(value))) loose.push(...leaves(value, [name]));
    else {
      const settings = leaves(value, []);
      if (settings.length > 0) found.push({ name, settings });
    }
  }
  return loose.length > 0 ? [{ name: "", settings: loose }, ...found] : found;
}

/** Sections with only the settings that hold every word of the filter. */
export function filteredSections(all: readonly Section[], filter: string, changedOnly: boolean): Section[] {
  const words = filter.toLowerCase().split(/\s+/).filter(Boolean);
  return all
    .map(({ name, settings }) => ({
      name,
      settings: settings.filter((setting) => {
        if (changedOnly && (setting.source === "default" || setting.source === "")) return false;
        const text = `${name}.${setting.name} ${setting.value} ${setting.source}`.toLowerCase();
        return words.every((word) => text.includes(word));
      }),
    }))
    .filter(({ settings }) => settings.length > 0);
}
