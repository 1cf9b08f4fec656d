// SPDX-License-Identifier: MIT OR Apache-2.0
//! A search for the first bad patch or commit: what was tried, and what it says so far.
//!
//! It is stored after every step, so that an interrupted search goes on where it stopped. The tries
//! name their evidence, which is judged again then.

use serde::{Deserialize, Serialize};

use super::Symptom;
use crate::chance::{Answer, Belief, Place, Shown};

/// A search.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Bisection {
    /// Id of the cell.
    pub(crate) cell: String,
    /// Folder of the run that it is of.
    pub(crate) run: String,
    /// What the cell shows.
    pub(crate) symptom: Symptom,
    /// The search ends when it is so sure, below 1.
    pub(crate) confidence: f64,
    /// `patch` or `commit`.
    pub(crate) unit: String,
    /// What is before the first patch or commit, then these, in order.
    pub(crate) spots: Vec<Spot>,
    /// What was done.
    pub(crate) steps: Vec<BisectStep>,
}

/// The kernel with all patches, or commits, up to one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Spot {
    /// File of the patch, or commit and subject.
    pub(crate) name: String,
    /// Name of the kernel, as cells have it.
    pub(crate) kernel: String,
    /// Changes when the kernel would be another one: its build key or commit.
    pub(crate) identity: String,
    /// Why it cannot be tried.
    pub(crate) skipped: Option<String>,
    /// Whether its kernel is built.
    pub(crate) built: bool,
    /// Attempts at the cell.
    pub(crate) tries: Vec<Try>,
}

/// One attempt.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Try {
    /// Name of the run folder with its evidence.
    pub(crate) run: String,
    /// Id of its cell there.
    pub(crate) cell: String,
    /// Whether it shows it; `None` if it does not say.
    pub(crate) shows: Option<bool>,
    /// The verdict and why, for people.
    pub(crate) said: String,
}

/// Attempts at one spot, one after another or in parallel.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct BisectStep {
    /// The spot.
    pub(crate) spot: usize,
    /// What the attempts of this step show.
    pub(crate) seen: Shown,
    /// The likeliest answer after it, and how likely that is.
    pub(crate) likeliest: (usize, usize),
    /// How likely it is.
    pub(crate) chance: f64,
    /// How long the kernel took, seconds; `None` if it was there.
    pub(crate) build_s: Option<f64>,
    /// How long the attempts took, seconds.
    pub(crate) run_s: f64,
}

/// Attempts that say nothing, after which a spot is skipped.
const SILENT_MAX: usize = 4;
/// Until they are measured, seconds: a small build and a cell.
const BUILD_S: f64 = 60.0;
const RUN_S: f64 = 5.0;

impl Spot {
    /// What its attempts show.
    pub(crate) fn seen(&self) -> Shown {
        let said = self.tries.iter().filter_map(|one| one.shows);
        said.fold(Shown::default(), |seen, shows| Shown {
            shows: seen.shows + u32::from(shows),
            of: seen.of + 1,
        })
    }

    /// Skips it if attempt after attempt says nothing.
    pub(crate) fn skip_if_silent(&mut self) {
        let silent = self.tries.len() >= SILENT_MAX && self.seen().of == 0;
        if let Some(last) = self.tries.last().filter(|_| silent) {
            self.skipped = Some(last.said.clone());
        }
    }
}

impl Bisection {
    /// What the tries say.
    pub(crate) fn answer(&self) -> Answer {
        let places = self.places();
        Belief::of(&places).answer(&places)
    }

    /// The spot to try next; `None` if that makes nothing surer, or if it is sure enough.
    pub(crate) fn next(&self) -> Option<usize> {
        let places = self.places();
        let belief = Belief::of(&places);
        let sure = belief.answer(&places).chance >= self.confidence;
        belief.next(&places).filter(|_| !sure)
    }

    /// Whether this is the same search, so that the tries of one count in the other.
    pub(crate) fn is_same_search(&self, other: &Self) -> bool {
        let names = |of: &Self| -> Vec<(String, String)> {
            of.spots.iter().map(|spot| (spot.name.clone(), spot.identity.clone())).collect()
        };
        let head = |of: &Self| (of.cell.clone(), of.run.clone(), of.symptom.clone());
        head(self) == head(other) && names(self) == names(other)
    }

