// Runs before the first paint, so that the page does not flash in the other theme.
try {
  const theme = localStorage.getItem("monigo-theme");
  if (theme === "light" || theme === "dark") document.documentElement.dataset.theme = theme;
} catch {
  // Storage can be blocked; the system's preference applies then.
}
