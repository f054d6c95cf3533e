//! What a verified payload says: whether it is in force, for us, and whose it is.
//!
//! Pure, and its own file, because each claim that is read differently here and in the application is a difference
//! about who somebody is.

use std::sync::Arc;

use serde_json::{Map, Value};

use crate::identity::{Named, Unresolved, User};

/// What is asked of a payload.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Expected {
    /// One of these must be among the token's; empty: not asked.
    pub audience: Vec<String>,
    pub issuer: Option<String>,
    /// Seconds that clocks may differ.
    pub leeway: i64,
    /// Names of claims, or JSON Pointers (RFC 6901) such as `/app/tenant`. `None`: not read.
    pub tenant: Option<String>,
    pub user: Option<String>,
    pub tier: Option<String>,
}

/// Whose token it is, and until when: Unix time in seconds, the leeway included.
#[derive(Clone, Debug, PartialEq)]
pub struct Verified {
    pub tenant: Option<Named<'static>>,
    pub user: Option<Arc<User>>,
    pub until: i64,
}

impl Expected {
    /// `now` is Unix time in seconds. `exp` must be there: a token for ever cannot be taken back.
    pub fn check(&self, payload: &Map<String, Value>, now: i64) -> Result<Verified, Unresolved> {
        let ends = payload
            .get("exp")
            .and_then(seconds)
            .ok_or(Unresolved::WrongClaims)?;
        let until = ends.saturating_add(self.leeway);
        if now >= until {
            return Err(Unresolved::Expired);
        }
        if let Some(begins) = payload.get("nbf") {
            let begins = seconds(begins).ok_or(Unresolved::WrongClaims)?;
            if begins.saturating_sub(self.leeway) > now {
                return Err(Unresolved::NotYetValid);
            }
        }
        let issuer = payload.get("iss").map(Value::as_str);
        let is_issuer = self
            .issuer
            .as_deref()
            .is_none_or(|expected| issuer == Some(Some(expected)));
        if !is_issuer || !self.is_for_us(payload.get("aud")) {
            return Err(Unresolved::WrongClaims);
        }
        let (tenant, user) = self.whose(payload).ok_or(Unresolved::WrongClaims)?;
        Ok(Verified {
            tenant,
            user,
            until,
        })
    }

    fn is_for_us(&self, audience: Option<&Value>) -> bool {
        let is_ours = |value: &Value| {
            value
                .as_str()
                .is_some_and(|name| self.audience.iter().any(|ours| ours == name))
        };
        match audience {
            _ if self.audience.is_empty() => true,
            Some(Value::Array(names)) => names.iter().any(is_ours),
            Some(name) => is_ours(name),
            None => false,
        }
    }

    /// `None`: a claim is there that cannot be what it stands for.
    fn whose(
        &self,
        payload: &Map<String, Value>,
    ) -> Option<(Option<Named<'static>>, Option<Arc<User>>)> {
        let claim = |name: &Option<String>| -> Option<Option<String>> {
            match name.as_deref().and_then(|name| find(payload, name)) {
                None | Some(Value::Null) => Some(None),
                Some(Value::String(text)) => Some(Some(text.clone())),
                // Ids are numbers in many an application.
                Some(Value::Number(number)) if number.is_i64() || number.is_u64() => {
                    Some(Some(number.to_string()))
                }
                Some(_) => None,
            }
        };
        let tenant = match claim(&self.tenant)? {
            Some(text) => Some(Named::parse(&text)?.into_owned()),
            None => None,
        };
        let tier = claim(&self.tier)?;
        let user = match claim(&self.user)? {
            Some(id) => Some(Arc::new(User::new(&id, tier.as_deref())?)),
            None => None,
        };
        Some((tenant, user))
    }
}

fn find<'p>(payload: &'p Map<String, Value>, name: &str) -> Option<&'p Value> {
    let Some(pointer) = name.strip_prefix('/') else {
        return payload.get(name);
    };
    let mut steps = pointer
        .split('/')
        .map(|step| step.replace("~1", "/").replace("~0", "~"));
    let first = payload.get(&steps.next()?)?;
    steps.try_fold(first, |value, step| value.as_object()?.get(&step))
}

/// A NumericDate (RFC 7519, 2), which may have a fraction: rounded down, and kept within what i64 holds.
fn seconds(value: &Value) -> Option<i64> {
    let number = value.as_number()?;
    match number.as_i64() {
        Some(seconds) => Some(seconds),
        // `as` saturates; beyond i64 is beyond any clock.
        None => number.as_f64().map(|seconds| seconds.floor() as i64),
    }
}
