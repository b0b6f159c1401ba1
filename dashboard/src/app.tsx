// The page: asks for the overview at each flush, and lays out header, table and charts around it.
import { useCallback, useEffect, useMemo, useRef, useState } from "preact/hooks";
import { address, ask, type FunctionRow, type LiveStatus, type Overview } from "./api";
import { ViewContext, type View } from "./context";
import { useAnswer, useRoute, useTheme } from "./hooks";
import { useShortcuts } from "./keys";
import { listen, type Connection } from "./live";
import { basename } from "./logic/format";
import { opened } from "./logic/route";
import { everything, isEverything } from "./logic/selection";
import { windowParams } from "./logic/window";
import { Banners } from "./view/banners";
import { FunctionPage } from "./view/function-page";
import { Header } from "./view/header";
import { Help } from "./view/help";
import { OverviewPage } from "./view/overview-page";
import { StoryDialog } from "./view/story";

interface Live {
  overview: Overview | null;
  connection: Connection;
  status: LiveStatus | null;
  error: string | null;
  version: number;
}

const nothing: Live = { overview: null, connection: "connecting", status: null, error: null, version: 0 };

/** Follows the recording. While paused, the overview stays as it is. */
function useLive(paused: boolean): Live {
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
          setLive((old) => ({
            ...old,
            ...(pausedNow.current && old.overview ? {} : { overview, version: old.version + 1 }),
            status: overview.status,
            error: null,
          }));
        })
        .catch((error: unknown) => {
          if (!abort.signal.aborted) setLive((old) => ({ ...old, error: String((error as Error).message) }));
        })
        .finally(() => {
          busy = false;
          if (again) refresh.current();
        });
    };
    const close = listen(address("events"), {
      connection: (connection) => {
        setLive((old) => (old.connection === connection ? old : { ...old, connection }));
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
  }, []);

  useEffect(() => { if (!paused) refresh.current(); }, [paused]);
  return live;
}

export function App() {
  const [route, navigate] = useRoute();
  const [theme, toggleTheme] = useTheme();
  const [paused, setPaused] = useState(false);
  const [help, setHelp] = useState(false);
  const live = useLive(paused);
  const { overview, version } = live;
  const ended = live.status?.ended ?? false;

  const togglePause = useCallback(() => { if (!ended) setPaused((old) => !old); }, [ended]);
  const closeHelp = useCallback(() => { setHelp(false); }, []);
  const escape = useCallback(() => {
    if (isEverything(route.selection)) navigate(opened(null), "push");
    else navigate({ selection: everything });
  }, [route.selection, navigate]);
  useShortcuts({ togglePause, toggleTheme, openHelp: () => { setHelp(true); }, escape, navigate });

  const anchor = overview?.last_flush_ns ?? null;
  const params = useMemo(() => windowParams(route.span, anchor, paused), [route.span, anchor, paused]);
  const functions = useAnswer<FunctionRow[]>(
    overview ? address("functions", params) : null, String(route.span), version,
  );

  useEffect(() => {
    const name = functions.data?.find((row) => row.id === route.fn)?.name;
    const target = overview ? basename(overview.target) : "";
    document.title = [name, target, "monigo"].filter(Boolean).join(" · ");
  }, [functions.data, route.fn, overview]);

  if (!overview) {
    return (
      <main class="blank">
        <p role="status">{live.error ? `${live.error}; trying again…` : "Loading…"}</p>
      </main>
    );
  }
  const view: View = { overview, route, navigate, theme, window: params, version, functions: functions.data };
  return (
    <ViewContext.Provider value={view}>
      <a class="skip" href="#main" onClick={(event) => {
        event.preventDefault();
        document.getElementById("main")?.focus();
      }}>
        Skip to content
      </a>
      <Header
        paused={paused} ended={ended} connection={live.connection}
        togglePause={togglePause} toggleTheme={toggleTheme} openHelp={() => { setHelp(true); }}
      />
      <Banners connection={live.connection} status={live.status} error={functions.error ?? live.error} />
      <main id="main" tabIndex={-1}>
        {route.fn === null ? <OverviewPage /> : <FunctionPage key={route.fn} id={route.fn} />}
      </main>
      <StoryDialog />
      <Help open={help} close={closeHelp} />
    </ViewContext.Provider>
  );
}
