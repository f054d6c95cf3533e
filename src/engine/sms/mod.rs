//! Text messages, before any vendor is asked: to whom, from whom, what they say, and in how many parts they travel.
//!
//! Its own folder, because a message is checked alike whether a request, a campaign or an attempt asks, and whoever its vendor is. All of it is
//! pure but [`accounts`], which reads whose vendor it is.

pub mod accounts;
pub mod gateway;
pub mod number;
pub mod segments;
pub mod text;

pub use accounts::{Account, Accounts};
pub use gateway::Gateway;
pub use number::{Number, Sender};
pub use text::{Text, TextBody};
