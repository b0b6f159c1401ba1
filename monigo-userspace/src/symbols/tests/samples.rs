//! Small programs, compiled once per test process.

use std::{
    collections::HashMap,
    env, fs,
    path::{Path, PathBuf},
    process::Command,
    sync::{LazyLock, Mutex},
};

use tempfile::TempDir;

static DIRECTORY: LazyLock<TempDir> = LazyLock::new(|| tempfile::tempdir().unwrap());
static BUILT: LazyLock<Mutex<HashMap<String, PathBuf>>> = LazyLock::new(Mutex::default);

pub(crate) const C: &str = r#"
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
static inline int tiny(int x) { return x * x + 1; }
__attribute__((noinline)) int plain(int x) { return tiny(x) ^ 5; }
__attribute__((noinline, cold)) static void complain(int x) { fprintf(stderr, "bad %d\n", x); }
__attribute__((noinline)) int with_cold(int *x, int n) {
    for (int i = 0; i < n; i++) {
        if (__builtin_expect(x[i] > 1000, 0)) { complain(x[i]); x[i] = 0; fputs("reset\n", stderr); }
        x[i] += plain(i);
    }
    return x[0];
}
static int fast(int x) { return x + 1; }
static int slow(int x) { return x + 2; }
static int (*pick(void))(int) { return getpid() > 1 ? fast : slow; }
int chosen(int x) __attribute__((ifunc("pick")));
int main(int argc, char **argv) {
    int x[4] = {argc, 2, 3, 4};
    printf("%p\n", (void *)plain);
    fflush(stdout);
    if (argc > 1) getchar();
    return with_cold(x, 4) + chosen(argc) == 0 && malloc(1) == 0;
}
"#;

pub(crate) const CPP: &str = r#"
#include <cstdio>
#include <stdexcept>
namespace app {
struct Order { int id; };
template <typename T> __attribute__((noinline, noclone)) T twice(T x) { return x + x; }
__attribute__((noinline, noclone)) int process(int x) { return x * 3; }
__attribute__((noinline, noclone)) int process(double x) { return int(x) * 3; }
static inline int tiny(int x) { return x * x + 1; }
class Shop {
    int n = 1;
public:
    __attribute__((noinline)) int handle(const Order &o) const;
    __attribute__((noinline)) Shop &operator<<(int k);
};
int Shop::handle(const Order &o) const {
    if (o.id > 100) throw std::runtime_error("big");
    return n + tiny(o.id);
}
Shop &Shop::operator<<(int k) { n += k; return *this; }
}
int main(int argc, char **) {
    app::Shop s;
    s << argc;
    try { printf("%d\n", s.handle(app::Order{argc})); } catch (std::exception &e) { puts(e.what()); }
    printf("%d %f %d %d\n", app::twice(argc), app::twice(1.5 * argc), app::process(argc), app::process(2.0 * argc));
}
"#;

