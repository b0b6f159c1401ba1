// The live flame graph of the window that is shown.
import { useMemo } from "preact/hooks";
import { address, type FlameNode } from "../api";
import { useView } from "../context";
import { useAnswer } from "../hooks";
import { Empty } from "../view/panel";
import { FlameExplorer } from "./flame-explorer";

export function Flamegraph({ id }: { id: number | null }) {
  const { route, navigate, theme, window: params, version, functions } = useView();
  const answer = useAnswer<FlameNode>(
    address("flame", { function: id, weight: route.weight, ...params }), `${id} ${route.weight}`, version, 2000,
  );
  const traced = useMemo(() => new Set(functions?.map((row) => row.name)), [functions]);
  const files = { function: id, weight: route.weight, ...params };
  return (
    <FlameExplorer
      title="Flame graph" root={answer.data} error={answer.error} traced={traced} theme={theme}
      weight={route.weight} choose={(weight) => { navigate({ weight }); }}
      search={route.search} setSearch={(search) => { navigate({ search }); }}
      empty={
        <Empty>
          No stack was recorded in this time window. Stacks come from a sample of the calls; <code>--stacks off</code> records none.
        </Empty>
      }
      files={
        <>
          <a href={address("flamegraph.svg", files)} download>SVG</a>
          <a href={address("flamegraph.html", files)} download>HTML</a>
          <a href={address("flamegraph.folded", files)} download>folded</a>
          <a href={address("flamegraph.pb.gz", files)} download title="For go tool pprof">pprof</a>
          <a href={address("flamegraph.speedscope.json", files)} download>speedscope</a>
        </>
      }
    />
  );
}
