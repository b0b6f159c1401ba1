// The page: asks for the overview at each flush, and lays out header, navigation and the chosen page.
import { useCallback, useEffect, useMemo, useRef, useState } from "preact/hooks";
import { address, ask, SignedOut, whenSignedOut, type FunctionRow, type LiveStatus, type Overview } from "./api";
import { ViewContext, type View } from "./context";
import { useAnswer, useTheme, type Navigate } from "./hooks";
import { useShortcuts } from "./keys";
import { listen, type Connection } from "./live";
import { basename } from "./logic/format";
import { boundsOf, defaultRange, isBetween, rangeText, windowParams } from "./logic/range";
import { opened, type Page, type Route } from "./logic/route";
import { everything, isEverything } from "./logic/selection";
import type { Session } from "./logic/sessions";
import { setZone } from "./logic/zone";
import { serviceAddress, type ServiceInfo } from "./service";
import { Banners } from "./view/banners";
import { FlamePage } from "./view/flame-page";
import { FunctionPage } from "./view/function-page";
import { FunctionsPage } from "./view/functions-page";
import { Header } from "./view/header";
import { Help } from "./view/help";
import { Nav, pageTitle } from "./view/nav";
import { OverviewPage } from "./view/overview-page";
import { ReportsPage } from "./view/reports-page";
import { RoutinesPage } from "./view/routines-page";
import { SettingsPage } from "./view/settings-page";
import { SignedOutPage } from "./view/signed-out";
import { StoryDialog } from "./view/story";
import { useZoneChoice } from "./view/zone-choice";

interface Live {
  overview: Overview | null;
  connection: Connection;
  status: LiveStatus | null;
  error: string | null;
  version: number;
}

const nothing: Live = { overview: null, connection: "connecting", status: null, error: null, version: 0 };

/** Time between looks whether monigo knows us again, ms. */
const SIGN_IN_LOOK = 10_000;
/** Time between looks at who is watched, ms. */
const SERVICE_LOOK = 10_000;

/** Follows the recording. While paused, the overview stays as it is; while signed out, little is asked. */
function useLive(paused: boolean, signedOut: boolean, signedIn: () => void): Live {
  const [live, setLive] = useState<Live>(nothing);
  const pausedNow = useRef(paused);
  pausedNow.current = paused;
  const refresh = useRef<() => void>(() => undefined);

  useEffect(() => {
    const abort = new AbortController();
    let busy = false;
    let again = false;
    refresh.current = () => {
      if (busy) {
        again = true;
        return;
      }
      busy = true;
      again = false;
      ask<Overview>(address("overview"), abort.signal)
        .then((overview) => {
          signedIn();
          setLive((old) => ({
            ...old,
            ...(pausedNow.current && old.overview ? {} : { overview, version: old.version + 1 }),
            status: overview.status,
            error: null,
          }));
        })
        .catch((error: unknown) => {
          if (abort.signal.aborted || error instanceof SignedOut) return;
          setLive((old) => ({ ...old, error: String((error as Error).message) }));
        })
        .finally(() => {
          busy = false;
          if (again) refresh.current();
        });
    };
    if (signedOut) {
      const timer = window.setInterval(() => { refresh.current(); }, SIGN_IN_LOOK);
      return () => {
        abort.abort();
        window.clearInterval(timer);
      };
    }
    const close = listen(address("events"), {
      connection: (connection) => {
        setLive((old) => (old.connection === connection ? old : { ...old, connection }));
        // A stream that is refused says nothing more; the overview's answer tells why.
        if (connection === "lost") refresh.current();
      },
      flush: () => {
        if (!pausedNow.current && !document.hidden) refresh.current();
      },
      status: (status) => { setLive((old) => ({ ...old, status })); },
      ended: () => { refresh.current(); },
    });
    const shown = (): void => { if (!document.hidden && !pausedNow.current) refresh.current(); };
    document.addEventListener("visibilitychange", shown);
    refresh.current();
    return () => {
      abort.abort();
      close();
      document.removeEventListener("visibilitychange", shown);
    };
  }, [signedOut, signedIn]);

  useEffect(() => { if (!paused) refresh.current(); }, [paused]);
  return live;
}

