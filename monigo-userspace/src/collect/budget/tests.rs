use crate::probe::Price;

use super::{plan::LEAST_SHARE, *};

const PRICE: Price = Price {
    cost_ns: 16_000,
    bias_ns: 700,
    floor_ns: 100,
    count_ns: 1_000,
};
const FIVE_PERCENT: f64 = 5e7;

fn loads(rates: &[f64]) -> Vec<Load> {
    rates
        .iter()
        .map(|&rate| Load { rate, price: PRICE })
        .collect()
}

fn demand(loads: &[Load], records: f64) -> Demand<'_> {
    Demand {
        loads,
        records,
        ..Demand::default()
    }
}

fn planned(rates: &[f64]) -> Plan {
    within_five_percent(demand(&loads(rates), 0.0))
}

fn within_five_percent(demand: Demand<'_>) -> Plan {
    plan(demand, StackCost::Walked, FIVE_PERCENT, Mode::Full, 0.1)
}

fn evaluate(budget: &mut Budget, rates: &[f64], processes: usize) -> Option<Plan> {
    let plan = budget.evaluate(demand(&loads(rates), 0.0), processes)?;
    budget.adopt(plan.clone());
    Some(plan)
}

#[test]
fn cheap_functions_are_watched_in_full() {
    let plan = planned(&[1_000.0, 500.0]);
    assert_eq!(plan.modes, [Mode::Full, Mode::Full]);
    assert_eq!(plan.records, Records::All);
}

#[test]
fn records_go_first() {
    let plan = within_five_percent(demand(&loads(&[3_100.0]), 1_000.0));
    assert_eq!((plan.modes[0], plan.records), (Mode::Full, Records::Fewer));
}

#[test]
fn then_stacks() {
    // A tenth of the records still takes more than there is, but not without stacks.
    let loads = loads(&[3_120.0]);
    let copies = StackCost::Copied(16_384.0);
    let plan = plan(
        demand(&loads, 1_000.0),
        copies,
        FIVE_PERCENT,
        Mode::Full,
        0.1,
    );
    assert_eq!(
        (plan.modes[0], plan.records),
        (Mode::Full, Records::NoStacks)
    );
    assert!(plan.cost <= FIVE_PERCENT, "{plan:?}");
}

/// Whatever is given up is said, with the function and the option.
#[test]
fn each_step_has_its_sentence() {
    let names = ["process_order".to_owned(), "seldom".to_owned()];
    let sentence = |plan: Plan| {
        let mut budget = Budget::new(Some(0.05), Mode::Full, 0.1, 2);
        let before = budget.current().clone();
        budget.current = plan;
        budget.sentence(&before, demand(&loads(&[10_000.0, 1.0]), 0.0), &names)
    };
    let full = Plan::unlimited(2, Mode::Full, 0.2);
    let records = |records| Plan {
        records,
        ..full.clone()
    };
    let modes = |mode| Plan {
        records: Records::NoStacks,
        modes: vec![mode, Mode::Full],
        duty: 0.3,
        ..full.clone()
    };
    let said = [
        (
            records(Records::Fewer),
            "a tenth of the calls is recorded in full",
        ),
        (
            records(Records::NoStacks),
            "few calls are recorded in full, and without stacks",
        ),
        (
            modes(Mode::Windows),
            "latency of process_order is measured 20.0% of the time, counts stay exact",
        ),
        (
            modes(Mode::Duty),
            "process_order: probed 30.0% of the time, so counts are estimated",
        ),
        (modes(Mode::Off), "process_order: not probed any more"),
    ];
    for (plan, end) in said {
        let text = sentence(plan);
        let begin = "watching everything takes 16.0% of one CPU (--max-overhead 5.0%): ";
        assert_eq!(text, format!("{begin}{end}"));
    }
}

#[test]
fn large_copies_are_dearer_than_small_ones() {
    let records = |bytes| {
        let stacks = StackCost::Copied(bytes);
        let loads = loads(&[2_950.0]);
        let demand = demand(&loads, 1_000.0);
        plan(demand, stacks, FIVE_PERCENT, Mode::Full, 0.1).records
    };
    assert_eq!(records(500.0), Records::All);
    assert_eq!(records(16_384.0), Records::Fewer);
    assert!(StackCost::None.record_ns() < StackCost::Walked.record_ns());
}

#[test]
fn the_dearest_is_timed_in_windows_and_the_budget_used() {
    let plan = planned(&[500.0, 20_000.0, 100.0]);
    assert_eq!(plan.modes, [Mode::Full, Mode::Windows, Mode::Full]);
    assert!(plan.windows > LEAST_SHARE, "{plan:?}");
    assert!((plan.cost - FIVE_PERCENT).abs() < 1.0, "{plan:?}");
}

#[test]
fn then_probed_in_windows_and_then_not_at_all() {
    let plan = planned(&[100.0, 100_000.0]);
    assert_eq!(plan.modes, [Mode::Full, Mode::Duty]);
    assert!(plan.cost <= FIVE_PERCENT * 1.001, "{plan:?}");
    let plan = planned(&[100.0, 3_000_000.0]);
    assert_eq!(plan.modes, [Mode::Duty, Mode::Off]);
    assert!(plan.cost <= FIVE_PERCENT, "{plan:?}");
}

#[test]
fn windows_can_be_asked_for() {
    let plan = plan(
        demand(&loads(&[10.0, 20.0]), 0.0),
        StackCost::Walked,
        FIVE_PERCENT,
        Mode::Windows,
        0.1,
    );
    assert_eq!(plan.modes, [Mode::Windows, Mode::Windows]);
}

