use std::{
    io::{BufRead as _, BufReader},
    path::Path,
    process::{Child, Command, Stdio},
};

use super::*;
use crate::symbols::tests::samples;

/// The C sample, waiting for input, and the address of `plain` in it.
struct Running {
    child: Child,
    plain: u64,
}

impl Running {
    fn start(path: &Path) -> Self {
        let mut child = Command::new(path)
            .arg("wait")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut line = String::new();
        let stdout = child.stdout.take().unwrap();
        BufReader::new(stdout).read_line(&mut line).unwrap();
        let plain = u64::from_str_radix(line.trim().trim_start_matches("0x"), 16).unwrap();
        Self { child, plain }
    }

    fn end(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.end();
    }
}

#[test]
fn frames_of_a_process_that_lives_and_after_it_died() {
    for flags in [&["-O2", "-g"][..], &["-O2", "-g", "-no-pie"], &["-O2"]] {
        let path = samples::c(flags);
        let mut running = Running::start(&path);
        let pid = running.child.id();
        let mut symbolizer = Symbolizer::new();
        symbolizer.remember(pid);
        let stack = symbolizer.stack(pid, &[running.plain, running.plain + 1, 0x10, 5]);
        // 0x10 is no code, so the walk went wrong there.
        assert!(stack.truncated);
        assert!(
            stack
                .frames
                .iter()
                .all(|frame| frame.function == "plain" || frame.inlined)
        );
        let outer = stack.frames.last().unwrap();
        assert_eq!(outer.image, path.display().to_string());
        if flags.contains(&"-g") {
            assert!(
                outer.file.as_deref().unwrap().ends_with("sample.c"),
                "{outer:?}"
            );
            assert!(outer.line.is_some());
        }
        running.end();
        let again = symbolizer.frames(pid, running.plain + 2, false).unwrap();
        assert_eq!(&*again.last().unwrap().function, "plain");
        assert_eq!(symbolizer.frames(pid, 0x10, false), None);
    }
}

#[test]
fn deleted_programs_resolve() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("deleted");
    std::fs::copy(samples::c(&["-O2", "-g"]), &path).unwrap();
    let mut running = Running::start(&path);
    std::fs::remove_file(&path).unwrap();
    let mut symbolizer = Symbolizer::new();
    let pid = running.child.id();
    symbolizer.remember(pid);
    running.end();
    let frames = symbolizer.frames(pid, running.plain, false).unwrap();
    assert_eq!(&*frames.last().unwrap().function, "plain");
    assert_eq!(*frames.last().unwrap().image, path.display().to_string());
}

#[test]
fn process_that_ended_unseen_falls_back_to_the_target() {
    let path = samples::c(&["-O2", "-g", "-no-pie"]);
    let mut running = Running::start(&path);
    running.end();
    let mut symbolizer = Symbolizer::new();
    let pid = running.child.id();
    assert_eq!(symbolizer.frames(pid, running.plain, false), None);
    symbolizer.add_image(Arc::new(Image::open(&path).unwrap()));
    let frames = symbolizer.frames(pid, running.plain, false).unwrap();
    assert_eq!(&*frames.last().unwrap().function, "plain");
}

#[test]
fn symbolizers_beside_each_other_read_an_image_once() {
    let path = samples::c(&["-O2", "-g"]);
    let running = Running::start(&path);
    let pid = running.child.id();
    let mut one = Symbolizer::new();
    let mut other = one.beside();
    let shelf = Arc::clone(&one.shelf);
    let frames = std::thread::scope(|scope| {
        [&mut one, &mut other]
            .map(|symbolizer| scope.spawn(|| symbolizer.frames(pid, running.plain, false)))
            .map(|asked| asked.join().unwrap().unwrap())
    });
    assert_eq!(frames[0], frames[1]);
    assert!(frames[0].last().unwrap().line.is_some());
    let id = ImageId::of(&path).unwrap();
    let image = shelf.image(id, Path::new("/nowhere"), "").unwrap();
    let lines = shelf.lines(&image);
    // Those of the two and of this test.
    assert_eq!(Arc::strong_count(&lines), 3);
    drop((one, other, image, lines));
    assert!(shelf.image(id, Path::new("/nowhere"), "").is_none());
}

