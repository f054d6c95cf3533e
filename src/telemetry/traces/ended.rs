//! What is left behind by work that outlives its request: accepted in one, and at its end after seconds or days.
//!
//! Its own file, because it has no phases and no clock but the wall's, and its request was recorded by somebody else.

use std::time::SystemTime;

use super::Parent;

/// A piece of work that has come to its end, as one span. Its attributes have no address and nothing of what was said.
#[derive(Clone, Debug)]
pub struct Ended {
    /// The request that asked for it.
    pub parent: Parent,
    pub name: &'static str,
    /// When it was accepted.
    pub begun: SystemTime,
    pub ended: SystemTime,
    pub is_failed: bool,
    pub attributes: Vec<(&'static str, String)>,
}
