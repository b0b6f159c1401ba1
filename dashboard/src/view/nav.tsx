// The pages, and the part of the time that they show.
import { useView } from "../context";
import { routinesName } from "../logic/names";
import { format, pages, turned as turnedTo, type Page, type Route } from "../logic/route";
import { RangePicker } from "./range-picker";

/** What a page is called. */
export function pageTitle(page: Page, language: string): string {
  switch (page) {
    case "overview": return "Overview";
    case "functions": return "Functions";
    case "routines": return routinesName(language);
    case "flame": return "Flame graphs";
    case "reports": return "Reports";
    case "settings": return "Settings";
  }
}

/** Pages about now. */
const timeless: readonly Page[] = ["routines", "settings"];

export function Nav() {
  const { overview, route, navigate } = useView();
  // From a function's page to its flame graph.
  const turned = (page: Page): Partial<Route> =>
    (page === "flame" && route.page === "functions" && route.fn !== null ? { page, search: "", call: null } : turnedTo(page));
  const turn = (page: Page) => (event: MouseEvent): void => {
    if (event.ctrlKey || event.metaKey || event.shiftKey || event.button !== 0) return;
    event.preventDefault();
    navigate(turned(page), "push");
    window.scrollTo(0, 0);
  };
  return (
    <div class="bar-of-pages">
      <nav aria-label="Pages">
        {pages.map((page) => (
          <a
            key={page} href={format({ ...route, ...turned(page) })} onClick={turn(page)}
            aria-current={route.page === page ? "page" : undefined}
          >
            {pageTitle(page, overview.language)}
          </a>
        ))}
      </nav>
      {!timeless.includes(route.page) && <RangePicker />}
    </div>
  );
}
