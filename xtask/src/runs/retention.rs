// SPDX-License-Identifier: MIT OR Apache-2.0
//! Which runs are old enough to go.
//!
//! The rule: a run goes when it is none of the newest N, is older than D days, is not `latest`, and
//! no process writes into it. A run that was killed counts like one that ended.

/// How much is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Rule {
    /// However old they are: the newest so many.
    pub(crate) keep: usize,
    /// However many they are: those not older.
    pub(crate) days: u32,
}

/// What is known of a run folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RunAge {
    /// Its name, which is its begin in UTC.
    pub(crate) id: String,
    /// Seconds since then.
    pub(crate) age_s: i64,
    /// Whether a process writes into it.
    pub(crate) state: State,
    /// Whether `latest` points to it.
    pub(crate) latest: bool,
}

/// Whether a run still goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// A process holds its lock.
    Running,
    /// None does.
    Over,
}

/// Why a run stays, or that it goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kept {
    /// One of the newest.
    Newest,
    /// Not old enough.
    Young,
    /// `latest` points to it.
    Latest,
    /// A process writes into it.
    Running,
    /// It goes.
    No,
}

const DAY_S: i64 = 24 * 60 * 60;

/// What becomes of each of the runs of one folder, in the order given.
pub(crate) fn judge_age(runs: &[RunAge], rule: Rule) -> Vec<Kept> {
    let mut newest: Vec<usize> = (0..runs.len()).collect();
    // By age and not by name: of the same second the name decides, `-10` after `-9`.
    newest
        .sort_by_key(|&at| (runs[at].age_s, std::cmp::Reverse((runs[at].id.len(), &runs[at].id))));
    newest.truncate(rule.keep);
    let kept = |(at, run): (usize, &RunAge)| {
        if run.state == State::Running {
            Kept::Running
        } else if run.latest {
            Kept::Latest
        } else if newest.contains(&at) {
            Kept::Newest
        } else if run.age_s <= i64::from(rule.days) * DAY_S {
            Kept::Young
        } else {
            Kept::No
        }
    };
    runs.iter().enumerate().map(kept).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(id: &str, age_s: i64) -> RunAge {
        RunAge { id: id.to_owned(), age_s, state: State::Over, latest: false }
    }

    #[test]
    fn the_newest_and_the_young_stay() {
        let runs =
            [run("a", 30 * DAY_S), run("b", 3 * DAY_S + 1), run("c", 3 * DAY_S), run("d", 0)];
        let kept = |keep, days| judge_age(&runs, Rule { keep, days });
        assert_eq!(kept(0, 3), [Kept::No, Kept::No, Kept::Young, Kept::Young]);
        assert_eq!(kept(1, 3), [Kept::No, Kept::No, Kept::Young, Kept::Newest]);
        assert_eq!(kept(3, 0), [Kept::No, Kept::Newest, Kept::Newest, Kept::Newest]);
        assert_eq!(kept(3, 31), [Kept::Young, Kept::Newest, Kept::Newest, Kept::Newest]);
        assert_eq!(kept(4, 0), [Kept::Newest; 4]);
    }

    #[test]
    fn latest_and_what_goes_on_stay_however_old() {
        let old = run("a", 100 * DAY_S);
        let rule = Rule { keep: 0, days: 0 };
        assert_eq!(judge_age(std::slice::from_ref(&old), rule), [Kept::No]);
        assert_eq!(judge_age(&[RunAge { latest: true, ..old.clone() }], rule), [Kept::Latest]);
        assert_eq!(judge_age(&[RunAge { state: State::Running, ..old }], rule), [Kept::Running]);
    }

    #[test]
    fn of_one_second_the_higher_number_is_the_newer() {
        let runs = [run("x", 5), run("x-10", 5), run("x-9", 5)];
        assert_eq!(judge_age(&runs, Rule { keep: 1, days: 0 }), [Kept::No, Kept::Newest, Kept::No]);
    }

    #[test]
    fn a_clock_that_went_back_removes_nothing() {
        assert_eq!(judge_age(&[run("a", -5)], Rule { keep: 0, days: 0 }), [Kept::Young]);
    }
}
