//! What a suspended future waits at: for each of its states the line of its `.await`, and what is awaited
//! there, from DWARF.
//!
//! A future that another one awaits lies inside it, so one read follows the next without a pointer.

use std::{collections::HashMap, sync::Arc};

use gimli::UnitOffset;

use super::{
    super::{dwarf::text, lines},
    At, Finder,
};

/// States below are those of futures that are not suspended.
const FIRST_SUSPENDED: u32 = 3;
/// Futures inside each other that are followed.
const DEPTH: usize = 32;
/// Longest name of what is awaited, characters.
const LONGEST_NAME: usize = 160;

/// Where a future has its state, and what that says while it is suspended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Suspensions {
    /// Bytes that the future takes.
    pub size: u32,
    /// Where in the future its state is, bytes.
    pub state_offset: u32,
    /// Size of the state: 1, 2 or 4 bytes.
    pub state_bytes: u32,
    /// The places to wait at, by state from 3 on.
    points: Vec<AwaitPoint>,
}

/// An `.await`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct AwaitPoint {
    file: Option<String>,
    line: Option<u32>,
    awaited: Option<Awaited>,
}

/// What is awaited.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Awaited {
    /// As a frame is called.
    name: String,
    /// Where in the future that awaits it, bytes.
    offset: u32,
    /// If it is an async function or block.
    inner: Option<Arc<Suspensions>>,
}

/// A future among those that are suspended inside each other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Suspended {
    /// Where in the outermost one it lies, bytes.
    pub offset: u64,
    /// What it is; `None` for the outermost one, which its owner knows.
    pub name: Option<String>,
    /// Source file of the `.await`; `None` if this one is no async function.
    pub file: Option<String>,
    /// Its line.
    pub line: Option<u32>,
}

impl Suspensions {
    /// The futures that wait for each other, outermost first. `state` reads the state at an offset from
    /// the outermost future. `None` if that is not suspended.
    pub fn chain(&self, mut state: impl FnMut(u64, u32) -> Option<u32>) -> Option<Vec<Suspended>> {
        let mut chain: Vec<Suspended> = Vec::new();
        let (mut layout, mut base, mut name) = (self, 0_u64, None);
        while chain.len() < DEPTH {
            let at = base + u64::from(layout.state_offset);
            let state = state(at, layout.state_bytes);
            let point = state.and_then(|state| {
                layout
                    .points
                    .get(state.checked_sub(FIRST_SUSPENDED)? as usize)
            });
            let Some(point) = point else {
                // The innermost one may not have been polled yet, or be done already.
                let inner = name.map(|name| Suspended {
                    offset: base,
                    name: Some(name),
                    file: None,
                    line: None,
                });
                chain.extend(inner);
                break;
            };
            chain.push(Suspended {
                offset: base,
                name: name.take(),
                file: point.file.clone(),
                line: point.line,
            });
            let Some(awaited) = &point.awaited else { break };
            base += u64::from(awaited.offset);
            let Some(inner) = &awaited.inner else {
                chain.push(Suspended {
                    offset: base,
                    name: Some(awaited.name.clone()),
                    file: None,
                    line: None,
                });
                break;
            };
            layout = inner;
            name = Some(awaited.name.clone());
        }
        chain.first()?.line?;
        Some(chain)
    }
}

/// What was found out about types, and where namespaces are.
#[derive(Default)]
pub(super) struct Known {
    suspensions: HashMap<At, Option<Arc<Suspensions>>>,
    namespaces: HashMap<usize, Vec<Namespace>>,
    /// Entries looked at as children of others.
    pub visited: usize,
}

struct Namespace {
    from: UnitOffset,
    /// Behind its last entry; `None` where the unit ends.
    to: Option<UnitOffset>,
    name: String,
}

impl Finder<'_, '_> {
    /// The places at which a future can be suspended.
    pub(super) fn suspensions(&mut self, future: At, depth: usize) -> Option<Arc<Suspensions>> {
        if let Some(known) = self.known.suspensions.get(&future) {
            return known.clone();
        }
        if depth > DEPTH {
            return None;
        }
        // No future holds itself; damaged DWARF may say so.
        self.known.suspensions.insert(future, None);
        let found = self.read_suspensions(future, depth).map(Arc::new);
        self.known.suspensions.insert(future, found.clone());
        found
    }