pub(crate) const RUST: &str = r#"
use std::{future::Future, pin::pin, task::{Context, Poll, Waker}};
mod shop {
    pub trait Price { fn price(&self, n: u32) -> u32; }
    pub struct Apple(pub u32);
    impl Price for Apple { #[inline(never)] fn price(&self, n: u32) -> u32 { self.0 * n } }
    pub struct Cart(pub Vec<u32>);
    impl Drop for Cart { #[inline(never)] fn drop(&mut self) { println!("{}", self.0.len()); } }
    #[inline(never)] pub fn generic<T: std::fmt::Debug>(x: T) -> usize { format!("{x:?}").len() }
    #[inline(always)] pub fn tiny(x: u32) -> u32 { x.wrapping_mul(x) ^ 7 }
    pub async fn fetch(x: u32) -> u32 { std::future::ready(()).await; generic(x) as u32 }
}
#[inline(never)] fn process_order(n: u32) -> u32 { shop::tiny(n) + shop::tiny(n + 1) }
#[inline(never)] fn poll(f: &mut dyn FnMut() -> Poll<u32>) -> u32 {
    loop { if let Poll::Ready(v) = f() { return v; } }
}
fn main() {
    use shop::Price as _;
    let n = std::env::args().count() as u32;
    let mut future: std::pin::Pin<Box<dyn Future<Output = u32>>> = Box::pin(shop::fetch(n));
    let mut cx = Context::from_waker(Waker::noop());
    let v = poll(&mut || pin!(&mut future).poll(&mut cx));
    let cart = std::hint::black_box(shop::Cart(vec![n]));
    println!("{} {} {} {} {v}", shop::Apple(n).price(3), shop::generic(n), shop::generic("x"), process_order(n));
    drop(cart);
}
"#;

pub(crate) const GO: &str = r#"package main

import (
	"fmt"
	"os"
	"strings"
)

type Server struct{ n int }

//go:noinline
func (s *Server) Handle(x int) int { return s.n + leaf(x) }

type Val struct{ a, b int }

//go:noinline
func (v Val) Sum() int { return v.a + v.b }

type Summer interface{ Sum() int }

func leaf(x int) int {
	return mid(x) * 3
}
func mid(x int) int {
	if x > 5 {
		panic("x")
	}
	return x + 1
}

//go:noinline
func Map[T any](xs []T, f func(T) T) []T {
	out := make([]T, 0, len(xs))
	for _, x := range xs {
		out = append(out, f(x))
	}
	return out
}

//go:noinline
func process_order(i int) string { return strings.Repeat("x", i%7) + fmt.Sprint(i) }

func main() {
	s := &Server{3}
	var sm Summer = Val{1, len(os.Args)}
	fmt.Println(s.Handle(len(os.Args)), sm.Sum(), Map([]int{1, 2}, func(a int) int { return a * 2 }))
	fmt.Println(Map([]string{"a"}, strings.ToUpper), process_order(4))
}
"#;

fn run(command: &mut Command) {
    let output = command.output().unwrap();
    assert!(
        output.status.success(),
        "{command:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
}

/// Builds once for every distinct `key`.
fn built(key: &str, build: impl FnOnce(&Path)) -> PathBuf {
    let mut known = BUILT
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner);
    if let Some(path) = known.get(key) {
        return path.clone();
    }
    let directory = DIRECTORY.path().join(known.len().to_string());
    fs::create_dir(&directory).unwrap();
    let path = directory.join("sample");
    build(&path);
    known.insert(key.to_owned(), path.clone());
    path
}

fn compiled(compiler: &str, source: &str, extension: &str, flags: &[&str]) -> PathBuf {
    built(&format!("{compiler} {flags:?} {source}"), |path| {
        let file = path.with_extension(extension);
        fs::write(&file, source).unwrap();
        run(Command::new(compiler)
            .args(flags)
            .arg("-o")
            .arg(path)
            .arg(file));
    })
}

pub(crate) fn c(flags: &[&str]) -> PathBuf {
    compiled("gcc", C, "c", flags)
}

pub(crate) fn cpp(flags: &[&str]) -> PathBuf {
    compiled("g++", CPP, "cpp", flags)
}

pub(crate) fn rust(flags: &[&str]) -> PathBuf {
    let mut all = vec!["--edition=2024", "--crate-name=sample"];
    all.extend(flags);
    compiled("rustc", RUST, "rs", &all)
}

/// The Go tool chains here: the system's, and newer ones that set-up unpacked.
pub(crate) fn go_toolchains() -> Vec<PathBuf> {
    let mut found = Vec::new();
    if let Some(path) = env::var_os("PATH") {
        let system = env::split_paths(&path).map(|directory| directory.join("go"));
        found.extend(system.into_iter().find(|go| go.is_file()));
    }
    let unpacked = env::home_dir().unwrap_or_default().join(".cache/monigo/go");
    for version in fs::read_dir(unpacked).into_iter().flatten().flatten() {
        found.push(version.path().join("go/bin/go"));
    }
    // A tool chain that is unpacked but not set up yet has no run bits.
    found.retain(|go| {
        let output = Command::new(go).arg("version").output();
        output.is_ok_and(|output| output.status.success())
    });
    assert!(
        !found.is_empty(),
        "no Go tool chain: run `cargo xtask setup`"
    );
    found
}

pub(crate) fn go(toolchain: &Path, flags: &[&str]) -> PathBuf {
    go_program(toolchain, flags, GO)
}

pub(crate) fn go_program(toolchain: &Path, flags: &[&str], source: &str) -> PathBuf {
    let key = format!("{} {flags:?} {source}", toolchain.display());
    built(&key, |path| {
        let directory = path.parent().unwrap();
        fs::write(directory.join("main.go"), source).unwrap();
        fs::write(
            directory.join("go.mod"),
            "module example.com/demo\n\ngo 1.18\n",
        )
        .unwrap();
        run(Command::new(toolchain)
            .current_dir(directory)
            .env("GOTOOLCHAIN", "local")
            .env("GOFLAGS", "-mod=mod")
            .arg("build")
            .args(flags)
            .arg("-o")
            .arg(path));
    })
}

/// Standard output of a tool.
pub(crate) fn output_of(command: &mut Command) -> String {
    let output = command.output().unwrap();
    String::from_utf8_lossy(&output.stdout).into_owned()
}