#[test]
fn steps_down_at_once_and_up_when_calm() {
    let mut budget = Budget::new(Some(0.05), Mode::Full, 0.1, 1);
    assert_eq!(evaluate(&mut budget, &[1_000.0], 1), None);
    let before = budget.current().clone();
    let down = evaluate(&mut budget, &[15_000.0], 1).unwrap();
    assert_eq!(down.modes, [Mode::Windows]);
    let names = ["process_order".to_owned()];
    let sentence = budget.sentence(&before, demand(&loads(&[15_000.0]), 0.0), &names);
    assert!(sentence.contains("process_order"), "{sentence}");
    assert!(sentence.contains("24"), "24 % of one CPU: {sentence}");
    for _ in 1..CALM {
        assert_eq!(evaluate(&mut budget, &[10.0], 1), None);
    }
    let up = evaluate(&mut budget, &[10.0], 1).unwrap();
    assert_eq!(up.modes, [Mode::Full]);
}

#[test]
fn each_process_has_its_share() {
    let mut budget = Budget::new(Some(0.05), Mode::Full, 0.1, 1);
    // Not for a little more than the budget.
    assert_eq!(evaluate(&mut budget, &[3_300.0], 1), None);
    assert_eq!(evaluate(&mut budget, &[9_000.0], 4), None);
    assert!(evaluate(&mut budget, &[9_000.0], 1).is_some());
}

#[test]
fn no_limit_changes_nothing() {
    let mut budget = Budget::new(None, Mode::Full, 0.1, 1);
    assert_eq!(budget.evaluate(demand(&loads(&[1e9]), 1e6), 1), None);
}

/// Probes on the scheduler that fire so often a second, 2 µs each.
fn parking(rate: f64) -> Load {
    Load {
        rate,
        price: Price {
            cost_ns: 2_000,
            ..Price::default()
        },
    }
}

fn with_parking(rates: &[f64], parks: f64, records: f64) -> Plan {
    let loads = loads(rates);
    within_five_percent(Demand {
        loads: &loads,
        parking: parking(parks),
        records,
    })
}

#[test]
fn parks_are_watched_with_the_functions() {
    // 1.6 and 2 %.
    let plan = with_parking(&[1_000.0], 10_000.0, 0.0);
    assert_eq!((plan.modes[0], plan.parking), (Mode::Full, Mode::Full));
    // 1.6 and 6 %: the dearer ones in windows.
    let plan = with_parking(&[1_000.0], 30_000.0, 0.0);
    assert_eq!((plan.modes[0], plan.parking), (Mode::Full, Mode::Windows));
    assert!(
        (plan.cost - FIVE_PERCENT).abs() < 1.0 || plan.windows >= 0.5,
        "{plan:?}"
    );
    // 16 and 2 %, of which 5 are allowed: both in the same.
    let plan = with_parking(&[10_000.0], 10_000.0, 0.0);
    assert_eq!(plan.modes, [Mode::Windows]);
    assert!(plan.cost <= FIVE_PERCENT * 1.001, "{plan:?}");
    // 200 %.
    let plan = with_parking(&[1_000.0], 1_000_000.0, 0.0);
    assert_eq!((plan.modes[0], plan.parking), (Mode::Full, Mode::Off));
}

#[test]
fn in_windows_few_records_keep_their_stacks() {
    let plan = with_parking(&[10_000.0], 10_000.0, 1_000.0);
    assert_eq!(
        (plan.modes[0], plan.records),
        (Mode::Windows, Records::Fewer)
    );
    assert!(plan.cost <= FIVE_PERCENT * 1.001, "{plan:?}");
    let plan = with_parking(&[10_000.0], 10_000.0, 100_000.0);
    assert_eq!(plan.records, Records::NoStacks);
}

#[test]
fn longer_windows_are_not_bought_with_waits() {
    let loads = loads(&[1_000.0]);
    let demand = |parks| Demand {
        loads: &loads,
        parking: parking(parks),
        records: 0.0,
    };
    let mut budget = Budget::new(Some(0.05), Mode::Full, 0.1, 1);
    // 70 %, a twentieth of which is within the budget; of a third more it is not.
    let plan = budget.evaluate(demand(350_000.0), 1).unwrap();
    assert_eq!(plan.parking, Mode::Windows);
    budget.adopt(plan.clone());
    for _ in 0..2 * CALM {
        assert_eq!(budget.evaluate(demand(350_000.0), 1), None);
    }
    assert_eq!(budget.current(), &plan);
}

#[test]
fn parks_have_their_sentence() {
    let (loads, names) = (loads(&[1_000.0]), ["process_order".to_owned()]);
    let parking = Load {
        rate: 30_000.0,
        price: PRICE,
    };
    let demand = Demand {
        loads: &loads,
        parking,
        records: 0.0,
    };
    let mut budget = Budget::new(Some(0.05), Mode::Full, 0.1, 1);
    for (mode, end) in [
        (
            Mode::Windows,
            "what goroutines wait for is recorded 20.0% of the time",
        ),
        (
            Mode::Off,
            "what goroutines wait for is not recorded any more, and shows as unattributed",
        ),
    ] {
        let before = budget.current().clone();
        budget.current = Plan {
            parking: mode,
            ..Plan::unlimited(1, Mode::Full, 0.2)
        };
        let text = budget.sentence(&before, demand, &names);
        let begin = "watching everything takes 49.6% of one CPU (--max-overhead 5.0%): ";
        assert_eq!(text, format!("{begin}{end}"));
        assert_ne!(budget.current().step(), "");
    }
}
