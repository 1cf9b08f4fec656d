// SPDX-License-Identifier: MIT OR Apache-2.0
//! `extends = "…"`: what a file inherits from another one of its kind.
//!
//! One step only: a chain would hide what a kernel is built from, or what a matrix runs.

use std::collections::BTreeMap;

use toml::Spanned;

use super::place::{Text, known};
use super::raw;
use crate::exit::Fault;

/// A kind of file that may extend another one of its kind.
pub(super) trait Extends {
    /// What messages call it.
    const KIND: &'static str;
    /// The name it extends.
    fn extends(&self) -> Option<&Spanned<String>>;
}

impl Extends for raw::Kernel {
    const KIND: &'static str = "kernel";
    fn extends(&self) -> Option<&Spanned<String>> {
        self.extends.as_ref()
    }
}

impl Extends for raw::Matrix {
    const KIND: &'static str = "matrix";
    fn extends(&self) -> Option<&Spanned<String>> {
        self.extends.as_ref()
    }
}

/// The files of one kind, by name.
pub(super) type Raw<'a, T> = BTreeMap<String, (&'a Text, T)>;

/// A file with what it says.
pub(super) type Parent<'a, T> = Option<(&'a Text, &'a T)>;

/// What this file extends, if anything.
pub(super) fn parent_of<'a, T: Extends>(
    text: &Text,
    raw: &T,
    all: &'a Raw<'_, T>,
) -> Result<Parent<'a, T>, Fault> {
    let Some(extends) = raw.extends() else { return Ok(None) };
    let (parent_text, parent) = known(text, T::KIND, extends, all)?;
    if parent.extends().is_some() {
        let what = format!("`{}` extends another {} itself", extends.get_ref(), T::KIND);
        let hint = format!("extend the {} that it extends", T::KIND);
        return Err(text.fault(extends.span(), what).hint(hint));
    }
    Ok(Some((parent_text, parent)))
}

/// The value that a file gives or inherits, with the file it stands in: a fault must show that one.
pub(super) fn own_or_inherited<'a, T, V>(
    own: (&'a Text, &'a T),
    parent: Parent<'a, T>,
    value: impl Fn(&'a T) -> Option<&'a V>,
) -> Option<(&'a Text, &'a V)> {
    let of = |(text, raw): (&'a Text, &'a T)| value(raw).map(|value| (text, value));
    of(own).or_else(|| parent.and_then(of))
}
