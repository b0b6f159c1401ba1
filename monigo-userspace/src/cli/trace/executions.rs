//! Async functions: the rows that count their executions, beside those that count their polls.

use std::collections::HashMap;

use super::remarks::Remarks;
use crate::{
    plan::{FunctionPlan, SiteKind},
    store::ExitProbe,
    symbols::{
        Function, FunctionKind, Image, demangle,
        futures::{self, FutureLayout, NoLayout},
        pattern::{ASYNC_POLL, Group},
    },
};

/// A function that will be traced.
pub struct Chosen<'g, 'i> {
    /// Its instances.
    pub group: &'g Group<'i>,
    /// Their sites.
    pub plans: Vec<FunctionPlan>,
    /// How ends are seen.
    pub exit: ExitProbe,
}

/// What is known of a function's executions.
#[derive(Debug, Default)]
pub struct Executions {
    /// Where the futures of each plan have their state; empty if none is known.
    pub layouts: Vec<Option<FutureLayout>>,
    /// DWARF says that it is no poll function, whatever its name looks like.
    pub plain: bool,
}

/// Where futures of an image have their state, by the entry of their poll function. Each look goes through all of
/// the image's DWARF, so there is one for as many functions as possible.
pub struct Layouts<'i> {
    image: &'i Image,
    known: HashMap<u64, Result<FutureLayout, NoLayout>>,
}

impl<'i> Layouts<'i> {
    pub fn new(image: &'i Image) -> Self {
        Self {
            image,
            known: HashMap::new(),
        }
    }

    fn learn(&mut self, entries: impl Iterator<Item = u64>) {
        let unknown: Vec<u64> = entries
            .filter(|entry| !self.known.contains_key(entry))
            .collect();
        if !unknown.is_empty() {
            let found = futures::layouts(self.image, &unknown);
            self.known.extend(unknown.into_iter().zip(found));
        }
    }

    /// Of one that was learnt.
    fn get(&self, entry: u64) -> Result<FutureLayout, NoLayout> {
        let known = self.known.get(&entry).cloned();
        known.unwrap_or(Err(NoLayout::Unknown))
    }
}

/// Where the futures have their state that the poll functions among `chosen` poll; the answers are
/// in the same order.
pub fn of(
    layouts: &mut Layouts<'_>,
    chosen: &[Chosen<'_, '_>],
    remarks: &mut Remarks,
) -> Vec<Executions> {
    let image = layouts.image;
    let candidates = |chosen: &Chosen<'_, '_>| {
        let mut functions = chosen.group.functions.iter();
        functions.all(|function| is_closure(&function.linkage_name, function.name()))
    };
    let entry = |plan: &FunctionPlan| {
        let function = image.function_at(plan.entry.address);
        function.and_then(Function::entry).unwrap_or(0)
    };
    let asked = chosen.iter().filter(|chosen| candidates(chosen));
    layouts.learn(asked.flat_map(|chosen| chosen.plans.iter().map(entry)));
    let one = |chosen: &Chosen<'_, '_>| {
        if !candidates(chosen) {
            return Executions::default();
        }
        let plans = chosen.plans.iter();
        let layouts: Vec<_> = plans.map(|plan| layouts.get(entry(plan))).collect();
        judge(chosen, &layouts, remarks)
    };
    chosen.iter().map(one).collect()
}

fn is_closure(linkage_name: &str, name: &str) -> bool {
    demangle::is_rust(linkage_name) && parent(name).is_some()
}

/// The path of the function around a closure.
fn parent(name: &str) -> Option<&str> {
    let (parent, last) = name.rsplit_once("::")?;
    (last == "{{closure}}" || last.starts_with("{closure#")).then_some(parent)
}

/// Name of the row for executions.
pub fn name(group: &Group<'_>) -> String {
    format!("{} (async)", parent(&group.name).unwrap_or(&group.name))
}

