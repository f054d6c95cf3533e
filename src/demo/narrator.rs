//! Tells the story on stdout: chapters, command lines, what was printed and what was seen.
//!
//! Its own file, so that all of the demo's output looks the same.

use std::process::Output;
use std::time::Duration;

/// The opening and the pauses between: something is being prepared.
pub fn doing(what: &str) {
    println!("... {what}");
}

pub fn chapter(number: usize, title: &str) {
    println!("\n== {number}. {title}");
}

pub fn remark(text: &str) {
    println!("   {text}");
}

/// As one would type it.
pub fn command(program: &str, arguments: &[&str]) {
    let words: Vec<String> = arguments.iter().map(|word| quote(word)).collect();
    println!("   $ {program} {}", words.join(" "));
}

pub fn output(output: &Output) {
    for stream in [&output.stdout, &output.stderr] {
        for line in String::from_utf8_lossy(stream).lines() {
            println!("     {line}");
        }
    }
    if let Some(code) = output.status.code().filter(|code| *code != 0) {
        println!("     (exit {code})");
    }
}

/// What was looked at, and whether it was as the story says.
pub fn seen(holds: bool, what: &str) {
    println!("   {} {what}", if holds { "ok  " } else { "FAIL" });
}

pub fn milliseconds(time: Duration) -> String {
    format!("{:.1} ms", time.as_secs_f64() * 1000.0)
}

/// For a shell, in the quotes that read best.
fn quote(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=@,+".contains(c);
    match word {
        "$DATABASE_URL" => "\"$DATABASE_URL\"".to_owned(),
        _ if !word.is_empty() && word.chars().all(plain) => word.to_owned(),
        _ if word.contains('\'') && !word.contains(['"', '$', '`', '\\', '!']) => {
            format!("\"{word}\"")
        }
        _ => format!("'{}'", word.replace('\'', r"'\''")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_is_quoted_as_a_shell_needs_it() {
        assert_eq!(quote("--tenant"), "--tenant");
        assert_eq!(quote("two words"), "'two words'");
        assert_eq!(quote("state = 'modern'"), "\"state = 'modern'\"");
        assert_eq!(quote("it's $5"), r"'it'\''s $5'");
        assert_eq!(quote(""), "''");
    }
}
