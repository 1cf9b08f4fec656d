// SPDX-License-Identifier: MIT OR Apache-2.0
//! What an ELF file needs to run: its interpreter and the libraries that it names. Pure.
//!
//! `ldd` would run the file's own interpreter, whatever that is; here it is only read.

use object::elf::{
    DT_NEEDED, DT_NULL, DT_RPATH, DT_RUNPATH, DT_STRSZ, DT_STRTAB, EM_X86_64, ET_DYN, ET_EXEC,
    FileHeader64,
};
use object::read::elf::{Dyn as _, FileHeader as _, ProgramHeader as _};
use object::{Endianness, FileKind};

/// Begins every ELF file.
pub(super) const MAGIC: &[u8] = b"\x7fELF";

/// A program or a library for the guest.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Elf {
    /// Path of its interpreter; `None` for a static program or a library.
    pub(super) interpreter: Option<String>,
    /// Names of libraries.
    pub(super) needed: Vec<String>,
    /// Folders to look for them first, `$ORIGIN` among them.
    pub(super) folders: Vec<String>,
}

/// Reads it, or says why the guest could not run it.
pub(super) fn read(bytes: &[u8]) -> Result<Elf, String> {
    let broken = |error| format!("it is no whole ELF file ({error})");
    match FileKind::parse(bytes).map_err(broken)? {
        FileKind::Elf64 => {}
        FileKind::Elf32 => return Err("it is a 32-bit program; the guest runs x86-64 only".into()),
        other => return Err(format!("it is no program ({other:?})")),
    }
    let header = FileHeader64::<Endianness>::parse(bytes).map_err(broken)?;
    let endian = header.endian().map_err(broken)?;
    let machine = header.e_machine.get(endian);
    if machine != EM_X86_64 {
        return Err(format!("it is for another machine (ELF machine {machine}), not for x86-64"));
    }
    if !matches!(header.e_type.get(endian), ET_EXEC | ET_DYN) {
        return Err("it is an object file: link it to a program first".into());
    }
    let segments = header.program_headers(endian, bytes).map_err(broken)?;
    let mut elf = Elf::default();
    for segment in segments {
        if let Some(path) = segment.interpreter(endian, bytes).map_err(broken)? {
            elf.interpreter = Some(String::from_utf8_lossy(path).into_owned());
        }
        let Some(entries) = segment.dynamic(endian, bytes).map_err(broken)? else { continue };
        let of = |tag| {
            let all = entries.iter().take_while(|entry| entry.d_tag(endian) != DT_NULL);
            all.filter(move |entry| entry.d_tag(endian) == tag).map(|entry| entry.d_val(endian))
        };
        let (at, size) = (of(DT_STRTAB).next(), of(DT_STRSZ).next());
        let (Some(at), Some(size)) = (at, size) else { continue };
        let names = segments
            .iter()
            .find_map(|segment| segment.data_range(endian, bytes, at, size).ok().flatten())
            .ok_or("it is no whole ELF file (its names are missing)")?;
        let name = |offset: u64| -> Result<String, String> {
            let rest = usize::try_from(offset).ok().and_then(|at| names.get(at..));
            let name = rest.and_then(|rest| rest.split(|byte| *byte == 0).next());
            let name = name.ok_or("it is no whole ELF file (a name is missing)")?;
            Ok(String::from_utf8_lossy(name).into_owned())
        };
        for offset in of(DT_NEEDED) {
            elf.needed.push(name(offset)?);
        }
        for offset in of(DT_RUNPATH).chain(of(DT_RPATH)) {
            elf.folders.extend(name(offset)?.split(':').map(str::to_owned));
        }
    }
    Ok(elf)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dynamic_program_names_what_it_needs() {
        let elf = read(&std::fs::read("/bin/sh").unwrap()).unwrap();
        assert_eq!(elf.interpreter.as_deref(), Some("/lib64/ld-linux-x86-64.so.2"));
        assert!(elf.needed.iter().any(|name| name == "libc.so.6"), "{elf:?}");
    }

    #[test]
    fn what_the_guest_cannot_run_is_named() {
        let shell = std::fs::read("/bin/sh").unwrap();
        let changed = |at: usize, byte: u8| {
            let mut bytes = shell.clone();
            bytes[at] = byte;
            read(&bytes).unwrap_err()
        };
        assert!(changed(4, 1).contains("32-bit"));
        assert!(changed(18, 183).contains("ELF machine 183"));
        assert!(changed(16, 1).contains("object file"));
        for cut in [4, 63, 100, 800] {
            assert!(read(&shell[..cut]).is_err(), "{cut}");
        }
    }
}
