//! Reading Rust as far as the rules need it: a file's module, what it imports, which crates its paths begin with.
//!
//! Its own file, because it is a small reader with a test of its own.

use std::collections::BTreeSet;
use std::path::PathBuf;

use crate::support::project;

pub struct File {
    /// From the package's folder, with `/`.
    pub path: String,
    pub text: String,
    /// The text without its comments.
    pub code: String,
}

impl File {
    /// `flags` for `src/flags/store.rs`, `ids` for `src/ids.rs`.
    pub fn module(&self) -> &str {
        let rest = self.path.trim_start_matches("src/");
        rest.split(['/', '.']).next().unwrap_or(rest)
    }
}

pub fn files_in(folder: &str) -> Vec<File> {
    let root = project();
    let mut found = Vec::new();
    let mut folders = vec![PathBuf::from(folder)];
    while let Some(folder) = folders.pop() {
        let entries = std::fs::read_dir(root.join(&folder)).expect("a folder of the package");
        for entry in entries {
            let name = entry.expect("an entry").file_name();
            let path = folder.join(name);
            if root.join(&path).is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|it| it == "rs") {
                let text = std::fs::read_to_string(root.join(&path)).expect("a source file");
                let lines = text
                    .lines()
                    .filter(|line| !line.trim_start().starts_with("//"));
                let code = lines.map(|line| format!("{line}\n")).collect();
                let path = path.to_str().expect("a name in ASCII").to_owned();
                found.push(File { path, text, code });
            }
        }
    }
    assert!(!found.is_empty(), "{folder} holds no Rust");
    found.sort_by(|a, b| a.path.cmp(&b.path));
    found
}

/// The first segments after every `crate::` (or `ficus::` in the binary), grouped imports taken apart.
pub fn imported_modules(file: &File) -> BTreeSet<String> {
    let prefix = if file.path == "src/main.rs" {
        "ficus::"
    } else {
        "crate::"
    };
    let mut found = BTreeSet::new();
    for (at, _) in file.code.match_indices(prefix) {
        // `$crate::` and `my_crate::` are something else.
        let before = file.code[..at].chars().next_back().unwrap_or(' ');
        if before == '$' || is_word(before) {
            continue;
        }
        let rest = &file.code[at + prefix.len()..];
        match rest.strip_prefix('{') {
            Some(group) => found.extend(first_segments(group)),
            None => found.extend(first_word(rest)),
        }
    }
    found
}

/// `a::{b, c}, d}` → a, d.
fn first_segments(group: &str) -> Vec<String> {
    let (mut depth, mut start, mut names) = (0, true, Vec::new());
    for (at, c) in group.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => start = true,
            c if c.is_whitespace() => {}
            _ if start => {
                names.extend(first_word(&group[at..]));
                start = false;
            }
            _ => {}
        }
    }
    names
}

fn first_word(text: &str) -> Option<String> {
    let word: String = text.chars().take_while(|c| is_word(*c)).collect();
    // A type or a macro at the crate's root is no module.
    (!word.is_empty() && word.starts_with(|c: char| c.is_lowercase())).then_some(word)
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// Whether the code has a path that begins with this crate.
pub fn uses(code: &str, krate: &str) -> bool {
    code.match_indices(krate).any(|(at, _)| {
        let before = code[..at].chars().next_back().unwrap_or(' ');
        code[at + krate.len()..].starts_with("::") && !is_word(before) && before != ':'
    })
}

#[test]
fn the_reader_of_imports_takes_groups_apart() {
    let code = "use crate::{app, flags::{self, decide}};\nuse $crate::not;\nlet x = crate::db::connect();\nmy_crate::no();\ncrate::Type";
    let file = File {
        path: "src/cli/x.rs".to_owned(),
        text: String::new(),
        code: code.to_owned(),
    };
    assert_eq!(
        imported_modules(&file).into_iter().collect::<Vec<_>>(),
        ["app", "db", "flags"]
    );
    assert_eq!(file.module(), "cli");
    assert!(uses("use sqlx::PgPool;", "sqlx") && !uses("crate::sqlx::x; my_sqlx::y", "sqlx"));
}
