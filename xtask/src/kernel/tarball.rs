// SPDX-License-Identifier: MIT OR Apache-2.0
//! Tarballs: fetched, checked, and unpacked.
//!
//! Contract: a file in `downloads/` has the hash its caller asked for. A truncated or wrong file is
//! reported with the expected and the found hash, and is not kept.

use std::fs::File;
use std::io::{Read, Seek as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::Context as _;
use sha2::{Digest as _, Sha256};

use super::cache::Cache;
use crate::exit::{Exit, Fault};
use crate::host::digest::hex;
use crate::host::file::sha256_of;
use crate::host::{self, process};
use crate::progress::Step;

const CONNECT_DEADLINE: Duration = Duration::from_secs(30);
const DOWNLOAD_DEADLINE: Duration = Duration::from_secs(60 * 60);
const UNPACK_DEADLINE: Duration = Duration::from_secs(15 * 60);
/// A kernel tarball has 150-250 MB.
const DOWNLOAD_BYTES_MAX: u64 = 4 << 30;
const ATTEMPTS: u32 = 3;

/// Fetches `url` into the cache, unless it is there; returns its path.
///
/// # Errors
/// [`Exit::Source`] if it cannot be fetched or has another hash.
pub(crate) fn download(cache: &Cache, url: &str, sha256: &str) -> anyhow::Result<PathBuf> {
    let name = url.rsplit('/').next().unwrap_or_default().split('?').next().unwrap_or_default();
    let dest = cache.downloads.join(format!("{}-{name}", &sha256[..16]));
    let is_whole = || dest.exists() && sha256_of(&dest).is_ok_and(|is| is == sha256);
    if is_whole() {
        return Ok(dest);
    }
    let _lock = cache.lock(&format!("download-{}", &sha256[..32]), url)?;
    if is_whole() {
        return Ok(dest);
    }
    let mut file = tempfile::Builder::new().prefix(".tmp-").tempfile_in(&cache.downloads)?;
    let mut attempt = 1;
    let found = loop {
        match fetch_once(url, file.as_file_mut())? {
            Ok(found) => break found,
            Err(why) if attempt >= ATTEMPTS => {
                return Err(Fault::new(Exit::Source, format!("cannot fetch {url}: {why}"))
                    .hint(
                        "check the URL and the network, or use a local file: --source FILE.tar.xz",
                    )
                    .into());
            }
            Err(why) => {
                crate::progress::note(&format!("attempt {attempt} of {ATTEMPTS}: {url}: {why}"))
            }
        }
        attempt += 1;
    };
    require(url, sha256, &found)?;
    file.persist(&dest).with_context(|| format!("moving the download to {}", dest.display()))?;
    Ok(dest)
}

/// One attempt. The inner error is worth a retry.
fn fetch_once(url: &str, file: &mut File) -> anyhow::Result<Result<String, String>> {
    file.set_len(0)?;
    file.rewind()?;
    let config = ureq::Agent::config_builder()
        .timeout_connect(Some(CONNECT_DEADLINE))
        .timeout_recv_response(Some(CONNECT_DEADLINE))
        .timeout_global(Some(DOWNLOAD_DEADLINE))
        .build();
    let body = match ureq::Agent::new_with_config(config).get(url).call() {
        Ok(response) => response.into_body(),
        Err(ureq::Error::StatusCode(code)) => return Ok(Err(format!("the server answers {code}"))),
        Err(error) => return Ok(Err(error.to_string())),
    };
    let length = body.content_length();
    if let Some(bytes) = length.filter(|bytes| *bytes > DOWNLOAD_BYTES_MAX) {
        let what = format!("{url}: {bytes} bytes are too many for a kernel tarball");
        return Err(Fault::new(Exit::Source, what).into());
    }
    let step = Step::begin(format!("fetching {url}, KiB"), length.map(|bytes| bytes / 1024));
    let mut hash = Sha256::new();
    let mut reader = body.into_with_config().limit(DOWNLOAD_BYTES_MAX).reader();
    let (mut got, mut buffer) = (0, vec![0; 256 * 1024]);
    loop {
        match reader.read(&mut buffer) {
            Ok(0) => break,
            Ok(count) => {
                hash.update(&buffer[..count]);
                file.write_all(&buffer[..count]).context("writing the download")?;
                got += count as u64;
                step.at(got / 1024, "");
            }
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Ok(Err(format!("truncated after {got} bytes: {error}"))),
        }
    }
    if let Some(bytes) = length.filter(|bytes| *bytes != got) {
        return Ok(Err(format!("truncated after {got} of {bytes} bytes")));
    }
    step.end("done");
    Ok(Ok(hex(&hash.finalize())))
}

/// Refuses a wrong hash.
///
/// # Errors
/// [`Exit::Source`] with both.
pub(crate) fn require(name: &str, expected: &str, found: &str) -> Result<(), Fault> {
    if expected == found {
        return Ok(());
    }
    let hashes = format!("  expected sha256 {expected}\n  found sha256    {found}");
    Err(Fault::new(Exit::Source, format!("{name} has the wrong content\n{hashes}"))
        .hint("it is truncated or another file: fetch it again, or correct the hash"))
}

/// Unpacks a tarball without its first folder into `dest`.
///
/// # Errors
/// [`Exit::Source`] if tar fails, with its message.
pub(crate) fn unpack(tarball: &Path, dest: &Path) -> anyhow::Result<()> {
    if tarball.extension().is_some_and(|ending| ending == "zst") {
        host::require_program("zstd", "zstd")?;
    }
    let mut command = Command::new("tar");
    command.args(["--extract", "--strip-components=1", "--no-same-owner", "--verbose", "--file"]);
    command.arg(tarball).arg("--directory").arg(dest);
    unpack_with(command, tarball)
}

/// Unpacks the tarball inside a `linux-source` package without its first folder into `dest`.
///
/// # Errors
/// As [`unpack`].
pub(crate) fn unpack_deb(deb: &Path, dest: &Path) -> anyhow::Result<()> {
    // One pipeline, so that the 150 MB in the middle are not stored.
    let script = "set -o pipefail; dpkg-deb --fsys-tarfile \"$1\" \
        | tar --extract --to-stdout --wildcards './usr/src/linux-source-*.tar.xz' \
        | tar --extract --xz --strip-components=1 --no-same-owner --verbose --directory \"$2\"";
    let mut command = Command::new("bash");
    command.args(["-c", script, "unpack"]).arg(deb).arg(dest);
    unpack_with(command, deb)
}

fn unpack_with(mut command: Command, what: &Path) -> anyhow::Result<()> {
    command.env("LC_ALL", "C");
    let name = what.file_name().unwrap_or_default().display();
    let step = Step::begin(format!("unpacking {name}, files"), None);
    let (mut files, mut last) = (0_u64, Vec::new());
    let status = process::follow(command, UNPACK_DEADLINE, |line| {
        if let Some(line) = line {
            files += 1;
            if line.starts_with("tar:") || line.starts_with("dpkg") || line.starts_with("xz:") {
                last.push(line.to_owned());
                last.truncate(10);
            }
        }
        step.at(files, "");
    })?;
    if status.success() {
        step.end(&format!("{files} files"));
        return Ok(());
    }
    let text = format!("cannot unpack {}: {}", what.display(), last.join("; "));
    Err(Fault::new(Exit::Source, text).hint("it is truncated or no tarball: fetch it again").into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::digest::sha256;
    use std::io::{BufRead as _, BufReader};
    use std::net::TcpListener;

    /// A server on the loopback that gives one answer to everybody; returns its address.
    fn server(answer: Vec<u8>) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let lines = BufReader::new(stream.try_clone().unwrap()).lines();
                let _ = lines.map_while(Result::ok).take_while(|line| !line.is_empty()).count();
                let _ = stream.write_all(&answer);
            }
        });
        format!("http://{address}/l.tar.gz")
    }

    fn answer(claimed: usize, body: &[u8]) -> Vec<u8> {
        [
            format!("HTTP/1.1 200 OK\r\nContent-Length: {claimed}\r\nConnection: close\r\n\r\n")
                .as_bytes(),
            body,
        ]
        .concat()
    }

    fn cache() -> (tempfile::TempDir, Cache) {
        let dir = tempfile::tempdir().unwrap();
        let cache = Cache::open(dir.path()).unwrap();
        (dir, cache)
    }

    fn kept(cache: &Cache) -> usize {
        std::fs::read_dir(&cache.downloads).unwrap().count()
    }

    #[test]
    fn a_good_download_is_kept_and_used_without_the_server() {
        let (_dir, cache) = cache();
        let hash = sha256(b"kernel");
        let path = download(&cache, &server(answer(6, b"kernel")), &hash).unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"kernel");
        assert_eq!(download(&cache, "http://127.0.0.1:1/l.tar.gz", &hash).unwrap(), path);
    }

    #[test]
    fn a_wrong_download_is_named_with_both_hashes_and_not_kept() {
        let (_dir, cache) = cache();
        let (wanted, got) = (sha256(b"kernel"), sha256(b"colonel"));
        let url = server(answer(7, b"colonel"));
        let error = download(&cache, &url, &wanted).unwrap_err();
        assert_eq!(crate::exit::fault_of(&error).unwrap().exit, Exit::Source);
        for part in [&url, &wanted, &got] {
            assert!(error.to_string().contains(part.as_str()), "{part}: {error}");
        }
        assert_eq!(kept(&cache), 0);
    }

    #[test]
    fn a_truncated_download_is_refused_and_not_kept() {
        let (_dir, cache) = cache();
        let error = download(&cache, &server(answer(600, b"kern")), &sha256(b"kern")).unwrap_err();
        assert_eq!(crate::exit::fault_of(&error).unwrap().exit, Exit::Source);
        assert!(error.to_string().contains("truncated after 4"), "{error}");
        assert_eq!(kept(&cache), 0);
    }

    #[test]
    fn a_tarball_loses_its_first_folder_and_a_cut_off_one_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("linux-6.12");
        std::fs::create_dir(&root).unwrap();
        crate::kernel::pristine::tests::fake_kernel(&root);
        let tarball = dir.path().join("l.tar.gz");
        let tar = Command::new("tar")
            .arg("-C")
            .arg(dir.path())
            .arg("-czf")
            .arg(&tarball)
            .arg("linux-6.12")
            .status();
        assert!(tar.unwrap().success());
        let dest = tempfile::tempdir().unwrap();
        unpack(&tarball, dest.path()).unwrap();
        assert!(dest.path().join("mm/a.c").exists());
        let bytes = std::fs::read(&tarball).unwrap();
        std::fs::write(&tarball, &bytes[..bytes.len() / 2]).unwrap();
        let error = unpack(&tarball, dest.path()).unwrap_err();
        assert_eq!(crate::exit::fault_of(&error).unwrap().exit, Exit::Source);
        assert!(error.to_string().contains("l.tar.gz"), "{error}");
    }
}
