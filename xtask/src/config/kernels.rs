// SPDX-License-Identifier: MIT OR Apache-2.0
//! Raw kernels -> checked kernels, with what an extending kernel inherits.
//!
//! One step of `extends` only: a chain would hide what a kernel is built from.

use std::collections::BTreeMap;
use std::path::PathBuf;

use protocol::MemcgWrite;
use toml::Spanned;

use super::extends::{Parent, Raw, own_or_inherited, parent_of};
use super::place::{Text, did_you_mean, known, words};
use super::{Base, Kernel, MAINLINE, Needed, Policy, name_fits, raw};
use crate::exit::Fault;

/// A kernel that is slower still is not worth waiting for.
const SLOWDOWN_MAX: u32 = 50;

/// What there is to refer to.
pub(super) struct Known<'a> {
    pub(super) bases: &'a BTreeMap<String, Base>,
    pub(super) fragments: &'a [String],
}

/// The kernels by name, and the files that each is built from.
type Checked = (BTreeMap<String, Kernel>, BTreeMap<String, Vec<Needed>>);

/// Checks every kernel; an extending one after reading the one it extends.
pub(super) fn check(texts: &[Text], refer: &Known<'_>) -> Result<Checked, Fault> {
    let mut all = Raw::new();
    for text in texts {
        name_fits(text)?;
        all.insert(text.name.clone(), (text, text.parse()?));
    }
    let (mut kernels, mut needed) = (BTreeMap::new(), BTreeMap::new());
    for (name, (text, raw)) in &all {
        let parent = parent_of(text, raw, &all)?;
        kernels.insert(name.clone(), kernel(text, raw, parent, refer)?);
        let inherited = parent.filter(|_| raw.series.is_none());
        let (series_text, series) = match inherited {
            Some((text, parent)) => (text, &parent.series),
            None => (*text, &raw.series),
        };
        let mut files: Vec<Needed> = Vec::new();
        files.extend(series.iter().map(|path| need(series_text, path, "series")));
        files.extend(raw.extra_patches.iter().map(|path| need(text, path, "")));
        needed.insert(name.clone(), files);
    }
    Ok((kernels, needed))
}

fn need(text: &Text, path: &Spanned<String>, file: &str) -> Needed {
    let full = PathBuf::from(path.get_ref());
    let path_wanted = if file.is_empty() { full } else { full.join(file) };
    Needed {
        fault: text.fault(path.span(), format!("{} does not exist", path_wanted.display())).what,
        path: path_wanted,
    }
}

fn kernel(
    text: &Text,
    raw: &raw::Kernel,
    parent: Parent<'_, raw::Kernel>,
    refer: &Known<'_>,
) -> Result<Kernel, Fault> {
    macro_rules! own_or_inherited {
        ($key:ident) => {
            own_or_inherited((text, raw), parent, |raw| raw.$key.as_ref())
        };
    }
    let missing = |key| text.fault_all(format!("a kernel that extends no other needs `{key}`"));
    let (at, base) = own_or_inherited!(base).ok_or_else(|| missing("base"))?;
    let gone = known(at, "base", base, refer.bases)?.gone.clone();
    let (at, names) = own_or_inherited!(fragments).ok_or_else(|| missing("fragments"))?;
    let fragments = fragments(at, names, refer.fragments)?;
    let series = own_or_inherited!(series).map(|(_, series)| PathBuf::from(series.get_ref()));
    let patched = series.is_some() || !raw.extra_patches.is_empty();
    let policies = match own_or_inherited!(policy) {
        Some((at, given)) => policies(at, given)?,
        None => vec![mainline(patched)],
    };
    // Another base, series or configuration compiles everything anew: such a tree is not shared.
    let shares = raw.base.is_none()
        && raw.series.is_none()
        && raw.fragments.is_none()
        && raw.compiler.is_none();
    let tree = raw.extends.as_ref().filter(|_| shares).map_or(&text.name, |name| name.get_ref());
    let file = |found: Option<(&Text, &Spanned<String>)>| {
        found.map(|(at, file)| memcg_file(at, file)).transpose()
    };
    let counters_file = file(own_or_inherited!(counters_file))?;
    if let (Some(counters), false) = (&raw.counters_file, patched) {
        return Err(text.fault(counters.span(), "an unpatched kernel has no counters of a patch"));
    }
    Ok(Kernel {
        name: text.name.clone(),
        base: base.get_ref().clone(),
        series,
        extra_patches: raw.extra_patches.iter().map(|path| path.get_ref().into()).collect(),
        tree: tree.clone(),
        fragments,
        user_fragments: Vec::new(),
        gone,
        policies: selected(text, raw.policies.as_ref(), policies)?,
        counters_file,
        cap_file: file(own_or_inherited!(cap_file))?,
        cmdline: match own_or_inherited!(cmdline) {
            Some((at, given)) => words(at, given)?,
            None => Vec::new(),
        },
        compiler: own_or_inherited!(compiler).map(|(_, own)| *own.get_ref()).unwrap_or_default(),
        slowdown: own_or_inherited!(slowdown).map_or(Ok(1), |(at, own)| slowdown(at, own))?,
    })
}

