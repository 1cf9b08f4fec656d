// SPDX-License-Identifier: MIT OR Apache-2.0
//! Kernels, as `configs/kernels/*.toml` has them, with what an extending kernel inherits.

use std::collections::BTreeMap;
use std::path::PathBuf;

use protocol::MemcgWrite;
use serde::Deserialize;

use super::place::{At, Inherit, Source, Text};
use super::value::{self, MemcgFile};
use super::{Base, Config, Gone, MAINLINE, Needed, name_fits};
use crate::exit::Fault;

/// What one build makes (`configs/kernels/<name>.toml`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Kernel {
    /// For example `overcharge`.
    pub(crate) name: String,
    /// Name of its [`Base`].
    pub(crate) base: String,
    /// Folder with a `series` file, relative to the workspace; `None` for an unpatched kernel.
    pub(crate) series: Option<PathBuf>,
    /// Patches on top of the series (a mutant's one bug), relative to the workspace.
    pub(crate) extra_patches: Vec<PathBuf>,
    /// Whether hunks may need fuzz, or go into another function than their heading names.
    pub(crate) fuzz: bool,
    /// Kernel whose work tree it builds in, so that only what differs is compiled.
    pub(crate) tree: String,
    /// Fragments in `configs/fragments`, without `.config`, in order.
    pub(crate) fragments: Vec<String>,
    /// The user's fragments, absolute. An unpatched kernel leaves out symbols it does not have.
    pub(crate) user_fragments: Vec<PathBuf>,
    /// Symbols that fragments ask for and its base no longer has.
    pub(crate) gone: Vec<Gone>,
    /// Policies it can run under; exactly one, `mainline`, where it has none.
    pub(crate) policies: Vec<Policy>,
    /// Flat-keyed counters file of the patch in a memcg.
    pub(crate) counters_file: Option<String>,
    /// File with the cap in bytes in a memcg.
    pub(crate) cap_file: Option<String>,
    /// Words of its command line, after the matrix's.
    pub(crate) cmdline: Vec<String>,
    /// Compiler of its C code.
    pub(crate) compiler: Compiler,
    /// How many times its checks make it slower than a kernel without them, at least 1.
    pub(crate) slowdown: u32,
}

/// A C compiler. KASAN with Rust needs clang (`depends on !KASAN || CC_IS_CLANG` in init/Kconfig).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Compiler {
    /// GNU.
    #[default]
    Gcc,
    /// LLVM.
    Clang,
}

/// Run-time behaviour of a kernel: what is written into the limited memcg, or set at boot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Policy {
    /// `mainline`, `off`, `overcharge`, …
    pub(crate) name: String,
    /// Which of a scenario's expectations applies: `off` expects what `mainline` does.
    pub(crate) expects_as: String,
    /// Runs only in scenarios that state an expectation of it.
    pub(crate) optional: bool,
    /// No expectation is stated of this kernel: it may do better than the one used, never worse.
    pub(crate) or_better: bool,
    /// Writes that switch it on.
    pub(crate) writes: Vec<MemcgWrite>,
    /// Words of the kernel command line that switch it on.
    pub(crate) cmdline: Vec<String>,
}

/// A file of `configs/kernels`, with what it inherits.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    #[serde(rename = "extends")]
    _extends: Option<String>,
    base: Option<At<String>>,
    series: Option<At<PathBuf>>,
    #[serde(default)]
    extra_patches: Vec<At<PathBuf>>,
    fragments: Option<At<Vec<At<String>>>>,
    policies: Option<At<Vec<At<String>>>>,
    policy: Option<At<Vec<PolicyTable>>>,
    counters_file: Option<At<MemcgFile>>,
    cap_file: Option<MemcgFile>,
    #[serde(default, deserialize_with = "value::cmdline")]
    cmdline: Vec<String>,
    compiler: Option<At<Compiler>>,
    /// A kernel that is slower still is not worth waiting for.
    #[serde(default = "value::one", deserialize_with = "value::within::<_, _, 1, 50>")]
    slowdown: u32,
}

impl Inherit for Table {
    const KIND: &'static str = "kernel";
    const NOT_INHERITED: &'static [&'static str] = &["extra_patches", "policies"];
}

/// `[[policy]]`
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct PolicyTable {
    name: At<String>,
    expects_as: Option<String>,
    #[serde(default)]
    optional: bool,
    #[serde(default, deserialize_with = "value::writes")]
    write: Vec<MemcgWrite>,
    #[serde(default, deserialize_with = "value::cmdline")]
    cmdline: Vec<String>,
}

/// Checks every kernel and adds it, with the files that it is built from.
pub(super) fn add(texts: &[Text], fragments: &[String], config: &mut Config) -> Result<(), Fault> {
    texts.iter().try_for_each(name_fits)?;
    let fragments = fragments.iter().map(|name| (name.clone(), ())).collect();
    for (source, table) in Source::read_all::<Table>(texts)? {
        let need = |at: &At<PathBuf>, path: PathBuf| {
            let fault = source.fault(at, format!("{} does not exist", path.display())).what;
            Needed { path, fault }
        };
        let series = table.series.iter().map(|series| need(series, series.join("series")));
        let extra = table.extra_patches.iter().map(|path| need(path, (**path).clone()));
        let name = source.name().to_owned();
        config.needed.insert(name.clone(), series.chain(extra).collect());
        config.kernels.insert(name, kernel(&source, table, &config.bases, &fragments)?);
    }
    Ok(())
}

