// Which session the pages are about: the one in the address, else the latest, and its target from then on.
import { useEffect, useRef, useState } from "preact/hooks";
import { askAbout } from "./api";
import { App } from "./app";
import { useAnswer, useRoute } from "./hooks";
import { followed, type Session } from "./logic/sessions";
import { serverAddress } from "./service";

/** Time between looks at which sessions there are, ms. */
const LOOK = 2_000;

/** Grows every now and then while the page is looked at. */
function useLooks(): number {
  const [looks, setLooks] = useState(0);
  useEffect(() => {
    const look = (): void => { if (!document.hidden) setLooks((old) => old + 1); };
    const timer = window.setInterval(look, LOOK);
    document.addEventListener("visibilitychange", look);
    return () => {
      window.clearInterval(timer);
      document.removeEventListener("visibilitychange", look);
    };
  }, []);
  return looks;
}

export function Root() {
  const [route, navigate] = useRoute();
  const answer = useAnswer<Session[]>(serverAddress("sessions"), "sessions", useLooks());
  const shown = useRef<number | null>(null);
  const sessions = answer.data ?? [];
  const session = route.session ?? followed(sessions, shown.current);
  shown.current = session;
  // Before anything below asks. The only one needs no name.
  askAbout(route.session ?? (sessions.length > 1 ? session : null));
  if (answer.waiting) {
    return (
      <main class="blank">
        <p role="status">Loading…</p>
      </main>
    );
  }
  return <App key={session} route={route} navigate={navigate} sessions={sessions} session={session} />;
}