    /// How many attempts there were.
    pub(crate) fn tries(&self) -> usize {
        self.spots.iter().map(|spot| spot.tries.len()).sum()
    }

    fn places(&self) -> Vec<Place> {
        let mean = |seconds: Vec<f64>, unknown: f64| match seconds.len() {
            0 => unknown,
            count => seconds.iter().sum::<f64>() / count as f64,
        };
        let build_s = mean(self.steps.iter().filter_map(|step| step.build_s).collect(), BUILD_S);
        let tries: u32 = self.steps.iter().map(|step| step.seen.of.max(1)).sum();
        let all_s: f64 = self.steps.iter().map(|step| step.run_s).sum();
        let run_s = if tries == 0 { RUN_S } else { all_s / f64::from(tries) };
        let place = |spot: &Spot| Place {
            seen: spot.seen(),
            skipped: spot.skipped.is_some(),
            cost_s: run_s + if spot.built { 0.0 } else { build_s },
        };
        self.spots.iter().map(place).collect()
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// Eight patches, of which the fifth is bad; the first is not built, and the eighth is.
    pub(crate) fn search() -> Bisection {
        let spot = |number: usize| Spot {
            name: match number {
                0 => "(before the first)".to_owned(),
                _ => format!("{number:04}-mm-memcg-a-patch-with-a-title-that-is-long.patch"),
            },
            kernel: format!("series-step-{number:02}"),
            identity: number.to_string(),
            skipped: None,
            built: number == 8,
            tries: Vec::new(),
        };
        Bisection {
            cell: "open-unkillable.v2.series.mainline".to_owned(),
            run: "2026-01-31T04-00-00Z".to_owned(),
            symptom: Symptom::Breaks("I2".into()),
            confidence: 0.999,
            unit: "patch".to_owned(),
            spots: (0..=8).map(spot).collect(),
            steps: Vec::new(),
        }
    }

    fn tried(shows: Option<bool>) -> Try {
        let said = "ERROR: the host failed".to_owned();
        Try { run: "r".to_owned(), cell: "c".to_owned(), shows, said }
    }

    /// Runs it to its end in a world where the fifth patch is bad.
    pub(crate) fn ended() -> Bisection {
        let mut search = search();
        while let Some(spot) = search.next() {
            let build_s = (!search.spots[spot].built).then_some(17.0);
            let shows = spot >= 5;
            search.spots[spot].built = true;
            search.spots[spot].tries.extend([(); 2].map(|()| tried(Some(shows))));
            let Answer { places, chance } = search.answer();
            search.steps.push(BisectStep {
                spot,
                seen: Shown { shows: 2 * u32::from(shows), of: 2 },
                likeliest: (*places.start(), *places.end()),
                chance,
                build_s,
                run_s: 6.0,
            });
        }
        search
    }

    #[test]
    fn what_is_built_is_tried_first_and_the_end_is_sure() {
        assert_eq!(search().next(), Some(8));
        let search = ended();
        assert_eq!(search.answer().places, 5..=5);
        assert!(search.answer().chance >= 0.999);
        assert!(search.tries() <= 24, "{} tries", search.tries());
    }

    #[test]
    fn a_spot_that_never_says_anything_is_skipped_and_stays_possible() {
        let mut search = search();
        let spot = &mut search.spots[5];
        spot.tries = vec![tried(None); SILENT_MAX - 1];
        spot.skip_if_silent();
        assert_eq!(spot.skipped, None);
        spot.tries.push(tried(None));
        spot.skip_if_silent();
        assert_eq!(spot.skipped.as_deref(), Some("ERROR: the host failed"));
        for at in [0, 1, 2, 3, 4, 6, 7, 8] {
            search.spots[at].tries = vec![tried(Some(at >= 5)); 9];
        }
        assert_eq!(search.answer().places, 5..=6, "4 is good, and 6 is bad");
        assert_eq!(search.next(), None);
    }

    #[test]
    fn a_search_goes_on_only_where_nothing_has_changed() {
        let one = search();
        assert!(one.is_same_search(&ended()));
        let mut other = search();
        other.spots[3].identity = "rebased".to_owned();
        assert!(!one.is_same_search(&other));
        other = search();
        other.symptom = Symptom::Breaks("I3".into());
        assert!(!one.is_same_search(&other));
    }
}
