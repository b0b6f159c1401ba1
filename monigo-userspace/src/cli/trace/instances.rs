//! The bodies of one logical function: generic instances, clones, statics of one name.

use std::collections::HashMap;

use crate::{
    probe::PlannedFunction,
    store::Instance,
    symbols::{Function, Image, pattern::Group},
};

/// A group for each function of `group`, with a name that no other of them has.
pub fn apart<'i>(group: Group<'i>) -> Vec<Group<'i>> {
    if group.functions.len() < 2 {
        return vec![group];
    }
    let mut names: HashMap<&str, usize> = HashMap::new();
    for function in &group.functions {
        *names.entry(function.name()).or_default() += 1;
    }
    let alone = |function: &&'i Function| {
        let name = function.name();
        Group {
            name: match (names[name], function.entry()) {
                (2.., Some(entry)) => format!("{name} at {entry:#x}"),
                _ => name.to_owned(),
            },
            label: group.label,
            functions: vec![*function],
        }
    };
    group.functions.iter().map(alone).collect()
}

/// What is stored of the bodies of `planned`, in the order of their plans, if there are several; where
/// they are in the source is not known yet.
pub fn described(image: &Image, planned: &PlannedFunction) -> Vec<Instance> {
    if planned.plans.len() < 2 {
        return Vec::new();
    }
    let bodies = planned.plans.iter().filter_map(|plan| {
        let function = image.function_at(plan.entry.address)?;
        Some(Instance {
            name: function.name().to_owned(),
            linkage_name: function.linkage_name.to_string(),
            address: function.entry()?,
            file: None,
            line: None,
            sites: planned.sites_of(plan) as u32,
            cost_class: planned.cost_class_of(plan),
        })
    });
    bodies.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::symbols::{pattern, tests::samples};

    fn names(image: &Image, pattern: &str) -> Vec<Vec<String>> {
        let matches = pattern::find(image, pattern).unwrap();
        let groups = matches.groups.into_iter();
        groups
            .map(|group| apart(group).into_iter().map(|one| one.name).collect())
            .collect()
    }

    #[test]
    fn each_instance_has_a_name_of_its_own() {
        let image = Image::open(samples::cpp(&["-O2", "-g"])).unwrap();
        assert_eq!(
            names(&image, "twice"),
            [[
                "int app::twice<int>(int)",
                "double app::twice<double>(double)"
            ]]
        );
        // Legacy mangling tells instances by a hash, which is not shown.
        let image = Image::open(samples::rust(&["-O", "-g"])).unwrap();
        let [instances] = &names(&image, "generic")[..] else {
            panic!("one function");
        };
        assert!(instances.len() >= 2, "{instances:?}");
        let mut distinct = instances.clone();
        distinct.dedup();
        assert_eq!(&distinct, instances);
        for name in instances {
            let (function, address) = name.split_once(" at 0x").unwrap();
            assert_eq!(function, "sample::shop::generic");
            assert!(u64::from_str_radix(address, 16).is_ok(), "{name}");
        }
        assert_eq!(names(&image, "process_order"), [["sample::process_order"]]);
    }
}
