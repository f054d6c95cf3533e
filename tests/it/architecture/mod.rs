//! The map of `docs/ARCHITECTURE.md`, held against the source: who may import whom, what stays behind which fence.
//!
//! Its own folder, because a rule that nobody checks is a wish. The rules stand in [`map`], reading Rust in
//! [`source`], and each message here says what to do.

mod map;
mod source;

use std::fmt::Write;

use map::{FENCES, IMPORTS, LONG_FILES, MAX_LINES, UNASKED};
use source::{File, files_in, imported_modules, uses};

fn assert_none(faults: &str, what_to_do: &str) {
    assert!(faults.is_empty(), "\n{faults}\n{what_to_do}\n");
}

#[test]
fn every_module_imports_only_what_the_map_allows() {
    let mut faults = String::new();
    for file in files_in("src") {
        let module = file.module();
        if module == "lib" {
            continue;
        }
        let Some((_, allowed)) = IMPORTS.iter().find(|(name, _)| *name == module) else {
            let _ = writeln!(
                faults,
                "{}: the module {module} is not in the map",
                file.path
            );
            continue;
        };
        for imported in imported_modules(&file) {
            if imported != module && !allowed.contains(&imported.as_str()) {
                let _ = writeln!(faults, "{}: {module} may not import {imported}", file.path);
            }
        }
    }
    assert_none(
        &faults,
        "move the code to where it is allowed, or pass the value in; \
         if the map is wrong, change IMPORTS in tests/it/architecture/map.rs and docs/ARCHITECTURE.md together, with the reason",
    );
}

#[test]
fn what_outlives_the_migration_knows_nothing_of_it() {
    for (module, allowed) in IMPORTS {
        let banned: &[&str] = match module {
            "engine" | "dashboard" => &["proxy", "flags", "rollout", "identity", "control"],
            "proxy" => &["control", "engine", "dashboard", "db"],
            _ => continue,
        };
        for name in banned {
            assert!(
                !allowed.contains(name),
                "{module} must not be allowed to import {name}: see docs/ARCHITECTURE.md, invariants"
            );
        }
    }
    for file in files_in("src")
        .iter()
        .filter(|file| file.module() == "proxy")
    {
        let all = file.code.matches("crate::rollout").count();
        let counting = file.code.matches("crate::rollout::outcomes::").count();
        assert_eq!(
            all, counting,
            "{}: of rollout the proxy knows only outcomes, into which it counts",
            file.path
        );
    }
    let sqlx = FENCES
        .iter()
        .find(|fence| fence.krate == "sqlx")
        .expect("the fence of sqlx");
    assert!(
        !sqlx.modules.contains(&"proxy"),
        "the proxy asks no database"
    );
}

#[test]
fn every_fenced_dependency_stays_behind_its_fence() {
    let mut faults = String::new();
    for file in files_in("src") {
        for fence in &FENCES {
            let allowed = fence.modules.contains(&file.module())
                || fence
                    .files
                    .iter()
                    .any(|(path, _)| file.path.starts_with(path));
            if !allowed && uses(&file.code, fence.krate) {
                let _ = writeln!(faults, "{}: {} is not used here", file.path, fence.krate);
            }
        }
    }
    assert_none(
        &faults,
        "ask the module behind the fence instead; if this file must, add it to FENCES in tests/it/architecture/map.rs with its reason",
    );
}

#[test]
fn every_file_opens_with_what_it_does() {
    let mut faults = String::new();
    for file in files_in("src")
        .into_iter()
        .chain(files_in("tests"))
        .chain(files_in("benches"))
    {
        if !file.text.starts_with("//! ") {
            let _ = writeln!(faults, "{}", file.path);
        }
    }
    assert_none(
        &faults,
        "open each with `//!`: what it does, then why it is its own file",
    );
}

#[test]
fn no_file_is_too_long() {
    let mut faults = String::new();
    for file in files_in("src")
        .into_iter()
        .chain(files_in("tests"))
        .chain(files_in("benches"))
    {
        let exception = LONG_FILES.iter().find(|(path, ..)| *path == file.path);
        let bound = exception.map_or(MAX_LINES, |(_, bound, _)| *bound);
        let lines = file.text.lines().count();
        if lines > bound {
            let _ = writeln!(faults, "{}: {lines} lines, at most {bound}", file.path);
        }
    }
    assert_none(
        &faults,
        "a name is missing: find it, then move what it names into a file of its own",
    );
}

/// Itself, or through the checks that it shares with its neighbours in the folder's `mod.rs`.
fn asserts(file: &File, all: &[File]) -> bool {
    let words = ["assert!(", "assert_eq!(", "assert_ne!(", "debug_assert()"];
    let has_one = |file: &File| words.iter().any(|word| file.code.contains(word));
    let folder = file.path.rsplit_once('/').map_or("", |(folder, _)| folder);
    let shared = format!("{folder}/mod.rs");
    has_one(file) || all.iter().any(|it| it.path == shared && has_one(it))
}

#[test]
fn every_file_of_tests_asserts_something_and_skips_nothing() {
    let mut faults = String::new();
    let files: Vec<File> = files_in("src")
        .into_iter()
        .chain(files_in("tests"))
        .collect();
    for file in &files {
        let tests =
            file.code.matches("#[test]").count() + file.code.matches("#[tokio::test").count();
        if tests == 0 || file.path.starts_with("tests/it/architecture/") {
            continue;
        }
        if !asserts(file, &files) {
            let _ = writeln!(faults, "{}: {tests} tests and no assertion", file.path);
        }
        let known = UNASKED.iter().any(|(path, _)| *path == file.path);
        if !known && file.code.contains("#[ignore") {
            let _ = writeln!(
                faults,
                "{}: an ignored test tells nobody that it was not run",
                file.path
            );
        }
    }
    assert_none(&faults, "assert what a user would see, or delete the test");
}
