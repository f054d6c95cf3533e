//! How a message leaves: one folder a kind of provider.
//!
//! Its own folder, because what speaks to a provider knows nothing of queues, tenants or the database.

pub mod smtp;