    fn read_suspensions(&mut self, future: At, depth: usize) -> Option<Suspensions> {
        let (state_offset, state_bytes, _) = self.state(future)?;
        let size = self.entry(future)?.attr_value(gimli::DW_AT_byte_size)?;
        let variants = self.child(future, gimli::DW_TAG_variant_part)?;
        let mut points = Vec::new();
        for variant in self.children(variants, gimli::DW_TAG_variant)? {
            points.push(self.point(variant, depth).unwrap_or_default());
        }
        points.drain(..points.len().min(FIRST_SUSPENDED as usize));
        Some(Suspensions {
            size: u32::try_from(size.udata_value()?).ok()?,
            state_offset,
            state_bytes,
            points,
        })
    }

    fn point(&mut self, variant: At, depth: usize) -> Option<AwaitPoint> {
        let member = self.child(variant, gimli::DW_TAG_member)?;
        let entry = self.entry(member)?;
        let number = |name| entry.attr_value(name)?.udata_value();
        let line = number(gimli::DW_AT_decl_line).and_then(|line| u32::try_from(line).ok());
        let file = match entry.attr_value(gimli::DW_AT_decl_file) {
            Some(gimli::AttributeValue::FileIndex(file)) => Some(file),
            Some(value) => value.udata_value(),
            None => None,
        };
        let dwarf = self.dwarf;
        let unit = self.unit(member.0)?;
        let file = file.and_then(|file| lines::path_of(dwarf, unit, file));
        let held = self.type_of(member)?;
        let awaited = self.awaited(held, depth);
        Some(AwaitPoint {
            file,
            line,
            awaited,
        })
    }

    fn awaited(&mut self, held: At, depth: usize) -> Option<Awaited> {
        let mut members = self.children(held, gimli::DW_TAG_member)?.into_iter();
        let member = members.find(|&member| self.name(member).as_deref() == Some("__awaitee"))?;
        let offset = self.entry(member)?;
        let offset = offset.attr_value(gimli::DW_AT_data_member_location)?;
        let offset = u32::try_from(offset.udata_value()?).ok()?;
        let of_type = self.type_of(member)?;
        let name = self.name(of_type)?;
        let is_async = name.starts_with("{async_");
        Some(Awaited {
            name: called(&self.namespaces_of(of_type), &name),
            offset,
            inner: is_async
                .then(|| self.suspensions(of_type, depth + 1))
                .flatten(),
        })
    }

    /// Names of the namespaces that an entry is in, outermost first.
    fn namespaces_of(&mut self, at: At) -> Vec<String> {
        if !self.known.namespaces.contains_key(&at.0) {
            let found = self.read_namespaces(at.0).unwrap_or_default();
            self.known.namespaces.insert(at.0, found);
        }
        let all = self.known.namespaces[&at.0].iter();
        all.filter(|one| one.from <= at.1 && one.to.is_none_or(|to| at.1 < to))
            .map(|one| one.name.clone())
            .collect()
    }

    fn read_namespaces(&mut self, index: usize) -> Option<Vec<Namespace>> {
        let dwarf = self.dwarf;
        let unit = self.unit(index)?;
        let mut entries = unit.entries();
        let mut found: Vec<Namespace> = Vec::new();
        let mut open: Vec<(isize, usize)> = Vec::new();
        while let Some(entry) = entries.next_dfs().ok()? {
            while let Some(&(depth, at)) = open.last()
                && depth >= entry.depth()
            {
                found[at].to = Some(entry.offset());
                open.pop();
            }
            if entry.tag() == gimli::DW_TAG_namespace {
                let name = entry.attr_value(gimli::DW_AT_name)?;
                open.push((entry.depth(), found.len()));
                found.push(Namespace {
                    from: entry.offset(),
                    to: None,
                    name: text(dwarf, unit, name)?,
                });
            }
        }
        Some(found)
    }
}

