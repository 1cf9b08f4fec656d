// SPDX-License-Identifier: MIT OR Apache-2.0
//! The user's series (`--series`) -> the kernel [`USER_SERIES`], as a config file would describe
//! it.
//!
//! It builds in the tree of the kernel it is like, as a mutant does, so that only what the series
//! touches is compiled. With `--fragment` the configuration differs: then it has a tree of its own,
//! which the unpatched kernel shares, with the same fragments. The series stays the only
//! difference.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::{Config, Kernel, did_you_mean, kernels};
use crate::exit::{Exit, Fault};
use crate::taxonomy::USER_SERIES;

/// What the command line says of the user's series. `F` is a file of it: its path, or its content.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct UserSeries<F = PathBuf> {
    /// `--base`; if unset, the base of `like` or of the matrix's baseline.
    pub(crate) base: Option<String>,
    /// `--like`: kernel whose fragments, policies and expectations apply; the baseline if unset.
    pub(crate) like: Option<String>,
    /// `--fuzz`: a hunk may need fuzz, or go into another function than its heading names.
    #[serde(default)]
    pub(crate) fuzz: bool,
    /// The patches, in order; paths are absolute.
    pub(crate) patches: Vec<F>,
    /// `--fragment`; paths are absolute.
    pub(crate) fragments: Vec<F>,
}

impl<F> UserSeries<F> {
    /// The same series with its files in another form.
    ///
    /// # Errors
    /// The first error of `form`.
    pub(crate) fn map_files<G, E>(
        &self,
        form: impl Fn(&[F]) -> Result<Vec<G>, E>,
    ) -> Result<UserSeries<G>, E> {
        Ok(UserSeries {
            base: self.base.clone(),
            like: self.like.clone(),
            fuzz: self.fuzz,
            patches: form(&self.patches)?,
            fragments: form(&self.fragments)?,
        })
    }
}

impl Config {
    /// Adds the kernel [`USER_SERIES`] and makes `matrix` compare it with the unpatched kernel of
    /// its base. Returns the name of that kernel.
    ///
    /// # Errors
    /// [`Exit::Usage`] for an unknown name, or if no single unpatched kernel can be chosen.
    pub(crate) fn add_user_series(
        &mut self,
        series: UserSeries,
        matrix: &str,
    ) -> Result<String, Fault> {
        let UserSeries { base, like, fuzz, patches, fragments } = series;
        if self.kernels.contains_key(USER_SERIES) {
            let what =
                format!("configs/kernels/{USER_SERIES}.toml: --series makes a kernel of that name");
            return Err(
                Fault::new(Exit::Usage, what).hint("rename the file, or do not give --series")
            );
        }
        self.no_debugging(matrix)?;
        let like = like.map(|name| self.kernel(&name).cloned()).transpose()?;
        let base = match (base, &like) {
            (Some(base), _) => self.base(&base)?.name.clone(),
            (None, Some(like)) => like.base.clone(),
            (None, None) => self.base_of(matrix)?,
        };
        let mut baseline = self.unpatched(&base, like.as_ref(), matrix)?.clone();
        let mut kernel = Kernel {
            name: USER_SERIES.to_owned(),
            series: None,
            extra_patches: patches,
            fuzz,
            gone: self.base(&base)?.gone.clone(),
            base,
            ..like.unwrap_or_else(|| baseline.clone())
        };
        if kernel.policies.iter().all(|policy| policy.name == super::MAINLINE) {
            kernel.policies = vec![kernels::mainline(true)];
        }
        if !fragments.is_empty() {
            for kernel in [&mut baseline, &mut kernel] {
                USER_SERIES.clone_into(&mut kernel.tree);
                kernel.user_fragments.clone_from(&fragments);
            }
        }
        self.matrix(matrix)?;
        if let Some(matrix) = self.matrices.get_mut(matrix) {
            matrix.kernels = vec![baseline.name.clone(), USER_SERIES.to_owned()];
            matrix.baseline = Some(baseline.name.clone());
        }
        let name = baseline.name.clone();
        self.kernels.insert(USER_SERIES.to_owned(), kernel);
        self.kernels.insert(name.clone(), baseline);
        Ok(name)
    }

    /// Refuses a matrix of debugging kernels: a series would run in it on none of them.
    fn no_debugging(&self, matrix: &str) -> Result<(), Fault> {
        let mut kernels = self.matrix(matrix)?.kernels.iter().filter_map(|it| self.kernels.get(it));
        if !kernels.all(|kernel| kernel.slowdown > 1) {
            return Ok(());
        }
        let what = format!(
            "matrix `{matrix}` has debugging kernels only, and --series would run on none of them"
        );
        Err(Fault::new(Exit::Usage, what).hint(
            "for lockdep: --matrix full --fragment configs/fragments/lockdep.config (both kernels \
             get the symbols)",
        ))
    }

    /// Base of the matrix's baseline.
    fn base_of(&self, matrix: &str) -> Result<String, Fault> {
        let matrix = self.matrix(matrix)?;
        Ok(self.kernel(matrix.baseline.as_ref().unwrap_or(&matrix.kernels[0]))?.base.clone())
    }

    /// The unpatched kernel to compare a series on `base` with: `like`, the matrix's baseline, or
    /// the only one there is.
    fn unpatched(&self, base: &str, like: Option<&Kernel>, matrix: &str) -> Result<&Kernel, Fault> {
        let fits = |kernel: &&Kernel| kernel.base == base && !kernel.patched();
        let chosen = self.matrix(matrix)?.baseline.as_ref().and_then(|name| self.kernels.get(name));
        let like = like.and_then(|like| self.kernels.get(&like.name));
        if let Some(chosen) = like.filter(fits).or(chosen.filter(fits)) {
            return Ok(chosen);
        }
        let all: Vec<&Kernel> = self.kernels.values().filter(fits).collect();
        match all[..] {
            [one] => Ok(one),
            _ => {
                let what = format!("base {base} has {} unpatched kernels, not one", all.len());
                let names = all.iter().map(|kernel| kernel.name.as_str());
                Err(Fault::new(Exit::Usage, what).hint(match all.len() {
                    0 => "add one to configs/kernels; baseline.toml is an example".to_owned(),
                    _ => format!("name one with --like; {}", did_you_mean(base, names)),
                }))
            }
        }
    }
}