fn kernel(
    source: &Source<'_>,
    table: Table,
    bases: &BTreeMap<String, Base>,
    known: &BTreeMap<String, ()>,
) -> Result<Kernel, Fault> {
    let missing =
        |key| source.fault_all(format!("a kernel that does not extend another needs `{key}`"));
    // Another base, series or configuration recompiles everything: such a tree is not shared.
    let shares = table.base.as_ref().is_none_or(|base| source.inherits(base))
        && table.series.as_ref().is_none_or(|series| source.inherits(series))
        && table.fragments.as_ref().is_none_or(|names| source.inherits(names))
        && table.compiler.as_ref().is_none_or(|compiler| source.inherits(compiler));
    let base = table.base.ok_or_else(|| missing("base"))?;
    let fragments = table.fragments.ok_or_else(|| missing("fragments"))?;
    fragments.iter().try_for_each(|name| source.known("fragment", name, known).copied())?;
    let patched = table.series.is_some() || !table.extra_patches.is_empty();
    let policies = match table.policy {
        Some(given) => policies(source, given)?,
        None => vec![mainline(patched)],
    };
    if let (Some(counters), false) = (&table.counters_file, patched) {
        return Err(source.fault(counters, "an unpatched kernel has no counters of a patch"));
    }
    Ok(Kernel {
        name: source.name().to_owned(),
        gone: source.known("base", &base, bases)?.gone.clone(),
        base: base.into_inner(),
        series: table.series.map(At::into_inner),
        extra_patches: table.extra_patches.into_iter().map(At::into_inner).collect(),
        tree: source.extends().filter(|_| shares).unwrap_or(source.name()).to_owned(),
        fragments: fragments.into_inner().into_iter().map(At::into_inner).collect(),
        fuzz: false,
        user_fragments: Vec::new(),
        policies: selected(source, table.policies, policies)?,
        counters_file: table.counters_file.map(|file| file.into_inner().0),
        cap_file: table.cap_file.map(|file| file.0),
        cmdline: table.cmdline,
        compiler: table.compiler.map(At::into_inner).unwrap_or_default(),
        slowdown: table.slowdown,
    })
}

impl Kernel {
    /// The same kernel with only the first `count` patches of its series, run as an unpatched one:
    /// its files need not exist yet. It has its own tree: that of the whole series would be
    /// recompiled.
    pub(crate) fn step(&self, count: usize, patches: Vec<PathBuf>) -> Self {
        Self {
            name: format!("{}-step-{count:02}", self.name),
            series: None,
            extra_patches: patches,
            tree: format!("{}-steps", self.name),
            policies: vec![mainline(self.policies.iter().any(|policy| policy.or_better))],
            counters_file: None,
            cap_file: None,
            ..self.clone()
        }
    }

    /// Whether anything is patched in it.
    pub(crate) fn patched(&self) -> bool {
        self.series.is_some() || !self.extra_patches.is_empty()
    }

    /// Whether both are compiled from the same code, so that they have the same addresses.
    pub(crate) fn same_code(&self, other: &Self) -> bool {
        (&self.base, &self.series, &self.extra_patches, self.compiler)
            == (&other.base, &other.series, &other.extra_patches, other.compiler)
            && (&self.fragments, &self.user_fragments) == (&other.fragments, &other.user_fragments)
    }
}

/// The one policy of a kernel that has none. No expectation is stated of a patched one.
pub(super) fn mainline(patched: bool) -> Policy {
    Policy {
        name: MAINLINE.to_owned(),
        expects_as: MAINLINE.to_owned(),
        optional: false,
        or_better: patched,
        writes: Vec::new(),
        cmdline: Vec::new(),
    }
}

fn policies(source: &Source<'_>, given: At<Vec<PolicyTable>>) -> Result<Vec<Policy>, Fault> {
    if given.is_empty() {
        return Err(source.fault(&given, "no policy is given").hint("leave `policy` out"));
    }
    let mut policies: Vec<Policy> = Vec::new();
    for PolicyTable { name, expects_as, optional, write, cmdline } in given.into_inner() {
        if policies.iter().any(|policy| policy.name == *name) {
            return Err(source.fault(&name, format!("policy `{}` is given twice", *name)));
        }
        super::fits_folder(&name).map_err(|why| source.fault(&name, why))?;
        policies.push(Policy {
            expects_as: expects_as.unwrap_or_else(|| name.to_string()),
            name: name.into_inner(),
            optional,
            or_better: false,
            writes: write,
            cmdline,
        });
    }
    Ok(policies)
}

fn selected(
    source: &Source<'_>,
    names: Option<At<Vec<At<String>>>>,
    all: Vec<Policy>,
) -> Result<Vec<Policy>, Fault> {
    let Some(names) = names else { return Ok(all) };
    if names.is_empty() {
        return Err(source.fault(&names, "no policy is selected").hint("leave `policies` out"));
    }
    let by_name = all.into_iter().map(|policy| (policy.name.clone(), policy)).collect();
    names.iter().map(|name| source.known("policy", name, &by_name).cloned()).collect()
}
