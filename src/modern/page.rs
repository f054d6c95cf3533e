//! The frame around a page of a modern service: who serves it, for which account, the links of the application.
//!
//! Its own file, because the pages of both services must look like one application, and say that they are the new one.

use std::fmt;

use axum::response::Html;

use crate::ids::TenantId;

/// Text made safe for HTML, in content and in quoted attributes.
pub struct Escaped<'a>(pub &'a str);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for char in self.0.chars() {
            match char {
                '&' => f.write_str("&amp;")?,
                '<' => f.write_str("&lt;")?,
                '>' => f.write_str("&gt;")?,
                '"' => f.write_str("&quot;")?,
                '\'' => f.write_str("&#039;")?,
                c => write!(f, "{c}")?,
            }
        }
        Ok(())
    }
}

/// A whole page around `body`, which is HTML already.
pub fn frame(tenant: TenantId, account: Option<&str>, title: &str, body: &str) -> Html<String> {
    let title = Escaped(title);
    let account = Escaped(account.unwrap_or("no name"));
    Html(format!(
        r##"<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>{title} · campaign</title>
<script type="application/json" id="served">{{"served_by":"modern"}}</script>
<style>
body {{ font: 16px/1.5 sans-serif; max-width: 60rem; margin: 0 auto; padding: 1rem; color: #222 }}
header {{ display: flex; gap: 1rem; align-items: center; background: #d8efdf; border-left: .5rem solid #1d7a43; padding: .5rem 1rem }}
header button {{ margin-left: auto }} table {{ border-collapse: collapse; width: 100% }} td, th {{ text-align: left; padding: .3rem .6rem; border-bottom: 1px solid #ddd }}
</style>
</head>
<body>
<header><strong>Modern service</strong> <span>{account}, account {tenant}</span> <button id="leave">Log out</button></header>
<nav><a href="/dashboard">Dashboard</a> · <a href="/dashboard/campaigns">Campaigns</a> · <a href="/campaign/schedule-emails">Scheduled e-mails</a> · <a href="/campaign/schedule-sms">Scheduled SMS</a></nav>
<h1>{title}</h1>
{body}
<script>
// The session is the legacy application's: it is ended there, with the token from the cookie that it gives to scripts.
document.getElementById("leave").onclick = async () => {{
  const token = decodeURIComponent((document.cookie.match(/(?:^|; )XSRF-TOKEN=([^;]*)/) || [])[1] || "");
  await fetch("/logout", {{ method: "POST", headers: {{ "X-XSRF-TOKEN": token }} }});
  location = "/login";
}};
</script>
</body>
</html>
"##
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tenants_name_cannot_become_markup() {
        let Html(page) = frame(
            TenantId(7),
            Some(r#"<script>"Fern" & 'Moss'"#),
            "Campaigns",
            "",
        );
        assert!(page.contains("&lt;script&gt;&quot;Fern&quot; &amp; &#039;Moss&#039;, account 7"));
    }
}
