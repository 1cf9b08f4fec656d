// SPDX-License-Identifier: MIT OR Apache-2.0
//! The guest's initramfs: an uncompressed cpio archive in the kernel's `newc` format. Pure.
//!
//! Contract: the same binary gives the same bytes (no times, fixed inode numbers). It is not
//! compressed: emulated CPUs copy the guest's 2 MiB faster than they inflate them. The format is in
//! the kernel's `Documentation/driver-api/early-userspace/buffer-format.rst`.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Write};

/// What is packed beside PID 1, by its absolute path in the guest.
pub(crate) type Tree = BTreeMap<String, Node>;

/// An entry of a [`Tree`]; folders follow from the paths.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Node {
    /// A program.
    Program(Vec<u8>),
    /// Another file.
    File(Vec<u8>),
    /// A symbolic link to this path.
    Link(String),
}

/// Writes the archive that boots `init` as PID 1, with what it may use.
///
/// It needs `/dev/console`: the kernel opens it for PID 1 before anything is mounted. Without it,
/// PID 1 has no stdout.
pub(super) fn write(out: impl Write, init: &[u8], tree: &Tree) -> io::Result<()> {
    let mut archive = Archive { out, inode: 0 };
    archive.directory("dev")?;
    archive.character_device("dev/console", 5, 1)?;
    archive.file("init", 0o755, init)?;
    archive.tree(tree)
}

/// Writes an archive to go after another: the kernel unpacks both.
pub(super) fn write_more(out: impl Write, tree: &Tree) -> io::Result<()> {
    Archive { out, inode: 0 }.tree(tree)
}

struct Archive<W> {
    out: W,
    inode: u32,
}

const DIRECTORY: u32 = 0o040_000;
const CHARACTER_DEVICE: u32 = 0o020_000;
const REGULAR: u32 = 0o100_000;
const LINK: u32 = 0o120_000;

impl<W: Write> Archive<W> {
    fn tree(mut self, tree: &Tree) -> io::Result<()> {
        let mut folders = BTreeSet::from(["dev"]);
        for (path, node) in tree {
            let path = path.trim_start_matches('/');
            for (at, _) in path.match_indices('/') {
                if folders.insert(&path[..at]) {
                    self.directory(&path[..at])?;
                }
            }
            match node {
                Node::Program(bytes) => self.file(path, 0o755, bytes)?,
                Node::File(bytes) => self.file(path, 0o644, bytes)?,
                Node::Link(to) => self.entry(path, LINK | 0o777, (0, 0), to.as_bytes())?,
            }
        }
        self.end()
    }

    fn directory(&mut self, path: &str) -> io::Result<()> {
        self.entry(path, DIRECTORY | 0o755, (0, 0), &[])
    }

    fn character_device(&mut self, path: &str, major: u32, minor: u32) -> io::Result<()> {
        self.entry(path, CHARACTER_DEVICE | 0o600, (major, minor), &[])
    }

    fn file(&mut self, path: &str, permissions: u32, data: &[u8]) -> io::Result<()> {
        self.entry(path, REGULAR | permissions, (0, 0), data)
    }

    fn end(mut self) -> io::Result<()> {
        self.entry("TRAILER!!!", 0, (0, 0), &[])?;
        self.out.flush()
    }

    fn entry(
        &mut self,
        path: &str,
        mode: u32,
        (major, minor): (u32, u32),
        data: &[u8],
    ) -> io::Result<()> {
        self.inode += 1;
        let too_long = |_| io::Error::new(io::ErrorKind::InvalidInput, format!("{path}: too long"));
        let data_bytes = u32::try_from(data.len()).map_err(too_long)?;
        let path_bytes = u32::try_from(path.len() + 1).map_err(too_long)?;
        write!(self.out, "070701")?;
        for field in [
            self.inode,
            mode,
            0,                                         // uid
            0,                                         // gid
            if mode & DIRECTORY == 0 { 1 } else { 2 }, // links
            0,                                         // time
            data_bytes,
            0, // device the file is on
            0,
            major,
            minor,
            path_bytes,
            0, // checksum, unused in this format
        ] {
            write!(self.out, "{field:08x}")?;
        }
        self.out.write_all(path.as_bytes())?;
        self.out.write_all(b"\0")?;
        self.pad(HEADER_BYTES + path.len() + 1)?;
        self.out.write_all(data)?;
        self.pad(data.len())
    }

    /// Every header and every file begins at a multiple of four.
    fn pad(&mut self, written: usize) -> io::Result<()> {
        self.out.write_all(&[0; 3][..written.wrapping_neg() % 4])
    }
}

const HEADER_BYTES: usize = 6 + 13 * 8;

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, PartialEq)]
    struct Entry {
        path: String,
        mode: u32,
        device: (u32, u32),
        data: Vec<u8>,
    }

    /// Reads what the kernel's `init/initramfs.c` would.
    fn unpack(mut archive: &[u8]) -> Vec<Entry> {
        let mut entries = Vec::new();
        loop {
            assert_eq!(&archive[..6], b"070701");
            let field = |n: usize| {
                let text = std::str::from_utf8(&archive[6 + 8 * n..14 + 8 * n]).unwrap();
                u32::from_str_radix(text, 16).unwrap()
            };
            let (mode, device) = (field(1), (field(9), field(10)));
            let (data_bytes, path_bytes) = (field(6) as usize, field(11) as usize);
            let path = &archive[110..110 + path_bytes];
            let (nul, path) = path.split_last().unwrap();
            assert_eq!(*nul, 0);
            let path = String::from_utf8(path.to_vec()).unwrap();
            let data_at = (110 + path_bytes).next_multiple_of(4);
            let data = archive[data_at..data_at + data_bytes].to_vec();
            archive = &archive[(data_at + data_bytes).next_multiple_of(4)..];
            if path == "TRAILER!!!" {
                assert!(archive.is_empty());
                return entries;
            }
            entries.push(Entry { path, mode, device, data });
        }
    }

    #[test]
    fn folders_come_before_what_is_in_them() {
        let mut archive = Vec::new();
        let node = |path: &str, node| (path.to_owned(), node);
        let tree = Tree::from([
            node("/tests/test_kmem", Node::Program(vec![7; 5])),
            node("/tests/a/b", Node::File(vec![8])),
            node("/bin/ls", Node::Link("/bin/busybox".to_owned())),
        ]);
        write(&mut archive, b"init", &tree).unwrap();
        let entries = unpack(&archive);
        let paths: Vec<_> = entries.iter().map(|entry| entry.path.as_str()).collect();
        let all = ["dev", "dev/console", "init", "bin", "bin/ls", "tests", "tests/a", "tests/a/b"];
        assert_eq!(paths, [&all[..], &["tests/test_kmem"]].concat());
        assert_eq!((entries[4].mode, &entries[4].data[..]), (0o120777, &b"/bin/busybox"[..]));
        assert_eq!((entries[7].mode, entries[8].mode), (0o100644, 0o100755));
    }

    #[test]
    fn it_unpacks_to_init_and_a_console() {
        for length in 0..9 {
            let init: Vec<u8> = (0..length).collect();
            let mut archive = Vec::new();
            write(&mut archive, &init, &BTreeMap::new()).unwrap();
            let entry = |path: &str, mode, device, data: &[u8]| Entry {
                path: path.into(),
                mode,
                device,
                data: data.to_vec(),
            };
            assert_eq!(
                unpack(&archive),
                [
                    entry("dev", 0o40755, (0, 0), &[]),
                    entry("dev/console", 0o20600, (5, 1), &[]),
                    entry("init", 0o100755, (0, 0), &init),
                ]
            );
        }
    }
}
