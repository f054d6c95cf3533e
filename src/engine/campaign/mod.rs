//! Campaigns: a send that is asked for, and its recipients made messages one after the other.
//!
//! Its own folder, because a campaign is what legacy calls one: tables of its own, expanded in the background, and told of at its end.

mod expand;
mod handback;
mod prepare;
mod send;
mod texts;

pub use expand::Expander;
pub use handback::Returner;
pub use prepare::{Content, Refused, find_campaign, make_letter};
pub use send::{accept_campaign, refuse_head};
pub use texts::{accept_texts, find_gateway, make_text};
