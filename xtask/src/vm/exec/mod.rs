// SPDX-License-Identifier: MIT OR Apache-2.0
//! A program of the user -> the files that the guest needs to run it.
//!
//! A static or dynamic program, a C file or a script. A dynamic program brings its interpreter and
//! its libraries, each at the path where it is here; a script brings its interpreter, and busybox
//! for the commands that it may call. What the guest could not start is refused before anything
//! boots. Nothing of it runs here, and the files are bounded: they become memory of the guest.

mod elf;
mod libraries;
mod script;

use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::Context as _;
use protocol::{PROGRAM_FOLDER, PROGRAM_ID};

use super::initramfs::{Node, Tree};
use crate::exit::{Exit, Fault};
use crate::host::digest::{hex, sha256_of_parts};
use crate::host::file::{self, Links};
use crate::host::{self, process};

/// All files together, bytes: the smallest guest has 512 MiB, and unpacking needs twice the size.
const FILES_BYTES_MAX: u64 = 96 << 20;

const COMPILE_DEADLINE: Duration = Duration::from_secs(120);

/// What `busybox --list` takes.
const LIST_DEADLINE: Duration = Duration::from_secs(10);

/// Where busybox is in the guest.
const BUSYBOX: &str = "/bin/busybox";

/// Users that programs look up.
const USERS: [(&str, &str); 2] = [
    ("/etc/passwd", "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n"),
    ("/etc/group", "root:x:0:\nnogroup:x:65534:\n"),
];

/// Environment of the program.
const ENVIRONMENT: [&str; 4] = [
    "PATH=/exec:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "HOME=/root",
    "TMPDIR=/tmp",
    "LANG=C",
];

/// A program that is ready for the guest.
#[derive(Clone, Debug)]
pub(crate) struct Packed {
    /// Its files.
    pub(crate) tree: Tree,
    /// What the guest is asked to run.
    pub(crate) request: protocol::Program,
    /// Its name, fit for a folder.
    pub(crate) name: String,
    /// What it is, in a line.
    pub(crate) title: String,
    /// The user's file, as it is here.
    pub(crate) original: (String, Vec<u8>),
}

/// Packs `words`, the program and its arguments, with more files that it needs.
///
/// # Errors
/// [`Exit::Usage`] for what is no program, or one that the guest could not run;
/// [`Exit::MissingTool`] without compiler or busybox.
pub(crate) fn pack(words: &[String], with: &[PathBuf], install: bool) -> anyhow::Result<Packed> {
    let [program, arguments @ ..] = words else {
        return Err(Fault::new(Exit::Usage, "--exec: no program is named").into());
    };
    let path = located(program);
    let bytes = read(&path).map_err(|why| refused(&path, &why))?;
    let file_name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let mut files = Files::new();
    let (what, mut argv) = files.main(&path, &file_name, &bytes, install)?;
    argv.extend(arguments.iter().cloned());
    for path in with {
        files.with(path)?;
    }
    files.users();
    files.links_to_busybox()?;
    let (tree, env) = files.finish()?;
    let files_sha256 = id_of(&tree);
    let id = Node::File(files_sha256.clone().into_bytes());
    Ok(Packed {
        tree: tree.into_iter().chain([(PROGRAM_ID.to_owned(), id)]).collect(),
        request: protocol::Program { argv, env, files_sha256 },
        name: folder_name(&file_name),
        title: format!("{file_name}: {what}, given with --exec"),
        original: (file_name, bytes),
    })
}

/// busybox, a link for each of its commands, and the users that programs look up.
///
/// # Errors
/// [`Exit::MissingTool`] without busybox.
pub(crate) fn shell(install: bool) -> anyhow::Result<Tree> {
    let mut files = Files::new();
    files.busybox(install)?;
    files.users();
    files.links_to_busybox()?;
    Ok(files.finish()?.0)
}

/// A path, or the name of a program in `PATH`.
fn located(program: &str) -> PathBuf {
    let path = PathBuf::from(program);
    if program.contains('/') || path.exists() {
        return path;
    }
    host::find_program(program).unwrap_or(path)
}

fn read(path: &Path) -> Result<Vec<u8>, String> {
    file::read(path, Links::Followed, FILES_BYTES_MAX).map_err(|error| error.to_string())
}

fn refused(path: &Path, why: &str) -> Fault {
    Fault::new(Exit::Usage, format!("--exec {}: {why}", path.display()))
}

