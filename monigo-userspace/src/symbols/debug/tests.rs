mod remote;

use std::{fs, process::Command};

use super::*;
use crate::symbols::{lines, tests::samples};

/// The C sample, stripped, in a folder of its own.
struct Stripped {
    folder: tempfile::TempDir,
    image: PathBuf,
    debug: PathBuf,
}

fn objcopy(arguments: &[&str]) {
    samples::output_of(Command::new("objcopy").args(arguments));
}

impl Stripped {
    /// `link` names the debug file in it.
    fn new(flags: &[&str], link: bool) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (image, debug) = (folder.path().join("app"), folder.path().join("app.dbg"));
        fs::copy(samples::c(flags), &image).unwrap();
        let (image_text, debug_text) = (image.to_str().unwrap(), debug.to_str().unwrap());
        objcopy(&["--only-keep-debug", image_text, debug_text]);
        objcopy(&["--strip-all", image_text]);
        if link {
            objcopy(&[&format!("--add-gnu-debuglink={debug_text}"), image_text]);
        }
        Self {
            folder,
            image,
            debug,
        }
    }

    fn search(&self, sources: &Sources) -> Found {
        search(&Image::open(&self.image).unwrap(), sources)
    }

    fn build_id(&self) -> String {
        let image = Image::open(&self.image).unwrap();
        image.build_id().unwrap().to_owned()
    }

    /// Moves the debug file to where its build id says.
    fn move_to(&self, folder: &Path) {
        let place = folder.join(places::by_build_id(&self.build_id()).unwrap());
        fs::create_dir_all(place.parent().unwrap()).unwrap();
        fs::rename(&self.debug, place).unwrap();
    }
}

fn folder(path: &Path) -> Sources {
    Sources {
        folders: vec![path.to_owned()],
        remote: None,
        cache: None,
    }
}

#[test]
fn by_link_and_by_build_id_with_and_without_compression() {
    for flags in [&["-O2", "-g"][..], &["-O2", "-g", "-gz"]] {
        let stripped = Stripped::new(flags, true);
        let image = Image::open(&stripped.image).unwrap();
        assert_eq!(image.debug_path(), Some(&*stripped.debug));
        assert!(image.has_symtab());
        let whole = Image::open(samples::c(flags)).unwrap();
        assert_eq!(image.functions(), whole.functions());
        let tiny = |image: &Image| image.inlined().callers("tiny");
        assert_eq!((tiny(&image), tiny(&whole)), (1, 1));
        let code = |image: &Image| lines::code_of(image, "sample.c", 6).places;
        assert!(!code(&image).is_empty());
        assert_eq!(code(&image), code(&whole));

        let stripped = Stripped::new(flags, false);
        let elsewhere = tempfile::tempdir().unwrap();
        stripped.move_to(elsewhere.path());
        assert!(stripped.search(&Sources::default()).file.is_none());
        assert!(stripped.search(&folder(elsewhere.path())).file.is_some());
    }
}

#[test]
fn other_builds_are_refused_with_a_sentence() {
    let stripped = Stripped::new(&["-O2", "-g"], true);
    let other = samples::c(&["-O0", "-g"]);
    objcopy(&[
        "--only-keep-debug",
        other.to_str().unwrap(),
        stripped.debug.to_str().unwrap(),
    ]);
    let found = stripped.search(&Sources::default());
    assert!(found.file.is_none());
    let [sentence] = &*found.remarks else {
        panic!("{:?}", found.remarks)
    };
    assert!(sentence.contains("another build (build id "), "{sentence}");
    let image = Image::open(&stripped.image).unwrap();
    assert!(
        image
            .functions()
            .iter()
            .all(|function| function.name() != "plain")
    );
    assert_eq!(image.debug_remarks().len(), 1);
}

#[test]
fn without_build_ids_the_checksum_decides() {
    let flags = &["-O2", "-g", "-Wl,--build-id=none"];
    let stripped = Stripped::new(flags, true);
    assert!(stripped.search(&Sources::default()).file.is_some());
    let mut bytes = fs::read(&stripped.debug).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(&stripped.debug, bytes).unwrap();
    let found = stripped.search(&Sources::default());
    assert!(found.file.is_none());
    assert!(found.remarks[0].contains("checksum"), "{:?}", found.remarks);
}

#[test]
fn what_is_no_file_is_not_opened() {
    let stripped = Stripped::new(&["-O2", "-g"], true);
    fs::remove_file(&stripped.debug).unwrap();
    nix::unistd::mkfifo(&stripped.debug, nix::sys::stat::Mode::S_IRUSR).unwrap();
    // Opening it would wait for ever.
    let found = stripped.search(&Sources::default());
    assert!(
        found.remarks[0].contains("not a regular file"),
        "{:?}",
        found.remarks
    );
    fs::remove_file(&stripped.debug).unwrap();
    fs::create_dir(&stripped.debug).unwrap();
    assert!(stripped.search(&Sources::default()).file.is_none());
    fs::remove_dir(&stripped.debug).unwrap();
    for text in ["", "text", "\x7fELF"] {
        fs::write(&stripped.debug, text).unwrap();
        let found = stripped.search(&Sources::default());
        assert_eq!(found.remarks.len(), 1, "{text:?}: {found:?}");
    }
}

/// dwz moves what two debug files share to a third.
#[test]
fn a_supplement_is_read_where_dwz_is_installed() {
    if Command::new("dwz").arg("--version").output().is_err() {
        return;
    }
    let stripped = Stripped::new(&["-O2", "-g"], true);
    let second = Stripped::new(&["-O1", "-g"], true);
    let common = stripped.folder.path().join("common.dbg");
    let dwz = Command::new("dwz")
        .args(["-L", "none", "-m"])
        .arg(&common)
        .args([&stripped.debug, &second.debug])
        .output()
        .unwrap();
    // It refuses where there is too little to share.
    if !dwz.status.success() || !common.exists() {
        return;
    }
    let found = stripped.search(&folder(stripped.folder.path()));
    assert!(found.file.unwrap().supplement().is_some());
}
