//! What each vendor asks of a request, and how it says yes and no.
//!
//! Its own file, because these are four foreign formats, written down from their documentation and not from our own code.

use axum::http::HeaderMap;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use uuid::Uuid;

use super::{INFOBIP_KEY, PLIVO_ID, SECRET, TWILIO_ID, Taken, VONAGE_KEY};

type Said = (u16, String);

/// The message with the yes to it, or the no.
pub fn read(
    path: &str,
    headers: &HeaderMap,
    body: &[u8],
    refuses: bool,
) -> Result<(Taken, Said), Said> {
    let login = text(headers, "authorization");
    let basic = |user: &str| format!("Basic {}", STANDARD.encode(format!("{user}:{SECRET}")));
    let is = |expected: String| login == expected && !refuses;
    if path == format!("/2010-04-01/Accounts/{TWILIO_ID}/Messages.json") {
        let form = form(headers, body).ok_or((415, "{}".to_owned()))?;
        return twilio(&form, is(basic(TWILIO_ID)));
    }
    if path == "/sms/json" {
        let form = form(headers, body).ok_or((415, "{}".to_owned()))?;
        return vonage(&form, is(basic(VONAGE_KEY)));
    }
    let body: Value = serde_json::from_slice(body).unwrap_or_default();
    let is_json = text(headers, "content-type").starts_with("application/json");
    match path {
        _ if !is_json => Err((415, "{}".to_owned())),
        "/v1/messages" => messages(&body, is(basic(VONAGE_KEY))),
        "/sms/3/messages" => infobip(&body, is(format!("App {INFOBIP_KEY}"))),
        _ if path == format!("/v1/Account/{PLIVO_ID}/Message/") => {
            plivo(&body, is(basic(PLIVO_ID)))
        }
        _ => Err((404, json!({ "error": "not found" }).to_string())),
    }
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> &'a str {
    let value = headers.get(name).and_then(|it| it.to_str().ok());
    value.unwrap_or_default()
}

fn form(headers: &HeaderMap, body: &[u8]) -> Option<Vec<(String, String)>> {
    let is_form = text(headers, "content-type") == "application/x-www-form-urlencoded";
    let text = std::str::from_utf8(body).ok().filter(|_| is_form)?;
    let url = reqwest::Url::parse(&format!("http://form/?{text}")).ok()?;
    Some(url.query_pairs().into_owned().collect())
}

fn field(form: &[(String, String)], name: &str) -> Option<String> {
    let found = form.iter().find(|(it, _)| it == name);
    found.map(|(_, value)| value.clone())
}

fn twilio(form: &[(String, String)], is_known: bool) -> Result<(Taken, Said), Said> {
    let error = |status: u16, code: u32, message: &str| {
        let body = json!({ "code": code, "message": message, "more_info": format!("https://www.twilio.com/docs/errors/{code}"), "status": status });
        (status, body.to_string())
    };
    if !is_known {
        return Err(error(401, 20003, "Authenticate"));
    }
    let to = field(form, "To").unwrap_or_default();
    if !to.starts_with('+') {
        return Err(error(400, 21211, "Invalid 'To' Phone Number"));
    }
    let text = field(form, "Body").filter(|it| !it.is_empty());
    let text = text.ok_or_else(|| error(400, 21602, "Message body is required"))?;
    if text.chars().count() > 1600 {
        return Err(error(
            400,
            21617,
            "The concatenated message body exceeds the 1600 character limit",
        ));
    }
    let from = field(form, "From").or_else(|| field(form, "MessagingServiceSid"));
    let from = from.ok_or_else(|| error(400, 21603, "A 'From' phone number is required"))?;
    let reference = format!("SM{}", Uuid::new_v4().simple());
    let yes = json!({ "sid": reference, "account_sid": TWILIO_ID, "status": "queued", "num_segments": "1", "error_code": null, "error_message": null, "price": null, "to": to, "from": from, "date_created": "Thu, 24 Aug 2023 05:01:45 +0000" });
    Ok((
        Taken {
            vendor: "twilio",
            to,
            from,
            text,
            callback: field(form, "StatusCallback"),
            ours: None,
            reference,
        },
        (201, yes.to_string()),
    ))
}

