//! How waves and plans look on a terminal.
//!
//! Its own file, because these tables are read before and while tenants move, and decide nothing.

use chrono::Utc;

use super::output::{Output, Paint, or_dash};
use crate::control::PlanWritten;
use crate::rollout::wave::{Bake, GateResult, Wave, WaveDetail, WaveState};

pub fn plan_table(output: &Output, planned: &PlanWritten) -> String {
    let percent = |share: Option<f64>| or_dash(share.map(|share| format!("{share:.2} %")));
    let mut rows = Vec::new();
    for wave in &planned.waves {
        for (place, step) in wave.steps.iter().enumerate() {
            let largest = step.largest.as_ref().map(|largest| {
                let name = largest
                    .slug
                    .clone()
                    .unwrap_or_else(|| largest.tenant.to_string());
                format!("{name} {:.2} %", largest.requests_percent)
            });
            let first = |text: String| if place == 0 { text } else { String::new() };
            rows.push(vec![
                first(wave.name.clone()),
                step.percent.to_string(),
                format!("+{}", step.moves),
                step.tenants.to_string(),
                percent(Some(step.tenants_percent)),
                percent(step.requests_percent),
                percent(step.sends_percent),
                or_dash(largest),
                first(bake(wave.bake_seconds).to_string()),
                first(wave.gates.join(" ") + if wave.auto { ", by itself" } else { "" }),
            ]);
        }
    }
    let titles = [
        "WAVE",
        "STEP",
        "MOVES",
        "TENANTS",
        "OF ALL",
        "OF REQUESTS",
        "OF SENDS",
        "LARGEST",
        "BAKE",
        "GATES",
    ];
    output.table(&titles, &rows)
        + "Shares are of the last 7 days, and of the wave up to the step.\n"
}

fn bake(seconds: i64) -> Bake {
    Bake::of(chrono::TimeDelta::seconds(seconds))
}

pub fn row(wave: &Wave) -> Vec<String> {
    let of = or_dash(wave.size);
    vec![
        wave.name.clone(),
        wave.capability.clone(),
        wave.state.as_str().to_owned(),
        format!("{}/{}", wave.step, wave.steps.len()),
        format!("{}/{of}", wave.on_modern),
        left(wave),
        wave.gates.join(" ") + if wave.auto { ", by itself" } else { "" },
        or_dash(wave.actor.as_ref()),
        or_dash(wave.reason.as_ref()),
    ]
}

/// What is left of the bake time, while it counts.
fn left(wave: &Wave) -> String {
    match (wave.state, wave.step_at) {
        (WaveState::Running | WaveState::Paused, Some(since)) => {
            let over = since + wave.bake().delta();
            match over - Utc::now() {
                left if left > chrono::TimeDelta::zero() => {
                    format!("{} of {} left", Bake::of(left), wave.bake())
                }
                _ => format!("{} over", wave.bake()),
            }
        }
        _ => wave.bake().to_string(),
    }
}

pub fn page(output: &Output, detail: &WaveDetail) -> String {
    let wave = &detail.wave;
    let whom = match wave.classes.is_empty() {
        true => "tenants by name".to_owned(),
        false => wave.classes.join(", "),
    };
    let mut text = format!(
        "{} of {}: {}, step {} of {}, {whom}, bake {}\n",
        wave.name,
        wave.capability,
        wave.state.as_str(),
        wave.step,
        wave.steps.len(),
        left(wave)
    );
    let rows: Vec<Vec<String>> = wave
        .steps
        .iter()
        .enumerate()
        .map(|(place, percent)| {
            let count = detail
                .by_step
                .iter()
                .find(|it| usize::try_from(it.step) == Ok(place + 1));
            vec![
                format!(
                    "{}{}",
                    place + 1,
                    if wave.step == place + 1 { " now" } else { "" }
                ),
                percent.to_string(),
                or_dash(count.map(|it| it.members)),
                or_dash(count.map(|it| it.on_modern)),
                or_dash(count.map(|it| it.kept)),
            ]
        })
        .collect();
    text += &output.table(
        &["STEP", "UP TO", "MEMBERS", "ON MODERN", "KEPT BY A PERSON"],
        &rows,
    );
    if !detail.gates_now.is_empty() {
        text += &gates(output, &detail.gates_now);
    }
    if !detail.last_gates.is_empty() {
        text += "When it advanced last:\n";
        text += &gates(output, &detail.last_gates);
    }
    text
}

fn gates(output: &Output, results: &[GateResult]) -> String {
    let rows: Vec<Vec<String>> = results
        .iter()
        .map(|it| {
            vec![
                it.gate.clone(),
                it.outcome.as_str().to_owned(),
                it.detail.clone(),
            ]
        })
        .collect();
    let closed = results.iter().filter(|it| !it.outcome.lets_pass()).count();
    let word = match closed {
        0 => output.paint(Paint::Good, "every gate lets it pass\n"),
        1 => output.paint(Paint::Bad, "1 gate is closed\n"),
        many => output.paint(Paint::Bad, &format!("{many} gates are closed\n")),
    };
    output.table(&["GATE", "SAYS", "WHY"], &rows) + &word
}
