// SPDX-License-Identifier: MIT OR Apache-2.0
//! Where the kernel source comes from, and what identifies it.
//!
//! Contract: [`Spec::locate`] gives the source an id made of its content, without the network if
//! the cache knows it. [`Located::unpack`] makes the pristine tree of that id, once.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use serde::{Deserialize, Serialize};

use super::apt::{self, Package};
use super::cache::Cache;
use super::pristine::{self, Source};
use super::{local, tarball};
use crate::exit::{Exit, Fault};
use crate::host::digest::sha256;
use crate::host::file::{self, Links, sha256_of, write_whole};

/// A source as it was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Spec {
    /// Debian's source package.
    Debian(Package),
    /// A local tarball, with the expected SHA-256 if one was given.
    Tarball {
        /// Path.
        path: PathBuf,
        /// Lower-case hex.
        sha256: Option<String>,
    },
    /// A tarball on the network.
    Download {
        /// `http` or `https`.
        url: String,
        /// Lower-case hex.
        sha256: String,
    },
    /// A folder, or `folder@revision`.
    Local {
        /// As given.
        given: String,
    },
}

/// A source whose id is known. It need not be unpacked yet.
#[derive(Clone, Debug)]
pub(crate) struct Located {
    /// Identifies the content: equal sources have equal ids.
    pub(crate) id: String,
    /// Package and version, path, or URL, for messages.
    pub(crate) origin: String,
    /// Its commit, if it is one.
    pub(crate) commit: Option<String>,
    /// Stays the same while the content changes: it names work trees.
    pub(crate) slot: String,
    how: How,
}

#[derive(Clone, Debug)]
enum How {
    Deb { package: Package },
    Tarball { path: PathBuf },
    Download { url: String, sha256: String },
    Git { repository: PathBuf, tree: String },
    Folder { path: PathBuf },
}

const ENDINGS: [&str; 4] = [".tar.xz", ".tar.gz", ".tgz", ".tar.zst"];

impl Spec {
    /// Reads the value of `--source`.
    ///
    /// # Errors
    /// [`Exit::Usage`] for a URL without a SHA-256, or a malformed hash.
    pub(crate) fn parse(given: &str) -> Result<Self, Fault> {
        let (place, hash) = match given.split_once("#sha256=") {
            Some((place, hash)) => (place, Some(hash.to_ascii_lowercase())),
            None => (given, None),
        };
        let fault = |why: &str| Fault::new(Exit::Usage, format!("--source {given}: {why}"));
        let is_sha256 = |h: &str| h.len() == 64 && h.bytes().all(|b| b.is_ascii_hexdigit());
        if let Some(hash) = hash.as_deref().filter(|hash| !is_sha256(hash)) {
            return Err(fault(&format!("`{hash}` is no SHA-256 (64 hex digits)")));
        }
        let is_tarball = ENDINGS.iter().any(|ending| place.ends_with(ending));
        if place.starts_with("https://") || place.starts_with("http://") {
            return match hash {
                Some(sha256) if is_tarball => Ok(Self::Download { url: place.to_owned(), sha256 }),
                Some(_) => Err(fault(&format!("the name must end in {}", ENDINGS.join(", ")))),
                None => Err(fault("a URL needs a hash")
                    .hint(format!("use --source '{place}#sha256=<64 hex digits>'"))),
            };
        }
        if is_tarball {
            return Ok(Self::Tarball { path: place.into(), sha256: hash });
        }
        Ok(Self::Local { given: given.to_owned() })
    }

    /// The source, if the cache has its pristine tree. Never uses the network.
    ///
    /// # Errors
    /// As [`Spec::locate`].
    pub(crate) fn unpacked(&self, cache: &Cache) -> anyhow::Result<Option<Located>> {
        if let Self::Debian(package) = self
            && apt::known(cache, &package.name)?.is_none()
        {
            return Ok(None);
        }
        Ok(Some(self.locate(cache)?).filter(|found| cache.sources.join(&found.id).is_dir()))
    }