/// Identifies all files.
fn id_of(tree: &Tree) -> String {
    let parts = tree.iter().flat_map(|(path, node)| {
        let (kind, content): (&[u8], &[u8]) = match node {
            Node::Program(bytes) => (b"program", bytes),
            Node::File(bytes) => (b"file", bytes),
            Node::Link(to) => (b"link", to.as_bytes()),
        };
        [path.as_bytes(), kind, content]
    });
    hex(&sha256_of_parts(parts))
}

/// A name for a scenario: letters, digits, `-` and `_`.
fn folder_name(file_name: &str) -> String {
    let stem = file_name.strip_suffix(".c").unwrap_or(file_name);
    let fits = |c: char| if c.is_ascii_alphanumeric() || c == '_' { c } else { '-' };
    let name: String = stem.chars().map(fits).take(40).collect();
    let name = name.trim_matches('-');
    if name.is_empty() { "program".to_owned() } else { name.to_owned() }
}

/// The program that gcc makes of a C file.
fn compiled(path: &Path) -> anyhow::Result<Vec<u8>> {
    let folder = tempfile::tempdir().context("making a folder to compile in")?;
    let program = folder.path().join("program");
    let mut gcc = Command::new(host::require_program("gcc", "gcc")?);
    gcc.args(["-static", "-pthread", "-O1", "-w", "-o"]).arg(&program).arg(path);
    gcc.env("LC_ALL", "C");
    let output = process::capture(gcc, COMPILE_DEADLINE)?;
    if !output.status.success() {
        let said: Vec<&str> = output.text.lines().take(12).collect();
        let why = format!("gcc -static does not compile it:\n{}", said.join("\n"));
        let hint = "a program of several files: compile it yourself, and name the program";
        return Err(refused(path, &why).hint(hint).into());
    }
    Ok(read(&program).map_err(|why| refused(&program, &why))?)
}

/// The files while they are collected.
struct Files {
    tree: Tree,
    /// Where libraries are looked for, and the folders in which they were.
    folders: Vec<PathBuf>,
    used: BTreeSet<String>,
}

impl Files {
    fn new() -> Self {
        let own = std::env::var("LD_LIBRARY_PATH").unwrap_or_default();
        Self { tree: Tree::new(), folders: libraries::folders(&own), used: BTreeSet::new() }
    }

    /// Takes the program itself. Returns what it is, and the words that run it.
    fn main(
        &mut self,
        path: &Path,
        file_name: &str,
        bytes: &[u8],
        install: bool,
    ) -> anyhow::Result<(String, Vec<String>)> {
        let executable = || path.metadata().is_ok_and(|it| it.permissions().mode() & 0o111 != 0);
        let in_guest = |name: &str| format!("{PROGRAM_FOLDER}/{name}");
        if let Some(stem) = file_name.strip_suffix(".c") {
            let compiled = compiled(path)?;
            self.tree.insert(in_guest(stem), Node::Program(compiled));
            return Ok(("a C file, compiled statically".into(), vec![in_guest(stem)]));
        }
        let to = in_guest(file_name);
        if bytes.starts_with(elf::MAGIC) {
            let dynamic = self.elf(path, &to, bytes)?;
            if !executable() {
                let hint = format!("chmod +x {}", path.display());
                return Err(refused(path, "it is not executable").hint(hint).into());
            }
            let how = if dynamic { "dynamic" } else { "static" };
            return Ok((format!("a {how} program"), vec![to]));
        }
        let Some(words) = script::interpreter(file_name, bytes) else {
            let why = "it is neither an x86-64 program nor a script (#!)";
            let hint = "a C file needs a name that ends with .c";
            return Err(refused(path, why).hint(hint).into());
        };
        self.tree.insert(to.clone(), Node::Program(bytes.to_vec()));
        self.busybox(install)?;
        let mut argv = match script::is_shell(&words[0]) {
            true => vec![BUSYBOX.to_owned(), "sh".to_owned()],
            false => vec![self.interpreter(path, &words[0])?],
        };
        argv.extend(words[1..].iter().cloned());
        argv.push(to);
        Ok((format!("a script for {}", words[0]), argv))
    }

    /// Takes the interpreter of a script; returns its path.
    fn interpreter(&mut self, script: &Path, name: &str) -> anyhow::Result<String> {
        let missing = || refused(script, &format!("its interpreter {name} is not on this machine"));
        let at = host::find_program(name).ok_or_else(missing)?;
        self.program(&at)?;
        Ok(at.display().to_string())
    }

    fn busybox(&mut self, install: bool) -> anyhow::Result<()> {
        host::provide(&host::missing([&host::BUSYBOX]), install)?;
        let at = host::require_program("busybox", host::BUSYBOX.package)?;
        let bytes = read(&at).map_err(|why| refused(&at, &why))?;
        self.elf(&at, BUSYBOX, &bytes).map(drop)
    }

