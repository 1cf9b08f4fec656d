// SPDX-License-Identifier: MIT OR Apache-2.0
//! Where the libraries of a program are on this machine, as `ld.so` would find them.

use std::fs;
use std::path::{Path, PathBuf};

use super::elf;
use crate::host::file;

/// Where Debian's and other systems' `ld.so` looks by itself.
const DEFAULTS: [&str; 6] = [
    "/lib/x86_64-linux-gnu",
    "/usr/lib/x86_64-linux-gnu",
    "/lib64",
    "/usr/lib64",
    "/lib",
    "/usr/lib",
];

/// Lists of more folders, beside those in `/etc/ld.so.conf.d`.
const CONF: &str = "/etc/ld.so.conf";
const CONF_FOLDER: &str = "/etc/ld.so.conf.d";

/// Folders to search for every program, the first one first. `own` are the user's
/// (`LD_LIBRARY_PATH`).
pub(super) fn folders(own: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(CONF_FOLDER).into_iter().flatten().flatten();
    let mut lists: Vec<PathBuf> = entries.map(|entry| entry.path()).collect();
    lists.sort();
    lists.push(CONF.into());
    let texts = lists.iter().filter_map(|path| file::text(path).ok());
    let listed: Vec<String> = texts.flat_map(|text| in_conf(&text)).collect();
    let own = own.split(':').filter(|folder| folder.starts_with('/'));
    own.map(PathBuf::from)
        .chain(listed.iter().map(PathBuf::from))
        .chain(DEFAULTS.map(PathBuf::from))
        .collect()
}

fn in_conf(text: &str) -> Vec<String> {
    let lines = text.lines().map(|line| line.split('#').next().unwrap_or_default().trim());
    lines.filter(|line| line.starts_with('/')).map(str::to_owned).collect()
}

/// The library of this name for a file that itself is at `user` and names `own` folders.
pub(super) fn find(name: &str, user: &Path, own: &[String], all: &[PathBuf]) -> Option<PathBuf> {
    if name.contains('/') {
        return Some(PathBuf::from(name)).filter(|path| is_library(path));
    }
    let origin = user.parent().unwrap_or(Path::new("/")).display().to_string();
    let at = |folder: &String| {
        PathBuf::from(folder.replace("$ORIGIN", &origin).replace("${ORIGIN}", &origin))
    };
    let folders = own.iter().map(at).chain(all.iter().cloned());
    folders.map(|folder| folder.join(name)).find(|path| is_library(path))
}

/// Whether the guest can load it: folders may have those of other machines.
fn is_library(path: &Path) -> bool {
    file::bytes(path).is_ok_and(|bytes| bytes.starts_with(elf::MAGIC) && elf::read(&bytes).is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_library_is_found_where_the_program_says_and_then_where_all_are() {
        let dir = tempfile::tempdir().unwrap();
        let real = find("libc.so.6", Path::new("/bin/sh"), &[], &folders("")).unwrap();
        assert!(real.ends_with("libc.so.6"), "{real:?}");
        let lib = dir.path().join("lib");
        fs::create_dir(&lib).unwrap();
        fs::copy(&real, lib.join("libc.so.6")).unwrap();
        fs::write(lib.join("libtext.so"), "no library").unwrap();
        let user = dir.path().join("program");
        let own = ["$ORIGIN/lib".to_owned()];
        let found = |name| find(name, &user, &own, &folders(""));
        assert_eq!(found("libc.so.6"), Some(lib.join("libc.so.6")));
        assert_eq!((found("libtext.so"), found("libnone.so.9")), (None, None));
        assert_eq!(in_conf("# x\n/a  # y\ninclude b\n\n/c"), ["/a", "/c"]);
    }
}
