//! Every question over the fixture.

use super::*;

/// Samples are weighed by themselves.
fn check_samples(source: &dyn Source) {
    let stacks = source
        .stacks(&of(None, WHOLE, Weight::OffCpu), 10)
        .expect("stacks");
    let weights: Vec<(u64, u64, u64)> = stacks.iter().map(|s| (s.id, s.weight, s.calls)).collect();
    assert_eq!(weights, [(2, 30_000_000, 0)], "samples are no calls");
    let flame = source
        .flame(&of(None, WHOLE, Weight::OffCpu))
        .expect("flame");
    assert_eq!((flame.value, flame.children.len()), (31_000_000, 2));
    let flame = source
        .flame(&of(None, window(0, 1), Weight::Cpu))
        .expect("flame");
    let worker = &flame.children[0].children[0];
    assert_eq!((flame.value, worker.children.len()), (10_000_000, 1));
    let table = source
        .sql(
            "SELECT kind, sum(weight_ms) FROM v_samples GROUP BY kind ORDER BY kind",
            10,
        )
        .expect("sql");
    assert_eq!(table.rows.len(), 2);
}

/// Checks stacks and flame graphs of calls.
fn check_stacks(source: &dyn Source) {
    let stacks = source
        .stacks(&of(None, WHOLE, Weight::Wall), 10)
        .expect("stacks");
    let weights: Vec<(u64, u64, u64)> = stacks.iter().map(|s| (s.id, s.weight, s.calls)).collect();
    assert_eq!(weights, [(2, 100_000_000, 101), (1, 30_000_000, 100)]);
    assert_eq!(stacks[1].mean_ns, 300_000);
    assert_eq!(stacks[1].frames.len(), 3);
    assert_eq!(source.stack(2).expect("stack")[1].function, "main.retry");
    assert!(source.stack(99).expect("unknown").is_empty());

    let flame = source
        .flame(&of(Some(0), WHOLE, Weight::Calls))
        .expect("flame");
    assert_eq!((flame.name.as_str(), flame.value), ("all", 301));
    let names: Vec<(&str, u64)> = flame
        .children
        .iter()
        .map(|node| (node.name.as_str(), node.value))
        .collect();
    assert_eq!(names, [("main.main", 201), ("[no stack]", 100)]);
    let worker = &flame.children[0].children[0];
    assert_eq!(
        (worker.name.as_str(), worker.children.len()),
        ("main.worker", 2)
    );
    assert_eq!(worker.detail, "/srv/orders /src/main.go:10");
    assert_eq!(
        source
            .flame(&of(Some(1), WHOLE, Weight::Wall))
            .expect("flame")
            .value,
        0
    );
}

/// Checks figures of the service, and latency, over time.
fn check_over_time(source: &dyn Source) {
    let ask = |names: &[&str], window, points| {
        let names = names.iter().map(|&name| name.to_owned()).collect();
        let question = ReadingsQuestion {
            names,
            window,
            points,
        };
        source.readings(&question).expect("readings")
    };
    let value = |point: &ReadingsPoint, name: &str| point.values.get(name).copied();
    let one = ask(&[], WHOLE, 1);
    assert_eq!(one.len(), 1);
    assert_eq!(one[0].at_ns, START);
    assert_eq!(value(&one[0], "service_cpu_load"), Some(50.0));
    assert_eq!(value(&one[0], "system_cpu_load"), Some(50.0));
    let all = ask(&["service_cpu_load", "no_such_series"], WHOLE, 1000);
    let means: Vec<_> = all.iter().map(|p| value(p, "service_cpu_load")).collect();
    assert_eq!(means, [Some(20.0), Some(40.0), Some(90.0)]);
    assert!(all.iter().all(|point| point.values.len() == 1));
    let half_open = ask(&["service_cpu_load"], window(0, 2), 1);
    assert_eq!(value(&half_open[0], "service_cpu_load"), Some(30.0));
    assert!(ask(&[], window(5, 6), 10).is_empty());

    let question = LatencyQuestion {
        points: 10,
        ..LatencyQuestion::default()
    };
    let points = source.latency_series(&question).expect("latency");
    let calls: Vec<Vec<(u32, u64)>> = points
        .iter()
        .map(|p| p.functions.iter().map(|f| (f.function, f.calls)).collect())
        .collect();
    assert_eq!(calls, [vec![(0, 1000), (1, 10)], vec![], vec![(0, 1)]]);
    let first = points[0].functions[0];
    assert_eq!((points[0].at_ns, points[0].step_ns), (START, SECOND));
    assert_eq!(first.mean, 500_500);
    assert!(near(first.p50, 500_000) && near(first.p90, 900_000) && near(first.p99, 990_000));
    let question = LatencyQuestion {
        functions: vec![1],
        points: 1,
        ..LatencyQuestion::default()
    };
    let points = source.latency_series(&question).expect("latency");
    assert_eq!((points.len(), points[0].functions.len()), (1, 1));
    let unknown = LatencyQuestion {
        functions: vec![2],
        ..LatencyQuestion::default()
    };
    assert_eq!(
        source.latency_series(&unknown),
        Err(QueryError::UnknownFunction(2))
    );
    assert!(source.storage().expect("storage").memory_bytes > 0);
}

