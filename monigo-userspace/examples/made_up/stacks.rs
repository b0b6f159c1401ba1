//! Made-up stacks, and flame graphs of them.

use monigo::query::{FlameNode, Frame, StackRow};

use super::recording::Shape;

/// Stacks of each function.
const VARIANTS: u64 = 4;

/// Id of one of a function's stacks, which `chance` in `[0, 1)` chooses.
pub fn id(function: usize, chance: f64) -> u64 {
    // The last one is rarer than the others.
    1 + function as u64 * VARIANTS + (chance * (VARIANTS as f64 - 0.6)) as u64
}

/// Whether the walk of this stack ended early.
pub fn is_truncated(id: u64) -> bool {
    id.is_multiple_of(9)
}

/// Innermost first; none where the id is unknown.
pub fn frames(shapes: &[Shape], id: u64) -> Vec<Frame> {
    let Some(index) = id.checked_sub(1) else {
        return Vec::new();
    };
    let (function, variant) = ((index / VARIANTS) as usize, index % VARIANTS);
    let Some(shape) = shapes.get(function) else {
        return Vec::new();
    };
    let mut frames = match variant {
        1 => vec![
            frame("runtime.futex", None),
            frame("sync.(*Mutex).lockSlow", Some(("sync/mutex.go", 171))),
            inlined(frame("sync.(*Mutex).Lock", Some(("sync/mutex.go", 90)))),
        ],
        2 => vec![Frame {
            image: "[kernel]".to_owned(),
            kernel: true,
            ..frame("do_syscall_64", None)
        }],
        _ => Vec::new(),
    };
    frames.push(frame(&shape.name, Some((&shape.file, shape.line + 9))));
    let entry = if variant == VARIANTS - 1 {
        "main.(*Worker).drain"
    } else {
        // Everything else happens on behalf of the first function.
        if function != 0 {
            let first = &shapes[0];
            let line = first.line + 13 + variant as u32;
            frames.push(frame(&first.name, Some((&first.file, line))));
        }
        "main.(*Worker).run"
    };
    frames.extend([
        frame(entry, Some(("order/worker.go", 27))),
        inlined(frame("main.main.gowrap1", Some(("order/main.go", 33)))),
        frame("runtime.goexit", Some(("runtime/asm_amd64.s", 1700))),
    ]);
    frames
}

fn frame(function: &str, place: Option<(&str, u32)>) -> Frame {
    Frame {
        function: function.to_owned(),
        image: "/srv/orders/orderd".to_owned(),
        address: 0x004b_1000 + function.len() as u64 * 64,
        file: place.map(|(file, _)| file.to_owned()),
        line: place.map(|(_, line)| line),
        inlined: false,
        kernel: false,
    }
}

fn inlined(frame: Frame) -> Frame {
    Frame {
        inlined: true,
        ..frame
    }
}

/// Merges stacks from the outermost frame inwards.
pub fn flame(stacks: &[StackRow]) -> FlameNode {
    let mut root = FlameNode {
        name: "all".to_owned(),
        ..FlameNode::default()
    };
    for row in stacks {
        root.value += row.weight;
        let mut node = &mut root;
        for frame in row.frames.iter().rev() {
            node = child(node, frame);
            node.value += row.weight;
        }
    }
    root
}

/// The child of `node` for this frame, new if there is none yet.
fn child<'a>(node: &'a mut FlameNode, frame: &Frame) -> &'a mut FlameNode {
    let found = node
        .children
        .iter()
        .position(|child| child.name == frame.function);
    let index = found.unwrap_or_else(|| {
        let place = match (&frame.file, frame.line) {
            (Some(file), Some(line)) => format!(" {file}:{line}"),
            _ => String::new(),
        };
        node.children.push(FlameNode {
            name: frame.function.clone(),
            detail: format!("{}{place}", frame.image),
            ..FlameNode::default()
        });
        node.children.len() - 1
    });
    &mut node.children[index]
}
