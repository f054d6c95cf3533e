//! Text made safe for HTML, byte for byte as Laravel's `e()` makes it.
//!
//! Its own file, because the templates and the rewriting of links both write into HTML, and one of them forgotten is an injection.

/// Appends `text` for content and for quoted attributes.
pub fn push_html(out: &mut String, text: &str) {
    let mut done = 0;
    for (at, byte) in text.bytes().enumerate() {
        let escaped = match byte {
            b'&' => "&amp;",
            b'<' => "&lt;",
            b'>' => "&gt;",
            b'"' => "&quot;",
            b'\'' => "&#039;",
            _ => continue,
        };
        out.push_str(&text[done..at]);
        out.push_str(escaped);
        done = at + 1;
    }
    out.push_str(&text[done..]);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_html_reads_is_escaped_and_the_rest_is_not() {
        let mut out = "a".to_owned();
        push_html(&mut out, "<b class='x'>Ä & \"B\"</b> &amp;");
        assert_eq!(
            out,
            "a&lt;b class=&#039;x&#039;&gt;Ä &amp; &quot;B&quot;&lt;/b&gt; &amp;amp;"
        );
    }
}
