// SPDX-License-Identifier: MIT OR Apache-2.0
//! Debian's kernel source package, fetched without changing the system's apt.
//!
//! Contract: apt runs with state, cache and source lists in our cache folder, so it needs no root
//! and changes nothing outside. It uses the system's mirrors and keys. apt checks the signature and
//! the hash; the hash is checked here again.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::Context as _;
use serde::{Deserialize, Serialize};

use super::aptlist;
use super::cache::Cache;
use super::tarball;
use crate::exit::{Exit, Fault};
use crate::host::file::{self, Links, sha256_of, write_whole};
use crate::host::{self, process};
use crate::progress::Step;

const UPDATE_DEADLINE: Duration = Duration::from_secs(10 * 60);
const DOWNLOAD_DEADLINE: Duration = Duration::from_secs(60 * 60);
const DOWNLOAD_MIB: u64 = 400;

/// A package, and where to look for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Package {
    /// For example `linux-source-6.12`.
    pub(crate) name: String,
    /// Suite of Debian's archive; without one, the suites of this machine's release.
    pub(crate) suite: Option<String>,
}

/// A package that was fetched.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Deb {
    /// Debian's version of it.
    pub(crate) version: String,
    /// Of the `.deb`.
    pub(crate) sha256: String,
    /// Its name under `downloads/`.
    name: String,
}

impl Deb {
    /// Where it is.
    pub(crate) fn file(&self, cache: &Cache) -> PathBuf {
        cache.downloads.join(&self.name)
    }
}

/// More than this was not written here.
const RECORD_BYTES_MAX: u64 = 64 * 1024;

/// The version that was fetched before: a source never changes unasked.
///
/// # Errors
/// A record that cannot be read.
pub(crate) fn known(cache: &Cache, package: &str) -> anyhow::Result<Option<Deb>> {
    let record = record(cache, package);
    let Ok(bytes) = file::read(&record, Links::Followed, RECORD_BYTES_MAX) else {
        return Ok(None);
    };
    let deb = serde_json::from_slice(&bytes);
    deb.map(Some).with_context(|| format!("cannot read {}: remove it", record.display()))
}

/// The package file, fetched again if it is missing or wrong.
///
/// # Errors
/// As [`fetch`].
pub(crate) fn deb_file(cache: &Cache, package: &Package) -> anyhow::Result<Deb> {
    if let Some(deb) = known(cache, &package.name)? {
        let file = deb.file(cache);
        if file.exists() && sha256_of(&file)? == deb.sha256 {
            return Ok(deb);
        }
        fs::remove_file(record(cache, &package.name))?;
    }
    fetch(cache, package)
}

/// Fetches the newest version in the package's suite and records it.
///
/// # Errors
/// [`Exit::Source`] with apt's message; [`Exit::Host`] without space.
pub(crate) fn fetch(cache: &Cache, package: &Package) -> anyhow::Result<Deb> {
    let _lock = cache.lock("apt", &package.name)?;
    if let Some(deb) = known(cache, &package.name)? {
        return Ok(deb);
    }
    host::require_program("apt-get", "apt")?;
    host::require_free(&cache.downloads, DOWNLOAD_MIB, "to fetch the kernel source")?;
    let apt = Apt::prepare(cache, package.suite.as_deref())?;
    apt.update(package)?;
    let offer = apt.offer(package)?;
    let deb = apt.download(cache, package, &offer)?;
    write_whole(&record(cache, &package.name), &serde_json::to_vec_pretty(&deb)?)?;
    Ok(deb)
}

fn record(cache: &Cache, package: &str) -> PathBuf {
    cache.sources.join(format!("{package}.json"))
}

/// apt that writes only to one folder.
struct Apt {
    home: PathBuf,
}

/// What apt would fetch, from `--print-uris`.
#[derive(Debug, PartialEq, Eq)]
struct Offer {
    name: String,
    bytes: u64,
    sha256: String,
}

