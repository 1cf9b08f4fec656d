// SPDX-License-Identifier: MIT OR Apache-2.0
//! A series that is named on the command line -> the kernel [`OWN`], as a config file would have said it.
//!
//! It builds in the tree of the kernel it is like, as a mutant does: only what the series touches is
//! compiled. With fragments of its own it has another configuration, and so a tree of its own; the
//! unpatched kernel beside it then has the same fragments and the same tree, so that the series is
//! the only difference.

use std::path::PathBuf;

use super::{Config, Kernel, did_you_mean, kernels};
use crate::exit::{Exit, Fault};
use crate::taxonomy::OWN;

/// What the command line says of somebody's own series.
#[derive(Clone, Debug, Default)]
pub(crate) struct Own {
    /// `--base`: what it stands on; that of `like`, or of the matrix's baseline, if unset.
    pub(crate) base: Option<String>,
    /// `--like`: kernel whose fragments, policies and expectations hold of it; the baseline if unset.
    pub(crate) like: Option<String>,
    /// The patches, absolute, in order.
    pub(crate) patches: Vec<PathBuf>,
    /// `--fragment`, absolute.
    pub(crate) fragments: Vec<PathBuf>,
}

impl Config {
    /// Adds the kernel [`OWN`] and makes `matrix` hold it beside the unpatched kernel of its base, whose
    /// name is given back.
    pub(crate) fn add_own(&mut self, own: Own, matrix: &str) -> Result<String, Fault> {
        let Own { base, like, patches, fragments } = own;
        if self.kernels.contains_key(OWN) {
            let what = format!("configs/kernels/{OWN}.toml: --series makes a kernel of that name");
            return Err(
                Fault::new(Exit::Usage, what).hint("rename the file, or leave --series out")
            );
        }
        let like = like.map(|name| self.kernel(&name).cloned()).transpose()?;
        let base = match (base, &like) {
            (Some(base), _) => self.base(&base)?.name.clone(),
            (None, Some(like)) => like.base.clone(),
            (None, None) => self.base_of(matrix)?,
        };
        let mut baseline = self.unpatched(&base, like.as_ref(), matrix)?.clone();
        let mut kernel = Kernel {
            name: OWN.to_owned(),
            series: None,
            extra_patches: patches,
            gone: self.base(&base)?.gone.clone(),
            base,
            ..like.unwrap_or_else(|| baseline.clone())
        };
        if kernel.policies.iter().all(|policy| policy.name == super::MAINLINE) {
            kernel.policies = vec![kernels::mainline(true)];
        }
        if !fragments.is_empty() {
            for kernel in [&mut baseline, &mut kernel] {
                OWN.clone_into(&mut kernel.tree);
                kernel.own_fragments.clone_from(&fragments);
            }
        }
        self.matrix(matrix)?;
        if let Some(matrix) = self.matrices.get_mut(matrix) {
            matrix.kernels = vec![baseline.name.clone(), OWN.to_owned()];
            matrix.baseline = Some(baseline.name.clone());
        }
        let name = baseline.name.clone();
        self.kernels.insert(OWN.to_owned(), kernel);
        self.kernels.insert(name.clone(), baseline);
        Ok(name)
    }

    /// What the matrix's kernels stand on.
    fn base_of(&self, matrix: &str) -> Result<String, Fault> {
        let matrix = self.matrix(matrix)?;
        Ok(self.kernel(matrix.baseline.as_ref().unwrap_or(&matrix.kernels[0]))?.base.clone())
    }

    /// The kernel without patches to hold a series on `base` beside: the one it is like, the matrix's baseline,
    /// or the only one there is.
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
                    0 => "add one to configs/kernels, as baseline.toml is".to_owned(),
                    _ => format!("name one with --like; {}", did_you_mean(base, names)),
                }))
            }
        }
    }
}
