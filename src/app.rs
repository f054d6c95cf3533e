//! (skeleton) The composition root.

use std::process::ExitCode;

use crate::cli::{CheckArgs, DemoArgs, ServeArgs};

pub fn serve(_args: ServeArgs) -> anyhow::Result<ExitCode> {
    anyhow::bail!("under construction")
}

pub fn check(_args: CheckArgs) -> anyhow::Result<ExitCode> {
    anyhow::bail!("under construction")
}

pub fn demo(_args: DemoArgs) -> anyhow::Result<ExitCode> {
    anyhow::bail!("under construction")
}
