// SPDX-License-Identifier: MIT OR Apache-2.0
//! The plan of the week, as `configs/nights/week.toml` has it: which job runs on which night.
//!
//! A job is a matrix, which may run in parts on several machines, or a command of `cargo xtask`.
//! At most one job of a night has parts: one plan, one set of machines, one merge.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;

use super::place::{At, Source, Text, did_you_mean};
use super::{Config, Matrix, fits_folder, value};
use crate::exit::{Exit, Fault};

/// The plan of the week.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Week {
    /// The first night whose times count, `2026-11-30`: what was slower before is accepted.
    pub(crate) accepted: Option<String>,
    /// In the order of the file.
    pub(crate) jobs: Vec<Job>,
}

/// One job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Job {
    /// Its name.
    pub(crate) name: String,
    /// When it runs.
    pub(crate) days: BTreeSet<Day>,
    /// What it runs.
    pub(crate) work: Work,
    /// A variable of the environment that the command names; without it the job is skipped.
    pub(crate) variable: Option<String>,
    /// It is stopped after so many hours.
    pub(crate) hours: u32,
}

/// What a job runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Work {
    /// A matrix as a night, in so many parts.
    Matrix {
        /// Its name.
        name: String,
        /// 1: on one machine.
        parts: u32,
    },
    /// Arguments of `cargo xtask`.
    Command(Vec<String>),
}

/// A day of the week, in UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Day {
    /// Monday.
    Mon,
    /// Tuesday.
    Tue,
    /// Wednesday.
    Wed,
    /// Thursday.
    Thu,
    /// Friday.
    Fri,
    /// Saturday.
    Sat,
    /// Sunday.
    Sun,
}

impl Day {
    /// All of them, with their names.
    pub(crate) const ALL: [(Self, &str); 7] = [
        (Self::Mon, "mon"),
        (Self::Tue, "tue"),
        (Self::Wed, "wed"),
        (Self::Thu, "thu"),
        (Self::Fri, "fri"),
        (Self::Sat, "sat"),
        (Self::Sun, "sun"),
    ];
}

impl std::str::FromStr for Day {
    type Err = Fault;

    fn from_str(text: &str) -> Result<Self, Fault> {
        let found = Self::ALL.into_iter().find(|(_, name)| *name == text);
        found.map(|(day, _)| day).ok_or_else(|| {
            Fault::new(Exit::Usage, format!("`{text}` is no day"))
                .hint("mon, tue, wed, thu, fri, sat or sun")
        })
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    accepted: Option<At<String>>,
    #[serde(default)]
    job: Vec<At<Entry>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    name: String,
    #[serde(default)]
    days: BTreeSet<Day>,
    matrix: Option<String>,
    #[serde(default = "value::one", deserialize_with = "value::within::<_, _, 1, 100>")]
    parts: u32,
    #[serde(default)]
    command: Vec<String>,
    variable: Option<String>,
    #[serde(default = "hours", deserialize_with = "value::within::<_, _, 1, 24>")]
    hours: u32,
}

/// A job that takes longer is stuck.
fn hours() -> u32 {
    6
}

impl Week {
    /// Checks the plan; matrices that it names exist.
    ///
    /// A fault of [`Exit::Usage`] with its place.
    pub(crate) fn read(text: &Text, config: &Config) -> Result<Self, Fault> {
        let (source, table): (_, Table) = Source::read(text)?;
        if let Some(date) = table.accepted.as_ref().filter(|date| !is_date(date)) {
            return Err(source.fault(date, "`accepted` is no date").hint("2026-11-30"));
        }
        let mut jobs: Vec<Job> = Vec::new();
        for entry in &table.job {
            let job = job(&source, entry, &config.matrices)?;
            if jobs.iter().any(|other| other.name == job.name) {
                return Err(source.fault(entry, format!("job `{}` is there twice", job.name)));
            }
            let both = |other: &&Job| {
                other.parts() > 1 && job.parts() > 1 && !other.days.is_disjoint(&job.days)
            };
            if let Some(other) = jobs.iter().find(both) {
                let what = format!("`{}` and `{}` run in parts on one night", other.name, job.name);
                return Err(source.fault(entry, what));
            }
            let same = |other: &&Job| {
                other.matrix().is_some_and(|matrix| job.matrix() == Some(matrix))
                    && !other.days.is_disjoint(&job.days)
            };
            if let Some(other) = jobs.iter().find(same) {
                let what = format!(
                    "`{}` and `{}` run one matrix on one night, of which the later would count",
                    other.name, job.name
                );
                return Err(source.fault(entry, what));
            }
            jobs.push(job);
        }
        if jobs.is_empty() {
            let what = format!("{}: the plan has no job", text.path);
            return Err(Fault::new(Exit::Usage, what).hint("[[job]]"));
        }
        Ok(Self { accepted: table.accepted.map(At::into_inner), jobs })
    }