fn vonage(form: &[(String, String)], is_known: bool) -> Result<(Taken, Said), Said> {
    let error = |status: &str, text: &str| {
        let body =
            json!({ "message-count": "1", "messages": [{ "status": status, "error-text": text }] });
        (200, body.to_string())
    };
    if !is_known {
        return Err(error("4", "Bad Credentials"));
    }
    let get = |name: &str| field(form, name).filter(|it| !it.is_empty());
    let (Some(to), Some(from), Some(text)) = (get("to"), get("from"), get("text")) else {
        return Err(error("2", "Missing params"));
    };
    if !to.bytes().all(|b| b.is_ascii_digit())
        || !matches!(get("type").as_deref(), Some("text" | "unicode"))
    {
        return Err(error("3", "Invalid params"));
    }
    let callback = get("callback");
    if callback.as_ref().is_some_and(|it| it.len() > 100) {
        return Err(error("3", "Invalid callback"));
    }
    let reference = format!("0A{}", &Uuid::new_v4().simple().to_string()[..14]);
    let part = json!({ "to": to, "message-id": reference, "status": "0", "remaining-balance": "3.14", "message-price": "0.03", "network": "12345", "client-ref": get("client-ref") });
    let yes = json!({ "message-count": "1", "messages": [part] });
    Ok((
        Taken {
            vendor: "vonage",
            to,
            from,
            text,
            callback,
            ours: get("client-ref"),
            reference,
        },
        (200, yes.to_string()),
    ))
}

fn string(body: &Value, name: &str) -> Option<String> {
    let found = body[name].as_str().filter(|it| !it.is_empty());
    found.map(str::to_owned)
}

fn messages(body: &Value, is_known: bool) -> Result<(Taken, Said), Said> {
    let problem = |status: u16, title: &str| {
        let body = json!({ "type": "https://developer.vonage.com/api-errors", "title": title, "detail": "d", "instance": "i" });
        (status, body.to_string())
    };
    if !is_known {
        return Err(problem(401, "Unauthorized"));
    }
    let (to, from, text) = (
        string(body, "to"),
        string(body, "from"),
        string(body, "text"),
    );
    let (Some(to), Some(from), Some(text)) = (to, from, text) else {
        return Err(problem(422, "Invalid params"));
    };
    if body["channel"] != "sms" || body["message_type"] != "text" || text.chars().count() > 1000 {
        return Err(problem(422, "Invalid params"));
    }
    let reference = Uuid::new_v4().to_string();
    let yes = json!({ "message_uuid": reference });
    Ok((
        Taken {
            vendor: "vonage",
            to,
            from,
            text,
            callback: string(body, "webhook_url"),
            ours: string(body, "client_ref"),
            reference,
        },
        (202, yes.to_string()),
    ))
}

fn plivo(body: &Value, is_known: bool) -> Result<(Taken, Said), Said> {
    let error = |status: u16, text: &str| {
        let body = json!({ "api_id": Uuid::new_v4(), "error": text });
        (status, body.to_string())
    };
    if !is_known {
        return Err(error(401, "authentication failed"));
    }
    let (to, text) = (string(body, "dst"), string(body, "text"));
    let (src, pack) = (string(body, "src"), string(body, "powerpack_uuid"));
    if src.is_some() == pack.is_some() {
        return Err(error(
            400,
            "exactly one of src and powerpack_uuid is required",
        ));
    }
    let (Some(to), Some(text), Some(from)) = (to, text, src.or(pack)) else {
        return Err(error(400, "dst and text are required"));
    };
    let reference = Uuid::new_v4().to_string();
    let yes = json!({ "message": "message(s) queued", "message_uuid": [reference], "api_id": Uuid::new_v4() });
    Ok((
        Taken {
            vendor: "plivo",
            to,
            from,
            text,
            callback: string(body, "url"),
            ours: None,
            reference,
        },
        (202, yes.to_string()),
    ))
}

fn infobip(body: &Value, is_known: bool) -> Result<(Taken, Said), Said> {
    let error = |status: u16, code: &str| {
        let body = json!({ "errorCode": code, "description": "d", "action": "a", "violations": [], "resources": [] });
        (status, body.to_string())
    };
    if !is_known {
        return Err(error(401, "E401"));
    }
    let message = &body["messages"][0];
    let destination = &message["destinations"][0];
    let text = string(&message["content"], "text");
    let (Some(to), Some(from), Some(text)) =
        (string(destination, "to"), string(message, "sender"), text)
    else {
        return Err(error(400, "E400"));
    };
    let ours = string(destination, "messageId");
    let reference = ours.clone().unwrap_or_else(|| Uuid::new_v4().to_string());
    let status = json!({ "groupId": 1, "groupName": "PENDING", "id": 26, "name": "PENDING_ACCEPTED", "description": "Message sent to next instance" });
    let yes = json!({ "bulkId": "b", "messages": [{ "messageId": reference, "status": status, "destination": to, "details": { "messageCount": 1 } }] });
    Ok((
        Taken {
            vendor: "infobip",
            to,
            from,
            text,
            callback: string(&message["webhooks"]["delivery"], "url"),
            ours,
            reference,
        },
        (200, yes.to_string()),
    ))
}