    /// Identifies the source. Fetches Debian's package if the cache has none yet.
    ///
    /// # Errors
    /// [`Exit::Source`], naming path or package.
    pub(crate) fn locate(&self, cache: &Cache) -> anyhow::Result<Located> {
        match self {
            Self::Debian(package) => {
                let deb = match apt::known(cache, &package.name)? {
                    Some(deb) => deb,
                    None => apt::fetch(cache, package)?,
                };
                let origin = format!("Debian {} {}", package.name, deb.version);
                let (slot, how) = (package.name.clone(), How::Deb { package: package.clone() });
                Ok(Located { id: id("deb", &deb.sha256), origin, commit: None, slot, how })
            }
            Self::Tarball { path, sha256 } => {
                let path = canonical(path)?;
                let signature = local::stat_signature(&path)?;
                let found = memo(cache, &path, &signature, || sha256_of(&path))?;
                if let Some(expected) = sha256 {
                    tarball::require(&path.display().to_string(), expected, &found)?;
                }
                let (slot, origin) = (slot(&path), path.display().to_string());
                let how = How::Tarball { path };
                Ok(Located { id: id("tar", &found), origin, commit: None, slot, how })
            }
            Self::Download { url, sha256 } => {
                let how = How::Download { url: url.clone(), sha256: sha256.clone() };
                let (slot, origin) = (slot(Path::new(url)), url.clone());
                Ok(Located { id: id("tar", sha256), origin, commit: None, slot, how })
            }
            Self::Local { given } => locate_local(cache, given),
        }
    }
}

impl Located {
    /// The pristine tree, unpacked unless it is already.
    ///
    /// # Errors
    /// [`Exit::Source`] if the fetched source is not the located one, or no kernel tree.
    pub(crate) fn unpack(&self, cache: &Cache) -> anyhow::Result<Source> {
        if let Some(source) = pristine::find(cache, &self.id)? {
            return Ok(source);
        }
        let lock =
            cache.lock(&pristine::lock_name(&self.id), &format!("the source {}", self.origin))?;
        if !pristine::is_whole(cache, &self.id) {
            // Their files may be those of the damaged one.
            super::tree::remove_all_on(cache, &self.id)?;
            self.make(cache)?;
        }
        drop(lock);
        pristine::find(cache, &self.id)?
            .with_context(|| format!("another process removed the source {}", self.id))
    }

    fn make(&self, cache: &Cache) -> anyhow::Result<()> {
        let fill = |dest: &Path| match &self.how {
            How::Deb { package } => {
                let deb = apt::deb_file(cache, package)?;
                if id("deb", &deb.sha256) != self.id {
                    let Package { name, .. } = package;
                    let text =
                        format!("Debian replaced {name}; it has version {} now", deb.version);
                    let hint = "run the same command again to use the new version";
                    return Err(Fault::new(Exit::Source, text).hint(hint).into());
                }
                tarball::unpack_deb(&deb.file(cache), dest)
            }
            How::Tarball { path } => tarball::unpack(path, dest),
            How::Download { url, sha256 } => {
                tarball::unpack(&tarball::download(cache, url, sha256)?, dest)
            }
            How::Git { repository, tree } => local::check_out(cache, repository, tree, dest),
            How::Folder { path } => local::copy(path, dest),
        };
        pristine::make(cache, &self.id, &self.origin, fill)
    }
}

fn locate_local(cache: &Cache, given: &str) -> anyhow::Result<Located> {
    // A folder may have an @ in its name: an existing path wins.
    let (path, revision) = match given.split_once('@') {
        Some((path, revision)) if !Path::new(given).exists() => (path, Some(revision)),
        _ => (given, None),
    };
    let path = canonical(Path::new(path))?;
    if revision.is_none() {
        if local::is_bare(&path) {
            let what = format!("{} is a bare repository, without files", path.display());
            let hint = format!("name a revision: --source {}@REVISION", path.display());
            return Err(Fault::new(Exit::Source, what).hint(hint).into());
        }
        pristine::require_kernel_tree(&path)?;
    }
    let slot = slot(&path);
    if local::is_repository(&path)? {
        let tree = local::tree_of(cache, &path, revision)?;
        let how = How::Git { repository: path.clone(), tree: tree.clone() };
        let at = revision.map(|r| format!("@{r}")).unwrap_or_default();
        let origin = format!("{}{at}", path.display());
        let commit = local::commit_of(&path, revision, &tree);
        return Ok(Located { id: format!("git-{tree}"), commit, origin, slot, how });
    }
    let origin = path.display().to_string();
    if let Some(revision) = revision {
        let why = format!("is not the top of a git repository, so it has no revision {revision}");
        return Err(Fault::new(Exit::Source, format!("{origin} {why}")).into());
    }
    local::require_clean(&path)?;
    let signature = local::stat_signature(&path)?;
    let found = memo(cache, &path, &signature, || local::content_sha256(&path))?;
    Ok(Located { id: id("dir", &found), origin, commit: None, slot, how: How::Folder { path } })
}