/// Function, file and line of every frame, innermost first, by binutils.
fn addr2line(path: &Path, vaddr: u64) -> Vec<(String, String)> {
    let mut command = Command::new("addr2line");
    command.args(["-i", "-f", "-C", "-e"]).arg(path);
    let text = samples::output_of(command.arg(format!("{vaddr:#x}")));
    let lines: Vec<&str> = text.lines().collect();
    lines
        .chunks(2)
        .map(|pair| {
            let place = pair[1].split(" (disc").next().unwrap_or_default();
            (pair[0].to_owned(), place.to_owned())
        })
        .collect()
}

#[test]
fn inline_frames_are_those_of_addr2line() {
    let path = samples::cpp(&["-O2", "-g"]);
    let image = Arc::new(Image::open(&path).unwrap());
    let mut symbolizer = Symbolizer::new();
    symbolizer.add_image(image.clone());
    let (mut compared, mut inlined) = (0, 0);
    for function in image.functions() {
        if !function.name().contains("app::") && function.name() != "main" {
            continue;
        }
        for vaddr in function.ranges[0].clone().step_by(3) {
            let truth = addr2line(&path, vaddr);
            if truth
                .iter()
                .any(|(_, place)| place.starts_with('?') || place.ends_with('?'))
            {
                continue;
            }
            let frames = symbolizer.at(0, vaddr, false);
            let places: Vec<String> = frames
                .iter()
                .map(|frame| {
                    let file = frame.file.as_deref().unwrap_or("?");
                    format!("{file}:{}", frame.line.unwrap_or(0))
                })
                .collect();
            let expected: Vec<String> = truth.iter().map(|(_, place)| place.clone()).collect();
            assert_eq!(places, expected, "{vaddr:#x} {frames:?}");
            compared += 1;
            inlined += usize::from(frames.len() > 1);
        }
    }
    assert!(compared > 20 && inlined > 0, "{compared}, {inlined}");
}

#[test]
fn go_frames_come_from_its_own_tables() {
    for toolchain in samples::go_toolchains() {
        let path = samples::go(&toolchain, &["-ldflags=-s -w"]);
        let image = Arc::new(Image::open(&path).unwrap());
        let mut symbolizer = Symbolizer::new();
        symbolizer.add_image(image.clone());
        let handle = pattern_entry(&image, "Server.Handle");
        let frames = symbolizer.at(0, handle, false);
        let outer = frames.last().unwrap();
        assert_eq!(&*outer.function, "main.(*Server).Handle");
        assert!(outer.file.as_deref().unwrap().ends_with("main.go"));
        let function = image.function_at(handle).unwrap();
        let (file, line) = symbolizer.source_of(&image, function).unwrap();
        assert!(file.ends_with("main.go"));
        let truth = samples::GO
            .lines()
            .position(|line| line.contains("Handle(x int)"));
        assert_eq!(line, truth.map(|at| at as u32 + 1));
    }
}

fn pattern_entry(image: &Image, pattern: &str) -> u64 {
    let matches = crate::symbols::pattern::find(image, pattern).unwrap();
    matches.groups[0].functions[0].entry().unwrap()
}

#[test]
fn own_stack_and_vdso() {
    let mut symbolizer = Symbolizer::new();
    let own = std::process::id();
    let here = own_stack_and_vdso as *const () as u64;
    let frames = symbolizer.frames(own, here + 4, false).unwrap();
    assert!(
        frames
            .last()
            .unwrap()
            .function
            .ends_with("own_stack_and_vdso"),
        "{frames:?}"
    );
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
    let vdso = maps.lines().find(|line| line.ends_with("[vdso]")).unwrap();
    let start = u64::from_str_radix(vdso.split('-').next().unwrap(), 16).unwrap();
    assert_eq!(
        &*symbolizer.frames(own, start + 1, false).unwrap()[0].image,
        "[vdso]"
    );
}

#[test]
fn kernel_frames() {
    let mut symbolizer = Symbolizer::new();
    let frames = [symbolizer.kernel(0xffff_ffff_8100_0000)];
    assert_eq!(frames.len(), 1);
    assert!(frames[0].kernel);
    assert_eq!(frames[0].image, KERNEL);
}

#[test]
fn caches_stay_bounded() {
    let mut cache: Cache<u64> = Cache::new();
    let frames: Frames = [unknown(&"x".into(), 1)].into();
    for key in 0..3 * MOST_CACHED as u64 {
        cache.insert(key, frames.clone());
    }
    assert!(cache.young.len() + cache.old.len() <= 2 * MOST_CACHED);
    assert!(cache.get(3 * MOST_CACHED as u64 - 1).is_some());
    assert!(cache.get(0).is_none());
}