    /// What runs on this day.
    pub(crate) fn on(&self, day: Day) -> impl Iterator<Item = &Job> {
        self.jobs.iter().filter(move |job| job.days.contains(&day))
    }

    /// The job of that name, or a fault that lists what there is.
    pub(crate) fn job(&self, name: &str) -> Result<&Job, Fault> {
        self.jobs.iter().find(|job| job.name == name).ok_or_else(|| {
            let names = self.jobs.iter().map(|job| job.name.as_str());
            Fault::new(Exit::Usage, format!("there is no job `{name}`"))
                .hint(did_you_mean(name, names))
        })
    }
}

impl Job {
    /// How many machines it runs on.
    pub(crate) fn parts(&self) -> u32 {
        match &self.work {
            Work::Matrix { parts, .. } => *parts,
            Work::Command(_) => 1,
        }
    }

    /// The matrix that it runs as a night.
    fn matrix(&self) -> Option<&str> {
        match &self.work {
            Work::Matrix { name, .. } => Some(name),
            Work::Command(_) => None,
        }
    }

    /// The arguments of `cargo xtask` on one machine; `value` is that of [`Job::variable`].
    pub(crate) fn arguments(&self, value: &str) -> Vec<String> {
        match &self.work {
            Work::Matrix { name, .. } => {
                ["run-matrix", "--matrix", name, "--night"].map(str::to_owned).to_vec()
            }
            Work::Command(words) => {
                let sign = self.variable.as_ref().map(|name| format!("${name}"));
                let filled = |word: &String| match &sign {
                    Some(sign) => word.replace(sign, value),
                    None => word.clone(),
                };
                words.iter().map(filled).collect()
            }
        }
    }
}

fn job(
    source: &Source<'_>,
    entry: &At<Entry>,
    matrices: &BTreeMap<String, Matrix>,
) -> Result<Job, Fault> {
    let Entry { name, days, matrix, parts, command, variable, hours } = &**entry;
    fits_folder(name).map_err(|why| source.fault(entry, why))?;
    let work = match (matrix, command.as_slice()) {
        (Some(matrix), []) if !matrices.contains_key(matrix) => {
            let fault = source.fault(entry, format!("there is no matrix `{matrix}`"));
            return Err(fault.hint(did_you_mean(matrix, matrices.keys().map(String::as_str))));
        }
        (Some(matrix), []) => Work::Matrix { name: matrix.clone(), parts: *parts },
        (None, [_, ..]) if *parts == 1 => Work::Command(command.clone()),
        _ => {
            let what =
                format!("job `{name}` needs a `matrix`, with or without `parts`, or a `command`");
            return Err(source.fault(entry, what));
        }
    };
    if let Some([_, matrix]) =
        command.windows(2).find(|pair| pair[0] == "--matrix" && !matrices.contains_key(&pair[1]))
    {
        let fault = source.fault(entry, format!("there is no matrix `{matrix}`"));
        return Err(fault.hint(did_you_mean(matrix, matrices.keys().map(String::as_str))));
    }
    if let Some(word) = command.iter().find(|word| variable.is_none() && word.contains('$')) {
        return Err(
            source.fault(entry, format!("`{word}` needs `variable`, the name after the `$`"))
        );
    }
    let named = |name: &String| command.iter().any(|word| word.contains(&format!("${name}")));
    if let Some(variable) = variable.as_ref().filter(|name| !named(name)) {
        return Err(source.fault(entry, format!("no word of `command` has `${variable}`")));
    }
    let all = || Day::ALL.into_iter().map(|(day, _)| day).collect();
    let days = if days.is_empty() { all() } else { days.clone() };
    Ok(Job { name: name.clone(), days, work, variable: variable.clone(), hours: *hours })
}

/// Whether dates can be compared as texts.
pub(super) fn is_date(text: &str) -> bool {
    let lengths: Vec<usize> = text.split('-').map(str::len).collect();
    lengths == [4, 2, 2] && text.parse::<jiff::civil::Date>().is_ok()
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn read(text: &str) -> Result<Week, String> {
        let text = Text { name: "week".into(), path: "week.toml".into(), text: text.into() };
        let config = super::super::tests::good();
        Week::read(&text, &config).map_err(|fault| fault.what)
    }

    #[test]
    fn a_week_has_jobs_on_days() {
        let week = read(
            "accepted = \"2026-11-30\"\n\
             [[job]]\nname = \"a\"\nmatrix = \"default\"\nparts = 4\ndays = [\"mon\"]\n\
             [[job]]\nname = \"b\"\nvariable = \"TREE\"\nhours = 2\n\
             command = [\"run-matrix\", \"--source\", \"7.3=$TREE\"]\n",
        )
        .unwrap();
        let on = |day| week.on(day).map(|job| job.name.as_str()).collect::<Vec<_>>();
        assert_eq!((on(Day::Mon), on(Day::Tue)), (vec!["a", "b"], vec!["b"]));
        assert_eq!(week.accepted.as_deref(), Some("2026-11-30"));
        let (a, b) = (week.job("a").unwrap(), week.job("b").unwrap());
        assert_eq!((a.parts(), a.hours, b.parts(), b.hours), (4, 6, 1, 2));
        assert_eq!(a.arguments(""), ["run-matrix", "--matrix", "default", "--night"]);
        assert_eq!(b.arguments("/src/mm"), ["run-matrix", "--source", "7.3=/src/mm"]);
        assert_eq!(week.job("c").unwrap_err().exit, Exit::Usage);
        assert!("monday".parse::<Day>().is_err() && matches!("sun".parse(), Ok(Day::Sun)));
    }

    #[test]
    fn a_plan_that_cannot_be_run_is_refused_with_its_place() {
        let job = |more: &str| read(&format!("[[job]]\nname = \"a\"\n{more}")).unwrap_err();
        for (more, said) in [
            ("", "needs a `matrix`"),
            ("matrix = \"default\"\ncommand = [\"mutants\"]\n", "needs a `matrix`"),
            ("command = [\"mutants\"]\nparts = 2\n", "needs a `matrix`"),
            ("matrix = \"defualt\"\n", "there is no matrix `defualt`"),
            ("matrix = \"default\"\ndays = [\"monday\"]\n", "monday"),
            ("command = [\"mutants\"]\nvariable = \"TREE\"\n", "no word of `command` has `$TREE`"),
            ("matrix = \"default\"\n[[job]]\nname = \"a\"\nmatrix = \"default\"\n", "there twice"),
            (
                "matrix = \"default\"\nparts = 2\n[[job]]\nname = \"b\"\nmatrix = \"default\"\nparts = 3\n",
                "`a` and `b` run in parts on one night",
            ),
            (
                "matrix = \"default\"\n\
                 [[job]]\nname = \"b\"\nmatrix = \"default\"\ndays = [\"mon\"]\n",
                "`a` and `b` run one matrix on one night",
            ),
            ("command = [\"run-matrix\", \"--matrix\", \"defualt\"]\n", "no matrix `defualt`"),
            ("command = [\"mutants\", \"$TREE\"]\n", "`$TREE` needs `variable`"),
        ] {
            let told = job(more);
            assert!(
                told.contains(said) && told.starts_with("week.toml:"),
                "`{told}`, not `{said}`"
            );
        }
        for date in ["today", "2026-13-01", "2026-11-31", "+026-11-30"] {
            let said = read(&format!("accepted = \"{date}\"\n")).unwrap_err();
            assert!(said.contains("is no date"), "{said}");
        }
        assert!(read("").unwrap_err().contains("week.toml: the plan has no job"));
    }
}
