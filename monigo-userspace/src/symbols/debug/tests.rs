use std::{
    fs,
    io::{BufRead as _, BufReader, Write as _},
    net::TcpListener,
    os::unix::fs::{PermissionsExt as _, symlink},
    process::Command,
    sync::atomic::{AtomicUsize, Ordering},
    thread,
    time::Duration,
};

use super::{remote::Limits, *};
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

/// Answers GET requests on loopback with what `answer` says for a path: status, then body.
fn serve(
    answer: impl Fn(&str) -> (&'static str, Vec<u8>) + Send + 'static,
) -> (String, Arc<AtomicUsize>) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let count = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&count);
    thread::spawn(move || {
        while let Ok((mut stream, _)) = listener.accept() {
            counted.fetch_add(1, Ordering::SeqCst);
            let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
            let first = lines.next().unwrap().unwrap();
            while lines
                .next()
                .is_some_and(|line| line.is_ok_and(|line| !line.is_empty()))
            {}
            let (status, body) = answer(first.split(' ').nth(1).unwrap());
            let head = format!(
                "HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
                body.len()
            );
            // The client may have enough before the end.
            let _ = stream.write_all(head.as_bytes());
            let _ = stream.write_all(&body);
        }
    });
    (url, count)
}

fn remote(servers: &[&str], cache: &Path, limits: Limits) -> Sources {
    Sources {
        folders: Vec::new(),
        remote: Some(Arc::new(
            Remote::new(servers, cache.to_owned(), limits).unwrap(),
        )),
        cache: None,
    }
}

#[test]
fn a_server_is_asked_once_and_the_answer_kept() {
    let stripped = Stripped::new(&["-O2", "-g"], false);
    let path = format!("/buildid/{}/debuginfo", stripped.build_id());
    let body = fs::read(&stripped.debug).unwrap();
    let (empty, asked_empty) = serve(|_| ("404 Not Found", Vec::new()));
    let (url, asked) = serve(move |asked| {
        assert_eq!(asked, path);
        ("200 OK", body.clone())
    });
    let cache = tempfile::tempdir().unwrap();
    let place = cache.path().join("debuginfod");
    let limits = Limits::default();
    for _ in 0..3 {
        let sources = remote(&[&empty, &format!("{url}/")], &place, limits);
        let found = stripped.search(&sources);
        assert!(found.file.is_some(), "{:?}", found.remarks);
    }
    assert_eq!(asked.load(Ordering::SeqCst), 1);
    assert_eq!(asked_empty.load(Ordering::SeqCst), 1);
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    let kept = place.join(format!("{}.debug", stripped.build_id()));
    assert_eq!((mode(&place), mode(&kept)), (0o700, 0o600));
    // What somebody else may have put there does not count.
    fs::set_permissions(&kept, fs::Permissions::from_mode(0o666)).unwrap();
    stripped.search(&remote(&[&url], &place, limits));
    assert_eq!(asked.load(Ordering::SeqCst), 2);
    fs::remove_file(&kept).unwrap();
    symlink(&stripped.debug, &kept).unwrap();
    stripped.search(&remote(&[&url], &place, limits));
    assert_eq!(asked.load(Ordering::SeqCst), 3);
}

#[test]
fn servers_that_fail_are_spoken_of() {
    let stripped = Stripped::new(&["-O2", "-g"], false);
    let cache = tempfile::tempdir().unwrap();
    let ask = |servers: &[&str], limits| {
        let sources = remote(servers, cache.path(), limits);
        let found = stripped.search(&sources);
        assert!(found.file.is_none());
        // Once is enough.
        assert!(stripped.search(&sources).remarks.is_empty());
        found.remarks.join("\n")
    };
    let limits = Limits::default();
    let (missing, _) = serve(|_| ("404 Not Found", Vec::new()));
    assert_eq!(ask(&[&missing], limits), "");
    let (broken, _) = serve(|_| ("500 Internal Server Error", Vec::new()));
    assert!(ask(&[&missing, &broken], limits).contains("500"));
    let (large, _) = serve(|_| ("200 OK", vec![0; 100_000]));
    let small = Limits {
        bytes: 10_000,
        ..limits
    };
    assert!(ask(&[&large], small).contains("larger than"));
    let closed = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let nobody = format!("http://{}", closed.local_addr().unwrap());
    let brief = Limits {
        connect: Duration::from_millis(200),
        total: Duration::from_millis(400),
        ..limits
    };
    // It accepts and says nothing.
    assert!(ask(&[&nobody], brief).contains("timeout"));
    let leftovers = fs::read_dir(cache.path()).unwrap().count();
    assert_eq!(leftovers, 0);
    assert!(Remote::new(&["ftp://example.com"], PathBuf::new(), limits).is_err());
}

#[test]
fn what_a_server_sends_is_checked() {
    let stripped = Stripped::new(&["-O2", "-g"], false);
    let cache = tempfile::tempdir().unwrap();
    let other = fs::read(samples::c(&["-O0", "-g"])).unwrap();
    let (url, _) = serve(move |_| ("200 OK", other.clone()));
    let found = stripped.search(&remote(&[&url], cache.path(), Limits::default()));
    assert!(found.file.is_none());
    assert!(
        found.remarks[0].contains("another build"),
        "{:?}",
        found.remarks
    );
}
