// Colours of the latency heatmap.

const LIGHT = ["#e2eff4", "#a9d2e0", "#5fabc6", "#1f7798", "#0b3f56"];
const DARK = ["#18323c", "#1d5569", "#2f86a3", "#6cc0d8", "#e0f6fc"];

/** How strong a cell is, 0 to 1: logarithmic, since one slow call must stay visible beside thousands. */
export function strength(count: number, most: number): number {
  if (count <= 0 || most <= 0) return 0;
  return most === 1 ? 1 : Math.log1p(count) / Math.log1p(most);
}

/** The colour of a strength, between the scale's stops. */
export function heatColour(value: number, dark: boolean): string {
  const stops = dark ? DARK : LIGHT;
  const at = Math.min(Math.max(value, 0), 1) * (stops.length - 1);
  const low = Math.min(Math.floor(at), stops.length - 2);
  const [from, to] = [channels(stops[low]), channels(stops[low + 1])];
  const mixed = from.map((channel, index) => Math.round(channel + ((to[index] ?? 0) - channel) * (at - low)));
  return `rgb(${mixed.join(" ")})`;
}

function channels(hex = "#000000"): number[] {
  return [1, 3, 5].map((at) => Number.parseInt(hex.slice(at, at + 2), 16));
}
