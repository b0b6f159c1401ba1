//! The fixture as text.

use super::{Summary, folded, functions_csv, sql_table, summary_table, write_output};
use crate::{
    query::{
        DuckSource, FunctionRow, InstanceRow, Latency, Selection, Source as _, Weight, Window,
    },
    store::{Database, fixture},
};

fn source() -> (Database, DuckSource) {
    let mut database = Database::in_memory().expect("opens");
    fixture::record(&mut database);
    let source = DuckSource::open(database.reader().expect("reads"), None).expect("session");
    (database, source)
}

#[test]
fn the_table_for_people() {
    let (_database, source) = source();
    let overview = source.overview().expect("overview");
    let rows = source.functions(Window::default()).expect("functions");
    let times = source.breakdown(Window::default()).expect("breakdown");
    insta::assert_snapshot!(summary_table(&overview, &rows, &times, None));
    let narrow = summary_table(&overview, &rows, &times, Some(80));
    let table = narrow
        .lines()
        .filter(|line| !line.contains(": ") && !line.ends_with('.'));
    for line in table {
        assert!(line.chars().count() <= 80, "{line}");
    }
}

#[test]
fn the_table_of_uncertain_figures() {
    let (_database, source) = source();
    let overview = source.overview().expect("overview");
    let mut rows = source.functions(Window::default()).expect("functions");
    let times = Vec::new();
    // The first was estimated and calls the second, whose calls take next to nothing.
    rows[0].calls_error = 40;
    rows[0].self_ns = Some(500_000_000);
    rows[1].latency_ns = Latency {
        min: 0,
        p99: 20,
        max: 400,
        total: 1234,
        ..Latency::default()
    };
    rows[1].self_ns = Some(1234);
    let mut third = rows[1].clone();
    third.name = "main.cached".to_owned();
    (third.calls, third.timed) = (50_000, 6_000);
    third.probe.floor_ns = 1_200;
    let mut fourth = third.clone();
    fourth.name = "main.hash".to_owned();
    fourth.timed = 0;
    rows.extend([third, fourth]);
    insta::assert_snapshot!(summary_table(&overview, &rows, &times, None));
    for row in &mut rows {
        row.timed = row.calls / 8;
        row.calls_error = 0;
    }
    let text = summary_table(&overview, &rows, &times, None);
    for sentence in [
        "Counts are exact, percentiles within 3%.\n",
        "Latency of 4 functions was measured in time windows: 10.0% to 12.5% of their calls.",
    ] {
        assert!(text.contains(sentence), "{text}");
    }
    for row in &mut rows {
        row.timed = row.calls;
        (row.probe.floor_ns, row.probe.cost_ns, row.probes_ns) = (0, 0, 0);
    }
    let text = summary_table(&overview, &rows, &times, None);
    assert!(
        text.contains("Counts, totals and max are exact, percentiles within 3%.\nRecorded"),
        "{text}"
    );
    assert!(!text.contains("cost"), "nothing is known of it: {text}");
}

#[test]
fn rows_that_are_sums_say_so() {
    let (_database, source) = source();
    let overview = source.overview().expect("overview");
    let mut rows = source.functions(Window::default()).expect("functions");
    let instance = InstanceRow {
        name: "main.process_order[int]".to_owned(),
        linkage_name: String::new(),
        address: "0x1".to_owned(),
        file: None,
        line: None,
        sites: 2,
        cost_class: rows[0].probe.cost_class,
    };
    let count = |rows: &[FunctionRow]| {
        let text = summary_table(&overview, rows, &[], None);
        let mut lines = text.lines();
        lines
            .find(|line| line.contains("--by-instance"))
            .map(str::to_owned)
    };
    assert_eq!(count(&rows), None);
    rows[0].probe.instances = vec![instance.clone(), instance];
    let one = format!(
        "{} has 2 instances, whose figures are added up; --by-instance gives each a row.",
        rows[0].name
    );
    assert_eq!(count(&rows), Some(one));
    let many = vec![rows[0].clone(); 5];
    assert_eq!(
        count(&many).as_deref(),
        Some(
            "5 functions have several instances, whose figures are added up; --by-instance gives each a row."
        )
    );
}

#[test]
fn the_json_contract() {
    let (_database, source) = source();
    let overview = source.overview().expect("overview");
    let rows = source.functions(Window::default()).expect("functions");
    let times = source.breakdown(Window::default()).expect("breakdown");
    let summary = Summary::new(overview, rows, times);
    insta::assert_snapshot!(serde_json::to_string_pretty(&summary).expect("serializes"));
}

#[test]
fn csv_and_folded() {
    let (_database, source) = source();
    let rows = source.functions(Window::default()).expect("functions");
    insta::assert_snapshot!("functions_csv", functions_csv(&rows));
    let flame = source.flame(&Selection::default()).expect("flame");
    insta::assert_snapshot!("folded", folded(&flame));
}

#[test]
fn sql_for_people() {
    let (_database, source) = source();
    let query = "SELECT name, calls, max_ns / 1e6 AS max_ms, line FROM v_functions ORDER BY name";
    let table = source.sql(query, 10).expect("answers");
    insta::assert_snapshot!(sql_table(&table, None));
}