    /// Takes a program of this machine, at the path where it is here.
    fn program(&mut self, path: &Path) -> anyhow::Result<()> {
        let bytes = read(path).map_err(|why| refused(path, &why))?;
        let to = path.display().to_string();
        self.elf(path, &to, &bytes).map(drop)
    }

    /// Takes an ELF file with what it needs; whether it has an interpreter.
    fn elf(&mut self, path: &Path, to: &str, bytes: &[u8]) -> anyhow::Result<bool> {
        let elf::Elf { interpreter, needed, folders } =
            elf::read(bytes).map_err(|why| refused(path, &why))?;
        self.tree.insert(to.to_owned(), Node::Program(bytes.to_vec()));
        if let Some(interpreter) = &interpreter
            && !self.tree.contains_key(interpreter)
        {
            let missing = |why: String| {
                refused(path, &format!("its interpreter {interpreter} cannot be read ({why})"))
            };
            self.program(Path::new(interpreter)).map_err(|why| missing(format!("{why:#}")))?;
        }
        for name in &needed {
            let Some(library) = libraries::find(name, path, &folders, &self.folders) else {
                let hint = "install it, or name its folder in LD_LIBRARY_PATH";
                let why = format!("it needs {name}, which is not on this machine");
                return Err(refused(path, &why).hint(hint).into());
            };
            let at = library.display().to_string();
            if !self.tree.contains_key(&at) {
                let folder = library.parent().unwrap_or(Path::new("/"));
                self.used.insert(folder.display().to_string());
                self.program(&library)?;
            }
        }
        Ok(interpreter.is_some())
    }

    /// Takes a file or a folder of this machine, at the path where it is here.
    fn with(&mut self, path: &Path) -> anyhow::Result<()> {
        let missing =
            |why: String| Fault::new(Exit::Usage, format!("--with {}: {why}", path.display()));
        let named = located(&path.display().to_string());
        let absolute = std::path::absolute(&named)?;
        if !absolute.exists() {
            return Err(missing("no such file or folder".to_owned()).into());
        }
        for entry in walkdir::WalkDir::new(&absolute).sort_by_file_name() {
            let entry = entry.map_err(|error| missing(error.to_string()))?;
            let to = entry.path().display().to_string();
            // The folder itself may be named by a link.
            if entry.path_is_symlink() && entry.depth() > 0 {
                let target = std::fs::read_link(entry.path())?.display().to_string();
                self.tree.insert(to, Node::Link(target));
                continue;
            }
            if !entry.path().is_file() {
                continue;
            }
            let bytes = read(entry.path()).map_err(missing)?;
            if bytes.starts_with(elf::MAGIC) && elf::read(&bytes).is_ok() {
                self.elf(entry.path(), &to, &bytes)?;
            } else if entry.path().metadata()?.permissions().mode() & 0o111 != 0 {
                self.tree.insert(to, Node::Program(bytes));
            } else {
                self.tree.insert(to, Node::File(bytes));
            }
            self.bound()?;
        }
        Ok(())
    }

    fn users(&mut self) {
        for (path, text) in USERS {
            let node = Node::File(text.as_bytes().to_vec());
            self.tree.entry(path.to_owned()).or_insert(node);
        }
    }

    /// Links for the commands that busybox has.
    fn links_to_busybox(&mut self) -> anyhow::Result<()> {
        if !self.tree.contains_key(BUSYBOX) {
            return Ok(());
        }
        let mut list = Command::new(host::require_program("busybox", host::BUSYBOX.package)?);
        list.arg("--list");
        for name in process::succeed(list, LIST_DEADLINE, Exit::Host)?.lines() {
            let link = Node::Link(BUSYBOX.to_owned());
            self.tree.entry(format!("/bin/{name}")).or_insert(link);
        }
        Ok(())
    }

    fn bound(&self) -> Result<(), Fault> {
        let size = |node: &Node| match node {
            Node::Program(bytes) | Node::File(bytes) => bytes.len() as u64,
            Node::Link(_) => 0,
        };
        let bytes: u64 = self.tree.values().map(size).sum();
        let what = || {
            let (is, most) = (bytes >> 20, FILES_BYTES_MAX >> 20);
            format!("--exec: the program and its files have {is} MiB, more than {most}")
        };
        (bytes <= FILES_BYTES_MAX).then_some(()).ok_or_else(|| {
            Fault::new(Exit::Usage, what())
                .hint("they would be memory of the guest: leave some out")
        })
    }

