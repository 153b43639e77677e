//! The table, which is said row by row.

use std::io::Write as _;

use crate::common::machine;

/// What a row is held against.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Goal {
    pub(crate) id: &'static str,
    pub(crate) goal: &'static str,
    pub(crate) stretch: &'static str,
    /// AWS's own element, on a machine like this one.
    pub(crate) incumbent: &'static str,
}

pub(crate) fn head() {
    say("row", "what", "figure", "goal", "stretch", "incumbent", "beside it", "load");
}

/// A figure that is held against a goal.
pub(crate) fn row(goal: &Goal, what: &str, figure: &str, beside: &str) {
    say(goal.id, what, figure, goal.goal, goal.stretch, goal.incumbent, beside, &machine::load());
}

/// What the machine does meanwhile.
pub(crate) fn calibration(what: &str, figure: &str) {
    say("", what, figure, "", "", "", "", &machine::load());
}

#[expect(clippy::too_many_arguments, reason = "the columns of one table")]
fn say(
    id: &str,
    what: &str,
    figure: &str,
    goal: &str,
    stretch: &str,
    incumbent: &str,
    beside: &str,
    load: &str,
) {
    let mut out = std::io::stdout().lock();
    writeln!(
        out,
        "{id:<3} {what:<60} {figure:<42} {goal:<17} {stretch:<14} {incumbent:<17} {load:>5}  {beside}"
    )
    .unwrap();
}