/// What is awaited, in a short name without what types it is made of.
fn called(namespaces: &[String], whole: &str) -> String {
    let name = whole.split('<').next().unwrap_or(whole);
    // Numbers of `impl` blocks and closures tell nobody anything.
    let path = namespaces.iter().filter(|part| !part.starts_with('{'));
    let path = path.map(String::as_str).collect::<Vec<_>>().join("::");
    let full = if name.starts_with("{async_fn_env#") {
        format!("{path} (async)")
    } else if name.starts_with("{async_") {
        format!("{path} (async block)")
    } else if name == "Pin" && whole.contains("dyn ") {
        "dyn Future (what it awaits is not followed)".to_owned()
    } else if path == "core::future::poll_fn" {
        "poll_fn, as of select! (what it awaits is not followed)".to_owned()
    } else if path.is_empty() {
        name.to_owned()
    } else {
        format!("{path}::{name}")
    };
    full.chars().take(LONGEST_NAME).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn point(line: u32, awaited: Option<Awaited>) -> AwaitPoint {
        AwaitPoint {
            file: Some("a.rs".to_owned()),
            line: Some(line),
            awaited,
        }
    }

    fn layout(state_offset: u32, points: Vec<AwaitPoint>) -> Suspensions {
        Suspensions {
            size: 64,
            state_offset,
            state_bytes: 1,
            points,
        }
    }

    fn nested() -> Suspensions {
        let leaf = Awaited {
            name: "Sleep".to_owned(),
            offset: 8,
            inner: None,
        };
        let inner = Awaited {
            name: "inner (async)".to_owned(),
            offset: 16,
            inner: Some(Arc::new(layout(4, vec![point(7, Some(leaf))]))),
        };
        layout(40, vec![point(1, None), point(2, Some(inner))])
    }

    fn chain(states: &[(u64, u32)]) -> Option<Vec<(Option<String>, Option<u32>)>> {
        let read = |at, bytes| {
            assert_eq!(bytes, 1);
            let mut states = states.iter();
            states.find(|(place, _)| *place == at).map(|state| state.1)
        };
        let chain = nested().chain(read)?;
        Some(chain.into_iter().map(|one| (one.name, one.line)).collect())
    }

    #[test]
    fn futures_inside_each_other_are_followed() {
        let name = |name: &str| Some(name.to_owned());
        assert_eq!(chain(&[(40, 3)]), Some(vec![(None, Some(1))]));
        // The state of the inner one is at 16 + 4.
        let expected = vec![
            (None, Some(2)),
            (name("inner (async)"), Some(7)),
            (name("Sleep"), None),
        ];
        assert_eq!(chain(&[(40, 4), (20, 3)]), Some(expected));
        let unpolled = vec![(None, Some(2)), (name("inner (async)"), None)];
        assert_eq!(chain(&[(40, 4), (20, 0)]), Some(unpolled.clone()));
        assert_eq!(chain(&[(40, 4)]), Some(unpolled));
    }

    #[test]
    fn what_is_not_suspended_waits_at_nothing() {
        for state in [0, 1, 2, 5, 255] {
            assert_eq!(chain(&[(40, state)]), None, "{state}");
        }
        assert_eq!(chain(&[]), None);
    }

    #[test]
    fn names_are_short() {
        let path = ["tokio", "sync", "mutex", "{impl#5}", "lock"].map(str::to_owned);
        assert_eq!(
            called(&path, "{async_fn_env#0}<u64>"),
            "tokio::sync::mutex::lock (async)"
        );
        assert_eq!(
            called(
                &["tokio", "{async_fn#0}"].map(str::to_owned),
                "{async_block_env#1}"
            ),
            "tokio (async block)"
        );
        assert_eq!(
            called(&path[..2], "Receiver<tokio::sync::oneshot::Sender<()>>"),
            "tokio::sync::Receiver"
        );
        assert_eq!(called(&[], "u8"), "u8");
    }

    #[test]
    fn what_is_not_followed_says_so() {
        let pin = ["core", "pin"].map(str::to_owned);
        let boxed = "Pin<alloc::boxed::Box<dyn core::future::future::Future<Output=u32>, alloc::alloc::Global>>";
        assert_eq!(
            called(&pin, boxed),
            "dyn Future (what it awaits is not followed)"
        );
        assert_eq!(called(&pin, "Pin<&mut target::Timer>"), "core::pin::Pin");
        let select = ["core", "future", "poll_fn"].map(str::to_owned);
        assert_eq!(
            called(
                &select,
                "PollFn<target::work::{async_fn#0}::{closure_env#0}>"
            ),
            "poll_fn, as of select! (what it awaits is not followed)"
        );
    }
}
