//! Reads what a `[[route]]` asks of its requests beside where they go.
//!
//! Its own file, because these keys are many and none of them names another section.

use super::section::Section;
use crate::proxy::policy::RoutePolicy;

pub fn read(section: &mut Section<'_, '_>) -> Option<RoutePolicy> {
    let body_bytes = section.optional_size("body_bytes", 0..=u64::MAX);
    Some(RoutePolicy {
        body_bytes: body_bytes?,
    })
}