fn fragments(text: &Text, names: &[Spanned<String>], all: &[String]) -> Result<Vec<String>, Fault> {
    for name in names {
        if !all.contains(name.get_ref()) {
            let what = format!("unknown fragment `{}`", name.get_ref());
            let hint = did_you_mean(name.get_ref(), all.iter().map(String::as_str));
            return Err(text.fault(name.span(), what).hint(hint));
        }
    }
    Ok(names.iter().map(|name| name.get_ref().clone()).collect())
}

impl Kernel {
    /// The same kernel with only these patches of its series, `count` of them, run as an unpatched
    /// one: its files need not be there yet. Its tree is not that of the whole series, which would
    /// be compiled anew.
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
}

impl Kernel {
    /// Whether anything is patched in it.
    pub(crate) fn patched(&self) -> bool {
        self.series.is_some() || !self.extra_patches.is_empty()
    }

    /// Whether the other one is compiled from the same, so that addresses in one are those in the other.
    pub(crate) fn same_code(&self, other: &Self) -> bool {
        let of = |kernel: &Self| {
            (
                kernel.base.clone(),
                kernel.series.clone(),
                kernel.extra_patches.clone(),
                kernel.fragments.clone(),
                kernel.user_fragments.clone(),
                kernel.compiler,
            )
        };
        of(self) == of(other)
    }
}

fn slowdown(text: &Text, given: &Spanned<u32>) -> Result<u32, Fault> {
    match *given.get_ref() {
        number @ 1..=SLOWDOWN_MAX => Ok(number),
        _ => {
            let what = format!("`slowdown` must be from 1 to {SLOWDOWN_MAX}");
            Err(text.fault(given.span(), what))
        }
    }
}

/// The one policy of a kernel that has none. What patches do to it nobody has stated.
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

fn policies(text: &Text, given: &Spanned<Vec<raw::Policy>>) -> Result<Vec<Policy>, Fault> {
    let mut policies: Vec<Policy> = Vec::new();
    for raw in given.get_ref() {
        let name = raw.name.get_ref();
        if policies.iter().any(|policy| policy.name == *name) {
            return Err(text.fault(raw.name.span(), format!("policy `{name}` is given twice")));
        }
        if let Err(why) = super::fits_folder(name) {
            return Err(text.fault(raw.name.span(), why));
        }
        let writes = raw.write.iter().map(|(file, value)| {
            Ok(MemcgWrite { file: memcg_file(text, file)?, value: value.clone() })
        });
        policies.push(Policy {
            name: name.clone(),
            expects_as: raw.expects_as.clone().unwrap_or_else(|| name.clone()),
            optional: raw.optional,
            or_better: false,
            writes: writes.collect::<Result<_, Fault>>()?,
            cmdline: words(text, &raw.cmdline)?,
        });
    }
    if policies.is_empty() {
        return Err(text.fault(given.span(), "no policy is given").hint("leave `policy` out"));
    }
    Ok(policies)
}

/// A name in the memcg's own folder: a path would let a config write anywhere in the guest.
pub(super) fn memcg_file(text: &Text, file: &Spanned<String>) -> Result<String, Fault> {
    let name = file.get_ref();
    if name.is_empty() || name.contains('/') {
        return Err(text.fault(file.span(), format!("`{name}` is no file name in a memcg")));
    }
    Ok(name.clone())
}

fn selected(
    text: &Text,
    names: Option<&Spanned<Vec<Spanned<String>>>>,
    all: Vec<Policy>,
) -> Result<Vec<Policy>, Fault> {
    let Some(names) = names else { return Ok(all) };
    if names.get_ref().is_empty() {
        return Err(text.fault(names.span(), "no policy is selected").hint("leave `policies` out"));
    }
    let by_name: BTreeMap<String, Policy> =
        all.into_iter().map(|policy| (policy.name.clone(), policy)).collect();
    names.get_ref().iter().map(|name| known(text, "policy", name, &by_name).cloned()).collect()
}