fn canonical(path: &Path) -> anyhow::Result<PathBuf> {
    fs::canonicalize(path).map_err(|error| {
        Fault::new(Exit::Source, format!("--source {}: {error}", path.display()))
            .hint("give a kernel tree, FOLDER@REVISION, a tarball, or URL#sha256=HEX")
            .into()
    })
}

/// A readable name that make accepts, different for each place.
fn slot(path: &Path) -> String {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let fit: String = name
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() || "._-".contains(c) { c } else { '_' })
        .collect();
    let place = sha256(path.as_os_str().as_encoded_bytes());
    format!("{}-{}", &fit[..fit.len().min(40)], &place[..8])
}

/// 128 bits are enough to identify a source, and keep paths readable.
fn id(kind: &str, sha256: &str) -> String {
    format!("{kind}-{}", &sha256[..sha256.len().min(32)])
}

/// More than this was not written here.
const MEMO_BYTES_MAX: u64 = 64 * 1024;

#[derive(Serialize, Deserialize)]
struct Memo {
    signature: String,
    sha256: String,
}

/// Remembers the hash of something big for as long as its signature stays.
fn memo(
    cache: &Cache,
    path: &Path,
    signature: &str,
    hash: impl FnOnce() -> anyhow::Result<String>,
) -> anyhow::Result<String> {
    let name = sha256(path.as_os_str().as_encoded_bytes());
    let file = cache.sources.join(format!("{}.memo", &name[..32]));
    let old = file::read(&file, Links::Followed, MEMO_BYTES_MAX).ok();
    let old = old.and_then(|bytes| serde_json::from_slice::<Memo>(&bytes).ok());
    if let Some(memo) = old.filter(|memo| memo.signature == signature) {
        return Ok(memo.sha256);
    }
    let sha256 = hash()?;
    let memo = Memo { signature: signature.to_owned(), sha256 };
    write_whole(&file, &serde_json::to_vec(&memo)?)?;
    Ok(memo.sha256)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HASH: &str = "e849faf31ca3555757f3a8877cb01af92122f744f75d1f3102734651c4e14703";

    #[test]
    fn a_source_is_told_by_its_look() {
        let parse = |text: &str| Spec::parse(text).unwrap();
        assert_eq!(
            parse(&format!("https://example.org/linux-6.12.tar.xz#sha256={}", HASH.to_uppercase())),
            Spec::Download {
                url: "https://example.org/linux-6.12.tar.xz".into(),
                sha256: HASH.into()
            }
        );
        assert_eq!(
            parse("../l.tar.gz"),
            Spec::Tarball { path: "../l.tar.gz".into(), sha256: None }
        );
        assert_eq!(
            parse(&format!("l.tar.zst#sha256={HASH}")),
            Spec::Tarball { path: "l.tar.zst".into(), sha256: Some(HASH.into()) }
        );
        assert_eq!(
            parse("/src/linux@origin/master"),
            Spec::Local { given: "/src/linux@origin/master".into() }
        );
    }

    #[test]
    fn a_url_without_a_good_hash_is_refused() {
        for given in [
            "https://example.org/l.tar.xz",
            "https://example.org/l.tar.xz#sha256=12",
            "l.tar.xz#sha256=zz",
        ] {
            assert_eq!(Spec::parse(given).unwrap_err().exit, Exit::Usage, "{given}");
        }
        assert!(Spec::parse(&format!("https://example.org/l.zip#sha256={HASH}")).is_err());
    }

    #[test]
    fn a_hash_is_remembered_until_the_signature_changes() {
        let dir = tempfile::tempdir().unwrap();
        let cache = Cache::open(dir.path()).unwrap();
        let ask = |signature: &str, hash: &str| {
            memo(&cache, Path::new("/x"), signature, || Ok(hash.to_owned())).unwrap()
        };
        assert_eq!(ask("1", "a"), "a");
        assert_eq!(ask("1", "b"), "a");
        assert_eq!(ask("2", "b"), "b");
    }
}
