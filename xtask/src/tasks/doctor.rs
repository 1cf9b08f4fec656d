// SPDX-License-Identifier: MIT OR Apache-2.0
//! `cargo xtask doctor`: which tools were found, which versions the kernel needs, what is missing
//! and how to install it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::{Folders, build_kernel, doctor_kvm, inputs, nights, prune};
use crate::cli::{self, Places};
use crate::config::{Config, Origin};
use crate::exit::Exit;
use crate::host::{self, Need};
use crate::kernel::shelf::{self, Kind};
use crate::kernel::{Cache, Tool, Toolchain, least_version, newest_tree, say, version_in};
use crate::progress::print;
use crate::report::{Style, Table, plural, size};
use crate::results;
use crate::vm::kvm_access::dev_kvm;

/// One line of the table.
struct Row {
    name: String,
    version: String,
    least: String,
    place: String,
}

/// Runs the command.
///
/// # Errors
/// [`Exit::MissingTool`] if a needed tool is missing, with the command that installs it.
pub(crate) fn run(places: &Places, args: &cli::Doctor) -> anyhow::Result<Exit> {
    let folders = Folders::of(places)?;
    let cli::Doctor { install, kvm, plan: _, images: _ } = args;
    if *kvm {
        return doctor_kvm::run(&folders, args);
    }
    let cache = Cache::open(&folders.cache)?;
    let missing = missing(&Toolchain::find(&cache)?);
    if *install {
        host::provide(&missing, true)?;
    }
    let toolchain = Toolchain::find(&cache)?;
    let tree = newest_tree(&cache);
    print(table(&rows(&toolchain, tree.as_deref())?))?;
    print(machine(&folders, &cache, &toolchain, tree.as_deref())?)?;
    print(sizes(&cache)?)?;
    print(stored(&folders.results)?)?;
    // A config that does not parse is a problem too.
    print(bases(&inputs::read(&folders.configs)?, &cache)?)?;
    host::provide(&self::missing(&toolchain), false)?;
    if let Some(tree) = &tree {
        toolchain.check(tree, true)?;
    }
    for need in host::missing(host::LINT.iter().chain([&host::CLANG]).chain(host::READERS)) {
        // Only some commands need these: no failure.
        print(format_args!("not installed: {} ({})\n", need.package, need.why))?;
    }
    print("\nnothing is missing\n")?;
    Ok(Exit::Ok)
}

/// Packages that are missing for building and running.
pub(super) fn missing(toolchain: &Toolchain) -> Vec<&'static Need> {
    toolchain.missing(true).into_iter().chain(host::missing(host::RUN)).collect()
}

fn rows(toolchain: &Toolchain, tree: Option<&Path>) -> anyhow::Result<Vec<Row>> {
    let Toolchain { gcc, binutils, rustc, rustc_without_source, libclang, bindgen, .. } = toolchain;
    let least = |name: &str| match tree {
        Some(tree) => Ok::<_, anyhow::Error>(least_version(tree, name)?.unwrap_or_default()),
        None => Ok(String::new()),
    };
    let mut rows = Vec::new();
    let clang = &toolchain.clang;
    for (name, tool) in [("gcc", gcc), ("llvm", clang), ("binutils", binutils), ("rustc", rustc)] {
        rows.push(Row { least: least(name)?, ..tool_row(name, tool.as_ref()) });
    }
    for path in rustc_without_source {
        rows.push(row(
            "",
            "",
            &format!(
                "{} has no library source (rust-src): not usable for a kernel",
                path.display()
            ),
        ));
    }
    let built = if bindgen.exists() {
        bindgen.display().to_string()
    } else {
        "built by cargo on first use".to_owned()
    };
    rows.push(Row {
        least: least("bindgen")?,
        ..row("bindgen", crate::kernel::BINDGEN_VERSION, &built)
    });
    rows.push(tool_row("clippy", toolchain.clippy.as_ref()));
    let found =
        libclang.as_ref().map_or_else(|| "missing".to_owned(), |path| path.display().to_string());
    rows.push(row("libclang", "", &found));
    for program in ["make", "bc", "flex", "bison", "patch", "xz", "qemu-system-x86_64", "mkfs.ext4"]
    {
        rows.push(program_row(program)?);
    }
    let sandbox = crate::host::sandbox::missing().map_or_else(
        || "user namespaces".to_owned(),
        |why| format!("missing: builds run with all your rights: {why}"),
    );
    rows.push(row("sandbox", "", &sandbox));
    let kvm = match dev_kvm() {
        Ok(_) => "/dev/kvm opens; `cargo xtask doctor --kvm` boots guests".to_owned(),
        Err(trouble) => format!("missing: {}: {}", trouble.what, trouble.remedy),
    };
    rows.push(row("kvm", "", &kvm));
    for program in ["perl", "rustfmt"] {
        rows.push(program_row(program)?);
    }
    for need in host::missing(host::BUILD).iter().filter(|need| need.package.starts_with("lib")) {
        rows.push(row(need.package, "", "missing"));
    }
    Ok(rows)
}