#[test]
fn files_by_extension() {
    let (_database, source) = source();
    let directory = tempfile::tempdir().expect("temporary directory");
    let write = |name: &str, function, weight| {
        let path = directory.path().join(name);
        let selection = Selection::of(function, Window::default(), weight);
        write_output(&path, &source, &selection).expect(name);
        std::fs::read_to_string(path).expect(name)
    };
    let svg = write("flame.svg", None, Weight::Wall);
    for text in [
        "monigo: 2 functions",
        "/srv/orders, 3.00 s; width is wall-clock time inside the calls, estimated from 4 recorded of 1,011 calls",
        "main.retry (100,000,000 ns, 50.00%)",
        "[no stack]",
    ] {
        assert!(svg.contains(text), "{text}");
    }
    let one = write("one.svg", Some(0), Weight::Calls);
    assert!(one.contains("monigo: main.process_order") && one.contains("width is number of calls"));
    assert_eq!(write("f.folded", Some(0), Weight::Calls).lines().count(), 3);
    assert_eq!(write("f.csv", Some(1), Weight::Wall).lines().count(), 2);
    let json: Summary = serde_json::from_str(&write("f.json", None, Weight::Wall)).expect("parses");
    assert_eq!(json.functions[0].calls, 1001);
    let files = std::fs::read_dir(directory.path()).expect("lists").count();
    assert_eq!(files, 5, "nothing temporary stays behind");

    let error = write_output(
        &directory.path().join("f.png"),
        &source,
        &Selection::default(),
    );
    assert!(error.expect_err("format").to_string().contains(".svg"));
    let error = write_output(
        &directory.path().join("no/f.csv"),
        &source,
        &Selection::default(),
    );
    assert!(
        error
            .expect_err("directory")
            .to_string()
            .contains("no/f.csv failed")
    );
    let empty = Selection::of(Some(1), Window::default(), Weight::Wall);
    let error = write_output(&directory.path().join("e.svg"), &source, &empty);
    assert!(
        error
            .expect_err("empty")
            .to_string()
            .contains("no call was recorded")
    );
}

/// One call of `main.process_order` took 50 ms, the others at most 1 ms.
#[test]
fn files_of_slow_calls_hold_them_alone() {
    let (_database, source) = source();
    let selection = Selection {
        slower_than_ns: Some(10_000_000),
        ..Selection::of(Some(0), Window::default(), Weight::Wall)
    };
    let directory = tempfile::tempdir().expect("temporary directory");
    let write = |name: &str| {
        let path = directory.path().join(name);
        write_output(&path, &source, &selection).expect(name);
        std::fs::read(path).expect(name)
    };
    let text = |name: &str| String::from_utf8(write(name)).expect("UTF-8");

    let csv = text("slow.csv");
    assert_eq!(csv.lines().count(), 2, "{csv}");
    let row = "0,main.process_order,/srv/orders,/src/main.go,42,1,0,0,0,";
    assert!(
        csv.contains(row) && csv.contains(",50000000,50000000,"),
        "{csv}"
    );

    let summary: Summary = serde_json::from_str(&text("slow.json")).expect("a summary");
    let [function] = summary.functions.as_slice() else {
        panic!("{summary:?}");
    };
    assert_eq!((function.calls, function.latency_ns.min), (1, 50_000_000));
    let remark = summary.warnings.last().expect("a remark");
    assert!(
        remark.contains("calls of 10.0 ms or longer: the 1 that"),
        "{remark}"
    );

    let path = directory.path().join("slow.parquet");
    write("slow.parquet");
    let connection = duckdb::Connection::open_in_memory().expect("opens");
    let query = format!(
        "SELECT count(*), min(duration_ns) FROM '{}'",
        path.display()
    );
    let read: (i64, i64) = connection
        .query_row(&query, [], |row| Ok((row.get(0)?, row.get(1)?)))
        .expect("reads");
    assert_eq!(read, (1, 50_000_000));

    let firefox: serde_json::Value =
        serde_json::from_slice(&write("slow.firefox.json")).expect("JSON");
    let threads = firefox["threads"].as_array().expect("threads");
    let sum = |part: &str| -> u64 {
        let lengths = threads.iter().map(|thread| thread[part]["length"].as_u64());
        lengths.flatten().sum()
    };
    // No sample was taken in it.
    assert_eq!((sum("markers"), sum("samples")), (1, 0));

    let speedscope: serde_json::Value =
        serde_json::from_slice(&write("slow.speedscope.json")).expect("JSON");
    let wall = &speedscope["profiles"][0];
    assert_eq!(wall["endValue"], 50_000_000, "{speedscope}");
    assert!(text("slow.folded").ends_with(" 50000000\n"));
    for name in ["slow.svg", "slow.html"] {
        assert!(text(name).contains("calls of 10.0 ms or longer"), "{name}");
    }
    assert!(write("slow.pb.gz").starts_with(&[0x1f, 0x8b]));
}