/** Why monigo does not know who asks; null while it does. */
function useSignedOut(): [string | null, () => void] {
  const [why, setWhy] = useState<string | null>(null);
  useEffect(() => {
    whenSignedOut(setWhy);
    return () => { whenSignedOut(() => undefined); };
  }, []);
  return [why, useCallback(() => { setWhy(null); }, [])];
}

interface Props {
  route: Route;
  navigate: Navigate;
  sessions: readonly Session[];
  session: number | null;
}

/** The pages about one session. */
export function App({ route, navigate, sessions, session }: Props) {
  const [theme, toggleTheme] = useTheme();
  const [paused, setPaused] = useState(false);
  const [help, setHelp] = useState(false);
  const [signedOut, signedIn] = useSignedOut();
  const live = useLive(paused, signedOut !== null, signedIn);
  const { overview, version: clock } = live;
  const ended = live.status?.ended ?? false;

  const togglePause = useCallback(() => { if (!ended) setPaused((old) => !old); }, [ended]);
  const closeHelp = useCallback(() => { setHelp(false); }, []);
  const escape = useCallback(() => {
    if (!isEverything(route.selection)) navigate({ selection: everything });
    else if (route.page === "functions" && route.fn !== null) navigate(opened(null), "push");
  }, [route.selection, route.page, route.fn, navigate]);
  useShortcuts({ togglePause, toggleTheme, openHelp: () => { setHelp(true); }, escape, navigate });

  const service = useAnswer<ServiceInfo>(overview ? serviceAddress("service-info") : null, "service", clock, SERVICE_LOOK);
  const zone = useZoneChoice(service.data?.time_zone ?? null);
  // Before anything below formats a time.
  setZone(zone.name);

  const anchor = overview?.last_flush_ns ?? null;
  const started = overview?.started_ns ?? 0;
  const suited = useMemo(() => (overview ? defaultRange(started, anchor, ended) : "all"), [overview === null, ended]);
  const range = route.range ?? suited;
  const key = rangeText(range);
  const params = useMemo(() => windowParams(range, anchor, paused), [key, anchor, paused]);
  const bounds = useMemo(() => boundsOf(range, started, anchor), [key, started, anchor]);
  // Nothing new comes of a time that is over.
  const version = isBetween(range) && anchor !== null && range.toMs * 1e6 < anchor ? 0 : clock;
  const functions = useAnswer<FunctionRow[]>(overview ? address("functions", params) : null, key, version);

  const title = pageTitle(route.page, overview?.language ?? "");
  useEffect(() => {
    const name = route.page === "functions" && functions.data?.find((row) => row.id === route.fn)?.name;
    const target = overview ? basename(overview.target) : "";
    document.title = [name || title, target, "monigo"].filter(Boolean).join(" · ");
  }, [functions.data, route.page, route.fn, overview, title]);

  if (signedOut !== null) return <SignedOutPage why={signedOut} />;
  if (!overview) {
    return (
      <main class="blank">
        <p role="status">{live.error ? `${live.error}; trying again…` : "Loading…"}</p>
        {live.error && route.session !== null && <p><a href="#/">Show the latest session</a></p>}
      </main>
    );
  }
  const state = { ended, paused, connection: live.connection };
  const view: View = { overview, route, navigate, theme, range, bounds, window: params, clock, version, functions: functions.data, service, sessions, session, zone };
  return (
    <ViewContext.Provider value={view}>
      <a class="skip" href="#main" onClick={(event) => {
        event.preventDefault();
        document.getElementById("main")?.focus();
      }}>
        Skip to content
      </a>
      <header class="head">
        <Header state={state} togglePause={togglePause} toggleTheme={toggleTheme} openHelp={() => { setHelp(true); }} />
        <Nav />
      </header>
      <Banners state={state} status={live.status} error={functions.error ?? live.error} />
      <main id="main" tabIndex={-1}>
        <Shown page={route.page} fn={route.fn} />
      </main>
      <StoryDialog />
      <Help open={help} close={closeHelp} />
    </ViewContext.Provider>
  );
}

function Shown({ page, fn }: { page: Page; fn: number | null }) {
  switch (page) {
    case "overview": return <OverviewPage />;
    case "functions": return fn === null ? <FunctionsPage /> : <FunctionPage key={fn} id={fn} />;
    case "routines": return <RoutinesPage />;
    case "flame": return <FlamePage key={fn} id={fn} />;
    case "reports": return <ReportsPage />;
    case "settings": return <SettingsPage />;
  }
}