fn row(name: &str, version: &str, place: &str) -> Row {
    Row {
        name: name.to_owned(),
        version: version.to_owned(),
        least: String::new(),
        place: place.to_owned(),
    }
}

fn tool_row(name: &str, tool: Option<&Tool>) -> Row {
    match tool {
        Some(tool) => row(name, &tool.version, &tool.path.display().to_string()),
        None => row(name, "", "missing"),
    }
}

fn program_row(name: &str) -> anyhow::Result<Row> {
    let Some(path) = host::find_program(name) else { return Ok(row(name, "", "missing")) };
    // mkfs.ext4 knows only -V.
    let flag = if name.starts_with("mkfs") { "-V" } else { "--version" };
    let version = say(&path, &[flag])?.and_then(|text| version_in(&text)).unwrap_or_default();
    Ok(row(name, &version, &path.display().to_string()))
}

fn table(rows: &[Row]) -> String {
    let mut table = Table::default().left(["tool", "found", "asked for", "where"]);
    for Row { name, version, least, place } in rows {
        table.row([name, version, least, place].map(String::clone));
    }
    table.text(Style::default())
}

/// What the kinds of things in the cache take.
fn sizes(cache: &Cache) -> anyhow::Result<String> {
    let mut kinds: BTreeMap<Kind, (u64, u64)> = BTreeMap::new();
    for item in shelf::items(cache)? {
        let (count, bytes) = kinds.entry(item.kind).or_default();
        (*count, *bytes) = (*count + 1, *bytes + item.bytes);
    }
    let all = kinds.values().map(|(_, bytes)| *bytes).sum::<u64>();
    let mut text = format!("in the cache: {}", size(all as f64));
    for (kind, (count, bytes)) in kinds {
        let plural = if count == 1 { "" } else { "s" };
        text.push_str(&format!(", {count} {kind}{plural} {}", size(bytes as f64)));
    }
    text.push_str("; `cargo xtask prune --cache` removes what is old\n");
    Ok(text)
}

/// What stored runs and records of jobs take.
fn stored(results: &Path) -> anyhow::Result<String> {
    let mut runs = 0;
    for place in prune::places_of_runs(results) {
        runs += results::named_like_runs(&place)?.len();
    }
    let records = std::fs::read_dir(results.join(nights::JOBS)).into_iter().flatten().count();
    let bytes = size(shelf::taken(results) as f64);
    let (runs, records) = (plural(runs, "run"), plural(records, "record"));
    let prune = "`cargo xtask prune` removes what is old";
    Ok(format!("in the results: {bytes}, {runs}, {records} of jobs; {prune}\n"))
}

/// One line per base: the version in the cache, or where the source will come from.
fn bases(config: &Config, cache: &Cache) -> anyhow::Result<String> {
    let mut text = "\n".to_owned();
    for base in config.bases.values() {
        let said = match (build_kernel::origin(&base.origin)?.unpacked(cache)?, &base.origin) {
            (Some(located), _) => format!("{}, unpacked", located.origin),
            (None, Origin::Debian { package, suite }) => {
                let suite = suite.as_deref().unwrap_or("this machine's release");
                format!("Debian {package} of {suite}, fetched by the first build")
            }
            (None, Origin::Tarball(given)) => format!("{given}, unpacked by the first build"),
        };
        text.push_str(&format!("base {:15}  {said}\n", base.name));
    }
    Ok(text)
}

fn machine(
    folders: &Folders,
    cache: &Cache,
    toolchain: &Toolchain,
    tree: Option<&Path>,
) -> anyhow::Result<String> {
    let memory = host::limits::memory_available_mib()
        .map_or_else(|| "unknown".to_owned(), |mib| format!("{mib} MiB"));
    let free = host::free_mib(cache.root())?;
    let asks: PathBuf = tree
        .map(Path::to_owned)
        .unwrap_or_else(|| "no source yet: fetched by the first build".into());
    let rust = if toolchain.rustc.is_some() { "ready" } else { "not ready" };
    let limits: String =
        host::limits::of_cgroups().iter().map(|limit| format!("\nlimited by {limit}")).collect();
    Ok(format!(
        "\ncores {}, memory {memory}, cache {} ({free} MiB free){limits}\nchecked against: {}\nRust for Linux: {rust}\nworkspace {}\n",
        host::limits::cores(),
        cache.root().display(),
        asks.display(),
        folders.workspace.display(),
    ))
}
