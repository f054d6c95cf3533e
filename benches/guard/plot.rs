//! The plot of the simulation: when each rolled back, run by run, as SVG.
//!
//! Its own file, and plain text, so that the plot of the documentation changes only when a figure does.

use std::fmt::Write;

/// Times of rollbacks in seconds, by run; `None`: none.
pub type Times = Vec<Option<i64>>;

const NAMES: [(&str, &str); 3] = [
    ("ficus", "#1b7837"),
    ("Flagger 1 min × 10", "#762a83"),
    ("Argo Rollouts failureLimit 0", "#e08214"),
];
const LEFT: f64 = 330.0;
const WIDTH: f64 = 560.0;
const ROW: f64 = 62.0;
/// The axis goes from 10 s to a day, by powers of ten.
const DECADES: (f64, f64) = (1.0, 4.94);

/// One band a case, one line in it for each of the three, one dot for each run that was rolled back.
pub fn draw(cases: &[(&str, [Times; 3])]) -> String {
    let height = 70.0 + ROW * cases.len() as f64 + 30.0;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"1060\" height=\"{height}\" font-family=\"sans-serif\" font-size=\"12\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n\
         <text x=\"12\" y=\"20\" font-size=\"14\">When each took the tenant back: one dot a run; seconds after the fault, or after the begin of a healthy day</text>\n"
    );
    for (place, (name, colour)) in NAMES.iter().enumerate() {
        let x = LEFT + place as f64 * 190.0;
        let _ = writeln!(
            svg,
            "<circle cx=\"{x}\" cy=\"40\" r=\"4\" fill=\"{colour}\"/><text x=\"{}\" y=\"44\">{name}</text>",
            x + 8.0
        );
    }
    let bottom = 60.0 + ROW * cases.len() as f64;
    for (seconds, label) in [
        (10.0, "10 s"),
        (60.0, "1 min"),
        (180.0, "3 min"),
        (600.0, "10 min"),
        (3600.0, "1 h"),
        (86_400.0, "1 day"),
    ] {
        let x = at(seconds);
        let _ = writeln!(
            svg,
            "<line x1=\"{x:.1}\" y1=\"56\" x2=\"{x:.1}\" y2=\"{bottom}\" stroke=\"#ddd\"/><text x=\"{x:.1}\" y=\"{}\" text-anchor=\"middle\">{label}</text>",
            bottom + 18.0
        );
    }
    for (row, (what, times)) in cases.iter().enumerate() {
        let top = 60.0 + ROW * row as f64;
        let _ = writeln!(
            svg,
            "<line x1=\"12\" y1=\"{top}\" x2=\"1048\" y2=\"{top}\" stroke=\"#bbb\"/><text x=\"12\" y=\"{}\">{what}</text>",
            top + 34.0
        );
        for (line, (times, (_, colour))) in times.iter().zip(NAMES).enumerate() {
            let y = top + 14.0 + 17.0 * line as f64;
            for seconds in times.iter().flatten() {
                let x = at((*seconds).max(10) as f64);
                let _ = writeln!(
                    svg,
                    "<circle cx=\"{x:.1}\" cy=\"{y}\" r=\"4\" fill=\"{colour}\" fill-opacity=\"0.4\"/>"
                );
            }
            let count = times.iter().flatten().count();
            let _ = writeln!(
                svg,
                "<text x=\"{}\" y=\"{}\" fill=\"{colour}\">{count} of {} rolled back</text>",
                LEFT + WIDTH + 20.0,
                y + 4.0,
                times.len()
            );
        }
    }
    svg.push_str("</svg>\n");
    svg
}

fn at(seconds: f64) -> f64 {
    let (from, to) = DECADES;
    LEFT + WIDTH * ((seconds.log10() - from) / (to - from)).clamp(0.0, 1.0)
}
