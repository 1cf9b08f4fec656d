// SPDX-License-Identifier: MIT OR Apache-2.0
//! The functions around changed ones in the code of a kernel. The linker keeps the functions of a
//! file together, and the files of a folder: what is near does something related.

use std::collections::BTreeSet;

use super::image::Image;

/// Functions on each side; `mm/memcontrol.c` has some 300.
const SIDE: usize = 200;

/// Names of the functions around those that `changed` names, with them, in the kernel `vmlinux`.
///
/// # Errors
/// No kernel with symbols.
pub(crate) fn near(vmlinux: &[u8], changed: &BTreeSet<&str>) -> anyhow::Result<BTreeSet<String>> {
    let image = Image::read(vmlinux)?;
    let whole = image.functions.iter().filter_map(|(name, parts)| {
        let part = parts.iter().find(|part| part.made.is_empty())?;
        Some((part.begin, name.name))
    });
    Ok(around(whole.collect(), changed))
}

/// The same, of functions with their addresses.
fn around(functions: BTreeSet<(u64, &str)>, changed: &BTreeSet<&str>) -> BTreeSet<String> {
    let names: Vec<&str> = functions.into_iter().map(|(_, name)| name).collect();
    let at = names.iter().enumerate().filter(|(_, name)| changed.contains(*name));
    let sides = at.flat_map(|(at, _)| at.saturating_sub(SIDE)..names.len().min(at + SIDE + 1));
    sides.map(|at| names[at].to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_near_is_on_both_sides_of_each_function() {
        let names: Vec<String> = (0..1000).map(|number| format!("f{number:03}")).collect();
        let functions = names.iter().enumerate().map(|(at, name)| (at as u64 * 16, name.as_str()));
        let functions: BTreeSet<(u64, &str)> = functions.collect();
        let of = |changed: &[&str]| -> Vec<String> {
            around(functions.clone(), &changed.iter().copied().collect()).into_iter().collect()
        };
        assert_eq!(of(&["f500"]), names[300..=700]);
        assert_eq!(of(&["f010", "gone"]), names[..=210]);
        assert_eq!(of(&["f000", "f999"]), [&names[..=200], &names[799..]].concat());
    }
}