impl Apt {
    fn prepare(cache: &Cache, suite: Option<&str>) -> anyhow::Result<Self> {
        // One folder for each suite, so that lists are kept when another base is fetched.
        let home = cache.downloads.join(suite.map_or("apt".to_owned(), |s| format!("apt-{s}")));
        for part in ["state/lists/partial", "cache/archives/partial", "sources"] {
            fs::create_dir_all(home.join(part))
                .with_context(|| format!("making {part} in {}", home.display()))?;
        }
        let configured = read_configured(Path::new("/etc/apt"));
        let codename = host::debian_codename();
        let lists = match suite {
            Some(suite) => aptlist::select_suite(&configured, &codename, suite),
            None => aptlist::select(&configured, &codename),
        };
        if lists == aptlist::Lists::default() {
            let what = format!("/etc/apt has no mirror of Debian's suite `{codename}`");
            let hint = format!(
                "add one with {codename} and {codename}-security to /etc/apt/sources.list, or give \
                 a tree or a tarball with --source"
            );
            return Err(Fault::new(Exit::Source, what).hint(hint).into());
        }
        write_whole(&home.join("sources/debian.list"), lists.one_line.as_bytes())?;
        write_whole(&home.join("sources/debian.sources"), lists.deb822.as_bytes())?;
        Ok(Self { home })
    }

    fn apt_get(&self, words: &[&str]) -> Command {
        let mut command = Command::new("apt-get");
        let at = |part: &str| self.home.join(part).display().to_string();
        for (option, value) in [
            ("Dir::State", at("state")),
            ("Dir::Cache", at("cache")),
            ("Dir::Etc::sourcelist", "/dev/null".to_owned()),
            ("Dir::Etc::sourceparts", at("sources")),
            // apt must not switch users: another user may not read our folder.
            ("APT::Sandbox::User", String::new()),
            // Otherwise apt only warns if a mirror does not answer, and uses old lists.
            ("APT::Update::Error-Mode", "any".to_owned()),
            ("APT::Update::Post-Invoke", String::new()),
            ("DPkg::Post-Invoke", String::new()),
            ("Acquire::Retries", "3".to_owned()),
            ("Acquire::http::Timeout", "30".to_owned()),
            ("Acquire::Languages", "none".to_owned()),
        ] {
            command.arg("-o").arg(format!("{option}={value}"));
        }
        command.arg("-q").args(words).env("LC_ALL", "C").env_remove("LD_LIBRARY_PATH");
        command
    }

    fn update(&self, package: &Package) -> anyhow::Result<()> {
        let step = Step::begin("fetching Debian's package lists", None);
        let output = process::capture(self.apt_get(&["update"]), UPDATE_DEADLINE)?;
        if !output.status.success() {
            return Err(refused(package, &output.text).into());
        }
        step.end("done");
        Ok(())
    }

    fn offer(&self, package: &Package) -> anyhow::Result<Offer> {
        let command = self.apt_get(&["download", "--print-uris", &package.name]);
        let output = process::capture(command, UPDATE_DEADLINE)?;
        let offer = output.text.lines().find_map(parse_offer).filter(|_| output.status.success());
        Ok(offer.ok_or_else(|| refused(package, &output.text))?)
    }

    fn download(&self, cache: &Cache, package: &Package, offer: &Offer) -> anyhow::Result<Deb> {
        let room = tempfile::Builder::new().prefix(".tmp-").tempdir_in(&cache.downloads)?;
        let step = Step::begin(format!("fetching {}, KiB", offer.name), Some(offer.bytes / 1024));
        let mut command = self.apt_get(&["download", &package.name]);
        command.current_dir(room.path());
        let mut said = String::new();
        let status = process::follow(command, DOWNLOAD_DEADLINE, |line| match line {
            Some(line) if said.len() < 64 * 1024 => said.push_str(&format!("{line}\n")),
            _ => step.at(bytes_in(room.path()) / 1024, ""),
        })?;
        let file = room.path().join(&offer.name);
        if !status.success() || !file.exists() {
            return Err(refused(package, &said).into());
        }
        tarball::require(&offer.name, &offer.sha256, &sha256_of(&file)?)?;
        let dest = cache.downloads.join(&offer.name);
        fs::rename(&file, &dest)
            .with_context(|| format!("moving the package to {}", dest.display()))?;
        step.end("done, hash and signature are correct");
        let version = offer.name.split('_').nth(1).unwrap_or("unknown").replace("%3a", ":");
        Ok(Deb { version, sha256: offer.sha256.clone(), name: offer.name.clone() })
    }
}