/// Checks every question against what the fixture says about itself.
pub(super) fn check_answers(source: &dyn Source) {
    let overview = source.overview().expect("overview");
    assert_eq!(overview.target, "/srv/orders");
    assert_eq!(overview.language, Language::Go);
    assert_eq!(overview.pids, [100]);
    assert_eq!(overview.recorded, 4);
    assert_eq!(overview.dropped(), 5);
    assert_eq!(overview.duration_ns(), 3 * SECOND as u64);
    assert_eq!(overview.warnings.len(), 1, "{:?}", overview.warnings);

    let rows = source.functions(WHOLE).expect("functions");
    let [order, charge] = rows.as_slice() else {
        panic!("{rows:?}")
    };
    assert_eq!(order.name, "main.process_order");
    assert_eq!((order.calls, order.unwound), (1001, 2));
    assert_eq!((order.in_flight, order.unmatched), (1, 4));
    assert_eq!(order.latency_ns.total, 500_500_000 + 50_000_000);
    assert_eq!(order.latency_ns.mean, 550_500_000 / 1001);
    assert_eq!(
        (order.latency_ns.min, order.latency_ns.max),
        (1000, 50_000_000)
    );
    assert!(near(order.latency_ns.p50, 501_000), "{order:?}");
    assert!(near(order.latency_ns.p90, 901_000), "{order:?}");
    assert!(near(order.latency_ns.p99, 991_000), "{order:?}");
    assert!(near(order.latency_ns.p999, 1_000_000), "{order:?}");
    assert!((order.rate - 1001.0 / 3.0).abs() < 1e-9);
    assert!((order.share + charge.share - 1.0).abs() < 1e-9);
    assert_eq!(charge.latency_ns.p50, 1_000_000);

    let buckets = source.histogram(0, WHOLE).expect("histogram");
    assert_eq!(buckets.iter().map(|b| b.count).sum::<u64>(), 1001);
    assert!(
        buckets
            .windows(2)
            .all(|pair| pair[0].high_ns <= pair[1].low_ns)
    );

    let series = source.series(Some(0), WHOLE, 100).expect("series");
    let calls: Vec<u64> = series.iter().map(|point| point.calls).collect();
    assert_eq!(calls, [1000, 0, 1]);
    assert!(series.iter().all(|point| point.step_ns == SECOND));
    assert_eq!((series[0].unwound, series[1].p99), (2, 0));
    let all = source.series(None, WHOLE, 1).expect("one point");
    assert_eq!(all.len(), 1);
    assert_eq!((all[0].calls, all[0].step_ns), (1011, 3 * SECOND));

    let heatmap = source.heatmap(0, WHOLE, 50).expect("heatmap");
    assert_eq!(
        heatmap.times_ns,
        [START, START + SECOND, START + 2 * SECOND]
    );
    assert_eq!(heatmap.step_ns, SECOND);
    let columns: Vec<u64> = heatmap.counts.iter().map(|c| c.iter().sum()).collect();
    assert_eq!(columns, [1000, 0, 1]);
    assert!(
        heatmap
            .counts
            .iter()
            .all(|c| c.len() == heatmap.rows_ns.len())
    );
    assert!(heatmap.rows_ns[0] <= 1000 && heatmap.top_ns > 50_000_000);

    let slowest = source
        .slowest(&of(None, WHOLE, Weight::Wall), 2)
        .expect("slowest");
    let durations: Vec<u64> = slowest.iter().map(|call| call.duration_ns).collect();
    assert_eq!(durations, [50_000_000, 700_000]);
    assert_eq!((slowest[0].goid, slowest[1].stack), (Some(7), None));

    check_stacks(source);
    check_samples(source);
    check_over_time(source);
    let table = source
        .sql("SELECT name, calls FROM v_functions ORDER BY calls", 10)
        .expect("sql");
    assert_eq!(table.columns, ["name", "calls"]);
    assert_eq!(table.rows[1][1], 1001);

    let unknown = Err(QueryError::UnknownFunction(2));
    assert_eq!(source.histogram(2, WHOLE), unknown);
    assert!(source.series(Some(2), WHOLE, 1).is_err());
}

#[test]
fn answers_are_those_of_the_fixture() {
    let (_database, source) = recorded();
    check_answers(&source);
    // Again, from what is known by now.
    check_answers(&source);
}
