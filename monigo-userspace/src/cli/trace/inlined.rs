//! Functions of large images that the compiler also copied into their callers: found out while
//! tracing goes on.

use std::{sync::Arc, thread, time::Instant};

use crossbeam_channel::Sender;

use super::remarks::Remarks;
use crate::{
    collect::Command,
    symbols::{Image, pattern::Group},
};

/// Functions to look for.
#[derive(Debug, Default)]
pub struct InlinedLater {
    functions: Vec<Wanted>,
}

#[derive(Debug)]
struct Wanted {
    image: Arc<Image>,
    name: String,
    /// Under which DWARF may know it.
    names: Vec<String>,
}

impl InlinedLater {
    /// Adds a function of `image`.
    pub fn add(&mut self, image: &Arc<Image>, group: &Group<'_>) {
        let functions = group.functions.iter();
        let names = functions.flat_map(|function| {
            let plain = std::iter::once(function.name());
            function.linkage_names().chain(plain).map(str::to_owned)
        });
        self.functions.push(Wanted {
            image: Arc::clone(image),
            name: group.name.clone(),
            names: names.collect(),
        });
    }

    /// Looks for them on a thread of its own, and tells the collector.
    pub fn find(self, commands: Sender<Command>) {
        if self.functions.is_empty() {
            return;
        }
        let find = move || {
            let started = Instant::now();
            let mut remarks = Remarks::default();
            for wanted in &self.functions {
                let names = wanted.names.iter().map(String::as_str);
                let callers = wanted.image.names_inlined_into(names);
                if callers > 0 {
                    remarks.inlined(&wanted.name, callers);
                }
            }
            tracing::info!("looked for inlined functions in {:.2?}", started.elapsed());
            for sentence in remarks.sentences(self.functions.len(), "") {
                // Tracing may be over by now.
                let _ = commands.send(Command::Notice(sentence));
            }
            drop(self.functions);
            crate::system::give_back();
        };
        let thread = thread::Builder::new().name("inlined".to_owned());
        if let Err(error) = thread.spawn(find) {
            tracing::warn!("whether functions were inlined cannot be found out: {error}");
        }
    }
}
