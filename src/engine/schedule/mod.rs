//! Schedules: campaigns that are to be sent at a time, once or again and again.
//!
//! Its own folder, because what was asked for today is decided on at its time: by then the campaign may have changed, or be gone.
//!
//! [`list`] shows legacy's table and [`store`] writes to it and to ours what [`plan`] has read, with the times that [`repeat`] finds;
//! [`fire`] begins the sends. What the database holds together stands in `migrations/0012_schedule.sql`.

mod fire;
mod list;
mod plan;
mod repeat;
mod store;

pub use fire::Firer;
pub use list::{list_emails, list_texts};
pub use store::{store_email, store_text};