/// The groups that were found, those that were asked for by name with the poll functions of an `async fn` in place of
/// the function itself, which does no more than to put its arguments into a future.
pub fn polled<'i>(layouts: &mut Layouts<'i>, found: Vec<(Group<'i>, bool)>) -> Vec<Group<'i>> {
    let image = layouts.image;
    let bodies: Vec<Vec<&Function>> = found
        .iter()
        .map(|(group, by_name)| match by_name {
            true => bodies(image, group),
            false => Vec::new(),
        })
        .collect();
    layouts.learn(bodies.iter().flatten().filter_map(|body| body.entry()));
    let groups = found.into_iter().map(|(group, _)| group).zip(bodies);
    groups
        .map(|(group, bodies)| body(layouts, &group, bodies).unwrap_or(group))
        .collect()
}

/// What may be the poll functions of a group, by name; none if it is not Rust.
fn bodies<'i>(image: &'i Image, group: &Group<'_>) -> Vec<&'i Function> {
    let mut functions = group.functions.iter();
    if !functions.any(|function| demangle::is_rust(&function.linkage_name)) {
        return Vec::new();
    }
    let names: Vec<&str> = group.functions.iter().map(|f| f.name()).collect();
    // Every mangling spells identifiers out, so most functions need not be demangled.
    let word = names
        .first()
        .map(|name| last_component(name.split("::<").next().unwrap_or(name)))
        .filter(|word| word.chars().all(|c| c.is_ascii_alphanumeric() || c == '_'))
        .unwrap_or("");
    // The older mangling also says that it is a closure, the newer one has a letter for it.
    let is_body = |function: &&Function| {
        let linkage = &function.linkage_name;
        function.kind == FunctionKind::Code
            && linkage.contains(word)
            && (linkage.contains("closure") || linkage.starts_with("_R"))
            && parent(function.name()).is_some_and(|parent| names.contains(&parent))
    };
    image.functions().iter().filter(is_body).collect()
}

/// `bodies` as a group, if they poll the futures of an `async fn`.
fn body<'i>(
    layouts: &Layouts<'_>,
    group: &Group<'_>,
    bodies: Vec<&'i Function>,
) -> Option<Group<'i>> {
    let first = bodies.first()?;
    let entries = bodies.iter().filter_map(|body| body.entry());
    let mut found = entries.map(|entry| layouts.get(entry));
    let all = found.all(|layout| match layout {
        Ok(layout) => layout.of_function,
        Err(NoLayout::NoAddress | NoLayout::UnknownState) => true,
        Err(_) => false,
    });
    all.then(|| Group {
        name: match &bodies[..] {
            [body] => body.name().to_owned(),
            _ => format!("{}::{}", group.name, last_component(first.name())),
        },
        label: Some(ASYNC_POLL),
        functions: bodies,
    })
}

fn last_component(name: &str) -> &str {
    name.rsplit_once("::").map_or(name, |(_, last)| last)
}

/// Why an instance's executions are not measured.
#[derive(Debug, thiserror::Error)]
enum Unmeasured {
    #[error(transparent)]
    Layout(#[from] NoLayout),
    #[error("it leaves by a jump to another function, where its state may not be final")]
    Jump,
}

fn judge(
    chosen: &Chosen<'_, '_>,
    layouts: &[Result<FutureLayout, NoLayout>],
    remarks: &mut Remarks,
) -> Executions {
    if layouts
        .iter()
        .all(|layout| *layout == Err(NoLayout::NoFuture))
    {
        return Executions {
            layouts: Vec::new(),
            plain: true,
        };
    }
    let measured: Vec<Result<FutureLayout, Unmeasured>> = chosen
        .plans
        .iter()
        .zip(layouts)
        .map(|(plan, layout)| {
            let layout = layout.clone()?;
            let by_return = chosen.exit == ExitProbe::Uretprobe || ends_by_return(plan);
            by_return.then_some(layout).ok_or(Unmeasured::Jump)
        })
        .collect();
    let name = &chosen.group.name;
    // Without DWARF any closure could be an async function; one that was asked for by its name is.
    let known = chosen.group.label == Some(ASYNC_POLL)
        || layouts.iter().any(|layout| {
            matches!(
                layout,
                Ok(_) | Err(NoLayout::UnknownState | NoLayout::NoAddress)
            )
        });
    // A function may have plain closures beside the async ones.
    let reason = measured
        .iter()
        .filter_map(|measured| measured.as_ref().err())
        .find(|reason| !matches!(reason, Unmeasured::Layout(NoLayout::NoFuture)));
    let some = measured.iter().any(Result::is_ok);
    if let Some(reason) = reason.filter(|_| known) {
        if some {
            remarks.partly_polls(name, reason);
        } else {
            remarks.only_polls(name, reason);
        }
    }
    Executions {
        layouts: if some {
            measured.into_iter().map(Result::ok).collect()
        } else {
            Vec::new()
        },
        plain: false,
    }
}

/// Whether the state is final wherever a call is seen to end.
fn ends_by_return(plan: &FunctionPlan) -> bool {
    plan.entry.kind == SiteKind::Entry
        && plan
            .exits
            .iter()
            .all(|site| matches!(site.kind, SiteKind::Return | SiteKind::Epilogue { .. }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn executions_are_named_after_the_function() {
        for (poll, function) in [
            ("app::fetch::{{closure}}", Some("app::fetch")),
            ("app::fetch::<u8>::{closure#0}", Some("app::fetch::<u8>")),
            ("app::fetch", None),
            ("fetch", None),
        ] {
            assert_eq!(parent(poll), function, "{poll}");
        }
    }
}
