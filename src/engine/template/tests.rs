//! Templates as recipients see them.
//!
//! Its own file, because the cases are many and the module short.

use super::*;

fn render(place: Place, source: &str, values: &[(&str, &str)]) -> Result<String, RecipientFault> {
    let mut out = String::new();
    let find = |name: &str| {
        let found = values.iter().find(|(known, _)| *known == name);
        found.map(|(_, value)| *value)
    };
    Template::compile(place, source)
        .unwrap()
        .render(find, &mut out)?;
    Ok(out)
}

#[test]
fn legacys_template_comes_out_as_legacy_sends_it() {
    let html = render(
        Place::Html,
        r#"<style>p{color:red}</style><p>Dear {name},</p><p><a href="{click_url}">Read on</a></p><img src="{open_url}" alt="">"#,
        &[
            ("name", "Ann O'Hara & <Sons>"),
            ("click_url", "http://x.test/tracker/1/click"),
            ("open_url", "http://x.test/tracker/1/open"),
        ],
    );
    assert_eq!(
        html.unwrap(),
        r#"<style>p{color:red}</style><p>Dear Ann O&#039;Hara &amp; &lt;Sons&gt;,</p><p><a href="http://x.test/tracker/1/click">Read on</a></p><img src="http://x.test/tracker/1/open" alt="">"#
    );
}

#[test]
fn a_text_takes_values_as_they_are() {
    assert_eq!(
        render(Place::Text, "Dear {name}", &[("name", "Ann & <Sons>\nLtd")]).unwrap(),
        "Dear Ann & <Sons>\nLtd"
    );
}

#[test]
fn a_value_is_not_read_as_a_template() {
    assert_eq!(
        render(Place::Text, "{a}", &[("a", "{b} {{c}}")]).unwrap(),
        "{b} {{c}}"
    );
}

#[test]
fn a_missing_variable_is_named() {
    let fault = render(Place::Html, "{name} {town}", &[("name", "Ann")]).unwrap_err();
    assert_eq!(fault, RecipientFault::Missing("town".to_owned()));
    assert_eq!(fault.to_string(), "the recipient has no value for {town}");
}

#[test]
fn a_line_break_does_not_get_into_a_subject() {
    for value in [
        "Ann\r\nBcc: all@x.test",
        "Ann\n",
        "\rAnn",
        "a\0b",
        "\u{85}",
        "a\tb",
    ] {
        assert_eq!(
            render(Place::Subject, "For {name}", &[("name", value)]),
            Err(RecipientFault::Control("name".to_owned())),
            "{value:?}"
        );
    }
    let fault = Template::compile(Place::Subject, "News\r\nBcc: all@x.test").unwrap_err();
    assert_eq!(
        (fault.line, fault.column, fault.flaw),
        (1, 5, Flaw::Control)
    );
}

#[test]
fn a_subject_keeps_what_html_would_escape() {
    assert_eq!(
        render(Place::Subject, "Grüße, {name}", &[("name", "Ann & Söhne")]).unwrap(),
        "Grüße, Ann & Söhne"
    );
}

#[test]
fn a_fault_leaves_what_was_written_before() {
    let template = Template::compile(Place::Text, "Dear {name}").unwrap();
    let mut out = "kept".to_owned();
    assert!(template.render(|_| None, &mut out).is_err());
    assert_eq!(out, "kept");
}

#[test]
fn what_is_sent_is_bounded() {
    let long = "x".repeat(SUBJECT_LIMIT);
    assert!(render(Place::Subject, "{a}", &[("a", &long)]).is_ok());
    assert_eq!(
        render(Place::Subject, "{a}.", &[("a", &long)]),
        Err(RecipientFault::TooLong(SUBJECT_LIMIT))
    );
    // Escaping makes a text longer than its value.
    let quotes = "'".repeat(RENDERED_LIMIT / 2);
    assert_eq!(
        render(Place::Html, "{a}", &[("a", &quotes)]),
        Err(RecipientFault::TooLong(RENDERED_LIMIT))
    );
    let source = "x".repeat(BODY_LIMIT + 1);
    assert_eq!(
        Template::compile(Place::Html, source).unwrap_err().flaw,
        Flaw::TooLong { limit: BODY_LIMIT }
    );
}

#[test]
fn a_campaign_names_the_part_that_is_at_fault() {
    let fault = CampaignTemplate::compile("Hi", Some("a\n{{b}}"), None, str::to_owned).unwrap_err();
    assert_eq!(
        fault.to_string(),
        "html: line 2, column 1: \"{{\" is not read here: write a variable as {name}"
    );
}

#[test]
fn a_campaigns_text_is_made_from_its_html_once() {
    let campaign =
        CampaignTemplate::compile("Hi {name}", Some("<p>{name} {town}</p>"), None, |html| {
            html.replace("<p>", "").replace("</p>", "")
        })
        .unwrap();
    assert_eq!(campaign.names(), ["name", "town"]);
    let mut rendered = Rendered::default();
    for name in ["A&B", "C"] {
        campaign.render(|_| Some(name), &mut rendered).unwrap();
    }
    campaign.render(|_| Some("A&B"), &mut rendered).unwrap();
    assert_eq!(rendered.subject, "Hi A&B");
    assert_eq!(rendered.html.as_deref(), Some("<p>A&amp;B A&amp;B</p>"));
    assert_eq!(rendered.text, "A&B A&B");
}