fn refused(package: &Package, said: &str) -> Fault {
    let is_error = |line: &&str| line.starts_with("E:") || line.starts_with("W:");
    let errors: Vec<&str> = said.lines().filter(is_error).take(6).collect();
    let Package { name, suite } = package;
    let (mut from, mut moved) = (String::new(), String::new());
    if let Some(suite) = suite {
        from = format!(" from {suite}");
        // Backports keep one version of a kernel, and none after their release has ended.
        moved = format!(
            "; if {suite} no longer has it, set another `suite` in configs/bases, or \
             `tarball = \"URL#sha256=HEX\"` in place of package and suite"
        );
    }
    let what = format!("apt cannot fetch {name}{from}: {}", errors.join("; "));
    Fault::new(Exit::Source, what).hint(format!(
        "check the network and the Debian lines in /etc/apt/sources.list*{moved}; or give a source: \
         --source FOLDER, FILE.tar.xz or URL#sha256=HEX"
    ))
}

fn bytes_in(room: &Path) -> u64 {
    let files = fs::read_dir(room).into_iter().flatten().flatten();
    files.filter_map(|entry| entry.metadata().ok()).map(|stat| stat.len()).sum()
}

/// Name and text of every source list of the system.
fn read_configured(etc: &Path) -> Vec<(String, String)> {
    let parts = fs::read_dir(etc.join("sources.list.d"))
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path());
    let mut files: Vec<PathBuf> = parts.chain([etc.join("sources.list")]).collect();
    files.sort();
    let read =
        |path: PathBuf| Some((path.file_name()?.to_str()?.to_owned(), file::text(&path).ok()?));
    files.into_iter().filter_map(read).collect()
}

/// `'URI' file bytes SHA256:hash`
fn parse_offer(line: &str) -> Option<Offer> {
    let mut words = line.strip_prefix('\'')?.split_once("' ")?.1.split(' ');
    let name = words.next()?.to_owned();
    let bytes = words.next()?.parse().ok()?;
    let sha256 = words.next()?.strip_prefix("SHA256:")?.to_owned();
    (!name.contains('/')).then_some(Offer { name, bytes, sha256 })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_offer_is_read_from_print_uris() {
        let line = "'http://mirror.example/debian-security/pool/l/linux-source-6.12_6.12.117-1%7edeb12u1_all.deb' \
                    linux-source-6.12_6.12.117-1~deb12u1_all.deb 153476148 SHA256:e849";
        let offer = parse_offer(line).unwrap();
        assert_eq!(
            (offer.name.as_str(), offer.bytes),
            ("linux-source-6.12_6.12.117-1~deb12u1_all.deb", 153_476_148)
        );
        assert_eq!(offer.sha256, "e849");
        assert_eq!(parse_offer("Reading package lists..."), None);
        assert_eq!(parse_offer("'http://x/y' ../y 1 SHA256:e8"), None);
    }

    #[test]
    fn the_version_stays_until_its_file_is_gone() {
        let dir = tempfile::tempdir().unwrap();
        let cache = Cache::open(dir.path()).unwrap();
        assert_eq!(known(&cache, "linux-source-6.12").unwrap(), None);
        let sha256 = crate::host::digest::sha256(b"deb");
        let deb = Deb { version: "1".into(), sha256, name: "x.deb".into() };
        fs::write(cache.downloads.join("x.deb"), "deb").unwrap();
        write_whole(&record(&cache, "linux-source-6.12"), &serde_json::to_vec(&deb).unwrap())
            .unwrap();
        assert_eq!(known(&cache, "linux-source-6.12").unwrap(), Some(deb.clone()));
        let package = Package { name: "linux-source-6.12".into(), suite: None };
        assert_eq!(deb_file(&cache, &package).unwrap(), deb);
    }

    #[test]
    fn a_refusal_shows_what_apt_said() {
        let mut package = Package { name: "linux-source-6.12".into(), suite: None };
        let said = "Reading ...\nE: Unable to locate package linux-source-6.12\n";
        let fault = refused(&package, said);
        assert!(fault.what.contains("Unable to locate"), "{}", fault.what);
        assert_eq!(fault.exit, Exit::Source);
        assert!(!fault.hint.contains("no longer"), "{}", fault.hint);
        package.suite = Some("trixie-backports".into());
        let fault = refused(&package, said);
        assert!(fault.what.contains("linux-source-6.12 from trixie-backports"), "{}", fault.what);
        for way in
            ["another `suite`", "`tarball = ", "--source FOLDER", "FILE.tar.xz", "URL#sha256=HEX"]
        {
            assert!(fault.hint.contains(way), "{way} is missing in: {}", fault.hint);
        }
    }
}