    /// All files, and the environment.
    fn finish(self) -> Result<(Tree, Vec<String>), Fault> {
        self.bound()?;
        let mut env: Vec<String> = ENVIRONMENT.map(str::to_owned).into();
        if !self.used.is_empty() {
            let folders: Vec<String> = self.used.into_iter().collect();
            env.push(format!("LD_LIBRARY_PATH={}", folders.join(":")));
        }
        Ok((self.tree, env))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exit::fault_of;

    fn packed(name: &str, content: &[u8], mode: u32) -> anyhow::Result<Packed> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(name);
        std::fs::write(&path, content).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        pack(&[path.display().to_string(), "an arg".to_owned()], &[], false)
    }

    fn refusal(name: &str, content: &[u8], mode: u32) -> String {
        let error = packed(name, content, mode).unwrap_err();
        let fault = fault_of(&error).unwrap();
        assert_eq!(fault.exit, Exit::Usage);
        format!("{} ({})", fault.what, fault.hint)
    }

    #[test]
    fn a_c_file_becomes_a_static_program() {
        let one = packed("a b.c", b"int main(void) { return 3; }", 0o644).unwrap();
        assert_eq!(one.request.argv, ["/exec/a b", "an arg"]);
        assert_eq!(one.name, "a-b");
        let files: Vec<&String> = one.tree.keys().collect();
        assert_eq!(files, ["/etc/group", "/etc/passwd", PROGRAM_ID, "/exec/a b"]);
        let same = packed("a b.c", b"int main(void) { return 3; }", 0o644).unwrap();
        assert_eq!(one.request, same.request, "the same file is the same load");
        let other = packed("a b.c", b"int main(void) { return 4; }", 0o644).unwrap();
        assert_ne!(one.request.files_sha256, other.request.files_sha256);
        let said = refusal("x.c", b"int main(void) { return no_such; }", 0o644);
        assert!(said.contains("gcc -static does not compile it") && said.contains("no_such"));
    }

    #[test]
    fn a_dynamic_program_brings_its_interpreter_and_libraries() {
        let shell = std::fs::read("/bin/dash").unwrap();
        let packed = packed("mine", &shell, 0o755).unwrap();
        assert!(packed.tree.contains_key("/lib64/ld-linux-x86-64.so.2"));
        assert!(packed.tree.keys().any(|path| path.ends_with("/libc.so.6")));
        assert!(packed.request.env.iter().any(|it| it.starts_with("LD_LIBRARY_PATH=/")));
        assert_eq!(packed.title, "mine: a dynamic program, given with --exec");
    }

    #[test]
    fn what_cannot_be_started_is_refused_with_the_reason() {
        let shell = std::fs::read("/bin/dash").unwrap();
        let of = |at: usize, byte: u8| {
            let mut bytes = shell.clone();
            bytes[at] = byte;
            refusal("x", &bytes, 0o755)
        };
        assert!(of(18, 183).contains("another machine"));
        assert!(of(4, 1).contains("32-bit"));
        assert!(refusal("x", &shell, 0o644).contains("not executable (chmod +x"));
        assert!(refusal("x", b"text", 0o755).contains("neither an x86-64 program nor a script"));
        assert!(refusal("x", b"#!/no/such/shell\n", 0o755).contains("/no/such/shell is not on"));
        let at = shell.windows(9).position(|name| name == b"libc.so.6").unwrap();
        let mut bytes = shell.clone();
        bytes[at..at + 9].copy_from_slice(b"libq.so.6");
        assert!(refusal("x", &bytes, 0o755).contains("it needs libq.so.6, which is not on this"));
        let missing = pack(&["/no/such/program".to_owned()], &[], false).unwrap_err();
        assert!(missing.to_string().contains("/no/such/program: No such file"), "{missing}");
        let folder = pack(&["/tmp".to_owned()], &[], false).unwrap_err();
        assert_eq!(fault_of(&folder).unwrap().exit, Exit::Usage);
    }

    #[test]
    fn more_files_come_at_the_same_path() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("data"), "x").unwrap();
        std::os::unix::fs::symlink("data", folder.path().join("link")).unwrap();
        let with = [folder.path().to_owned()];
        let packed = pack(&["/bin/dash".to_owned()], &with, false).unwrap();
        let at = |name: &str| &packed.tree[&folder.path().join(name).display().to_string()];
        assert_eq!(*at("data"), Node::File(b"x".to_vec()));
        assert_eq!(*at("link"), Node::Link("data".to_owned()));
        let none = pack(&["/bin/dash".to_owned()], &["/no/such".into()], false).unwrap_err();
        assert!(none.to_string().contains("--with /no/such"), "{none}");
    }
}
